from pathlib import Path

import pytest

from waybill.customers import Shop
from waybill.errors import UsageError
from waybill.stack import Stack
from waybill.token import signing

NOBODY = "http://127.0.0.1:1"


async def test_a_shop_that_does_not_answer_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing.Signer, "operator", lambda _: "a-token")
    services = {"checkout": [NOBODY], "inventory": [NOBODY]}
    stack = Stack(
        home=Path(), namespace="", brokers=1, kafka_bootstrap="", postgres_host="", postgres_port=1, registry_url="",
        gateway_url="", services=services,
    )  # fmt: skip
    async with Shop(stack) as shop:
        with pytest.raises(UsageError, match="does not answer: see `waybill status`, start with `waybill up`"):
            await shop.stock({"cup": (100, 1)})

"""Of a stack that is down, commands say in a sentence what does not answer, and where to look."""

from pathlib import Path

import pytest

from waybill.audit.databases import snapshot
from waybill.customers import Shop
from waybill.dlq.office import states
from waybill.errors import UsageError
from waybill.reporting import captured_minor
from waybill.stack import Stack
from waybill.token import signing

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def down() -> Stack:
    services = {"checkout": [NOBODY], "inventory": [NOBODY]}
    return Stack(
        home=Path(), namespace="", brokers=1, kafka_bootstrap="", postgres_host="127.0.0.1", postgres_port=1,
        registry_url="", gateway_url="", services=services,
    )  # fmt: skip


async def test_a_shop_that_does_not_answer(down: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing.Signer, "operator", lambda _: "a-token")
    async with Shop(down) as shop:
        with pytest.raises(UsageError, match="does not answer: see `waybill status`, start with `waybill up`"):
            await shop.stock({"cup": (100, 1)})


async def test_a_database_that_does_not_answer(down: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "secret", lambda *_: "secret")
    with pytest.raises(UsageError, match=r"the database of checkout can't be read: .*; see `waybill status`"):
        async with snapshot(down, "checkout"):
            pass


async def test_dead_letters_whose_database_does_not_answer(down: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "secret", lambda *_: "secret")
    letter = {"id": "accounting.0.17", "group": "accounting", "event_id": "e1", "attempt": 0}
    with pytest.raises(UsageError, match=r"the database of accounting can't be read: .*; see `waybill status`"):
        await states(down, [letter])


async def test_payments_whose_database_does_not_answer(down: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "secret", lambda *_: "secret")
    with pytest.raises(UsageError, match=r"the database of accounting can't be read: .*; see `waybill status`"):
        await captured_minor(down, [])

import json
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from checkout.api import OrderRequest, body_digest

PRINTED = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=100)
TOKENS = st.from_regex(r"[\x21-\x7e]{1,200}", fullmatch=True)
LINES = st.lists(st.fixed_dictionaries({"sku": PRINTED, "quantity": st.integers(1, 1_000)}), min_size=1, max_size=100)


def digest(text: str) -> bytes:
    return body_digest(OrderRequest.model_validate_json(text))


def test_the_digest_tells_requests_apart_and_not_their_spelling() -> None:
    told = digest('{"payment_token": "tok_ok", "lines": [{"sku": "cup", "quantity": 2}]}')
    assert digest('{"lines":[{"quantity":2,"sku":"\\u0063up"}],"payment_token":"tok_ok"}') == told
    assert digest('{"payment_token": "tok_ok", "lines": [{"sku": "cup", "quantity": 3}]}') != told


@given(LINES, TOKENS)
def test_a_request_that_an_older_version_answered_has_the_same_digest(lines: list[object], token: str) -> None:
    body = {"lines": lines, "payment_token": token}
    asked = OrderRequest.model_validate(body)
    assert body_digest(asked) == sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()

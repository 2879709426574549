from checkout.api import OrderRequest, body_digest


def digest(text: str) -> bytes:
    return body_digest(OrderRequest.model_validate_json(text))


def test_the_digest_tells_requests_apart_and_not_their_spelling() -> None:
    told = digest('{"payment_token": "tok_ok", "lines": [{"sku": "cup", "quantity": 2}]}')
    assert digest('{"lines":[{"quantity":2,"sku":"\\u0063up"}],"payment_token":"tok_ok"}') == told
    assert digest('{"payment_token": "tok_ok", "lines": [{"sku": "cup", "quantity": 3}]}') != told

"""Tokens of an OIDC issuer: its keys are found, kept and changed, whatever it and those who ask us do."""

import asyncio
import gzip
import json
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from aiohttp import web
from asgi_lifespan import LifespanManager
from fastapi import APIRouter
from pydantic import ValidationError
from shared.chassis.tests.unit.issuer import AUDIENCE, Answer, Issuer, public, rsa_key, serving, with_secret

import chassis
from chassis import ServiceSettings
from chassis import issuer as issuer_keys
from chassis.limiting import CountedCustomer
from waybill.local.certificates import authority_file, broker_file, ensure_certificates

DEADLINE_S = 60.0

whoami = APIRouter()


@whoami.get("/whoami")
async def tell(customer: CountedCustomer) -> str:
    return customer.subject


@asynccontextmanager
async def service(issuer: Issuer, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
    """Run a service that trusts an issuer, and yield a client of it."""
    nothing = {"postgres_host": "", "postgres_port": 0, "postgres_database": "", "postgres_user": ""}
    given = {"service": "checkout", "http_port": 1, "postgres_password_file": os.devnull, "jwks_from": "discovery"}
    trusted = {"token_issuer": issuer.address, "token_audience": AUDIENCE, "token_algorithm": issuer.algorithm}
    app = chassis.create_app(
        ServiceSettings.model_validate(nothing | given | trusted | {"customer_requests_per_second": 10_000} | changes),
        routers=[whoami],
    )
    async with LifespanManager(app) as manager:
        transport = httpx.ASGITransport(app=manager.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            yield client


async def asked(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/whoami", headers={"Authorization": f"Bearer {token}"})


async def statuses(client: httpx.AsyncClient, *tokens: str) -> list[int]:
    return [(await asked(client, each)).status_code for each in tokens]


async def why(client: httpx.AsyncClient) -> str | None:
    """Return why the service is not ready, None when it is."""
    answer = await client.get("/health/ready")
    told: str | None = answer.json()["why"]
    assert answer.status_code == (503 if told else 200)
    return told


async def until_ready(client: httpx.AsyncClient) -> None:
    await until(lambda told: told is None, client)


async def until(enough: Callable[[str | None], bool], client: httpx.AsyncClient) -> str | None:
    deadline = time.monotonic() + DEADLINE_S
    while not enough(told := await why(client)):
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.01)
    return told


async def until_asked(issuer: Issuer, times: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while issuer.asked < times:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with serving(Issuer()) as issuer:
        yield issuer


@pytest.fixture
def no_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "FLOOR_S", 0.0)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
@pytest.mark.parametrize("found", ["discovery", "url"])
async def test_whom_an_issuer_vouches_for_is_let_in(found: str, algorithm: str) -> None:
    async with serving(Issuer(algorithm)) as issuer:
        async with service(issuer, jwks_from=found, jwks_url=f"{issuer.address}/keys") as client:
            await until_ready(client)
            answer = await asked(client, issuer.sign())
            assert (answer.status_code, answer.json()) == (200, "anna")
            assert await statuses(client, issuer.sign(scope="ops:read")) == [403]
        assert issuer.asked == 1


async def test_a_new_key_is_known_to_whoever_is_shown_its_token(issuer: Issuer, no_floor: None) -> None:
    async with service(issuer) as client:
        await until_ready(client)
        old = issuer.sign()
        assert await statuses(client, old) == [200]
        issuer.add_key("second")
        assert await statuses(client, issuer.sign("second"), old) == [200, 200]
        assert issuer.asked == 2


async def test_a_key_that_was_taken_out_is_trusted_no_more(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "REFRESH_EVERY_S", 0.05)
    issuer.add_key("second")
    async with service(issuer) as client:
        await until_ready(client)
        old, new = issuer.sign(), issuer.sign("second")
        assert await statuses(client, old, new) == [200, 200]
        issuer.published.remove("first")
        deadline = time.monotonic() + DEADLINE_S
        while await statuses(client, old) != [401]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert await statuses(client, new) == [200]


@pytest.mark.parametrize("away", [False, True])
async def test_made_up_keys_cause_one_question_in_a_while(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, *, away: bool
) -> None:
    monkeypatch.setattr(issuer_keys, "FLOOR_S", 0.3)
    async with service(issuer) as client:
        await until_ready(client)
        if away:
            issuer.answer = broken
        flood = [issuer.sign(as_key=str(uuid4())) for _ in range(200)]
        assert set(await statuses(client, *flood[:20])) == {401}
        assert issuer.asked == 1  # that of the start was a moment ago
        await asyncio.sleep(0.3)
        answers = await asyncio.gather(*(asked(client, each) for each in flood))
        assert {answer.status_code for answer in answers} == {401}
        assert issuer.asked == 2
        assert await statuses(client, issuer.sign()) == [200]


async def test_a_crowd_does_not_wait_for_an_issuer_that_is_slow(
    issuer: Issuer, no_floor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "MOST_WAITING", 10)
    async with service(issuer) as client:
        await until_ready(client)
        issuer.free.clear()
        crowd = [asyncio.create_task(asked(client, issuer.sign(as_key=str(uuid4())))) for _ in range(30)]
        deadline = time.monotonic() + DEADLINE_S
        while sum(each.done() for each in crowd) < 20:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert await statuses(client, issuer.sign()) == [200]  # and who is known is not held up
        assert sum(each.done() for each in crowd) == 20
        issuer.free.set()
        assert {answer.status_code for answer in await asyncio.gather(*crowd)} == {401}


async def test_a_start_without_an_issuer_says_so_and_goes_on_when_it_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    issuer = Issuer(address=f"http://127.0.0.1:{port}")
    token = issuer.sign()
    async with service(issuer) as client:
        told = await until(lambda told: told is not None and "gives no keys" in told, client)
        assert told is not None
        assert told.startswith(f"keys: no token can be verified: {issuer.address} gives no keys: Cannot connect")
        answer = await asked(client, token)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
        assert answer.headers["retry-after"] == "1"
        async with serving(issuer, port):
            await until_ready(client)
            assert await statuses(client, token) == [200]


async def test_an_issuer_that_is_away_stops_nobody_until_its_keys_are_old(
    issuer: Issuer, no_floor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "REFRESH_EVERY_S", 0.05)
    async with service(issuer) as client:
        await until_ready(client)
        token = issuer.sign()
        issuer.answer = broken
        await until_asked(issuer, issuer.asked + 2)
        assert await statuses(client, token, issuer.sign(sub="ben")) == [200, 200]
        assert await why(client) is None

        monkeypatch.setattr(issuer_keys, "KEPT_S", 0.2)
        issuer.answer = None
        await until_asked(issuer, issuer.asked + 3)  # so that it has answered since
        issuer.answer = broken
        told = await until(lambda told: told is not None, client)
        assert told == f"keys: no token can be verified: {issuer.address} gives no keys: it answers with 500"
        assert await statuses(client, token, issuer.sign(sub="ben")) == [503, 503]

        issuer.answer = None
        await until_ready(client)
        assert await statuses(client, token) == [200]


async def test_what_is_not_from_this_issuer_or_not_for_us_is_refused(issuer: Issuer) -> None:
    stranger, own = Issuer(address=issuer.address), issuer.keys["first"]
    claims = {"iss": issuer.address, "aud": AUDIENCE, "sub": "anna", "scope": "orders", "exp": int(time.time()) + 60}
    refused = [
        stranger.sign(),
        issuer.sign(iss="https://elsewhere.example"),
        issuer.sign(aud="another-shop"),
        issuer.sign(exp=int(time.time()) - 1),
        issuer.sign(sub=""),
        with_secret(claims, own, "first"),
        jwt.encode(claims, rsa_key(2048), "RS256", {"kid": "first"}),
        jwt.encode(claims, "", "none", {"kid": "first"}),
        jwt.encode({name: claims[name] for name in claims if name != "exp"}, own, "ES256", {"kid": "first"}),
    ]
    async with service(issuer) as client:
        await until_ready(client)
        assert await statuses(client, *refused) == [401] * len(refused)
        assert await statuses(client, issuer.sign(), issuer.sign(iat=int(time.time()) + 2)) == [200, 200]


async def test_an_issuers_other_keys_verify_nothing() -> None:
    issuer, weak, mine = Issuer("RS256"), rsa_key(1024), Issuer().keys["first"]
    issuer.keys |= {"to-encrypt": rsa_key(2048), "of-another-algorithm": rsa_key(2048), "weak": weak}
    others = [
        public(issuer.keys["to-encrypt"]) | {"kid": "to-encrypt", "use": "enc"},
        public(issuer.keys["of-another-algorithm"]) | {"kid": "of-another-algorithm", "alg": "PS256"},
        public(weak) | {"kid": "weak"},
        public(mine) | {"kid": "elliptic"},
        {"kid": "symmetric", "kty": "oct", "k": "c2VjcmV0"},
        {"kid": "strange", "kty": "quantum"},
    ]

    async def with_others(request: web.Request) -> web.Response:
        return web.json_response({"keys": [*others, *issuer.jwks()["keys"]]})

    issuer.answer = with_others
    async with serving(issuer), service(issuer) as client:
        await until_ready(client)
        named = ("to-encrypt", "of-another-algorithm", "elliptic", "symmetric", "strange")
        assert await statuses(client, *(issuer.sign(as_key=each) for each in named)) == [401] * len(named)
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            by_weak = issuer.sign("weak")
        by_others = (by_weak, issuer.sign("to-encrypt"), issuer.sign("of-another-algorithm"))
        assert await statuses(client, *by_others, issuer.sign()) == [401, 401, 401, 200]


async def broken(request: web.Request) -> web.Response:
    return web.Response(status=500, text=json.dumps({"keys": []}))


async def too_large(request: web.Request) -> web.StreamResponse:
    """Go on without an end, and without a length."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(10_000):
        await answer.write(b" " * 10_000)
    raise AssertionError("100 MB were read")


async def for_ever(request: web.Request) -> web.StreamResponse:
    """Send a byte now and then."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" ")
        await asyncio.sleep(0.05)


async def elsewhere(request: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


async def compressed(request: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})


def says(text: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="application/json")

    return answer


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (broken, "it answers with 500"),
        (too_large, "its answer has more than 262144 bytes"),
        (for_ever, "no answer"),
        (elsewhere, "it answers with 302"),
        (compressed, "Invalid JSON"),
        (says("<html>"), "Invalid JSON"),
        (says("[" * 200_000), "Invalid JSON"),
        (says("[]"), "Input should be an object"),
        (says('{"keys": {}}'), "keys: Input should be a valid array"),
        (says('{"keys": []}'), "no key in it verifies signatures by ES256"),
        (says('{"keys": [{"kty": "RSA"}]}'), "no key in it verifies signatures by ES256"),
    ],
)
async def test_an_issuer_that_answers_with_anything_else_makes_us_not_ready_with_a_sentence(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, answer: Answer, sentence: str
) -> None:
    monkeypatch.setattr(issuer_keys, "ANSWER_S", 0.5)
    issuer.answer = answer
    async with service(issuer) as client:
        told = await until(lambda told: told is not None and "gives no keys" in told, client)
        assert told is not None
        assert told.startswith(f"keys: no token can be verified: {issuer.address} gives no keys: {sentence}")
        assert len(told) < 300


@pytest.mark.parametrize(
    ("calls_itself", "keys_at", "sentence"),
    [
        ("https://elsewhere.example", None, "it says that it is 'https://elsewhere.example'"),
        (None, "http://keys.example/keys", "jwks_uri: Value error, http://keys.example/keys is not on this machine"),
        (None, "file:///etc/passwd", "jwks_uri: Value error, 'file:///etc/passwd' is no address of https"),
    ],
)
async def test_an_issuer_that_describes_itself_wrongly_is_not_believed(
    issuer: Issuer, calls_itself: str | None, keys_at: str | None, sentence: str
) -> None:
    issuer.calls_itself, issuer.keys_at = calls_itself, keys_at
    async with service(issuer) as client:
        told = await until(lambda told: told is not None and "gives no keys" in told, client)
        assert told is not None
        assert told.startswith(f"keys: no token can be verified: {issuer.address} gives no keys: {sentence}")
    assert issuer.asked == 0


@pytest.mark.parametrize("ours", ["https://127.0.0.1:18100/keys", "http://localhost/keys", "http://[::1]/keys"])
def test_an_issuer_elsewhere_does_not_send_us_to_our_own_machine(ours: str) -> None:
    elsewhere = issuer_keys.Provider(issuer="https://id.example", jwks_uri=ours)
    with pytest.raises(ValueError, match="on our own machine"):
        elsewhere.keys_address("https://id.example")


async def test_over_tls_only_an_issuer_whose_authority_is_trusted_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_certificates(tmp_path, brokers=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(broker_file(tmp_path, 1))
    async with serving(Issuer(), tls=context) as issuer:
        async with service(issuer) as client:
            told = await until(lambda told: told is not None and "gives no keys" in told, client)
            assert told is not None
            assert "certificate verify failed" in told
            assert issuer.asked == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(authority_file(tmp_path)))
        async with service(issuer) as client:
            await until_ready(client)
            assert await statuses(client, issuer.sign()) == [200]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"token_issuer": "http://id.example"}, "is not on this machine, so it must be https"),
        ({"token_issuer": "waybill"}, "'waybill' is no address of https"),
        ({"token_issuer": "https://shop:secret@id.example"}, "would end up in logs"),
        ({"jwks_from": "url", "jwks_url": ""}, "'' is no address of https"),
        ({"jwks_from": "url", "jwks_url": "http://127.0.0.1.example/keys"}, "is not on this machine"),
        ({"token_algorithm": "HS256"}, "Input should be 'ES256'"),
        ({"token_algorithm": "none"}, "Input should be 'ES256'"),
    ],
)
async def test_settings_that_would_trust_anybody_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        async with service(Issuer(address="https://id.example"), **changes):
            pytest.fail("it was started")
    assert sentence in str(refused.value)

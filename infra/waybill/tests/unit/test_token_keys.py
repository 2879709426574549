"""Tokens and the keys that sign them: a key is changed while tokens are in use, and nobody is refused."""

import os
from pathlib import Path

import jwt
import pytest

from chassis import Problem
from chassis import keys as chassis_keys
from chassis.settings import ServiceSettings
from chassis.tokens import Tokens, keys_of
from waybill import secrets
from waybill.errors import UsageError
from waybill.local.keys import PUBLIC_KEYS, ensure_token_key, rotate_token_key
from waybill.local.layout import Options
from waybill.token import signing
from waybill.token.signing import Signer


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    ensure_token_key(tmp_path)
    return Signer(Options.model_validate({"home": tmp_path, "cache": tmp_path}).stack())


def verifier(signer: Signer) -> Tokens:
    given = {"service": "checkout", "http_port": 1, "postgres_host": "", "postgres_port": 1, "postgres_database": ""}
    files = {"postgres_password_file": os.devnull, "jwks_file": secrets.path_of(signer.stack.home, PUBLIC_KEYS)}
    settings = ServiceSettings.model_validate(given | files | {"postgres_user": ""})
    return Tokens(settings, keys_of(settings))


def rotated(signer: Signer) -> Signer:
    rotate_token_key(signer.stack.home)
    return Signer(signer.stack)


async def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(Problem) as caught:
        await tokens.verify(token)
    assert (caught.value.status, caught.value.name) == (401, "unauthorized")
    return str(caught.value)


async def test_a_key_is_changed_without_a_restart_and_nobody_is_refused(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis_keys, "LOOK_AGAIN_S", 0.0)
    tokens, old = verifier(signer), signer.customer("anna")
    assert (await tokens.verify(old)).subject == "anna"
    new = rotated(signer).customer("ben")
    assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
    assert ((await tokens.verify(new)).subject, (await tokens.verify(old)).subject) == ("ben", "anna")


async def test_a_key_that_was_taken_out_is_trusted_no_more_by_whoever_knew_its_tokens(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis_keys, "LOOK_EVERY_S", 0.0)
    tokens, old = verifier(signer), signer.customer("anna")
    assert (await tokens.verify(old)).subject == "anna"
    rotated(rotated(signer))
    assert "nobody here knows" in await refused(tokens, old)


async def test_keys_that_can_not_be_read_leave_the_known_ones_trusted(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis_keys, "LOOK_EVERY_S", 0.0)
    tokens, token = verifier(signer), signer.customer("anna")
    assert (await tokens.verify(token)).subject == "anna"
    secrets.write(secrets.path_of(signer.stack.home, PUBLIC_KEYS), "{")
    assert (await tokens.verify(token)).subject == "anna"


async def test_what_is_signed_by_another_too_old_or_not_signed_is_refused(signer: Signer, tmp_path: Path) -> None:
    tokens = verifier(signer)
    ensure_token_key(tmp_path / "other")
    foreign = Signer(Options.model_validate({"home": tmp_path / "other", "cache": tmp_path}).stack())
    await refused(tokens, foreign.customer("anna"))
    await refused(tokens, signer.customer("anna", ttl_s=-1))
    await refused(tokens, jwt.encode({"sub": "anna"}, "", "none", headers={"kid": "waybill-1"}))
    await refused(tokens, "nonsense")


@pytest.mark.parametrize("claim", ["AUDIENCE", "ISSUER"])
async def test_what_is_for_another_audience_or_from_another_issuer_is_refused(
    signer: Signer, monkeypatch: pytest.MonkeyPatch, claim: str
) -> None:
    monkeypatch.setattr(signing, claim, "another")
    await refused(verifier(signer), signer.customer("anna"))


async def test_no_key_at_all_is_our_fault_and_nobody_elses(signer: Signer) -> None:
    token = signer.customer("anna")
    secrets.path_of(signer.stack.home, PUBLIC_KEYS).unlink()
    with pytest.raises(Problem) as caught:
        await verifier(signer).verify(token)
    assert (caught.value.status, caught.value.name) == (503, "unavailable")


def test_there_must_be_a_key_to_change(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no secret"):
        rotate_token_key(tmp_path)

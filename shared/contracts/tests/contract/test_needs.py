"""What a service asks for as it starts is what the contracts grant it: nothing is missing, and nothing is too much."""

import importlib
import os

import pytest

from contracts import SERVICES, Names, permissions
from exactly_once import Needs

SOMEWHERE = {
    "HTTP_PORT": "1",
    "POSTGRES_HOST": "nowhere",
    "POSTGRES_PORT": "1",
    "POSTGRES_DATABASE": "none",
    "POSTGRES_USER": "nobody",
    "POSTGRES_PASSWORD_FILE": os.devnull,
    "GATEWAY_URL": "http://nowhere",
    "GATEWAY_KEY_FILE": os.devnull,
}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_granted_what_it_needs_and_nothing_else(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SOMEWHERE | {"SERVICE": service}).items():
        monkeypatch.setenv(f"WAYBILL_{name}", value)
    needs: Needs = importlib.import_module(f"{service}.main").app.state.needs
    granted = {it for it in permissions(Names()) if it.user == service}
    assert needs.writes == {it.name for it in granted if it[1:3] == ("write", "topic")}
    assert needs.reads == {it.name for it in granted if it[1:3] == ("read", "topic")}
    assert {needs.name} == {it.name for it in granted if it.resource == "group"}
    ids = {f"{needs.name}.{instance}" for instance in needs.instances}
    prefixes = {it.name for it in granted if it.resource == "transactional_id"}
    assert {prefix for each in ids for prefix in prefixes if each.startswith(prefix)} == prefixes

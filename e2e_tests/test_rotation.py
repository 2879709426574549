"""What proves who somebody is changes while orders flow: none is refused, none is lost, and the audit is clean."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from waybill.driver import Waybill
from waybill.local.layout import SERVICES
from waybill.testing import forget, free_base_port, leaks

pytestmark = pytest.mark.e2e

RATE = 20
ROTATED = ("checkout", "inventory")  # a relay and two loops; each command takes a second or two of the load


@contextmanager
def orders_flow(waybill: Waybill, seconds: int) -> Iterator[Callable[[], bool]]:
    """Offer orders; yield the question whether they still come; then see that each was accepted, and a clean audit."""
    words = ("load", "--rate", str(RATE), "--duration", str(seconds), "--warm-up", "1", "--json")
    load = waybill.start(*words)
    assert load.stderr is not None
    for line in load.stderr:
        if "offering" in line:
            break
    try:
        yield lambda: load.poll() is None
    except BaseException:
        load.kill()
        raise
    out, err = load.communicate(timeout=240)
    assert load.returncode == 0, err + out[-4000:]
    found = json.loads(out)
    assert (found["accepted"], found["refused"]) == (RATE * seconds, 0)


def done(waybill: Waybill, *words: str) -> dict[str, Any]:
    ended = waybill(*words, "--json")
    assert ended.code == 0, ended.err + ended.out
    return ended.data


def connect_anew(waybill: Waybill, broker: str) -> None:
    """Restart a broker: whoever was connected to it has to prove who they are again."""
    for word in ("stop", "start"):
        ended = waybill(word, broker)
        assert ended.code == 0, ended.err + ended.out


def few_more(waybill: Waybill) -> None:
    """Place a few orders more, to a clean audit."""
    found = done(waybill, "load", "--rate", "5", "--duration", "1", "--warm-up", "0")
    assert (found["accepted"], found["refused"]) == (5, 0)


def refusals(waybill: Waybill) -> list[str]:
    """What the services' logs tell of brokers that did not let them in."""
    logs = (waybill.home / "logs" / f"{service}-1.log" for service in SERVICES)
    return [line for log in logs for line in log.read_text().splitlines() if "Authentication" in line]


def test_keys_passwords_and_certificates_are_changed_while_orders_flow_and_none_is_refused(running: Waybill) -> None:
    with orders_flow(running, 24) as still_flow:
        changed = done(running, "token", "--rotate-key")
        for user in (*ROTATED, "operator"):
            assert done(running, "rotate", "password", user)["behind"] == {}
        assert done(running, "rotate", "certificate", "kafka")["rotated"] == ["kafka-1", "kafka-2", "kafka-3"]
        assert still_flow()
        connect_anew(running, "kafka-2")  # on a slow machine the orders have all been placed by now
    assert changed["signs"] != changed["trusted"][1]
    few_more(running)  # with tokens that the new key signs
    assert refusals(running) == []


@pytest.mark.nightly  # each way by itself, its rotation included: test_authentication.py, in every run
@pytest.mark.parametrize("auth", ["mtls", "oauthbearer"])
def test_the_shop_runs_with_other_proofs_than_passwords_and_they_are_changed_while_orders_flow(
    tmp_path_factory: pytest.TempPathFactory, auth: str
) -> None:
    waybill = Waybill(tmp_path_factory.mktemp(auth), free_base_port())
    try:
        started = waybill("up", "--auth", auth, "--brokers", "1")
        assert started.code == 0, started.err
        with orders_flow(waybill, 20) as still_flow:
            for name in (*ROTATED, "kafka") if auth == "mtls" else ("kafka",):
                assert done(waybill, "rotate", "certificate", name)["behind"] == {}
            assert still_flow()
            connect_anew(waybill, "kafka-1")
        few_more(waybill)
        assert refusals(waybill) == []
        processes = waybill("status", "--json").data["processes"]
        assert leaks(waybill.home, [each["pid"] for each in processes]) == []
    finally:
        assert waybill("down").code == 0
        forget(waybill.home)

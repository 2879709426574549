"""The shop as its users run it: the demo, real purchases, faults in the middle; each ends with the audit."""

import asyncio
import json
import os
import signal
import time
from base64 import b64decode
from pathlib import Path

import asyncpg
import psutil
import pytest

from waybill.demo.poison import GARBAGE
from waybill.driver import Waybill
from waybill.stack import Stack
from waybill.testing import leaks

pytestmark = pytest.mark.e2e

SAMPLE = Path(__file__).parent / "data" / "purchases-sample.csv"
SOME_LINES = 400
DEADLINE_S = 60.0
LOAD = ("load", "--processes", "2", "--json")
TAKEN_FOR_NOBODY = """INSERT INTO ledger (charge_id, idempotency_key, reference, kind, amount_minor, currency)
    VALUES ('ch', 'nobody', 'nobody', 'capture', 1250, 'USD')"""


def test_the_demo_starts_everything_and_ends_with_a_clean_audit(waybill: Waybill) -> None:
    ended = waybill("demo", "--json", "--orders", "200")
    assert ended.code == 0, ended.err + ended.out[:4000]
    assert ended.data["outcomes"] == ended.data["expected"]
    assert ended.data["dead_letters"] == {"inventory": 1, "accounting": 1}
    assert ended.data["audit"]["ok"]


def test_a_dead_letter_is_found_by_the_command_and_sent_back_without_a_remedy_it_is_a_letter_again(
    waybill: Waybill,
) -> None:
    found = waybill("dlq", "list", "--group", "inventory", "--json").data["letters"]
    (letter,) = found
    assert (letter["topic"], letter["kind"], letter["attempts"], letter["state"]) == (
        "orders",
        "undecodable",
        1,
        "open",
    )
    shown = waybill("dlq", "show", letter["id"], "--json").data["letter"]
    assert b64decode(shown["record"]["value"]) == GARBAGE
    for _ in range(2):
        sent = waybill("dlq", "redrive", letter["id"], "--json")
        assert (sent.code, sent.data) == (0, {"redriven": [letter["id"]], "refused": []})
    deadline = time.monotonic() + DEADLINE_S
    while len(found) < 2:
        assert time.monotonic() < deadline
        found = waybill("dlq", "list", "--group", "inventory", "--json").data["letters"]
    assert [(each["attempts"], each["state"]) for each in found] == [(1, "superseded"), (2, "open")]
    assert waybill("dlq", "show", "inventory.9.9").code == 2


def test_the_whole_stack_is_healthy_and_small(waybill: Waybill) -> None:
    status = waybill("status", "--json")
    assert status.code == 0
    assert {each["state"] for each in status.data["processes"]} == {"healthy"}
    assert status.data["rss_bytes"] < 2.5 * 2**30


def test_a_second_up_is_refused_with_a_sentence(waybill: Waybill) -> None:
    again = waybill("up")
    assert again.code == 2
    assert again.err.startswith("waybill: the stack in ")
    assert len(again.err.strip().splitlines()) == 1


def test_real_purchases_are_replayed_to_the_cent_and_in_order(waybill: Waybill) -> None:
    ended = waybill("replay", str(SAMPLE), "--limit", str(SOME_LINES), "--json")
    assert ended.code == 0, ended.err + ended.out[:4000]
    data = ended.data
    assert data["accepted"] == data["shipped"] == SOME_LINES
    assert data["captured_minor"] == data["file_minor"] == 1_292_711
    assert data["customers_out_of_order"] == []


@pytest.mark.parametrize("victim", ["inventory-1", "kafka-2", "accounting-1"])
def test_a_process_killed_under_load_loses_and_doubles_nothing(waybill: Waybill, victim: str) -> None:
    """And, as a watcher saw it meanwhile, nothing went back."""
    pid = waybill.pid_of(victim)
    with waybill.started("audit", "--watch", "--json", until="watching") as watch:
        with waybill.started(*LOAD, "--rate", "30", "--duration", "12", until="offering") as load:
            os.kill(pid, signal.SIGKILL)
            out, err = load.communicate(timeout=240)
        assert load.returncode == 0, err + out[-4000:]
        found = json.loads(out)
        assert (found["refused_by"], found["accepted"], found["unsettled"]) == ({}, 360, 0), found["refused_because"]
        assert not psutil.pid_exists(pid) or waybill.pid_of(victim) != pid
        watch.send_signal(signal.SIGTERM)
        out, err = watch.communicate(timeout=120)
    assert watch.returncode == 0, err + out[-4000:]
    unseen = [each["id"] for each in json.loads(out)["invariants"] if each["ok"] is not True]
    assert unseen == ["11"], "a refused commit leaves nothing to read"


def test_no_orders_come_from_a_load_that_was_killed(waybill: Waybill) -> None:
    with waybill.started(*LOAD, "--rate", "5", "--duration", "600", until="offering") as load:
        offering = psutil.Process(load.pid).children(recursive=True)
        assert len(offering) >= 2
    _, left = psutil.wait_procs(offering, timeout=10)
    assert left == []


def test_a_service_stopped_by_name_stays_down_until_it_is_started(waybill: Waybill) -> None:
    assert waybill("stop", "fulfillment").code == 0
    status = waybill("status", "--json").data
    assert {each["name"]: each["state"] for each in status["processes"]}["fulfillment-1"] == "stopped"
    assert waybill("start", "fulfillment").code == 0
    assert waybill("status", "--json").data["healthy"]


async def test_money_that_was_taken_for_nobody_is_named(waybill: Waybill) -> None:
    """In a stack whose gateway nobody shares: elsewhere it may be another namespace's order."""
    gateway = await asyncpg.connect(Stack.load(waybill.home).postgres_dsn("payment_gateway", "operator"), ssl=False)
    await gateway.execute(TAKEN_FOR_NOBODY)

    audited = await asyncio.to_thread(waybill, "audit", "--json")
    await gateway.execute("DELETE FROM ledger WHERE reference = 'nobody'")
    await gateway.close()

    assert audited.code == 1
    (violated,) = [line for line in audited.data["invariants"] if line["ok"] is False]
    assert (violated["id"], [each["id"] for each in violated["violations"]]) == ("6", ["nobody"])


def test_no_secret_can_be_read_outside_its_file(waybill: Waybill) -> None:
    processes = waybill("status", "--json").data["processes"]
    assert leaks(waybill.home, [each["pid"] for each in processes]) == []


def test_nothing_has_drifted_from_the_contracts(waybill: Waybill) -> None:
    checked = waybill("provision", "--check", "--json")
    assert checked.code == 0, checked.out


def test_down_leaves_no_process_behind(waybill: Waybill) -> None:
    pids = [each["pid"] for each in waybill("status", "--json").data["processes"]]
    assert waybill("down").code == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]

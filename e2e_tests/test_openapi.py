"""The HTTP interface does what its OpenAPI document says, whatever it is asked, and says nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from e2e_tests import known_products

from waybill.customers import Shop
from waybill.driver import Waybill
from waybill.stack import Stack

pytestmark = pytest.mark.e2e

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
SOME_CASES, MANY_CASES = "15", "300"
OTHERS = r"/health/|/metrics|/events$"  # events may never end; test_reads.py reads them
WHO = [("checkout", ["--customer", "fuzz"]), ("inventory", ["--operator"]), ("letters", ["--operator"])]
FEWER = {"letters": "4"}  # each of its requests connects to Kafka anew
OUGHT_TO_BE_ACCEPTED = "positive_data_acceptance"  # no: nobody can order a sku that does not exist
HOOKS = {"SCHEMATHESIS_HOOKS": known_products.__name__, "PYTHONPATH": str(Path(__file__).parents[1])}
COVERED = re.compile(r"API Links: +(\d+) covered")


@pytest.fixture(autouse=True, scope="module")
async def stocked(running: Waybill) -> None:
    async with Shop(Stack.load(running.home)) as shop:
        await shop.stock({known_products.PRODUCT: (500, 1_000_000)})


def asked(waybill: Waybill, tmp_path: Path, service: str, who: list[str], cases: str) -> str:
    """Ask a service what its document allows and forbids, at random and by what it answered; return what was said."""
    token = waybill("token", *who).out.strip()
    status = waybill("status", "--json").data["processes"]
    port = next(each["port"] for each in status if each["name"] == f"{service}-1")
    done = subprocess.run(
        [
            SCHEMATHESIS, "run", f"http://127.0.0.1:{port}/openapi.json", "--header", f"Authorization: Bearer {token}",
            "--exclude-path-regex", OTHERS, "--exclude-checks", OUGHT_TO_BE_ACCEPTED,
            "--max-examples", cases, "--request-timeout", "10", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False, env=os.environ | HOOKS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("service", "who"), WHO)
def test_a_service_answers_as_its_document_says(running: Waybill, tmp_path: Path, service: str, who: list[str]) -> None:
    said = asked(running, tmp_path, service, who, FEWER.get(service, SOME_CASES))
    if service == "checkout":
        assert int(COVERED.findall(said)[0]) > 0, "no order was accepted, read and cancelled"


@pytest.mark.nightly
@pytest.mark.parametrize(("service", "who"), WHO)
def test_a_service_answers_as_its_document_says_at_length(
    running: Waybill, tmp_path: Path, service: str, who: list[str]
) -> None:
    assert asked(running, tmp_path, service, who, MANY_CASES)


def test_after_whatever_was_asked_the_audit_is_clean(running: Waybill) -> None:
    ended = running("audit", "--json")
    assert ended.code == 0, ended.out[:4000]

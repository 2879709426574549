"""The HTTP interface does what its OpenAPI document says, whatever it is asked, and says nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from waybill.driver import Waybill

pytestmark = pytest.mark.e2e

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
SOME_CASES, MANY_CASES = "15", "300"
OTHERS = r"/health/|/metrics|/events$"  # events may never end; test_reads.py reads them
WHO = [("checkout", ["--customer", "fuzz"]), ("inventory", ["--operator"]), ("letters", ["--operator"])]
FEWER = {"letters": "4"}  # each of its requests connects to Kafka anew
OUGHT_TO_BE_ACCEPTED = "positive_data_acceptance"  # no: nobody can order a sku that does not exist


def asked(waybill: Waybill, tmp_path: Path, service: str, who: list[str], cases: str) -> str:
    """Ask a service what its document allows and forbids; return what was found wrong."""
    token = waybill("token", *who).out.strip()
    status = waybill("status", "--json").data["processes"]
    port = next(each["port"] for each in status if each["name"] == f"{service}-1")
    done = subprocess.run(
        [
            SCHEMATHESIS, "run", f"http://127.0.0.1:{port}/openapi.json", "--header", f"Authorization: Bearer {token}",
            "--exclude-path-regex", OTHERS, "--exclude-checks", OUGHT_TO_BE_ACCEPTED,
            "--max-examples", cases, "--request-timeout", "10", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(("service", "who"), WHO)
def test_a_service_answers_as_its_document_says(running: Waybill, tmp_path: Path, service: str, who: list[str]) -> None:
    assert asked(running, tmp_path, service, who, FEWER.get(service, SOME_CASES)) == ""


@pytest.mark.nightly
@pytest.mark.parametrize(("service", "who"), WHO)
def test_a_service_answers_as_its_document_says_at_length(
    running: Waybill, tmp_path: Path, service: str, who: list[str]
) -> None:
    assert asked(running, tmp_path, service, who, MANY_CASES) == ""


def test_after_whatever_was_asked_the_audit_is_clean(running: Waybill) -> None:
    ended = running("audit", "--json")
    assert ended.code == 0, ended.out[:4000]

"""What `waybill dlq` says of a letter, and what it refuses to do."""

from pathlib import Path

import pytest

from waybill.dlq import office
from waybill.dlq.command import Action, dlq
from waybill.errors import UsageError
from waybill.local.layout import Options
from waybill.stack import STACK_FILE


@pytest.mark.parametrize(
    ("attempt", "claim", "state"),
    [
        (0, (0, True), "open"),
        (0, (1, True), "superseded"),
        (1, (1, True), "open"),
        (0, (1, False), "answered"),
        (0, (0, False), "answered"),
        (0, None, "forgotten"),
    ],
)
def test_a_letter_is_open_until_its_claim_says_otherwise(
    attempt: int, claim: tuple[int, bool] | None, state: str
) -> None:
    assert office._state(attempt, claim) == state  # noqa: SLF001  # the rest of it asks a database


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a stack whose letters' service does not answer."""
    monkeypatch.setenv("WAYBILL_HOME", str(tmp_path))
    stack = Options(home=tmp_path, cache=tmp_path, base_port=1_024).stack()
    (tmp_path / STACK_FILE).write_text(stack.model_dump_json())
    return tmp_path


def test_without_a_stack_or_its_letters_service_one_sentence_says_so(home: Path) -> None:
    stack = Options(home=home, cache=home, with_services=False).stack()
    (home / STACK_FILE).write_text(stack.model_dump_json())
    with pytest.raises(UsageError, match="runs no letters' service"):
        dlq(Action.LIST)

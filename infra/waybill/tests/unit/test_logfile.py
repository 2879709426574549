"""Logs stay within their bounds while somebody writes them, and while somebody reads them."""

import datetime as dt
import json
import os
import stat
from pathlib import Path

from waybill.local import logfile

LARGEST = 1_000


def test_a_log_that_grows_too_large_is_set_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "kafka-1.log"
    with logfile.open_to_append(log) as writer:
        for number in range(2_000):
            writer.write(f"line {number}\n".encode())
            writer.flush()
            logfile.bound(log, LARGEST)
            assert log.stat().st_size <= LARGEST
    both = log.with_suffix(".log.1").read_text() + log.read_text()
    assert both.splitlines()[-1] == "line 1999"
    assert len(both) <= 2 * LARGEST + 20


def test_only_the_end_of_a_burst_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "registry.log"
    with logfile.open_to_append(log) as writer:
        writer.write(b"x" * 5_000 + b"the end")
    assert logfile.bound(log, LARGEST)
    assert log.with_suffix(".log.1").stat().st_size == LARGEST
    assert log.with_suffix(".log.1").read_text().endswith("the end")


def test_a_small_log_and_one_that_is_not_there_stay_as_they_are(tmp_path: Path) -> None:
    with logfile.open_to_append(tmp_path / "a.log") as writer:
        writer.write(b"hello")
    assert not logfile.bound(tmp_path / "a.log", LARGEST)
    assert not logfile.bound(tmp_path / "b.log", LARGEST)
    assert os.listdir(tmp_path) == ["a.log"]  # noqa: PTH208  # names are what is compared


def test_logs_are_their_owners_alone(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with logfile.open_to_append(log) as writer:
        writer.write(b"x" * 2_000)
    logfile.bound(log, LARGEST)
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}


def line(why: str | None, second: int, level: str = "error") -> str:
    said = {"event": "start.refused", "level": level, "timestamp": f"2026-01-01T00:00:{second:02}.5Z"}
    return json.dumps(said | ({} if why is None else {"why": why})) + "\n"


def test_the_last_words_of_a_program_are_its_last_error_with_a_reason(tmp_path: Path) -> None:
    log = tmp_path / "inventory-1.log"
    log.write_text(
        "x" * 100_000
        + "\n"
        + line("of an earlier life", 1)
        + line("it may not write orders.stock", 11)
        + line(None, 12)
        + line("no error", 13, "warning")
        + "Traceback (most recent call last):\n[1]\n"
    )
    began = dt.datetime(2026, 1, 1, 0, 0, 10, tzinfo=dt.UTC).timestamp()
    assert logfile.last_words(log, began) == "it may not write orders.stock"
    assert logfile.last_words(log, began + 5) is None

"""A stack of its own, of one broker: what is done to its processes, and what is left of them. In this order."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from waybill.driver import Ended, Waybill
from waybill.local import state
from waybill.local.layout import Options, cache_folder, is_taken
from waybill.local.programs import BEHIND, FIRST
from waybill.testing import forget, free_base_port, leaks

pytestmark = pytest.mark.integration

UP = ("up", "--no-services", "--brokers", "1")
DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def waybill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waybill]:
    command = Waybill(tmp_path_factory.mktemp("own"), free_base_port())
    started = command(*UP)
    assert started.code == 0, started.err
    yield command
    assert command("down").code == 0
    forget(command.home)


def until(ask: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Wait until `ask` says so."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        if ask():
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing within {deadline_s} s")


def process(waybill: Waybill, name: str) -> state.ProcessState:
    now = state.read(waybill.home)
    assert now is not None
    return next(each for each in now.processes if each.name == name)


def supervisor(waybill: Waybill) -> int:
    now = state.read(waybill.home)
    assert now is not None
    return now.pid


def is_starting(waybill: Waybill, moment: str) -> bool:
    now = state.read(waybill.home)
    return now is not None and now.is_running and now.phase == "starting" and now.message.startswith(moment)


def pids(waybill: Waybill) -> list[int]:
    """Every process of the stack: the supervisor and all that came of it."""
    parent = psutil.Process(supervisor(waybill))
    return [parent.pid, *(each.pid for each in parent.children(recursive=True))]


def taken_ports(waybill: Waybill) -> list[int]:
    options = Options(home=waybill.home, cache=cache_folder(), base_port=waybill.base_port)
    return [port for port in options.ports().values() if is_taken(port)]


def nothing_left(waybill: Waybill, before: list[int]) -> bool:
    """Tell whether no process lives and nobody listens; the processes of a namesake home count too."""
    living = [pid for pid in before if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    named = [
        each for each in psutil.process_iter(["cmdline"]) if str(waybill.home) in " ".join(each.info["cmdline"] or [])
    ]
    return not living and not named and not taken_ports(waybill)


def sentence(ended: Ended) -> str:
    """The one sentence of a command that was used wrongly."""
    assert ended.code == 2, ended
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("waybill: ")
    return line


def test_status_has_the_shape_that_others_build_on(waybill: Waybill) -> None:
    status = waybill("status", "--json")
    assert status.code == 0
    assert status.data.keys() == {"healthy", "rss_bytes", "processes"}
    assert status.data["healthy"] is True
    assert {each["name"] for each in status.data["processes"]} == {"postgres", "kafka-1", "registry"}
    assert all(_is_described(each) for each in status.data["processes"])


def _is_described(each: dict[str, Any]) -> bool:
    keys = {"name", "pid", "state", "rss_bytes", "port", "uptime_s", "why"}
    whole = each.keys() == keys and each["pid"] > 0 and each["rss_bytes"] > 2**20 and each["uptime_s"] > 0
    return whole and each["state"] == "healthy" and each["why"] is None


def test_whom_customers_wait_for_has_the_cpu_first(waybill: Waybill) -> None:
    """Within one session: Linux may share the CPU among sessions first, whatever the niceness within them."""
    running = {name: psutil.Process(process(waybill, name).pid) for name in ("postgres", "kafka-1", "registry")}
    own = os.nice(0)
    wanted = {"postgres": own + FIRST, "kafka-1": min(own + BEHIND, 19), "registry": min(own + BEHIND, 19)}
    assert {name: each.nice() for name, each in running.items()} == wanted
    assert {os.getsid(each.pid) for each in running.values()} == {os.getsid(supervisor(waybill))}


def test_no_secret_can_be_read_outside_its_file(waybill: Waybill) -> None:
    assert leaks(waybill.home, pids(waybill)) == []


def test_a_second_up_is_one_sentence_and_changes_nothing(waybill: Waybill) -> None:
    before = pids(waybill)
    assert "is up already: see `waybill status`, end it with `waybill down`" in sentence(waybill(*UP))
    assert pids(waybill) == before


@pytest.mark.parametrize("command", ["stop", "start"])
def test_an_unknown_process_is_refused_with_those_that_there_are(waybill: Waybill, command: str) -> None:
    assert "there is no process till; there are postgres, kafka-1, registry" in sentence(waybill(command, "till"))


def test_a_log_is_followed_until_ctrl_c(waybill: Waybill) -> None:
    following = waybill.start("logs", "--follow", "kafka-1")
    assert following.stdout is not None
    assert following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=DEADLINE_S)
    assert (following.returncode, err) == (130, "")


def test_the_stack_does_not_belong_to_the_terminal_it_was_started_in(waybill: Waybill) -> None:
    pid, before = supervisor(waybill), pids(waybill)
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGHUP)
    assert waybill("status").code == 0
    assert pids(waybill) == before


def test_a_killed_process_is_started_again(waybill: Waybill) -> None:
    first = process(waybill, "kafka-1").pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(
        lambda: process(waybill, "kafka-1").pid not in {first, None} and process(waybill, "kafka-1").state == "healthy"
    )


def test_a_process_stopped_by_name_stays_down_until_it_is_started(waybill: Waybill) -> None:
    assert waybill("stop", "kafka-1").out == "kafka-1 is stopped\n"
    assert process(waybill, "kafka-1").pid is None
    assert not is_taken(waybill.base_port + 11)
    assert waybill("status").code == 0
    assert waybill("start", "kafka-1").out == "kafka-1 is healthy\n"


def test_a_killed_supervisor_leaves_nothing_and_the_next_up_works(waybill: Waybill) -> None:
    before = pids(waybill)
    os.kill(supervisor(waybill), signal.SIGKILL)
    until(lambda: nothing_left(waybill, before))
    assert waybill("status", "--json").data == {"healthy": False, "rss_bytes": 0, "processes": []}
    again = waybill(*UP)
    assert again.code == 0, again.err


def test_down_leaves_nothing_and_twice_is_no_error(waybill: Waybill) -> None:
    before = pids(waybill)
    first, second = waybill("down", "--json"), waybill("down", "--json")
    assert (first.code, first.data) == (0, {"was_running": True})
    assert nothing_left(waybill, before)
    assert (second.code, second.data) == (0, {"was_running": False})


@pytest.mark.parametrize("moment", ["", "starting PostgreSQL and Kafka", "provisioning topics"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_half_way_through_up_leaves_nothing(
    waybill: Waybill, number: signal.Signals, code: int, moment: str
) -> None:
    starting = waybill.start(*UP)
    until(lambda: is_starting(waybill, moment))
    before = pids(waybill)
    starting.send_signal(number)
    _, err = starting.communicate(timeout=DEADLINE_S)
    assert starting.returncode == code
    assert "taking down what has started" in err.splitlines()
    assert nothing_left(waybill, before)

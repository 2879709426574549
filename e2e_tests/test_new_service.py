"""docs/new-service.md, followed to the letter in a copy of the repository, makes a service that the audit passes."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from waybill.driver import Waybill
from waybill.local.layout import DEFAULT_BASE_PORT
from waybill.stack import Stack
from waybill.testing import forget, free_base_port

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/new-service.md").read_text()
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
STEP_DEADLINE_S = 300


class Copy:
    """What git knows, copied: in the clone nobody has a stack or an environment yet."""

    def __init__(self, folder: Path, home: Path) -> None:
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        for name in subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        self.folder = folder
        self.waybill = Waybill(home, free_base_port())
        self.waybill.executable = folder / ".venv/bin/waybill"
        self.said: list[str] = []

    def follow(self, kind: str, name: str, text: str) -> None:
        """Do what a block of the page says."""
        if kind == "diff":
            self._run(["git", "apply", "-"], text)
        elif kind == "sh":
            self.said.append(self._run(["bash", "-euo", "pipefail", "-s"], self._moved(text)))
        else:
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def _moved(self, script: str) -> str:
        """Return a script with the ports of this copy's stack."""
        moved = self.waybill.base_port - DEFAULT_BASE_PORT
        return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(int(port[0]) + moved), script)

    def _run(self, command: list[str], text: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.waybill.environment, input=text, text=True, timeout=STEP_DEADLINE_S,
            check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    copy = Copy(tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("home"))
    yield copy
    if copy.waybill.executable.exists():
        copy.waybill("down")
    forget(copy.waybill.home)


def test_who_follows_the_page_has_a_service_that_awards_points(copy: Copy) -> None:
    for kind, name, text in BLOCKS:
        copy.follow(kind, name, text)
    seen = re.search(r'records_total\{group="loyalty",result="handled",topic="orders.billing"\} (\d+)', copy.said[-1])
    assert seen is not None, copy.said[-1]
    assert int(seen[1]) > 0


def test_the_new_service_is_killed_under_load_and_the_audit_finds_nothing(copy: Copy) -> None:
    pid = copy.waybill.pid_of("loyalty-1")
    with copy.waybill.started("load", "--rate", "30", "--duration", "8", "--json", until="offering") as load:
        os.kill(pid, signal.SIGKILL)
        out, err = load.communicate(timeout=STEP_DEADLINE_S)
    assert load.returncode == 0, out + err
    assert copy.waybill.pid_of("loyalty-1") != pid
    assert copy.waybill("audit").code == 0


async def test_the_audit_sees_what_is_wrong_in_the_new_service(copy: Copy) -> None:
    loyalty = await asyncpg.connect(Stack.load(copy.waybill.home).postgres_dsn("loyalty", "operator"), ssl=False)
    await loyalty.execute("DELETE FROM claims WHERE event_id = (SELECT min(event_id) FROM claims)")
    await loyalty.close()

    audited = await asyncio.to_thread(copy.waybill, "audit", "--json")
    failed = {line["id"]: line["violations"] for line in audited.data["invariants"] if line["ok"] is False}
    assert any("loyalty" in each["what"] for each in failed["1"]), failed

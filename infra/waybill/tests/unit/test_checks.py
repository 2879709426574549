"""The check that one place ends transactions finds what it is there for."""

import subprocess
import sys
from pathlib import Path

CHECK = Path(__file__).parents[3] / "checks" / "one_place_ends_transactions.py"


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(CHECK), str(folder)], capture_output=True, text=True, check=False)


def test_a_service_that_commits_is_found(tmp_path: Path) -> None:
    source = tmp_path / "service" / "src" / "service" / "store.py"
    source.parent.mkdir(parents=True)
    source.write_text("async def save(session):\n    await session.commit()\n")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "store.py:2: .commit()" in done.stdout


def test_a_service_that_does_not_commit_passes(tmp_path: Path) -> None:
    source = tmp_path / "service" / "src" / "service" / "store.py"
    source.parent.mkdir(parents=True)
    source.write_text("async def save(session):\n    await session.execute('SELECT 1')\n")
    assert run(tmp_path).returncode == 0

"""The checks of `make check` find what they are there for."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_an_http_interface_that_has_changed_is_named_until_its_document_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.spec_from_file_location("openapi", CHECK.with_name("openapi.py"))
    assert found is not None
    assert found.loader is not None
    openapi = importlib.util.module_from_spec(found)
    found.loader.exec_module(openapi)
    monkeypatch.setattr(openapi, "FOLDER", tmp_path)
    monkeypatch.setattr(openapi, "SERVICES", ("shop",))
    monkeypatch.setattr(openapi, "described", lambda service: f'{{"{service}": 2}}\n')
    (tmp_path / "shop.json").write_text('{"shop": 1}\n')
    assert openapi.main([]) == 1
    assert '-{"shop": 1}\n+{"shop": 2}\n' in capsys.readouterr().out
    assert openapi.main(["--write"]) == 0
    assert openapi.main([]) == 0

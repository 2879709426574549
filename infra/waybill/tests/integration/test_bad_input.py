"""Wrong use, and machines that can't do it: one sentence, exit code 2, nothing half-done."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from waybill import cli
from waybill.driver import Ended
from waybill.errors import UsageError
from waybill.local import premises
from waybill.local.layout import Options, cache_folder
from waybill.testing import free_base_port

pytestmark = pytest.mark.integration

UP = ("up", "--no-services", "--brokers", "1")
UNREACHABLE = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}


class Commands:
    """The command line, in this process: a new one would spend its time on imports."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = tmp_path / "home"
        self.base_port = free_base_port()
        self.patch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("WAYBILL_BASE_PORT", str(self.base_port))
        monkeypatch.setenv("WAYBILL_NAMESPACE", "")

    def __call__(self, *words: str) -> Ended:
        """Run a command to its end."""
        self.patch.setenv("WAYBILL_HOME", str(self.home))
        self.patch.setattr(sys, "argv", ["waybill", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(int(ended.value.code or 0), *self._capsys.readouterr())


@pytest.fixture
def waybill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(tmp_path, monkeypatch, capsys)


def sentence(ended: Ended) -> str:
    """The one sentence of a command that was used wrongly, after what it told on its way."""
    assert ended.code == 2, ended
    *progress, line = ended.err.strip().splitlines()
    assert not [each for each in progress if each.startswith("waybill: ")]
    assert "Traceback" not in ended.err
    assert line.startswith("waybill: ")
    assert ended.out == ""
    return line


def runs_in(home: Path) -> list[list[str]]:
    found = (each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"]))
    return [words for words in found if str(home) in " ".join(words)]


def test_a_file_with_an_unknown_column_is_refused(waybill: Commands, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("customer_id,date,quantity,price\n1,1997-01-01,1,1.00\n")
    said = sentence(waybill("replay", str(tmp_path / "sales.csv")))
    assert "must have the columns customer_id,date,quantity,amount, not customer_id,date,quantity,price" in said
    assert not (tmp_path / "home").exists()


def test_a_missing_file_is_named(waybill: Commands, tmp_path: Path) -> None:
    said = sentence(waybill("replay", str(tmp_path / "none.csv")))
    assert f"{tmp_path}/none.csv can't be read: No such file or directory" in said


@pytest.mark.parametrize("command", [("audit",), ("stop", "kafka-1"), ("load", "--rate", "1", "--duration", "1")])
def test_a_command_without_a_stack_says_so(waybill: Commands, tmp_path: Path, command: tuple[str, ...]) -> None:
    said = sentence(waybill(*command))
    assert "no stack" in said
    assert str(tmp_path / "home") in said
    assert not (tmp_path / "home").exists()


def test_a_taken_port_is_named_and_nothing_is_made(waybill: Commands, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", waybill.base_port + 51)) as taken:
        port = taken.getsockname()[1]
        assert f"these ports are taken: {port} (registry); choose others with --base-port" in sentence(waybill(*UP))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--namespace", "Not One"), "a namespace is a letter and up to 15 letters or digits, not 'Not One'"),
        (("--instances", "till=2"), "--instances takes SERVICE=1..10"),
    ],
)
def test_options_that_name_nothing_are_refused(
    waybill: Commands, tmp_path: Path, option: tuple[str, str], said: str
) -> None:
    assert said in sentence(waybill(*UP, *option))
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_written_is_named(waybill: Commands, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    waybill.home = tmp_path / "file" / "home"
    said = sentence(waybill(*UP))
    assert f"{tmp_path}/file/home can't be written" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_in_somebody_elses_folder_is_named(waybill: Commands, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "can't be written" in sentence(waybill(*UP))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount") or "mount"
    if subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("only a user who may mount can make a small disk")
    yield disk
    subprocess.run([shutil.which("umount") or "umount", disk], check=True)


def test_a_full_disk_is_noticed_before_anything_is_made(waybill: Commands, small_disk: Path) -> None:
    waybill.home = small_disk / "home"
    said = sentence(waybill(*UP))
    assert f"{small_disk}/home has 16 MiB of room, a stack needs 2048" in said
    assert list(small_disk.iterdir()) == []


def test_room_is_looked_at_where_the_home_will_lie(tmp_path: Path) -> None:
    options = Options(home=tmp_path / "a" / "b", cache=tmp_path / "cache", brokers=1)
    premises.check(options)
    with pytest.raises(UsageError, match="MiB of room, a stack needs"):
        premises.check(options, room_needed=2**62)
    assert list(tmp_path.iterdir()) == []


def test_a_home_of_another_version_is_left_alone(waybill: Commands, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "format").write_text("7")
    said = sentence(waybill(*UP))
    assert f"{tmp_path}/home belongs to another version of Waybill (format 7, this one writes 1)" in said
    assert [each.name for each in (tmp_path / "home").iterdir()] == ["format"]


def test_another_number_of_brokers_is_refused_where_data_lies(waybill: Commands, tmp_path: Path) -> None:
    options = Options(home=tmp_path / "home", cache=tmp_path / "cache", brokers=3)
    premises.prepare(options)
    (options.home / "kafka").mkdir()
    assert "has 3 broker(s), not 1: say `--brokers 3`" in sentence(waybill(*UP))


@pytest.fixture
def tampered_cache(tmp_path: Path) -> Path:
    """The cache with one jar that is another, all others hard links."""
    cache = tmp_path / "cache"
    try:
        shutil.copytree(cache_folder() / "maven", cache / "maven", copy_function=os.link)
    except OSError:
        pytest.skip("the cache is on another disk, or still empty")
    jar = next((cache / "maven").rglob("kafka-clients-*.jar"))
    jar.unlink()
    jar.write_bytes(b"something else")
    return cache


def test_a_jar_with_another_checksum_stops_the_start_and_is_removed(
    waybill: Commands, tmp_path: Path, tampered_cache: Path
) -> None:
    waybill.patch.setenv("WAYBILL_CACHE", str(tampered_cache))
    said = sentence(waybill(*UP))
    assert "org.apache.kafka:kafka-clients:4.3.1:jar has sha256 " in said
    assert said.endswith("it was removed")
    assert not list((tampered_cache / "maven").rglob("kafka-clients-*.jar"))
    assert runs_in(tmp_path) == []


def test_registries_out_of_reach_are_said_with_what_to_do(waybill: Commands, tmp_path: Path) -> None:
    for name, value in {**UNREACHABLE, "WAYBILL_CACHE": str(tmp_path / "cache")}.items():
        waybill.patch.setenv(name, value)
    said = sentence(waybill(*UP))
    assert "can't be downloaded (ProxyError): see that this machine reaches Maven Central" in said
    assert runs_in(tmp_path) == []


def test_a_token_for_nobody_says_what_is_missing(waybill: Commands, tmp_path: Path) -> None:
    assert "say whose token: --customer NAME or --operator" in sentence(waybill("token"))

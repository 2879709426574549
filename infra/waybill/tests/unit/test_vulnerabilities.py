"""The check of dependencies finds a pin that is known to be vulnerable, and says what it could not ask about."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[3] / "checks" / "vulnerabilities.py"
KNOWN = {("jinja2", "2.10.1"): "PYSEC-2021-66", ("urllib3", "1.24.1"): "PYSEC-2019-132"}


class Osv(BaseHTTPRequestHandler):
    """A service that answers as OSV does, and knows two vulnerabilities."""

    def do_POST(self) -> None:  # the protocol's own name
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        known = KNOWN.get((name, asked["version"]))
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}]
        affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
        found = {"id": known, "aliases": [], "summary": "a weakness", "affected": affected}
        body = json.dumps({"vulns": [found]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def osv() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        serving.join()


def check(tmp_path: Path, *pins: str, osv: str = "") -> subprocess.CompletedProcess[str]:
    lock = tmp_path / "requirements.lock"
    lock.write_text("".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n    # via tests\n" for pin in pins))
    service = ["--osv-url", osv] if osv else []
    return subprocess.run([sys.executable, CHECK, *service, lock], capture_output=True, text=True, check=False)


def test_a_pin_that_is_known_to_be_vulnerable_fails_the_check_and_is_named(tmp_path: Path, osv: str) -> None:
    ended = check(tmp_path, "attrs==25.1.0", "urllib3==1.24.1", osv=osv)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.splitlines() == [
        "urllib3==1.24.1: PYSEC-2019-132, mended in 99.1",
        "vulnerabilities: 2 pins asked about, 1 known",
    ]


def test_pins_that_nobody_knows_to_be_vulnerable_pass(tmp_path: Path, osv: str) -> None:
    ended = check(tmp_path, "attrs==25.1.0", "urllib3==2.5.0", osv=osv)
    assert (ended.returncode, ended.stdout) == (0, "vulnerabilities: 2 pins asked about, 0 known\n")


def test_where_no_service_answers_the_check_says_so_and_does_not_fail(tmp_path: Path) -> None:
    ended = check(tmp_path, "attrs==25.1.0", "urllib3==1.24.1", osv="http://127.0.0.1:9/v1/query")
    assert (ended.returncode, ended.stderr) == (0, "")
    (sentence,) = ended.stdout.splitlines()
    assert sentence.startswith("vulnerabilities: no service answers, 2 pins were not asked about (")
    assert "Connection refused" in sentence


def test_from_here_a_planted_pin_is_found_or_the_check_says_that_nobody_was_asked(tmp_path: Path) -> None:
    ended = check(tmp_path, "urllib3==1.24.1")
    found = ended.returncode == 1 and "urllib3==1.24.1: PYSEC-" in ended.stdout
    assert found or (ended.returncode == 0 and "no service answers, 1 pins were not asked about" in ended.stdout)

"""What a start that was cut short left half-made is made anew by the next."""

from pathlib import Path

import pytest

from waybill.local import artifacts, kafka
from waybill.local.certificates import ensure_certificates
from waybill.local.layout import Options, cache_folder

pytestmark = pytest.mark.integration


def test_brokers_that_were_formatted_by_half_are_formatted_again(tmp_path: Path) -> None:
    options = Options(home=tmp_path, cache=cache_folder(), brokers=2)
    ensure_certificates(options.home, options.brokers)
    jars = artifacts.fetch(options.cache)["kafka"]
    kafka.programs(options, jars)
    first, second = (tmp_path / "kafka" / node / "meta.properties" for node in ("1", "2"))
    cluster = first.read_text()
    second.unlink()

    kafka.programs(options, jars)

    assert first.read_text() != cluster
    assert _cluster_of(first) == _cluster_of(second)


def _cluster_of(meta: Path) -> str:
    return next(line for line in meta.read_text().splitlines() if line.startswith("cluster.id="))


def test_brokers_that_have_run_are_left_as_they_are(tmp_path: Path) -> None:
    options = Options(home=tmp_path, cache=cache_folder(), brokers=1)
    (tmp_path / "kafka" / "1" / kafka.STARTED_ONCE).mkdir(parents=True)
    kafka.programs(options, [])
    assert [each.name for each in (tmp_path / "kafka" / "1").iterdir()] == [kafka.STARTED_ONCE]

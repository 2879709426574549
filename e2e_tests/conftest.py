"""One whole stack for the end-to-end tests, driven through the `waybill` command alone."""

from collections.abc import Iterator

import pytest

from waybill.driver import Waybill
from waybill.testing import free_base_port


@pytest.fixture(scope="session")
def waybill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waybill]:
    command = Waybill(tmp_path_factory.mktemp("e2e"), free_base_port())
    yield command
    ended = command("down")
    assert ended.code == 0, ended.err

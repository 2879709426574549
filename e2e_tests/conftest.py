"""One whole stack for the end-to-end tests, driven through the `waybill` command alone."""

from collections.abc import Iterator

import pytest

from waybill.driver import Waybill
from waybill.testing import forget, free_base_port

OUTBOX_MOST_ROWS = "400"  # so that an outage of Kafka reaches it within seconds: test_outages.py
ORDERS_MOST_AHEAD = "1000"  # and one of inventory reaches this, and nothing else does
LAST = "test_down_leaves_no_process_behind"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take the stack down when everybody is done with it."""
    items.sort(key=lambda item: item.name == LAST)


@pytest.fixture(scope="session")
def waybill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waybill]:
    told = {"WAYBILL_OUTBOX_MOST_ROWS": OUTBOX_MOST_ROWS, "WAYBILL_ORDERS_MOST_AHEAD": ORDERS_MOST_AHEAD}
    command = Waybill(tmp_path_factory.mktemp("e2e"), free_base_port(), **told)
    yield command
    ended = command("down")
    assert ended.code == 0, ended.err
    forget(command.home)


@pytest.fixture(scope="module")
def running(waybill: Waybill) -> Waybill:
    """The stack, started if no module before this one has."""
    if waybill("status").code:
        started = waybill("up")
        assert started.code == 0, started.err
    return waybill

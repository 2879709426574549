"""A connection on loan, from a lender who always has one."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from chassis import loans
from chassis.loans import Loan
from chassis.turns import Turns


class Lender:
    """Has a connection at hand, whoever else has one."""

    has_one = True

    async def connect(self) -> Any:
        driver = SimpleNamespace(terminate=lambda: None)
        return SimpleNamespace(sync_connection=SimpleNamespace(connection=SimpleNamespace(driver_connection=driver)))

    async def take_back(self, connection: Any) -> None:
        pass


async def test_a_connection_at_hand_is_waited_for_no_longer_than_any_while_it_is_anothers_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loans, "WAIT_S", 0.05)
    lender, turns = Lender(), Turns(1)
    async with Loan(lender, turns):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0), Loan(lender, turns):
                pass
        assert time.monotonic() - began < 2.0
    async with Loan(lender, turns):
        assert not turns.are_free
    assert turns.are_free

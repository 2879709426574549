"""One lab for all faults: a fork server, a database, the witnesses."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from shared.exactly_once.tests.faults.scenes import Lab, a_lab

from waybill.stack import Stack


@pytest.fixture(scope="session")
async def lab(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    async with asyncio.timeout(None), a_lab(stack, tmp_path_factory.mktemp("lab")) as opened:
        yield opened

"""What PostgreSQL refuses for good is a bug of its record alone, not an outage that may pass."""

import secrets
from collections import Counter

import pytest
from shared.exactly_once.tests.faults.scenes import inputs
from shared.exactly_once.tests.faults.tally import Expected, Row
from shared.exactly_once.tests.integration.stage import Stage

pytestmark = pytest.mark.integration


async def test_a_key_too_long_for_an_index_becomes_a_letter_and_its_neighbours_pass(stage: Stage) -> None:
    before, behind = inputs(12)[:6], inputs(12)[6:]
    too_long = Row(secrets.token_urlsafe(3_000), 20, "too long")  # an index takes 2,704 bytes
    await stage.put(*before, too_long, *behind)
    async with stage.running():
        await stage.at_rest()
    expected = Expected.of([*before, *behind])
    assert stage.letters() == expected.letters + Counter({("too long", "bug"): 1})
    assert stage.outputs() == expected.outputs

"""How many orders may be on their way before another one is refused."""

from functools import partial

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.limiting import Backlog
from checkout.domain import ENDS

# Some may be stopped for ever, also neighbours, by dead letters that nobody redrives: a tenth of `most` is looked at.
SAMPLE = 100

_IS_LONGER = text(f"""
SELECT count(*) > {SAMPLE} / 2 FROM orders
WHERE number = ANY(ARRAY(
    SELECT (SELECT max(number) FROM orders) - CAST(:most AS bigint) - each * greatest(1, :most / (10 * {SAMPLE}))
    FROM generate_series(0, {SAMPLE} - 1) AS each))
AND status <> ALL(CAST(:ends AS text[]))""")  # noqa: S608  # of constants


def queues(most: int) -> dict[tuple[str, str], Backlog]:
    """Return what refuses a new order while more than `most` are on their way."""
    return {("POST", "/v1/orders"): Backlog(partial(is_longer, most=most), "many orders are on their way already")}


async def is_longer(connection: AsyncConnection, most: int) -> bool:
    """Tell whether the orders that were accepted `most` orders ago have not ended yet."""
    return bool((await connection.execute(_IS_LONGER, {"most": most, "ends": list(ENDS)})).scalar_one())

"""How many orders may be on their way before another one is refused."""

from functools import partial

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.limiting import Backlog
from checkout.domain import ENDS

SAMPLE = 100  # orders: a few may be stopped for long, by a dead letter or a customer's wish

_IS_LONGER = text(f"""
SELECT count(*) > {SAMPLE} / 2 FROM orders
WHERE number BETWEEN (SELECT max(number) FROM orders) - :most - {SAMPLE} + 1
    AND (SELECT max(number) FROM orders) - :most
AND status <> ALL(CAST(:ends AS text[]))""")  # noqa: S608  # of constants


def queues(most: int) -> dict[tuple[str, str], Backlog]:
    """Return what refuses a new order while more than `most` are on their way."""
    return {("POST", "/v1/orders"): Backlog(partial(is_longer, most=most), "many orders are on their way already")}


async def is_longer(connection: AsyncConnection, most: int) -> bool:
    """Tell whether the orders that were accepted `most` orders ago have not ended yet."""
    return bool((await connection.execute(_IS_LONGER, {"most": most, "ends": list(ENDS)})).scalar_one())

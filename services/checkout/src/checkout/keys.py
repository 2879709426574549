"""How long an idempotency key stands for its order."""

import datetime as dt

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEPT = dt.timedelta(hours=24)

_FORGET = text("""
DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM idempotency_keys WHERE created_at < now() - CAST(:kept AS interval)
    ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED))""")


async def forget_keys(connection: AsyncConnection, most: int) -> int:
    """Delete the oldest keys that are older than KEPT, at most so many; return how many."""
    return (await connection.execute(_FORGET, {"kept": KEPT, "most": most})).rowcount

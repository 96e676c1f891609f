"""Begins the periods of all budgets anew."""

from datetime import datetime

import asyncpg


async def reset_spend(connection: asyncpg.Connection, now: datetime) -> int:
    """Every spend limit counts from what is posted now; returns how many there are. Postings stay."""
    async with connection.transaction():
        done: str = await connection.execute(
            "WITH locked AS (SELECT account_id, posted_nanos FROM ledger.accounts "
            "ORDER BY account_id FOR NO KEY UPDATE) "
            "UPDATE ledger.limits l SET base = locked.posted_nanos, starts_at = $1 FROM locked "
            "WHERE l.account_id = locked.account_id AND l.metric = 'spend'",
            now,
        )
    return int(done.rpartition(" ")[2])

"""Begins the periods of all budgets anew."""

import asyncpg


async def reset_spend(connection: asyncpg.Connection) -> int:
    """Every spend limit counts from what is posted now; returns how many there are. Postings stay."""
    async with connection.transaction():
        done: str = await connection.execute(
            "WITH locked AS (SELECT account_id, posted_nanos FROM ledger.accounts "
            "ORDER BY account_id FOR NO KEY UPDATE) "
            "UPDATE ledger.limits l SET base = locked.posted_nanos FROM locked "
            "WHERE l.account_id = locked.account_id AND l.metric = 'spend'"
        )
    return int(done.rpartition(" ")[2])

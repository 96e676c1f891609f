"""Accounts and their limits as whoever manages keys, users and teams writes and reads them.

Functions to be called inside of a transaction of the caller's. The order of locks is the ledger's: lock all
accounts that the transaction will touch first, in one call of `lock_accounts`; rows of ledger.keys and of
the entities' own tables come after that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from meshgate_ledger.account_ids import MODEL_MARK, account_kind
from meshgate_ledger.limits import LimitSpec, LimitUse

LOCK = """
    SELECT account_id FROM ledger.accounts WHERE account_id = ANY ($1)
    ORDER BY account_id FOR NO KEY UPDATE
"""

# An existing account is left alone when nothing would change: its version is not to move.
UPSERT = """
    INSERT INTO ledger.accounts (account_id, kind, blocked, models) VALUES ($1, $2, $3, $4)
    ON CONFLICT (account_id) DO UPDATE SET blocked = excluded.blocked, models = excluded.models
    WHERE (accounts.blocked, accounts.models) IS DISTINCT FROM (excluded.blocked, excluded.models)
"""

MAKE = "INSERT INTO ledger.accounts (account_id, kind) VALUES ($1, $2) ON CONFLICT DO NOTHING"

# Whoever knows the whole knows which models have a part of their own.
NAME_PART = """
    UPDATE ledger.accounts SET limited_models = array_append(limited_models, $2), version = version
    WHERE account_id = $1 AND $2 <> ALL (limited_models)
"""

# Also what a period that is replaced by another one had used: a budget does not begin anew because it is
# written in other words. It begins when it is made, so that everybody knows when it ends. `starts_at` of a
# budget is when its base was the balance; NULL: one that counted an account's whole life was replaced.
SET_LIMITS = """
    WITH wanted AS (
        SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
            AS w (account_id, metric, period, maximum, soft_maximum)
    ), removed AS (
        DELETE FROM ledger.limits l WHERE l.account_id = ANY ($1) AND NOT EXISTS (
            SELECT FROM wanted w
            WHERE (w.account_id, w.metric, w.period) = (l.account_id, l.metric, l.period))
        RETURNING l.account_id, l.metric, l.base, l.starts_at, l.ends_at
    ), inherited AS (
        SELECT r.account_id, min(CASE WHEN r.ends_at <= $7 THEN a.posted_nanos ELSE r.base END) AS base,
            min(CASE WHEN r.ends_at <= $7 THEN $7 WHEN r.base <> 0 THEN r.starts_at END) AS starts_at
        FROM removed r JOIN ledger.accounts a ON a.account_id = r.account_id
        WHERE r.metric = 'spend' GROUP BY r.account_id HAVING count(*) = 1
    ), written AS (
        INSERT INTO ledger.limits AS l (account_id, metric, period, maximum, soft_maximum, base, starts_at,
            ends_at)
        SELECT w.account_id, w.metric, w.period, w.maximum, w.soft_maximum,
            CASE WHEN w.metric = 'spend'
                THEN coalesce(i.base, CASE w.period WHEN '' THEN 0 ELSE a.posted_nanos END) ELSE 0 END,
            CASE WHEN w.metric <> 'spend' THEN NULL WHEN i.base IS NULL THEN $7::timestamptz
                ELSE i.starts_at END,
            CASE WHEN w.metric = 'spend' THEN ledger.period_end(w.period, $7, $8) END
        FROM wanted w
        JOIN ledger.accounts a ON a.account_id = w.account_id
        LEFT JOIN inherited i ON i.account_id = w.account_id
        ON CONFLICT (account_id, metric, period) DO UPDATE
        SET maximum = excluded.maximum, soft_maximum = excluded.soft_maximum
        WHERE (l.maximum, l.soft_maximum) IS DISTINCT FROM (excluded.maximum, excluded.soft_maximum)
        RETURNING l.account_id
    )
    UPDATE ledger.accounts SET version = version  -- a trigger counts
    WHERE account_id IN (SELECT account_id FROM removed UNION SELECT account_id FROM written)
    RETURNING account_id
"""

READ_LIMITS = """
    SELECT l.account_id, l.metric, l.period, l.maximum, l.soft_maximum, u.used, a.pending_nanos,
        CASE WHEN u.is_over THEN NULL ELSE l.starts_at END AS starts_at,
        CASE WHEN NOT u.is_over THEN l.ends_at
            WHEN l.metric = 'spend' THEN ledger.period_end(l.period, $2, $3) END AS ends_at
    FROM ledger.limits l
    JOIN ledger.accounts a ON a.account_id = l.account_id
    CROSS JOIN LATERAL (SELECT coalesce(l.ends_at <= $2, false) AS is_over) o
    CROSS JOIN LATERAL (
        SELECT o.is_over, CASE l.metric WHEN 'parallel' THEN a.open_calls ELSE
            CASE WHEN o.is_over THEN 0 WHEN l.metric = 'spend' THEN a.posted_nanos - l.base
            ELSE l.used END END AS used
    ) u
    WHERE l.account_id = ANY ($1)
    ORDER BY l.account_id, l.metric, l.period
"""


@dataclass(frozen=True, slots=True)
class AccountState:
    """What an account has spent, and the rules it carries."""

    account_id: str
    posted_nanos: int
    pending_nanos: int
    open_calls: int
    blocked: bool
    models: tuple[str, ...]


async def lock_accounts(connection: asyncpg.Connection, account_ids: Collection[str]) -> None:
    """Locks those that exist, in the one order."""
    await connection.execute(LOCK, list(set(account_ids)))


async def make_account(connection: asyncpg.Connection, account_id: str) -> bool:
    """Makes an account without rules unless it exists; says whether it did."""
    told: str = await connection.execute(MAKE, account_id, account_kind(account_id))
    return told == "INSERT 0 1"


async def make_part(connection: asyncpg.Connection, account_id: str) -> None:
    """Makes an account, or the part of one for a model, unless it exists; without rules. Its whole exists."""
    owner, mark, model = account_id.partition(MODEL_MARK)
    if mark:
        await connection.execute(NAME_PART, owner, model)
    await make_account(connection, account_id)


async def upsert_account(
    connection: asyncpg.Connection, account_id: str, *, blocked: bool = False, models: Sequence[str] = ()
) -> None:
    """Makes an account, or changes its rules; a change counts from the next reservation on, everywhere.

    A part for one model makes its whole, too. Several in one transaction: in the order of their ids.
    """
    owner, mark, model = account_id.partition(MODEL_MARK)
    if mark:
        await make_account(connection, owner)
        await connection.execute(NAME_PART, owner, model)
    await connection.execute(UPSERT, account_id, account_kind(account_id), blocked, list(models))


async def set_limits(
    connection: asyncpg.Connection,
    account_id: str,
    limits: Sequence[LimitSpec],
    now: datetime,
    timezone: str = "UTC",
) -> bool:
    """As `set_all_limits`, of one account; says whether that changed any."""
    return bool(await set_all_limits(connection, {account_id: limits}, now, timezone))


async def set_all_limits(
    connection: asyncpg.Connection,
    limits: Mapping[str, Sequence[LimitSpec]],
    now: datetime,
    timezone: str = "UTC",
) -> Collection[str]:
    """Makes these the limits of each account, in one round trip; says whose that changed.

    What is used stays with limits that stay, whatever their maximum; the others are removed. The accounts
    must exist. At most one limit for each account, metric and period.
    """
    rows = [(account_id, limit) for account_id, each in limits.items() for limit in each]
    changed = await connection.fetch(
        SET_LIMITS,
        list(limits),
        [account_id for account_id, _ in rows],
        [limit.metric for _, limit in rows],
        [limit.period for _, limit in rows],
        [limit.maximum for _, limit in rows],
        [limit.soft_maximum for _, limit in rows],
        now,
        timezone,
    )
    return [row["account_id"] for row in changed]


async def read_limits(
    connection: asyncpg.Connection, account_ids: Collection[str], now: datetime, timezone: str = "UTC"
) -> Mapping[str, tuple[LimitUse, ...]]:
    """The limits of each account that has any, with what is used of them now; a period that is over counts
    as empty."""
    found: dict[str, tuple[LimitUse, ...]] = {}
    for row in await connection.fetch(READ_LIMITS, list(account_ids), now, timezone):
        use = LimitUse(
            LimitSpec(row["metric"], row["period"], row["maximum"], row["soft_maximum"]),
            used=row["used"],
            pending_nanos=row["pending_nanos"] if row["metric"] == "spend" else 0,
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
        )
        found[row["account_id"]] = (*found.get(row["account_id"], ()), use)
    return found


async def read_accounts(
    connection: asyncpg.Connection, account_ids: Collection[str]
) -> Mapping[str, AccountState]:
    """Those that exist."""
    rows = await connection.fetch(
        "SELECT account_id, posted_nanos, pending_nanos, open_calls, blocked, models "
        "FROM ledger.accounts WHERE account_id = ANY ($1)",
        list(account_ids),
    )
    return {row["account_id"]: AccountState(**{**dict(row), "models": tuple(row["models"])}) for row in rows}

"""What was spent elsewhere, day by day: goes into the daily sums, marked as imported."""

from collections.abc import Sequence
from dataclasses import astuple, fields

import asyncpg

from meshgate_ledger.imports.records import DaySums

COLUMNS = tuple(each.name for each in fields(DaySums))
KEYS = ("day", "key_hash", "model", "model_group", "provider", "user_id", "team_id", "organization_id")
SUMS = (
    "spend_nanos",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_creation_tokens",
    "requests",
    "failures",
    "cache_hits",
)
NONE = ("saved_nanos", "reasoning_tokens", "cancelled", "duration_us", "timed_requests")

STAGE = """
    CREATE TEMPORARY TABLE imported_days (day date, key_hash text, user_id text, team_id text,
        organization_id text, model text, model_group text, provider text, kind text, label text,
        spend_nanos bigint, prompt_tokens bigint, completion_tokens bigint, cached_tokens bigint,
        cache_creation_tokens bigint, requests bigint, failures bigint, cache_hits bigint)
    ON COMMIT DROP
"""

LATE = """
    UPDATE ledger.totals_state SET before_day = (SELECT min(day) FROM imported_days)
    WHERE before_day > (SELECT min(day) FROM imported_days)
"""


async def write_days(connection: asyncpg.Connection, days: Sequence[DaySums]) -> int:
    """Makes the imported sums of these days what they are there; returns how many rows changed.

    Days that the other gateway has forgotten stay as they were brought.
    """
    if not days:
        return 0
    async with connection.transaction():
        await connection.execute(STAGE)
        await connection.copy_records_to_table(
            "imported_days", records=map(astuple, days), columns=list(COLUMNS)
        )
        changed = await _merge(connection, "daily_spend", (), "kind = ''")
        changed += await _merge(connection, "daily_label_spend", ("kind", "label"), "kind <> ''")
        if changed:
            await connection.execute(LATE)
    return changed


async def _merge(connection: asyncpg.Connection, table: str, label: tuple[str, ...], which: str) -> int:
    keys = (*label, *KEYS)
    sums = ", ".join(f"sum({column})" for column in SUMS)
    written = ", ".join(f"{column} = excluded.{column}" for column in SUMS)
    old = ", ".join(f"d.{column}" for column in SUMS)
    new = ", ".join(f"excluded.{column}" for column in SUMS)
    columns = ", ".join((*keys, "imported", *SUMS, *NONE))
    told: str = await connection.execute(
        f"INSERT INTO ledger.{table} AS d ({columns}) "  # noqa: S608 - names are ours
        f"SELECT {', '.join(keys)}, true, {sums}, {', '.join('0' for _ in NONE)} FROM imported_days "
        f"WHERE {which} GROUP BY {', '.join(keys)} "
        f"ON CONFLICT ({', '.join((*keys, 'imported'))}) DO UPDATE SET {written} "
        f"WHERE ({old}) IS DISTINCT FROM ({new})"
    )
    return int(told.rpartition(" ")[2])

# ruff: noqa: S608 - column names are ours, values are parameters
"""Postings one by one, newest first.

Filters without an index of their own (models, tags, outcomes) would read everything; the daily sums tell
which days have what is asked for, and only those are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import asyncpg

from meshgate_ledger.reports.filters import SpendFilter, source_of
from meshgate_ledger.reports.sql import Conditions
from meshgate_ledger.reports.summaries import totals_before

COUNT_MAX = 10_000
FAILED = frozenset({"failure", "void", "unknown"})  # as the daily sums count failures
SUCCEEDED = frozenset({"success", "cancelled", "cache_hit"})
COUNTED = {"cancelled": "cancelled", "cache_hit": "cache_hits"}


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """`request_id`: ours or the answer's. Amounts in nano-USD."""

    wanted: SpendFilter
    start: datetime | None = None
    end: datetime | None = None  # not included
    request_id: str = ""
    outcomes: tuple[str, ...] = ()
    amount_min: int | None = None
    amount_max: int | None = None
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class EntryPage:
    """`count`: None unless asked for; more than COUNT_MAX: at least that many."""

    rows: tuple[asyncpg.Record, ...]
    count: int | None


async def list_entries(connection: asyncpg.Connection, query: EntryQuery, count: bool) -> EntryPage:
    """One page."""
    total = None
    if _needs_days(query):
        days = await _days(connection, query)
        if count and _is_of_whole_days(query) and _counted(query)[1]:
            total = sum(row["found"] for row in days)
        enough = query.offset + query.limit if total is not None or not count else COUNT_MAX + 1
        if not days:
            return EntryPage((), 0 if count else None)
        query = _within(query, days, enough)
    conditions = _conditions(query)
    if count and total is None:
        total = await connection.fetchval(
            f"SELECT count(*) FROM (SELECT FROM ledger.entries e {conditions.where} LIMIT {COUNT_MAX + 1}) c",
            *conditions.parameters,
        )
    limit, offset = conditions.parameter(query.limit), conditions.parameter(query.offset)
    rows = await connection.fetch(
        "SELECT e.*, k.key_alias, t.alias AS team_alias "
        f"FROM (SELECT * FROM ledger.entries e {conditions.where} "
        f"ORDER BY e.created_at DESC, e.entry_id DESC LIMIT {limit} OFFSET {offset}) e "
        "LEFT JOIN ledger.keys k ON k.key_hash = e.key_hash "
        "LEFT JOIN ledger.entities t ON t.kind = 'team' AND t.entity_id = e.team_id "
        "ORDER BY e.created_at DESC, e.entry_id DESC",
        *conditions.parameters,
    )
    return EntryPage(tuple(rows), total)


def _conditions(query: EntryQuery) -> Conditions:
    conditions = Conditions()
    conditions.compare("e.created_at", ">=", query.start)
    conditions.compare("e.created_at", "<", query.end)
    if query.request_id:
        name = conditions.parameter(query.request_id)
        # Each arm has its index, also the empty response_id of a partial one.
        conditions.clauses.append(
            f"(e.request_id = {name} OR (e.response_id = {name} AND e.response_id <> ''))"
        )
    wanted = query.wanted
    for column, values in wanted.common():
        if column == "model":  # as in the daily sums
            conditions.among("coalesce(nullif(e.upstream_model, ''), e.model)", values)
            continue
        if values and column in ("key_hash", "user_id", "team_id"):
            conditions.clauses.append(f"e.{column} <> ''" if "" not in values else "true")
        conditions.among(f"e.{column}", values)
    if wanted.end_users:
        conditions.clauses.append("e.end_user <> ''")
        conditions.among("e.end_user", wanted.end_users)
    conditions.overlap("e.tags", wanted.tags)
    conditions.among("e.outcome", query.outcomes)
    conditions.compare("e.amount_nanos", ">=", query.amount_min)
    conditions.compare("e.amount_nanos", "<=", query.amount_max)
    return conditions


def _needs_days(query: EntryQuery) -> bool:
    """No index leads to what is asked for."""
    wanted = query.wanted
    if query.request_id or any((wanted.key_hashes, wanted.user_ids, wanted.team_ids, wanted.end_users)):
        return False
    return bool(wanted.dimensions() or query.outcomes)


def _counted(query: EntryQuery) -> tuple[str, bool]:
    """How many entries of a day the sums know of: an expression; and whether these are all."""
    asked = frozenset(query.outcomes)
    if query.amount_min is not None or query.amount_max is not None:
        return "0", False  # an amount is not in the sums
    if not asked:
        return "sum(requests)", True
    terms = {"sum(failures)": FAILED} if asked >= FAILED else {}
    if asked >= SUCCEEDED:
        terms["sum(requests) - sum(failures)"] = SUCCEEDED
    else:
        terms |= {f"sum({COUNTED[each]})": frozenset({each}) for each in sorted(asked & COUNTED.keys())}
    is_all = asked == frozenset().union(*terms.values())
    return " + ".join(terms) or "0", is_all


def _is_of_whole_days(query: EntryQuery) -> bool:
    """Whether the daily sums are about the same time."""
    edges = (query.start, query.end)
    return all(edge is None or edge.astimezone(UTC).time() == time() for edge in edges)


def _within(query: EntryQuery, days: Sequence[asyncpg.Record], enough: int) -> EntryQuery:
    """The query within the newest of the days that have `enough` of what it asks for."""
    first, found = days[0]["day"], 0
    for row in days:
        first, found = row["day"], found + row["found"]
        if found >= enough:
            break
    begin = datetime.combine(first, time(), UTC)
    end = datetime.combine(days[0]["day"], time(), UTC) + timedelta(days=1)
    return replace(
        query,
        start=begin if query.start is None else max(begin, query.start),
        end=end if query.end is None else min(end, query.end),
    )


async def _days(connection: asyncpg.Connection, query: EntryQuery) -> list[asyncpg.Record]:
    """Days that may have entries of the query, newest first, and how many at least."""
    wanted = replace(
        query.wanted,
        start_day=None if query.start is None else query.start.astimezone(UTC).date(),
        end_day=None if query.end is None else (query.end - timedelta(microseconds=1)).astimezone(UTC).date(),
    )
    source = source_of(wanted, await totals_before(connection))
    conditions = source.conditions
    conditions.clauses.append("NOT imported")
    found, is_all = _counted(query)
    # Entries that took each other back leave a row of zeros, so such a day is looked at nevertheless.
    having = f"HAVING {found} <> 0" if is_all and query.outcomes else ""
    return list(
        await connection.fetch(
            f"SELECT day, ({found})::bigint AS found FROM {source.table} {conditions.where} "
            f"GROUP BY day {having} ORDER BY day DESC",
            *conditions.parameters,
        )
    )

# ruff: noqa: S608 - column names are ours, values are parameters
"""Sums over the daily totals: by any dimensions, by day with its parts, and what accounts spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import asyncpg

from meshgate_ledger.reports.filters import (
    SUM_COLUMNS,
    Dimension,
    SpendFilter,
    column_of,
    source_of,
    table_of,
)
from meshgate_ledger.reports.sql import Conditions

SUMS = ", ".join(f"coalesce(sum({column}), 0)::bigint AS {column}" for column in SUM_COLUMNS)
PARTS_MAX = 100  # of one dimension on one day
TAGS_MAX = 10_000
PAYERS = "('master', 'open', 'key')"  # a sum over other accounts counts calls twice

OF_HITS = frozenset({Dimension.DAY, Dimension.KEY, Dimension.MODEL_GROUP})  # ledger.daily_hits
ACTIVITY_DIMENSIONS = (Dimension.MODEL, Dimension.MODEL_GROUP, Dimension.PROVIDER, Dimension.KEY)


@dataclass(frozen=True, slots=True)
class DayPage:
    """Days with postings, newest first, and their parts; totals are of all pages."""

    days: tuple[asyncpg.Record, ...]
    parts: tuple[asyncpg.Record, ...]
    total: asyncpg.Record


async def totals_before(connection: asyncpg.Connection) -> date:
    """Days before it have totals."""
    day: date = await connection.fetchval("SELECT before_day FROM ledger.totals_state")
    return day


async def summarize(
    connection: asyncpg.Connection,
    wanted: SpendFilter,
    group_by: Sequence[Dimension],
    by_day: bool,
    limit: int,
) -> list[asyncpg.Record]:
    """One row for each combination of `group_by`, at most `limit` + 1; the extra one says there are more."""
    source = source_of(wanted, await totals_before(connection), group_by)
    conditions = source.conditions
    columns = [column_of(each) for each in group_by]
    order = "spend_nanos DESC, requests DESC"
    if by_day and Dimension.DAY in group_by:
        order = f"day, {order}"
    joins, names = _joined(wanted, group_by)
    group = f"GROUP BY {', '.join(columns)}" if columns else ""
    named = "".join(f"{column}, " for column in columns)
    return list(
        await connection.fetch(
            f"SELECT s.*{names} FROM (SELECT {named}{SUMS} FROM {source.table} {conditions.where} "
            f"{group} ORDER BY {order} LIMIT {conditions.parameter(limit + 1)}) s {joins} ORDER BY {order}",
            *conditions.parameters,
        )
    )


def _joined(wanted: SpendFilter, group_by: Sequence[Dimension]) -> tuple[str, str]:
    """Joins, and their columns: the names that keys and teams have now, and the tokens of hits."""
    joins = columns = ""
    if frozenset(group_by) == OF_HITS and wanted.dimensions() <= OF_HITS:
        joins += "LEFT JOIN ledger.daily_hits h USING (day, key_hash, model_group) "
        columns += ", coalesce(h.completion_tokens, 0) AS hit_completion_tokens"
    if Dimension.KEY in group_by:
        joins += "LEFT JOIN ledger.keys k ON k.key_hash = s.key_hash "
        columns += ", k.key_alias, k.key_name"
    if Dimension.TEAM in group_by:
        joins += "LEFT JOIN ledger.entities t ON t.kind = 'team' AND t.entity_id = s.team_id "
        columns += ", t.alias AS team_alias"
    return joins, columns


async def daily_activity(
    connection: asyncpg.Connection, wanted: SpendFilter, entity: Dimension, page: int, page_days: int
) -> DayPage:
    """One page of days. `page` counts from 1."""
    before = await totals_before(connection)
    source = source_of(wanted, before, (entity,) if entity.is_label else ())
    table, conditions = source.table, source.conditions
    total = await connection.fetchrow(
        f"SELECT count(DISTINCT day) AS day_count, {SUMS} FROM {table} {conditions.where}",
        *conditions.parameters,
    )
    limit, offset = conditions.parameter(page_days), conditions.parameter((page - 1) * page_days)
    days = await connection.fetch(
        f"SELECT day, {SUMS} FROM {table} {conditions.where} "
        f"GROUP BY day ORDER BY day DESC LIMIT {limit} OFFSET {offset}",
        *conditions.parameters,
    )
    parts = await _parts(connection, wanted, entity, [row["day"] for row in days]) if days else []
    return DayPage(tuple(days), tuple(parts), total)


async def _parts(
    connection: asyncpg.Connection, wanted: SpendFilter, entity: Dimension, days: Sequence[date]
) -> list[asyncpg.Record]:
    """The sums of each day by each dimension, most spent first: rows of dimension (its column), value and
    sums."""
    dimensions = tuple(dict.fromkeys((*ACTIVITY_DIMENSIONS, entity)))
    label = wanted.label((entity,))
    is_filtered = bool(wanted.dimensions()) or label is not None
    totalled = [] if is_filtered else await _totalled(connection, days)
    conditions = wanted.on_days(label)
    others = [day for day in days if day not in totalled]
    conditions.clauses.append(f"day = ANY ({conditions.parameter(others)}::date[])")
    queries = [_of_sums(dimensions, label, conditions)]
    if totalled:
        queries.append(_of_totals(dimensions, totalled, conditions))
    rows = await connection.fetch(
        "SELECT s.*, k.key_alias, k.team_id AS key_team_id, e.alias AS entity_alias "
        f"FROM ({' UNION ALL '.join(queries)}) s "
        f"LEFT JOIN ledger.keys k ON s.dimension = '{Dimension.KEY.value}' "
        'AND k.key_hash = s.value COLLATE "default" '
        f"LEFT JOIN ledger.entities e ON e.kind = CASE s.dimension WHEN '{Dimension.TEAM.value}' THEN 'team' "
        f"WHEN '{Dimension.ORGANIZATION.value}' THEN 'organization' END "
        'AND e.entity_id = s.value COLLATE "default" '
        "ORDER BY day DESC, dimension, spend_nanos DESC, requests DESC",
        *conditions.parameters,
    )
    return list(rows)


async def _totalled(connection: asyncpg.Connection, days: Sequence[date]) -> list[date]:
    """Of these days, those whose totals have one row for each value: not those with imported sums besides."""
    before = await totals_before(connection)
    rows = await connection.fetch(
        "SELECT day FROM ledger.day_totals WHERE dimension = 'all' AND imported AND day = ANY ($1::date[])",
        list(days),
    )
    imported = {row["day"] for row in rows}
    return [day for day in days if day < before and day not in imported]


def _of_totals(dimensions: Sequence[Dimension], days: Sequence[date], conditions: Conditions) -> str:
    """The first of each day and dimension, by an index that has them in this order."""
    names = conditions.parameter([column_of(each) for each in dimensions])
    return (
        f"SELECT day, {_named('dimension', 'value')}, {', '.join(SUM_COLUMNS)} "
        f"FROM unnest({conditions.parameter(list(days))}::date[]) d (of_day) "
        f"CROSS JOIN unnest({names}::text[]) n (of_dimension) CROSS JOIN LATERAL ("
        "SELECT * FROM ledger.day_totals WHERE dimension = of_dimension AND day = of_day "
        f"ORDER BY spend_nanos DESC, requests DESC LIMIT {PARTS_MAX}) t"
    )


def _of_sums(dimensions: Sequence[Dimension], label: Dimension | None, conditions: Conditions) -> str:
    """The first of each day and dimension; all dimensions in one pass over the daily sums."""
    columns = [column_of(each) for each in dimensions]
    sets = ", ".join(f"(day, {column})" for column in columns)
    value = " ".join(f"WHEN grouping({column}) = 0 THEN {column}" for column in columns)
    name = " ".join(f"WHEN grouping({column_of(each)}) = 0 THEN '{each.value}'" for each in dimensions)
    return (
        f"SELECT day, dimension, value, {', '.join(SUM_COLUMNS)} FROM (SELECT g.*, row_number() OVER "
        "(PARTITION BY day, dimension ORDER BY spend_nanos DESC, requests DESC) AS place FROM ("
        f"SELECT day, {_named(f'CASE {name} END', f'CASE {value} END')}, {SUMS} "
        f"FROM {table_of(label)} {conditions.where} GROUP BY GROUPING SETS ({sets})) g) placed "
        f"WHERE place <= {PARTS_MAX}"
    )


def _named(dimension: str, value: str) -> str:
    """Two columns that are sorted by bytes: a locale's order takes its time."""
    return f'{dimension} COLLATE "C" AS dimension, {value} COLLATE "C" AS value'


async def tag_names(connection: asyncpg.Connection, wanted: SpendFilter) -> list[str]:
    """Sorted."""
    source = source_of(wanted, await totals_before(connection), (Dimension.TAG,))
    conditions = source.conditions
    rows = await connection.fetch(
        f"SELECT DISTINCT label FROM {source.table} {conditions.where} ORDER BY label LIMIT {TAGS_MAX}",
        *conditions.parameters,
    )
    return [row["label"] for row in rows]


async def total_spend(connection: asyncpg.Connection) -> Any:
    """spend_nanos of all payers, and the gateway's budget: maximum and used, both None without one."""
    return await connection.fetchrow(
        f"SELECT (SELECT coalesce(sum(posted_nanos), 0)::bigint FROM ledger.accounts WHERE kind IN {PAYERS}) "
        "AS spend_nanos, l.maximum, a.posted_nanos - l.base AS used FROM (SELECT 1) one "
        "LEFT JOIN (SELECT maximum, base FROM ledger.limits WHERE account_id = 'gateway' "
        "AND metric = 'spend' AND maximum IS NOT NULL ORDER BY maximum LIMIT 1) l ON true "
        "LEFT JOIN ledger.accounts a ON a.account_id = 'gateway'"
    )


ACCOUNTS = """
    SELECT a.account_id, a.posted_nanos, a.pending_nanos, l.maximum, k.key_hash, k.key_alias, k.key_name,
        k.user_id, k.team_id, k.models, k.blocked, k.created_at, k.expires_at, k.metadata
    FROM ledger.accounts a
    LEFT JOIN LATERAL (
        SELECT * FROM ledger.keys k WHERE a.kind = 'key' AND k.account_id = a.account_id
        ORDER BY k.deleted_at DESC NULLS FIRST LIMIT 1  -- of several secrets the one that works
    ) k ON true
    LEFT JOIN ledger.limits l ON l.account_id = a.account_id AND l.metric = 'spend' AND l.period = ''
    WHERE a.kind = $1 AND (cardinality($2::text[]) = 0 OR a.account_id = ANY ($2) OR (a.kind = 'key'
        AND a.account_id IN (SELECT k.account_id FROM ledger.keys k WHERE k.key_hash = ANY ($3))))
    ORDER BY a.posted_nanos DESC, a.account_id LIMIT $4 OFFSET $5
"""


async def account_spend(
    connection: asyncpg.Connection, kind: str, ids: Sequence[str], limit: int, offset: int
) -> list[asyncpg.Record]:
    """Accounts of one kind by what they spent, `limit` + 1 rows at most; of keys all that is known."""
    account_ids = [each if kind in ("master", "open") else f"{kind}:{each}" for each in ids]
    return list(await connection.fetch(ACCOUNTS, kind, account_ids, list(ids), limit + 1, offset))

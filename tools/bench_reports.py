# ruff: noqa: S608 - numbers of ours in statements
"""`make bench-reports`: reports over ten million entries, on a real PostgreSQL that is made for it.

Fills a database of its own (embedded, fsync off, in a folder that is removed) with a year of entries straight
into the monthly partitions, the daily sums by SQL from the entries; then asks every report of ReportService
through its servicer, as the ledger does, and writes how long each took, p50 and p99. Checks first that the
books balance and that there is room on the disk.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.config.names import PublicNames
from meshgate_cli.embedded_postgres import EmbeddedPostgres
from meshgate_ledger.database import Database, DatabaseOptions
from meshgate_ledger.migrate import migrate
from meshgate_ledger.price_book import PriceBook
from meshgate_ledger.price_library import PriceLibrary
from meshgate_ledger.reports.reader import ReportLimits, ReportReader
from meshgate_ledger.reports.servicer import ReportParts, ReportServicer
from meshgate_ledger.verify import verify
from meshgate_protos.ledger.v1 import report_service_pb2 as pb

BYTES_PER_ENTRY = 1_200  # with indexes and what PostgreSQL needs on the way, rounded up
KEYS, USERS, TEAMS, END_USERS, TAGS = 500, 200, 20, 2_000, 30
DAYS = 365
LAST_DAY = datetime(2026, 11, 20, tzinfo=UTC)
BAR_MS = 100.0

# Key i belongs to user i % 200 and team i % 20, and mostly calls two of six models.
ENTRIES = """
INSERT INTO ledger.{partition} (entry_id, request_id, kind, account_id, amount_nanos, balance_nanos,
    input_nanos, cached_input_nanos, cache_creation_nanos, output_nanos, reasoning_nanos, corrected_nanos,
    held_nanos, saved_nanos, estimated, price, prompt_tokens, completion_tokens, cached_tokens,
    cache_creation_tokens, reasoning_tokens, outcome, error_reason, key_hash, user_id, team_id, end_user,
    tags, model, model_group, deployment_id, provider, upstream_model, cache_key, start_time, end_time,
    created_at, response_id)
SELECT n, 'r' || n, 'charge', account_id, 1000 + n % 5000,
    posted_nanos + sum(1000 + n % 5000) OVER (PARTITION BY key ORDER BY n),
    1000, 0, 0, n % 5000, 0, 0,
    6000, 0, false, NULL, 100 + n % 900, n % 300, 0,
    0, 0, CASE WHEN n % 97 = 0 THEN 'failure' WHEN n % 13 = 0 THEN 'cache_hit' ELSE 'success' END,
    CASE WHEN n % 97 = 0 THEN 'PROVIDER_TIMEOUT' ELSE '' END, substr(account_id, 5),
    'user-' || key % {users}, 'team-' || key % {teams},
    CASE WHEN n % 10 = 0 THEN 'customer-' || n / 10 % {end_users} ELSE '' END,
    CASE WHEN n % 5 = 0 THEN ARRAY['tag-' || n / 5 % {tags}] ELSE '{{}}'::text[] END,
    'group-' || m, 'group-' || m, 'deployment-' || m, 'provider-' || m % 3, 'model-' || m, '',
    at, at + interval '800 ms', at, 'chatcmpl-' || n
FROM (
    SELECT n, (n * 7919) % {keys} AS key, ((n * 7919) % {keys} + (n / {keys}) % 2) % 6 AS m,
        $1::timestamptz + (n - $2) * $3::interval AS at
    FROM generate_series($2::bigint, $4::bigint) n
) s
JOIN ledger.accounts ON account_id = 'key:' || lpad(to_hex(key), 64, '0')
"""

POSTED = """
UPDATE ledger.accounts a SET posted_nanos = a.posted_nanos + e.amount_nanos
FROM (SELECT account_id, sum(amount_nanos) AS amount_nanos FROM ledger.{partition} GROUP BY account_id) e
WHERE e.account_id = a.account_id
"""

# As ledger.add_entries_partition does, but the indexes are made when the rows are there.
MONTH = """
DROP TABLE IF EXISTS ledger.{partition};
CREATE TABLE ledger.{partition} (LIKE ledger.entries INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
"""

ATTACH = """
ALTER TABLE ledger.entries ATTACH PARTITION ledger.{partition} FOR VALUES FROM ('{start}') TO ('{end}');
CREATE UNIQUE INDEX ON ledger.{partition} (request_id, kind, leg);
CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.{partition}
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()
"""

DAILY = """
INSERT INTO ledger.{table}
SELECT {kind}{label} (created_at AT TIME ZONE 'UTC')::date AS day, key_hash, user_id, team_id,
    organization_id, upstream_model, model_group, provider, false, sum(amount_nanos), 0, sum(prompt_tokens),
    sum(completion_tokens), 0, 0, 0, count(*), count(*) FILTER (WHERE outcome = 'failure'), 0,
    count(*) FILTER (WHERE outcome = 'cache_hit'), 800000 * count(*), count(*)
FROM ledger.{partition}{labels}
GROUP BY {label} day, key_hash, user_id, team_id, organization_id, upstream_model, model_group, provider
"""

LABELS = (
    {"table": "daily_spend", "kind": "", "label": "", "labels": ""},
    {"table": "daily_label_spend", "kind": "'tag', ", "label": "tag,", "labels": ", unnest(tags) tag"},
    {
        "table": "daily_label_spend",
        "kind": "'end_user', ",
        "label": "end_user,",
        "labels": " WHERE end_user <> ''",
    },
)

Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Implements meshgate_protos.rpc.Call."""

    caller: str = "edge"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def remaining_s(self) -> float:
        return 60.0


def months(first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
    """The pieces of the time that lie in one month each; `last` is not included."""
    pieces = []
    begin = first
    while begin < last:
        end = min(last, (begin.replace(day=1) + timedelta(days=32)).replace(day=1))
        pieces.append((begin, end))
        begin = end
    return pieces


async def fill(connection: asyncpg.Connection, entries: int) -> None:
    """Entries spread evenly over a year, their sums, and accounts that balance."""
    first, last = LAST_DAY - timedelta(days=DAYS - 1), LAST_DAY + timedelta(days=1)
    step = (last - first) / entries
    number = 1
    await connection.execute(
        "INSERT INTO ledger.accounts (account_id, kind) "
        f"SELECT 'key:' || lpad(to_hex(i), 64, '0'), 'key' FROM generate_series(0, {KEYS - 1}) i"
    )
    for begin, end in months(first, last):
        partition = f"entries_{begin:%Y_%m}"
        await connection.execute(MONTH.format(partition=partition))
        count = min(entries - number + 1, int((end - begin) / step))
        count = entries - number + 1 if end == last else count
        names = {"partition": partition, "keys": KEYS, "users": USERS, "teams": TEAMS}
        statement = ENTRIES.format(**names, end_users=END_USERS, tags=TAGS)
        await connection.execute(statement, begin, number, step, number + count - 1)
        await connection.execute(POSTED.format(partition=partition))
        until = (begin.replace(day=1) + timedelta(days=32)).replace(day=1)
        await connection.execute(
            ATTACH.format(partition=partition, start=begin.replace(day=1).isoformat(), end=until.isoformat())
        )
        number += count
        for sums in LABELS:
            await connection.execute(DAILY.format(partition=partition, **sums))
        print(f"  {partition}: {count} entries", flush=True)
    await connection.execute(
        "INSERT INTO ledger.keys (key_hash, key_name, key_alias, user_id, team_id, models, aliases, blocked, "
        "metadata, settings, created_at, created_by_request) SELECT lpad(to_hex(i), 64, '0'), 'sk-...', "
        f"'k' || i, 'user-' || i % {USERS}, 'team-' || i % {TEAMS}, '{{}}', '{{}}', false, '', '', now(), ''"
        f" FROM generate_series(0, {KEYS - 1}) i"
    )
    await connection.execute("SELECT ledger.total_days($1)", LAST_DAY.date())
    await connection.execute("VACUUM (ANALYZE)")


def summed(reports: ReportServicer, days: int, *group_by: int, **wanted: Any) -> Ask:
    """The sums of the last days, by these dimensions."""
    first = LAST_DAY - timedelta(days=days - 1)
    spend = pb.SpendFilter(start_day=f"{first:%Y-%m-%d}", end_day=f"{LAST_DAY:%Y-%m-%d}", **wanted)
    request = pb.SummarizeSpendRequest(filter=spend, group_by=group_by, limit=1_000)  # type: ignore[arg-type]
    return lambda: reports.summarize_spend(request, Waiting())


def listed(reports: ReportServicer, days: int = 0, count: bool = True, **members: Any) -> Ask:
    """A page of entries, of the last days."""
    request = pb.ListEntriesRequest(limit=50, count=count, **members)
    if days:
        request.start_time.FromDatetime(LAST_DAY - timedelta(days=days - 1))
        request.end_time.FromDatetime(LAST_DAY + timedelta(days=1))
    return lambda: reports.list_entries(request, Waiting())


def activity(reports: ReportServicer, days: int, entity: Any, **wanted: Any) -> Ask:
    """A page of days with their parts."""
    first = LAST_DAY - timedelta(days=days - 1)
    spend = pb.SpendFilter(start_day=f"{first:%Y-%m-%d}", end_day=f"{LAST_DAY:%Y-%m-%d}", **wanted)
    request = pb.ListDailyActivityRequest(filter=spend, entity=entity, page=1, page_days=10)
    return lambda: reports.list_daily_activity(request, Waiting())


def every_report(reports: ReportServicer, entries: int) -> dict[str, Ask]:
    """What people ask for."""
    key = f"{7:064x}"
    mine = {"filter": {"key_hashes": [key]}}
    return {
        "spend in all": lambda: reports.get_total_spend(pb.GetTotalSpendRequest(), Waiting()),
        "spend by day, 30 days": summed(reports, 30, pb.DIMENSION_DAY),
        "spend by day, 365 days": summed(reports, 365, pb.DIMENSION_DAY),
        "spend by key, 30 days": summed(reports, 30, pb.DIMENSION_KEY),
        "spend by user, 30 days": summed(reports, 30, pb.DIMENSION_USER),
        "spend by team and day, 30 days": summed(reports, 30, pb.DIMENSION_DAY, pb.DIMENSION_TEAM),
        "spend by model, 30 days": summed(reports, 30, pb.DIMENSION_MODEL),
        "spend by model, 365 days": summed(reports, 365, pb.DIMENSION_MODEL),
        "spend by provider, 30 days": summed(reports, 30, pb.DIMENSION_PROVIDER),
        "spend by tag, 30 days": summed(reports, 30, pb.DIMENSION_TAG),
        "spend by end user, 30 days": summed(reports, 30, pb.DIMENSION_END_USER),
        "spend of one key by day, 365 days": summed(reports, 365, pb.DIMENSION_DAY, key_hashes=[key]),
        "spend of one team by model, 30 days": summed(reports, 30, pb.DIMENSION_MODEL, team_ids=["team-3"]),
        "spend of one team by model, 365 days": summed(reports, 365, pb.DIMENSION_MODEL, team_ids=["team-3"]),
        "user activity, 30 days, a page of 10": activity(reports, 30, pb.DIMENSION_USER),
        "activity of one user, 30 days": activity(reports, 30, pb.DIMENSION_USER, user_ids=["user-7"]),
        "keys by spend": lambda: reports.list_account_spend(
            pb.ListAccountSpendRequest(kind="key", limit=100), Waiting()
        ),
        "log: newest": listed(reports),
        "log: one day, page 100": listed(reports, 1, offset=4_950),
        "log: one key": listed(reports, **mine),
        "log: one key, 30 days, page 20": listed(reports, 30, offset=950, **mine),
        "log: one user": listed(reports, filter={"user_ids": ["user-7"]}),
        "log: one end user": listed(reports, filter={"end_users": ["customer-11"]}),
        "log: one model, 30 days": listed(reports, 30, filter={"models": ["model-2"]}),
        "log: one tag": listed(reports, filter={"tags": ["tag-4"]}),
        "log: failures, 7 days": listed(reports, 7, outcomes=["failure"]),
        "log: failures, newest, not counted": listed(reports, count=False, outcomes=["failure"]),
        "log: a model that nobody used": listed(reports, filter={"models": ["no-such-model"]}),
        "log: one request": listed(reports, request_id=f"chatcmpl-{entries // 3}"),
    }


async def measure(ask: Ask, rounds: int) -> dict[str, float]:
    """Milliseconds; the first round, which plans and reads from disk, is told apart."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - start) * 1e3)
    first, rest = times[0], sorted(times[1:])
    p99 = rest[min(len(rest) - 1, round(0.99 * len(rest)))]
    return {"p50_ms": round(statistics.median(rest), 2), "p99_ms": round(p99, 2), "first_ms": round(first, 2)}


async def run(dsn: str, entries: int, rounds: int) -> dict[str, Any]:
    """Fills, proves, measures."""
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    await connection.execute(
        "SET synchronous_commit = off; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'"
    )
    await migrate(connection)
    begin = time.perf_counter()
    await fill(connection, entries)
    filled_s = time.perf_counter() - begin
    begin = time.perf_counter()
    differences = (await verify(connection)).differences
    verified_s = time.perf_counter() - begin
    if differences:
        raise SystemExit(f"the filled books do not balance: {differences[:3]}")
    sums_count = await connection.fetchval("SELECT count(*) FROM ledger.daily_spend")
    size_bytes = await connection.fetchval("SELECT pg_database_size(current_database())")
    await connection.close()
    clock = SystemClock()
    prices = PriceBook(PublicNames({}, {}), (), PriceLibrary())
    results = {}
    async with Database(dsn, DatabaseOptions(connections_max=3, use_timeout_s=60.0), clock) as database:
        reader = ReportReader(database, ReportLimits(query_s=30.0))
        reports = ReportServicer(ReportParts(reader, database, prices, clock))
        for name, ask in every_report(reports, entries).items():
            results[name] = await measure(ask, rounds)
            print(f"  {name:<42}{results[name]['p50_ms']:>9} {results[name]['p99_ms']:>9} ms", flush=True)
    return {
        "entries": entries,
        "days": DAYS,
        "daily_sums": sums_count,
        "database_bytes": size_bytes,
        "filled_s": round(filled_s, 1),
        "verified_s": round(verified_s, 1),
        "rounds": rounds,
        "bar_ms": BAR_MS,
        "cpus": os.cpu_count(),
        "load_average": [round(each, 1) for each in os.getloadavg()],  # of everything on the machine
        "python": platform.python_version(),
        "reports": results,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="meshgate-bench-"))
    home.chmod(0o755)
    needed = asked.entries * BYTES_PER_ENTRY * 2
    if shutil.disk_usage(home).free < needed:
        print(f"too little room: {needed / 1e9:.0f} GB are needed at {home}")
        home.rmdir()
        return 1
    server = EmbeddedPostgres(home, durable=False)
    try:
        found = asyncio.run(run(server.start(), asked.entries, asked.rounds))
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    late = [name for name, told in found["reports"].items() if told["p99_ms"] >= BAR_MS]
    print(f"slower than {BAR_MS:.0f} ms at p99: {', '.join(late) or 'none'}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())

"""Fills a mesh's stores: keys through the real schema, cache entries in the cache's own format, ledger
entries as tools/bench_reports.py makes them. Each says how many there are now.
"""

import http.client
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
from redis import Redis

from bench.books import ledger_dsn
from bench.mesh import Running
from bench.prompts import KEY_MARK, MARK_DIGITS, Target, prompt
from bench.running import NotReadyError
from meshgate_cache.entry import CacheEntry, decode, encode
from meshgate_cache.keys import KEY_DIGITS, TENANT_DIGITS
from meshgate_cli.embedded_postgres import EmbeddedPostgres
from meshgate_ledger.migrate import migrate
from tools.bench_reports import BYTES_PER_ENTRY, fill

MANY_KEYS = f"sk-bench-many-{KEY_MARK}"
BATCH = 50_000  # keys of one statement
PIPELINE = 1_000  # entries of one round trip
CACHE_TTL_S = 86_400
CACHE_ENTRY_BYTES = 1_600  # in Redis, of an answer of 800 characters, with the name and Redis's own
STORED_WITHIN_S = 20.0

# Copies of the key that was made over HTTP, of its account and of its limits: whatever columns there are.
_HASH = f"encode(sha256(convert_to('{MANY_KEYS}', 'UTF8')), 'hex')".replace(
    f"{KEY_MARK}'", f"' || lpad(n::text, {MARK_DIGITS}, '0')"
)
_KEYS = (
    """
INSERT INTO ledger.keys
SELECT (jsonb_populate_record(k, jsonb_build_object(
    'key_hash', h, 'account_id', 'key:' || h, 'key_alias', ''))).*
FROM ledger.keys k, (SELECT {hash} AS h FROM generate_series($1::bigint, $2::bigint) n) made
WHERE k.key_alias = 'bench'
""",
    """
INSERT INTO ledger.accounts
SELECT (jsonb_populate_record(a, jsonb_build_object(
    'account_id', 'key:' || h, 'posted_nanos', 0, 'pending_nanos', 0, 'open_calls', 0))).*
FROM ledger.keys k JOIN ledger.accounts a USING (account_id),
    (SELECT {hash} AS h FROM generate_series($1::bigint, $2::bigint) n) made
WHERE k.key_alias = 'bench'
""",
    """
INSERT INTO ledger.limits
SELECT (jsonb_populate_record(l, jsonb_build_object('account_id', 'key:' || h, 'base', 0, 'used', 0))).*
FROM ledger.keys k JOIN ledger.limits l USING (account_id),
    (SELECT {hash} AS h FROM generate_series($1::bigint, $2::bigint) n) made
WHERE k.key_alias = 'bench'
""",
)


async def fill_keys(running: Running, count: int) -> int:
    """Keys MANY_KEYS with numbers from 0 to `count` - 1, each with a budget that is never reached."""
    connection = await asyncpg.connect(ledger_dsn(running.state))
    try:
        for first in range(0, count, BATCH):
            last = min(count, first + BATCH) - 1
            async with connection.transaction():
                for statement in _KEYS:
                    await connection.execute(statement.format(hash=_HASH), first, last)
        await connection.execute("VACUUM (ANALYZE) ledger.keys, ledger.accounts, ledger.limits")
        await connection.execute("CHECKPOINT")
        return int(await connection.fetchval("SELECT count(*) FROM ledger.keys WHERE key_alias = ''"))
    finally:
        await connection.close()


def fill_cache(running: Running, target: Target, count: int) -> int:
    """Copies of an answer that the mesh stored itself, under other keys of the same tenant."""
    with Redis(port=running.redis_port) as redis:
        key, entry = _stored(redis, target)
        start = key[: len(key) - KEY_DIGITS + TENANT_DIGITS]
        for made in _batches(count):
            with redis.pipeline(transaction=False) as pipeline:
                for _ in range(made):
                    name = start + secrets.token_hex((KEY_DIGITS - TENANT_DIGITS) // 2)
                    pipeline.set(name, encode(entry, name), ex=CACHE_TTL_S)
                pipeline.execute()
        return int(redis.dbsize())


async def fill_entries(state: Path, count: int) -> int:
    """A year of entries in the database of a mesh that does not run, sums and balances as they must be."""
    server = EmbeddedPostgres(state / "postgres", durable=False)
    connection = await asyncpg.connect(server.start(), server_settings={"timezone": "UTC"})
    try:
        await connection.execute(
            "SET synchronous_commit = off; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'"
        )
        await migrate(connection)
        await fill(connection, count)
        await connection.execute("CHECKPOINT")
        return int(await connection.fetchval("SELECT count(*) FROM ledger.entries"))
    finally:
        await connection.close()
        server.stop()


def room_for_entries(folder: Path) -> int:
    """How many entries the disk of `folder` has room for, with what PostgreSQL needs on the way."""
    return shutil.disk_usage(folder).free // (2 * BYTES_PER_ENTRY)


def room_for_cache_entries() -> int:
    """How many cache entries would take half of the memory that is free."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 // 2 // CACHE_ENTRY_BYTES
    return 0


def _batches(count: int) -> Iterator[int]:
    for first in range(0, count, PIPELINE):
        yield min(PIPELINE, count - first)


def _stored(redis: Redis, target: Target) -> tuple[str, CacheEntry]:
    """An answer that came through the mesh, once it is in Redis."""
    message = {"role": "user", "content": prompt(1_000)}
    body = json.dumps({"model": target.model, "messages": [message], "max_tokens": 200})
    headers = {"authorization": f"Bearer {target.key}", "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    connection.request("POST", target.path, body, headers)
    status = connection.getresponse().status
    connection.close()
    ends_s = time.monotonic() + STORED_WITHIN_S
    while time.monotonic() < ends_s:
        for name in redis.scan_iter(count=1_000):
            value, key = redis.get(name), name.decode()
            entry = decode(value, key) if isinstance(value, bytes) else None
            if entry is not None:
                return key, entry
        time.sleep(0.1)
    raise NotReadyError(f"an answer (status {status}) did not come to the cache")

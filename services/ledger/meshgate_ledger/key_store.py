"""Virtual keys in PostgreSQL. The secret never comes here, only its hash.

A key that is deleted keeps its row, its account and its entries. Making a key with a hash that exists
replaces its rules and keeps its account: the same secret spends from the same money.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.batches import key_from_row
from meshgate_ledger.database import Database
from meshgate_ledger.records import KeyRecord, KeyState, key_account_id, utc

SELECT_KEY = """
    SELECT to_jsonb(k) || jsonb_build_object('limit_nanos', a.limit_nanos) AS key,
        k.created_by_request, a.posted_nanos, a.pending_nanos
    FROM ledger.keys k JOIN ledger.accounts a ON a.account_id = 'key:' || k.key_hash
    WHERE k.key_hash = $1 AND k.deleted_at IS NULL
"""

UPSERT_ACCOUNT = """
    INSERT INTO ledger.accounts (account_id, kind, limit_nanos) VALUES ($1, 'key', $2)
    ON CONFLICT (account_id) DO UPDATE SET limit_nanos = excluded.limit_nanos
"""

UPSERT_KEY = """
    INSERT INTO ledger.keys (key_hash, key_name, key_alias, user_id, team_id, models, aliases, blocked,
        metadata, settings, expires_at, created_at, created_by_request)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (key_hash) DO UPDATE SET (key_name, key_alias, user_id, team_id, models, aliases, blocked,
        metadata, settings, expires_at, created_at, created_by_request, deleted_at, deleted_by_request)
    = (excluded.key_name, excluded.key_alias, excluded.user_id, excluded.team_id, excluded.models,
        excluded.aliases, excluded.blocked, excluded.metadata, excluded.settings, excluded.expires_at,
        excluded.created_at, excluded.created_by_request, NULL, NULL)
"""

# The account first, as everywhere; see migrations/0001_tables.sql.
LOCK_ACCOUNTS = """
    SELECT a.account_id FROM ledger.accounts a
    WHERE a.account_id = ANY (ARRAY(
        SELECT 'key:' || k.key_hash FROM ledger.keys k
        WHERE k.key_hash = ANY ($1) OR (k.key_alias = ANY ($2) AND k.key_alias <> '')))
    ORDER BY a.account_id FOR NO KEY UPDATE
"""

DELETE_KEYS = """
    UPDATE ledger.keys SET deleted_at = $3, deleted_by_request = $4
    WHERE deleted_at IS NULL
        AND (key_hash = ANY ($1) OR (key_alias = ANY ($2) AND key_alias <> ''))
"""

DELETED_KEYS = """
    SELECT key_hash, key_alias FROM ledger.keys
    WHERE deleted_by_request = $3 AND deleted_at IS NOT NULL
        AND (key_hash = ANY ($1) OR (key_alias = ANY ($2) AND key_alias <> ''))
"""


@dataclass(frozen=True, slots=True)
class DeletedKeys:
    """`hashes`: of every key deleted; `aliases`: of those that were named by alias."""

    hashes: tuple[str, ...]
    aliases: tuple[str, ...]


class KeyStore:
    """Makes, shows and deletes keys. Raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, request_id: str, key: KeyRecord, timeout_s: float) -> KeyState:
        """Stores a key; a repeat returns it as it is. Raises ALREADY_EXISTS/KEY_ALIAS_TAKEN."""
        now = utc(self._clock.now_ns())

        async def work(connection: asyncpg.Connection) -> KeyState:
            async with connection.transaction():
                await connection.execute(UPSERT_ACCOUNT, key_account_id(key.key_hash), key.max_budget_nanos)
                existing = await connection.fetchrow(SELECT_KEY, key.key_hash)
                if existing is None or existing["created_by_request"] != request_id:
                    await connection.execute(UPSERT_KEY, *_row(key, now, request_id))
                stored = await connection.fetchrow(SELECT_KEY, key.key_hash)
                assert stored is not None
                return _state(stored)

        try:
            return await self._database.use(work, timeout_s)
        except asyncpg.UniqueViolationError:
            raise MeshError(
                Code.ALREADY_EXISTS,
                "KEY_ALIAS_TAKEN",
                f"a key with the alias {key.key_alias!r} exists",
                fields={"key.key_alias": "is taken"},
            ) from None

    async def get(self, key_hash: str, timeout_s: float) -> KeyState | None:
        """The key and its money; None when there is none, or it was deleted."""
        row = await self._database.use(
            lambda connection: connection.fetchrow(SELECT_KEY, key_hash), timeout_s
        )
        return None if row is None else _state(row)

    async def delete(
        self, request_id: str, hashes: Sequence[str], aliases: Sequence[str], timeout_s: float
    ) -> DeletedKeys:
        """Deletes keys; they stop working at once. A repeat returns what the first one deleted.

        Raises NOT_FOUND/KEY_UNKNOWN when none of them exists.
        """
        now = utc(self._clock.now_ns())
        named = (list(hashes), list(aliases))

        async def work(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            async with connection.transaction():
                await connection.execute(LOCK_ACCOUNTS, *named)
                deleted = await connection.fetch(DELETED_KEYS, *named, request_id)
                if not deleted:
                    await connection.execute(DELETE_KEYS, *named, now, request_id)
                    deleted = await connection.fetch(DELETED_KEYS, *named, request_id)
                return list(deleted)

        rows = await self._database.use(work, timeout_s)
        if not rows:
            raise MeshError(Code.NOT_FOUND, "KEY_UNKNOWN", "none of these keys exists")
        found = {row["key_alias"] for row in rows}
        return DeletedKeys(
            hashes=tuple(row["key_hash"] for row in rows),
            aliases=tuple(alias for alias in aliases if alias in found),
        )


def _row(key: KeyRecord, now: datetime, request_id: str) -> tuple[object, ...]:
    return (
        key.key_hash,
        key.key_name,
        key.key_alias,
        key.user_id,
        key.team_id,
        list(key.models),
        json.dumps(dict(key.aliases)),
        key.blocked,
        key.metadata_json,
        key.settings_json,
        key.expires_at,
        now,
        request_id,
    )


def _state(row: asyncpg.Record) -> KeyState:
    record = key_from_row(json.loads(row["key"]))
    return KeyState(record, posted_nanos=row["posted_nanos"], held_nanos=row["pending_nanos"])

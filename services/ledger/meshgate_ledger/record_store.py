"""Reads the rules of keys and accounts for who remembers them, and makes accounts that have defaults.

An account that nobody made, but whose kind has default limits, comes to be when it is first asked for.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_ledger.account_ids import account_kind
from meshgate_ledger.account_store import make_account, set_limits
from meshgate_ledger.database import Database
from meshgate_ledger.entities import key_rows
from meshgate_ledger.errors import REFUSALS, value_refused
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.records import AccountRecord, KeyRecord, utc

READ_ACCOUNTS = """
    SELECT a.account_id, a.version, a.blocked, a.models, a.limited_models, EXISTS (
        SELECT FROM ledger.limits l
        WHERE l.account_id = a.account_id AND l.metric = 'spend' AND l.maximum IS NOT NULL) AS has_budget
    FROM ledger.accounts a WHERE a.account_id = ANY ($1)
"""


@dataclass(frozen=True, slots=True)
class AccountDefaults:
    """Limits of accounts that nobody made, by kind."""

    limits: Mapping[str, Sequence[LimitSpec]] = field(default_factory=dict)
    timezone: str = "UTC"


class RecordStore:
    """Raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL."""

    def __init__(self, database: Database, defaults: AccountDefaults, clock: Clock) -> None:
        self._database = database
        self._defaults = defaults
        self._clock = clock

    async def key(self, key_hash: str, timeout_s: float, *, deleted: bool = False) -> KeyRecord | None:
        """None: nobody made it, or it was deleted, unless such are welcome."""
        found = await self._database.use(
            lambda connection: key_rows.find(connection, key_hash, with_deleted=deleted), timeout_s
        )
        return None if found is None else found[0]

    async def accounts(self, account_ids: Collection[str], timeout_s: float) -> Sequence[AccountRecord]:
        """A record for each, of version 0 when there is none."""

        async def work(connection: asyncpg.Connection) -> Sequence[AccountRecord]:
            found = await _read(connection, account_ids)
            wanted = sorted(
                each
                for each in account_ids
                if each not in found and account_kind(each) in self._defaults.limits
            )
            if wanted:
                await self._make(connection, wanted)
                found = await _read(connection, account_ids)
            return [found.get(each) or AccountRecord(each) for each in account_ids]

        try:
            return await self._database.use(work, timeout_s)
        except REFUSALS as error:
            raise value_refused(error) from error

    async def _make(self, connection: asyncpg.Connection, account_ids: Sequence[str]) -> None:
        now = utc(self._clock.now_ns())
        async with connection.transaction():
            for account_id in account_ids:
                limits = self._defaults.limits[account_kind(account_id)]
                if await make_account(connection, account_id):
                    await set_limits(connection, account_id, limits, now, self._defaults.timezone)


async def _read(connection: asyncpg.Connection, account_ids: Collection[str]) -> dict[str, AccountRecord]:
    rows = await connection.fetch(READ_ACCOUNTS, list(account_ids))
    return {
        row["account_id"]: AccountRecord(
            row["account_id"],
            row["version"],
            row["blocked"],
            tuple(row["models"]),
            frozenset(row["limited_models"]),
            row["has_budget"],
        )
        for row in rows
    }

"""Reads the rules of keys and accounts for who remembers them, and makes accounts that have defaults.

An account that has no limits, but whose kind has default limits, gets them when it is first asked for; one
that nobody made comes to be then.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_ledger.account_ids import GATEWAY, account_kind
from meshgate_ledger.account_store import lock_accounts, make_account, read_limits, set_limits
from meshgate_ledger.database import Database
from meshgate_ledger.entities import key_rows
from meshgate_ledger.errors import REFUSALS, value_refused
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.records import AccountRecord, KeyRecord, utc

READ_ACCOUNTS = """
    SELECT a.account_id, a.version, a.blocked, a.models, a.limited_models, EXISTS (
        SELECT FROM ledger.limits l
        WHERE l.account_id = a.account_id AND l.metric = 'spend' AND l.maximum IS NOT NULL) AS has_budget,
        EXISTS (SELECT FROM ledger.limits l WHERE l.account_id = a.account_id) AS has_limits
    FROM ledger.accounts a WHERE a.account_id = ANY ($1)
"""


@dataclass(frozen=True, slots=True)
class AccountDefaults:
    """Limits of accounts that have none of their own, by kind; and the whole gateway's."""

    limits: Mapping[str, Sequence[LimitSpec]] = field(default_factory=dict)
    gateway: Sequence[LimitSpec] = ()
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
            rows = await connection.fetch(READ_ACCOUNTS, list(account_ids))
            limited = {row["account_id"] for row in rows if row["has_limits"]}
            wanted = sorted(
                each
                for each in account_ids
                if each not in limited and self._defaults.limits.get(account_kind(each))
            )
            if wanted:
                await self._give_defaults(connection, wanted)
                rows = await connection.fetch(READ_ACCOUNTS, list(account_ids))
            found = {row["account_id"]: _record(row) for row in rows}
            return [found.get(each) or AccountRecord(each) for each in account_ids]

        try:
            return await self._database.use(work, timeout_s)
        except REFUSALS as error:
            raise value_refused(error) from error

    async def configure_gateway(self, timeout_s: float) -> None:
        """Makes the whole gateway's limits those of the configuration."""

        async def work(connection: asyncpg.Connection) -> None:
            async with connection.transaction():
                if self._defaults.gateway:
                    await make_account(connection, GATEWAY)
                await lock_accounts(connection, [GATEWAY])
                await self._set(connection, GATEWAY, self._defaults.gateway)

        await self._database.use(work, timeout_s)

    async def _give_defaults(self, connection: asyncpg.Connection, account_ids: Sequence[str]) -> None:
        """In the order of their ids, as always; nothing where somebody else was quicker."""
        async with connection.transaction():
            for account_id in account_ids:
                await make_account(connection, account_id)
            await lock_accounts(connection, account_ids)
            limited = await read_limits(connection, account_ids, utc(self._clock.now_ns()))
            for account_id in account_ids:
                if account_id not in limited:
                    await self._set(connection, account_id, self._defaults.limits[account_kind(account_id)])

    async def _set(
        self, connection: asyncpg.Connection, account_id: str, limits: Sequence[LimitSpec]
    ) -> None:
        now = utc(self._clock.now_ns())
        await set_limits(connection, account_id, limits, now, self._defaults.timezone)


def _record(row: asyncpg.Record) -> AccountRecord:
    return AccountRecord(
        row["account_id"],
        row["version"],
        row["blocked"],
        tuple(row["models"]),
        frozenset(row["limited_models"]),
        row["has_budget"],
    )

"""Reads the rules of keys and accounts for who remembers them, and makes accounts that have defaults.

An account that has no limits, but whose kind has default limits, gets them when it is first asked for; one
that nobody made comes to be then.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
import structlog

from meshgate_chassis.clock import Clock
from meshgate_ledger.account_ids import GATEWAY, account_kind, customer_account, tag_account
from meshgate_ledger.account_store import (
    lock_accounts,
    make_account,
    make_part,
    read_limits,
    set_limits,
)
from meshgate_ledger.call_rules import NO_TEAM_RULES, team_rules
from meshgate_ledger.database import Database
from meshgate_ledger.entities import key_rows
from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan, account_limits, plan_from_json
from meshgate_ledger.errors import REFUSALS, value_refused
from meshgate_ledger.limits import LimitSpec
from meshgate_ledger.records import AccountRecord, KeyRecord, utc

READ_ACCOUNTS = """
    SELECT a.account_id, a.version, a.blocked, a.models, a.limited_models, EXISTS (
        SELECT FROM ledger.limits l
        WHERE l.account_id = a.account_id AND l.metric = 'spend' AND l.maximum IS NOT NULL) AS has_budget,
        EXISTS (SELECT FROM ledger.limits l WHERE l.account_id = a.account_id) AS has_limits,
        t.settings, t.metadata
    FROM ledger.accounts a
    LEFT JOIN ledger.entities t
        ON a.kind = 'team' AND t.kind = 'team' AND t.entity_id = substr(a.account_id, 6)  -- after 'team:'
    WHERE a.account_id = ANY ($1)
"""

CUSTOMER = "customer"
# Configured tags that nobody manages, and tags that were configured once.
TAGS = """
    SELECT t.tag FROM (
        SELECT unnest($1::text[]) AS tag
        UNION
        SELECT substr(a.account_id, 5) FROM ledger.accounts a
        WHERE a.kind = 'tag' AND EXISTS (SELECT FROM ledger.limits l WHERE l.account_id = a.account_id)
    ) t
    WHERE NOT EXISTS (SELECT FROM ledger.entities e WHERE e.kind = 'tag' AND e.entity_id = t.tag)
"""
BUDGET = "SELECT limits FROM ledger.entities WHERE kind = 'budget' AND entity_id = $1 FOR SHARE"
# Customers that somebody gave limits, if only for a model, or a budget.
OWN_LIMITS = """
    SELECT entity_id FROM ledger.entities
    WHERE kind = 'customer' AND entity_id = ANY ($1) AND (limits <> '{}' OR budget_id <> '')
"""
GIVE_BUDGET = """
    INSERT INTO ledger.entities AS e (kind, entity_id, budget_id, created_at, updated_at)
    VALUES ('customer', $1, $2, $3, $3)
    ON CONFLICT (kind, entity_id) DO UPDATE SET budget_id = excluded.budget_id WHERE e.budget_id = ''
"""

log = structlog.get_logger("meshgate.ledger")


@dataclass(frozen=True, slots=True)
class AccountDefaults:
    """Limits of accounts that have none of their own, by kind; and the whole gateway's."""

    limits: Mapping[str, Sequence[LimitSpec]] = field(default_factory=dict)
    gateway: Sequence[LimitSpec] = ()
    timezone: str = "UTC"
    tags: Mapping[str, Sequence[LimitSpec]] = field(default_factory=dict)
    customer_budget_id: str = ""  # before the limits of their kind; none of this name: those


class RecordStore:
    """Raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL."""

    def __init__(self, database: Database, defaults: AccountDefaults, clock: Clock) -> None:
        self._database = database
        self._defaults = defaults
        self._clock = clock
        self._warned = False

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
                each for each in account_ids if each not in limited and self._has_default(account_kind(each))
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

    async def configure(self, timeout_s: float) -> None:
        """Makes the limits of the whole gateway, and of tags that nobody manages, what is configured."""

        async def work(connection: asyncpg.Connection) -> None:
            async with connection.transaction():
                limits = dict(await self._tag_limits(connection))
                limits[GATEWAY] = self._defaults.gateway
                for account_id in sorted(limits):
                    if limits[account_id]:
                        await make_account(connection, account_id)
                await lock_accounts(connection, limits)
                for account_id, each in limits.items():
                    await self._set(connection, account_id, each)

        await self._database.use(work, timeout_s)

    def _has_default(self, kind: str) -> bool:
        return bool(self._defaults.limits.get(kind)) or (
            kind == CUSTOMER and bool(self._defaults.customer_budget_id)
        )

    async def _tag_limits(self, connection: asyncpg.Connection) -> Mapping[str, Sequence[LimitSpec]]:
        """By account, without those that are managed; none for one that is not configured any more."""
        rows = await connection.fetch(TAGS, list(self._defaults.tags))
        return {tag_account(row["tag"]): self._defaults.tags.get(row["tag"], ()) for row in rows}

    async def _give_defaults(self, connection: asyncpg.Connection, account_ids: Sequence[str]) -> None:
        """In the order of their ids, as always; nothing where somebody else was quicker."""
        async with connection.transaction():
            budget, customers = await self._customer_budget(connection, account_ids)
            wanted = [
                each
                for each in account_ids
                if each in customers or self._defaults.limits.get(account_kind(each))
            ]
            for account_id in wanted:
                await make_account(connection, account_id)
            await lock_accounts(connection, wanted)
            limited = await read_limits(connection, wanted, utc(self._clock.now_ns()))
            for account_id in wanted:
                if account_id in limited:
                    continue
                if account_id in customers:
                    await self._give_budget(connection, account_id, budget)
                else:
                    await self._set(connection, account_id, self._defaults.limits[account_kind(account_id)])

    async def _customer_budget(
        self, connection: asyncpg.Connection, account_ids: Sequence[str]
    ) -> tuple[LimitPlan, Collection[str]]:
        """The budget of customers without limits, which does not change until the transaction ends, and who
        of these accounts is one: nobody without such a budget."""
        budget_id = self._defaults.customer_budget_id
        customers = {each for each in account_ids if account_kind(each) == CUSTOMER}
        if not budget_id or not customers:
            return NO_LIMITS, ()
        stored = await connection.fetchval(BUDGET, budget_id)
        if stored is None:
            self._warn_of_budget(budget_id)
            return NO_LIMITS, ()
        rows = await connection.fetch(OWN_LIMITS, [each.partition(":")[2] for each in customers])
        own = {customer_account(row["entity_id"]) for row in rows}
        return plan_from_json(json.loads(stored)), customers - own

    def _warn_of_budget(self, budget_id: str) -> None:
        """Once: every new customer comes by here."""
        if not self._warned:
            self._warned = True
            log.warning("max_end_user_budget_id names no budget: customers are not limited", id=budget_id)

    async def _give_budget(self, connection: asyncpg.Connection, account_id: str, budget: LimitPlan) -> None:
        """As if somebody had given it by hand: a later change of the budget is theirs, too."""
        parts = account_limits(account_id, budget)
        for each in sorted(parts):
            await make_part(connection, each)
        for each, limits in parts.items():
            await self._set(connection, each, limits)
        budget_id, now = self._defaults.customer_budget_id, utc(self._clock.now_ns())
        await connection.execute(GIVE_BUDGET, account_id.partition(":")[2], budget_id, now)

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
        NO_TEAM_RULES if row["settings"] is None else team_rules(row["settings"], row["metadata"]),
    )

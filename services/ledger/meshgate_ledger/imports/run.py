"""One run of an import: what is not here yet is made, what was spent since the last run is posted.

What exists here stays as it is: somebody may have changed it since. May be repeated, also after a failure
half way.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_ledger.database import Database
from meshgate_ledger.entities.changes import Change, Changes
from meshgate_ledger.entities.entity_store import EntityStore
from meshgate_ledger.entities.member_store import MemberStore
from meshgate_ledger.entities.records import Entity, EntityKind, Member
from meshgate_ledger.imports.balances import brought, post_balances
from meshgate_ledger.imports.history import write_days
from meshgate_ledger.imports.records import Brought, Foreign
from meshgate_ledger.key_store import KeyStore
from meshgate_ledger.records import KeyRecord, utc

TIMEOUT_S = 60.0
LONG_TIMEOUT_S = 3_600.0
# Budgets come before who uses them, organisations before their teams and users.
FIRST = (EntityKind.BUDGET, EntityKind.ORGANIZATION, EntityKind.USER, EntityKind.TEAM)


@dataclass(frozen=True, slots=True)
class Known:
    """What is here already."""

    entities: frozenset[tuple[str, str]]
    members: frozenset[tuple[str, str]]
    keys: frozenset[str]
    aliases: frozenset[str]
    brought: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class New:
    """What is not."""

    entities: Sequence[Entity]
    members: Sequence[Member]
    keys: Sequence[KeyRecord]


async def known(database: Database, source: str) -> Known:
    """Reads what is here."""

    async def read(connection: asyncpg.Connection) -> Known:
        entities = await connection.fetch("SELECT kind, entity_id FROM ledger.entities")
        members = await connection.fetch("SELECT team_id, user_id FROM ledger.team_members")
        keys = await connection.fetch("SELECT key_hash, key_alias, deleted_at FROM ledger.keys")
        return Known(
            entities=frozenset((row["kind"], row["entity_id"]) for row in entities),
            members=frozenset((row["team_id"], row["user_id"]) for row in members),
            keys=frozenset(row["key_hash"] for row in keys),
            aliases=frozenset(row["key_alias"] for row in keys if row["deleted_at"] is None),
            brought=await brought(connection, source),
        )

    return await database.use(read, limit_s=LONG_TIMEOUT_S)


def what_is_new(foreign: Foreign, here: Known) -> New:
    """Pure. Of keys with one alias all but the first get a part of their hash behind it."""
    aliases = set(here.aliases)
    keys = []
    for key in foreign.keys:
        if key.key_hash in here.keys:
            continue
        if key.key_alias and key.key_alias in aliases:
            key = replace(key, key_alias=f"{key.key_alias}-{key.key_hash[:8]}")
        aliases.add(key.key_alias)
        keys.append(key)
    entities = [each for each in foreign.entities if (each.kind.value, each.entity_id) not in here.entities]
    entities.sort(key=lambda each: FIRST.index(each.kind) if each.kind in FIRST else len(FIRST))
    members = [each for each in foreign.members if (each.team_id, each.user_id) not in here.members]
    return New(entities, members, keys)


def would_bring(foreign: Foreign, here: Known) -> Brought:
    """What `bring` would do now; days are not compared."""
    new = what_is_new(foreign, here)
    postings = sum(each.spend_nanos != here.brought.get(each.account_id, 0) for each in foreign.balances)
    return Brought(len(new.entities), len(new.members), len(new.keys), postings, len(foreign.days))


async def bring(foreign: Foreign, database: Database, clock: Clock) -> tuple[Brought, tuple[str, ...]]:
    """Brings what is new; also returns what could not be brought, for a person."""
    here = await known(database, foreign.source)
    new = what_is_new(foreign, here)
    changes = Changes(database, clock)
    entities = EntityStore(database, clock, changes, {})
    members = MemberStore(database, clock, changes, {})
    keys = KeyStore(database, clock, changes, {})
    by = f"import {foreign.source}"
    refused: list[str] = []
    for entity in new.entities:
        with _Refusals(refused, f"{entity.kind} {entity.entity_id}"):
            await entities.create(_change(by), entity, TIMEOUT_S)
    for member in new.members:
        with _Refusals(refused, f"member {member.user_id} of team {member.team_id}"):
            changing = {member.user_id: _becomes(member)}
            await members.put(_change(by), member.team_id, changing, TIMEOUT_S)
    for key in new.keys:
        with _Refusals(refused, f"key {key.key_name}"):
            await keys.create(uuid.uuid4().hex, key, TIMEOUT_S, by)
    now = utc(clock.now_ns())
    postings = await database.use(
        lambda connection: post_balances(connection, foreign.source, foreign.balances, now),
        limit_s=LONG_TIMEOUT_S,
    )
    days = await database.use(lambda connection: write_days(connection, foreign.days), limit_s=LONG_TIMEOUT_S)
    made = Brought(len(new.entities), len(new.members), len(new.keys), postings, days)
    return made, tuple(refused)


class _Refusals:
    """Collects what the stores refuse; a database that is away ends the run."""

    def __init__(self, refused: list[str], subject: str) -> None:
        self._refused = refused
        self._subject = subject

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: object, _trace: object) -> bool:
        if not isinstance(error, MeshError) or error.reason == "STORE_UNAVAILABLE":
            return False
        self._refused.append(f"{self._subject}: {error.message}")
        return True


def _becomes(member: Member) -> Callable[[Member], Member]:
    return lambda _before: member


def _change(by: str) -> Change:
    return Change(uuid.uuid4().hex, by, by)

"""A new user with its memberships and its first key, a new team with its members: all of it, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from meshgate_ledger.entities.changes import Change, Work
from meshgate_ledger.entities.draft import Draft
from meshgate_ledger.entities.entity_store import EntityStore
from meshgate_ledger.entities.member_store import MemberStore
from meshgate_ledger.entities.records import (
    IDS_MAX,
    Entity,
    EntityKind,
    EntityState,
    Member,
    MemberState,
    Page,
)
from meshgate_ledger.key_store import KeyStore, alias_taken
from meshgate_ledger.records import KeyRecord, KeyState


@dataclass(frozen=True, slots=True)
class NewEntity:
    """What comes to be at once. `members`: of the team, or of the user; `key`: the user's."""

    entity: Entity
    members: Sequence[Member] = ()
    key: KeyRecord | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """What is there now."""

    entity: EntityState
    members: Sequence[MemberState] = ()
    key: KeyState | None = None


class Creation:
    """Raises UNAVAILABLE/STORE_UNAVAILABLE without PostgreSQL."""

    def __init__(self, entities: EntityStore, members: MemberStore, keys: KeyStore) -> None:
        self._entities = entities
        self._members = members
        self._keys = keys

    async def create(self, change: Change, new: NewEntity, timeout_s: float) -> Created:
        """Raises ALREADY_EXISTS/ENTITY_EXISTS and /KEY_ALIAS_TAKEN, NOT_FOUND/BUDGET_NOT_FOUND and
        /ENTITY_NOT_FOUND (a team that a user is to join)."""
        kind, entity_id = new.entity.kind, new.entity.entity_id

        async def does(work: Work) -> tuple[str, ...]:
            draft = Draft(work, self._keys.defaults)
            await draft.add_entity(new.entity)
            for member in new.members:
                await draft.add_member(member)
            if new.key is not None:
                await draft.add_key(new.key)
            await draft.write(change.request_id)
            return (entity_id,)

        try:
            await self._keys.changes.run(change, does, timeout_s)
        except asyncpg.UniqueViolationError:
            raise alias_taken() from None
        entity = await self._entities.get(kind, entity_id, timeout_s)
        members: Sequence[MemberState] = ()
        if new.members:
            teams, users = ([entity_id], []) if kind is EntityKind.TEAM else ([], [entity_id])
            members, _ = await self._members.page(teams, users, Page(size=IDS_MAX), timeout_s)
        key = None if new.key is None else await self._keys.get(new.key.key_hash, timeout_s)
        return Created(entity, members, key)

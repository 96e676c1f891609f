"""What a change is going to make, collected before anything of it is written: all accounts are locked and
written at once, in the ledger's one order, and rows come after them.
"""

from collections.abc import Mapping
from dataclasses import replace

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.call_rules import NO_TEAM_RULES
from meshgate_ledger.entities import belonging, entity_rows, key_rows, member_rows
from meshgate_ledger.entities.accounts import PlanChange, Rules, apply_changes, budget_plan
from meshgate_ledger.entities.changes import Work
from meshgate_ledger.entities.plan import NO_LIMITS, over
from meshgate_ledger.entities.records import Entity, EntityKind, Member
from meshgate_ledger.records import KeyRecord, key_account_id


class Draft:
    """Of one change. What it names and nobody made is made with it."""

    def __init__(self, work: Work, defaults: belonging.Defaults) -> None:
        self._work = work
        self._defaults = defaults
        self._changes: list[PlanChange] = []
        self._entities: dict[tuple[EntityKind, str], Entity] = {}
        self._members: dict[tuple[str, str], Member] = {}
        self._keys: list[KeyRecord] = []

    async def add_entity(self, entity: Entity) -> None:
        """Raises ALREADY_EXISTS/ENTITY_EXISTS, NOT_FOUND/BUDGET_NOT_FOUND."""
        if await self._find(entity.kind, entity.entity_id) is not None:
            raise MeshError(
                Code.ALREADY_EXISTS,
                "ENTITY_EXISTS",
                f"a {entity.kind} with the id {entity.entity_id!r} exists",
                {"kind": entity.kind.value},
                fields={"entity.entity_id": "is taken"},
            )
        entity = belonging.with_default(entity, self._defaults)
        template = await budget_plan(self._work.connection, entity.budget_id)
        if entity.kind is not EntityKind.BUDGET:
            rules = Rules(entity.blocked, entity.models)
            plan = over(entity.limits, template)
            touched = entity.rules != NO_TEAM_RULES
            self._changes.append(PlanChange(entity.account_id, NO_LIMITS, plan, rules, touched))
        self._entities[entity.kind, entity.entity_id] = entity

    async def add_member(self, member: Member) -> None:
        """Of a team or a user of this draft; who was added before is as the last one said. Raises
        NOT_FOUND/ENTITY_NOT_FOUND (the team), /BUDGET_NOT_FOUND."""
        team = await self._find(EntityKind.TEAM, member.team_id)
        if team is None:
            raise not_found(EntityKind.TEAM, member.team_id)
        template = over(await budget_plan(self._work.connection, member.budget_id), team.member_limits)
        if (member.team_id, member.user_id) in self._members:
            self._changes = [each for each in self._changes if each.account_id != member.account_id]
        self._changes.append(PlanChange(member.account_id, NO_LIMITS, over(member.limits, template), Rules()))
        self._members[member.team_id, member.user_id] = member
        await self._add_missing({EntityKind.USER: member.user_id}, member.user_email)

    async def add_key(self, key: KeyRecord) -> None:
        """One with a hash that exists takes its place and keeps its account. Raises
        NOT_FOUND/BUDGET_NOT_FOUND."""
        existing = await key_rows.find(self._work.connection, key.key_hash, with_deleted=True)
        before = NO_LIMITS if existing is None else existing[1]
        account_id = key_account_id(key.key_hash) if existing is None else existing[0].account_id
        key = replace(key, account_id=account_id, created_at=self._work.now)
        template = await budget_plan(self._work.connection, key.budget_id)
        if key.team_id and not key.organization_id:
            team = await self._find(EntityKind.TEAM, key.team_id)
            key = replace(key, organization_id="" if team is None else team.organization_id)
        self._changes.append(PlanChange(account_id, before, over(key.limits, template), Rules()))
        self._keys.append(key)
        await self._add_missing(
            {
                EntityKind.USER: key.user_id,
                EntityKind.TEAM: key.team_id,
                EntityKind.ORGANIZATION: key.organization_id,
            }
        )

    async def write(self, request_id: str) -> None:
        """Once, and nothing is added after it."""
        await apply_changes(self._work, self._changes)
        for entity in self._entities.values():
            await entity_rows.write(self._work, entity)
        for member in self._members.values():
            await member_rows.write(self._work, member)
        for key in self._keys:
            await key_rows.insert(self._work, key, request_id)

    async def _find(self, kind: EntityKind, entity_id: str) -> Entity | None:
        if (kind, entity_id) in self._entities:
            return self._entities[kind, entity_id]
        found = await entity_rows.find(self._work.connection, kind, entity_id)
        return None if found is None else found[0]

    async def _add_missing(self, named: Mapping[EntityKind, str], user_email: str = "") -> None:
        unknown = {kind: name for kind, name in named.items() if (kind, name) not in self._entities}
        missing = await belonging.missing(self._work, unknown, self._defaults)
        self._changes += belonging.accounts_of(missing)
        for entity in missing:
            email = user_email if entity.kind is EntityKind.USER else ""
            self._entities[entity.kind, entity.entity_id] = replace(entity, email=email)


def not_found(kind: EntityKind, entity_id: str) -> MeshError:
    """The error for an entity that does not exist."""
    return MeshError(
        Code.NOT_FOUND, "ENTITY_NOT_FOUND", f"there is no {kind} {entity_id!r}", {"kind": kind.value}
    )

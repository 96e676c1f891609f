"""What goes with entities: their rules, limits, members and keys. Accounts and entries stay."""

from collections.abc import Sequence

from meshgate_ledger.call_rules import NO_TEAM_RULES
from meshgate_ledger.entities import key_rows, member_rows
from meshgate_ledger.entities.accounts import PlanChange, Rules, apply_changes, changes_of_budget
from meshgate_ledger.entities.changes import Work
from meshgate_ledger.entities.entity_rows import Found
from meshgate_ledger.entities.plan import NO_LIMITS
from meshgate_ledger.entities.records import EntityKind

DELETE = "DELETE FROM ledger.entities WHERE kind = $1 AND entity_id = ANY ($2)"
LEAVE_BUDGET = (
    "UPDATE ledger.entities SET budget_id = '' WHERE budget_id = ANY ($1)",
    "UPDATE ledger.team_members SET budget_id = '' WHERE budget_id = ANY ($1)",
    "UPDATE ledger.keys SET budget_id = '' WHERE budget_id = ANY ($1) AND deleted_at IS NULL",
)
LEAVE_ORGANIZATION = (
    "UPDATE ledger.entities SET organization_id = '' WHERE organization_id = ANY ($1)",
    "UPDATE ledger.keys SET organization_id = '' WHERE organization_id = ANY ($1) AND deleted_at IS NULL",
)


async def remove(work: Work, found: Sequence[Found]) -> None:
    """Deletes entities of one kind, at least one."""
    kind = found[0][0].kind
    ids = [entity.entity_id for entity, _ in found]
    teams, users = (ids if kind is each else [] for each in (EntityKind.TEAM, EntityKind.USER))
    members: list[member_rows.Found] = []
    keys: list[key_rows.Found] = []
    if teams or users:
        members = await member_rows.find_all(work.connection, teams, users)
        keys = await key_rows.find_all(work.connection, teams, users)
    changes = [*member_rows.leaving(members), *key_rows.locked(keys)]
    for entity, plan in found:
        if kind is EntityKind.BUDGET:
            changes += await changes_of_budget(work.connection, entity.entity_id, plan, NO_LIMITS)
        else:
            touched = entity.rules != NO_TEAM_RULES
            changes.append(PlanChange(entity.account_id, plan, NO_LIMITS, Rules(), touched))
    await apply_changes(work, changes)
    await member_rows.delete(work, members)
    await key_rows.delete(work, [key.key_hash for key, _ in keys])
    for statement in _leave(kind):
        await work.connection.execute(statement, ids)
    await work.connection.execute(DELETE, kind, ids)


def _leave(kind: EntityKind) -> tuple[str, ...]:
    if kind is EntityKind.BUDGET:
        return LEAVE_BUDGET
    return LEAVE_ORGANIZATION if kind is EntityKind.ORGANIZATION else ()

"""Users, teams and organisations that a key or a member names and nobody made: they are made on the way.

LiteLLM's users name them in /key/generate and look at them afterwards.
"""

from collections.abc import Mapping
from dataclasses import replace

from meshgate_ledger.entities import entity_rows
from meshgate_ledger.entities.accounts import PlanChange, Rules
from meshgate_ledger.entities.changes import Work
from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan
from meshgate_ledger.entities.records import Entity, EntityKind

Defaults = Mapping[EntityKind, LimitPlan]  # limits of who is made without any


def with_default(entity: Entity, defaults: Defaults) -> Entity:
    """A new entity with the limits that are configured for those that have none."""
    if entity.limits != NO_LIMITS or entity.budget_id:
        return entity
    return replace(entity, limits=defaults.get(entity.kind, NO_LIMITS))


async def missing(work: Work, wanted: Mapping[EntityKind, str], defaults: Defaults) -> list[Entity]:
    """Those that are named and not there, to be written after their accounts."""
    found = []
    for kind, entity_id in wanted.items():
        if entity_id and await entity_rows.find(work.connection, kind, entity_id) is None:
            found.append(with_default(Entity(kind, entity_id), defaults))
    return found


def accounts_of(entities: list[Entity]) -> list[PlanChange]:
    """Accounts of entities that are new and have no budget's limits."""
    return [PlanChange(each.account_id, NO_LIMITS, each.limits, Rules()) for each in entities]

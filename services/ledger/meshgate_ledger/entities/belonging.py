"""Users, teams and organisations that a key or a member names and nobody made: they are made on the way.

LiteLLM's users name them in /key/generate and look at them afterwards.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal

from meshgate_chassis.config.model import EntityDefaults
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.entities import entity_rows
from meshgate_ledger.entities.accounts import PlanChange, Rules
from meshgate_ledger.entities.changes import Work
from meshgate_ledger.entities.plan import NO_LIMITS, LimitPlan
from meshgate_ledger.entities.records import Entity, EntityKind
from meshgate_ledger.periods import WHOLE_LIFE, normal_period

NANOS_PER_USD = 1_000_000_000

Defaults = Mapping[EntityKind, LimitPlan]  # limits of who is made without any


def with_default(entity: Entity, defaults: Defaults) -> Entity:
    """A new entity with the limits that are configured for those that have none."""
    if entity.limits != NO_LIMITS or entity.budget_id:
        return entity
    return replace(entity, limits=defaults.get(entity.kind, NO_LIMITS))


def configured_defaults(config: EntityDefaults) -> Defaults:
    """Raises FAILED_PRECONDITION/SETTINGS_INVALID for a period that there is not."""
    plans = {EntityKind.USER: _budget(config.user, "user"), EntityKind.TEAM: _budget(config.team, "team")}
    return {kind: plan for kind, plan in plans.items() if plan != NO_LIMITS}


def _budget(members: Mapping[str, object], kind: str) -> LimitPlan:
    amount = members.get("max_budget")
    if amount is None:
        return NO_LIMITS
    written = members.get("budget_duration")
    period = WHOLE_LIFE if written is None else normal_period(str(written))
    if period is None:
        message = f"budget_duration of a {kind}'s default is no period: 1h, 1d, 30d, 1mo"
        raise MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", message)
    nanos = int((Decimal(str(amount)) * NANOS_PER_USD).to_integral_value(ROUND_HALF_EVEN))
    return LimitPlan(max_budget_nanos=nanos, budget_period=period)


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

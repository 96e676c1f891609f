"""Entities of the ledger <-> LiteLLM's rows of users, customers, budgets, organizations and tags. Pure."""

from collections.abc import Mapping
from typing import Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads_object
from meshgate_edge.management.key_values import nanos_to_usd
from meshgate_edge.management.limits import budget_table, iso, limits_json, usage_json
from meshgate_edge.management.managed_body import ManagedBody, kept_json
from meshgate_edge.management.management import ADMIN_ID
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

# LiteLLM's member -> field of Entity. Which of them a body has depends on the kind.
FIELDS: Final[Mapping[str, str]] = {
    "user_email": "email",
    "user_alias": "alias",
    "user_role": "role",
    "team_alias": "alias",
    "organization_alias": "alias",
    "alias": "alias",
    "description": "alias",
    "organization_id": "organization_id",
    "models": "models",
    "blocked": "blocked",
    "budget_id": "budget_id",
    "metadata": "metadata_json",
}


def entity_of(
    body: ManagedBody, kind: "pb.EntityKind.ValueType", entity_id: str
) -> tuple[pb.Entity, list[str]]:
    """What is given of an entity, and the mask for it. Raises `invalid_field`.

    What is only kept is left to the caller: it may have to be put over what was kept before.
    """
    entity = pb.Entity(kind=kind, entity_id=entity_id, limits=body.limits())
    paths = body.limit_paths()
    for name in sorted(body.model_fields_set & body.ACTED_ON & FIELDS.keys()):
        field, value = FIELDS[name], getattr(body, name)
        if field == "organization_id" and kind == pb.ENTITY_KIND_ORGANIZATION:
            continue  # that is its own id
        paths.append(field)
        if value is None:
            continue
        if field == "metadata_json":
            entity.metadata_json = dumps(value).decode()
        elif field == "models":
            entity.models.extend(value)
        else:
            setattr(entity, field, value)
    return entity, paths


def user_json(entity: pb.Entity, teams: list[str]) -> JsonObject:
    """LiteLLM's row of a user."""
    return {
        "user_id": entity.entity_id,
        "user_alias": entity.alias or None,
        "user_email": entity.email or None,
        "user_role": entity.role or None,
        "organization_id": entity.organization_id or None,
        "models": list(entity.models),
        "teams": teams,
        **_common(entity),
    }


def customer_json(entity: pb.Entity) -> JsonObject:
    """LiteLLM's row of a customer."""
    return {
        "user_id": entity.entity_id,
        "alias": entity.alias or None,
        "allowed_model_region": None,
        "default_model": None,
        **_common(entity),
        "litellm_budget_table": _table(entity),
    }


def budget_json(entity: pb.Entity) -> JsonObject:
    """LiteLLM's row of a budget. It has no reset of its own: each user's period is their own."""
    return {
        "budget_id": entity.entity_id,
        **limits_json(entity.limits),
        "budget_reset_at": None,
        **_changed(entity),
    }


def organization_json(entity: pb.Entity, teams: list[str]) -> JsonObject:
    """LiteLLM's row of an organization."""
    return {
        "organization_id": entity.entity_id,
        "organization_alias": entity.alias or None,
        "models": list(entity.models),
        "members": [],
        "teams": teams,
        **_common(entity),
        "model_spend": _model_spend(entity),
        "litellm_budget_table": _table(entity),
    }


def tag_json(entity: pb.Entity) -> JsonObject:
    """LiteLLM's row of a tag."""
    return {
        "name": entity.entity_id,
        "description": entity.alias or None,
        "models": [],
        "model_info": None,
        **_common(entity),
        "litellm_budget_table": _table(entity),
    }


def team_json(entity: pb.Entity, members: list[pb.TeamMember]) -> JsonObject:
    """LiteLLM's row of a team."""
    return {
        "team_id": entity.entity_id,
        "team_alias": entity.alias or None,
        "organization_id": entity.organization_id or None,
        "admins": [],
        "members": [],
        "members_with_roles": [member_json(member) for member in members],
        "models": list(entity.models),
        **_common(entity),
        "team_member_budget_table": budget_table(entity.member_limits, ""),
        "model_spend": _model_spend(entity),
        "model_id": None,
        "litellm_model_table": _model_table(entity),
        "object_permission": None,
    }


def _model_table(team: pb.Entity) -> JsonObject | None:
    aliases = kept_json(team.settings_json).get("model_aliases")
    return {"model_aliases": aliases} if aliases else None


def member_json(member: pb.TeamMember) -> JsonObject:
    """One of members_with_roles."""
    return {"user_id": member.user_id, "user_email": member.user_email or None, "role": member.role}


def membership_json(member: pb.TeamMember) -> JsonObject:
    """One of team_memberships."""
    return {
        "user_id": member.user_id,
        "team_id": member.team_id,
        "budget_id": member.budget_id or None,
        **usage_json(member.usage),
        "litellm_budget_table": budget_table(member.effective_limits, member.budget_id),
    }


def _common(entity: pb.Entity) -> JsonObject:
    return {
        **kept_json(entity.settings_json),
        **limits_json(entity.limits),
        **usage_json(entity.usage),
        "budget_id": entity.budget_id or None,
        "blocked": entity.blocked,
        "metadata": loads_object(entity.metadata_json) if entity.metadata_json else {},
        **_changed(entity),
    }


def _changed(entity: pb.Entity) -> JsonObject:
    return {
        "created_at": iso(entity.create_time),
        "updated_at": iso(entity.update_time),
        "created_by": entity.created_by or ADMIN_ID,
        "updated_by": entity.updated_by or ADMIN_ID,
    }


def _table(entity: pb.Entity) -> JsonObject | None:
    return budget_table(entity.effective_limits, entity.budget_id)


def _model_spend(entity: pb.Entity) -> JsonObject:
    spend = entity.usage.model_spend_usd_nanos
    return {model: nanos_to_usd(nanos) for model, nanos in sorted(spend.items())}

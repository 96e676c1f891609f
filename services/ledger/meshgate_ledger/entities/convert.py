"""account_service.proto <-> the words of management; what is said is checked against the contract here."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_chassis.errors import invalid_field
from meshgate_ledger.account_ids import MODEL_MARK
from meshgate_ledger.entities.plan import LimitPlan, Window
from meshgate_ledger.entities.records import (
    IDS_MAX,
    PAGE_SIZE,
    Entity,
    EntityKind,
    EntityState,
    Member,
    MemberState,
    Order,
    Page,
    Usage,
)
from meshgate_ledger.entities.text import count_from, document_from, ids_from, text_from
from meshgate_ledger.periods import WHOLE_LIFE, normal_period
from meshgate_protos.ledger.v1 import account_service_pb2 as pb
from meshgate_protos.ledger.v1.limits_pb2 import BudgetWindow, Limits
from meshgate_protos.ledger.v1.limits_pb2 import Usage as UsageMessage

LIMIT_MAX = 10**15
BUDGET_NANOS_MAX = 10**18
WINDOWS_MAX = 16
MODELS_LIMITED_MAX = 100
MODELS_MAX = 1_000
ID_CHARACTERS_MAX = 200
PAGE_NUMBER_MAX = 1_000_000
ROLES = ("", "proxy_admin", "proxy_admin_viewer", "internal_user", "internal_user_viewer")
MEMBER_ROLES = ("user", "admin")

KINDS: Mapping["pb.EntityKind.ValueType", EntityKind] = {
    pb.ENTITY_KIND_USER: EntityKind.USER,
    pb.ENTITY_KIND_TEAM: EntityKind.TEAM,
    pb.ENTITY_KIND_ORGANIZATION: EntityKind.ORGANIZATION,
    pb.ENTITY_KIND_CUSTOMER: EntityKind.CUSTOMER,
    pb.ENTITY_KIND_TAG: EntityKind.TAG,
    pb.ENTITY_KIND_BUDGET: EntityKind.BUDGET,
}
ORDERS: Mapping["pb.Order.ValueType", Order] = {
    pb.ORDER_UNSPECIFIED: Order.CREATED,
    pb.ORDER_CREATED: Order.CREATED,
    pb.ORDER_UPDATED: Order.UPDATED,
    pb.ORDER_ID: Order.ID,
    pb.ORDER_ALIAS: Order.ALIAS,
    pb.ORDER_SPEND: Order.SPEND,
}

Record = TypeVar("Record")
Told = TypeVar("Told", bound=Message)


def changing_from(
    asked: Told,
    mask: FieldMask,
    to_message: Callable[[Record], Told],
    from_message: Callable[[Told], Record],
) -> Callable[[Record], Record]:
    """A function that makes of a record what the mask says. It raises `invalid_field`, as this does."""
    if not mask.IsValidForDescriptor(asked.DESCRIPTOR):  # type: ignore[arg-type]  # the stubs know two kinds
        raise invalid_field("update_mask", "names a field that there is not")

    def change(record: Record) -> Record:
        message = to_message(record)
        # Merging stops at a message that is absent; an empty one clears what is named within it.
        source = type(asked)()
        source.CopyFrom(asked)
        for path in mask.paths:
            owner, dot, _ = path.partition(".")
            if dot:
                getattr(source, owner).SetInParent()
        mask.MergeMessage(source, message, True, True)
        return from_message(message)

    return change


def kind_from(kind: "pb.EntityKind.ValueType") -> EntityKind:
    found = KINDS.get(kind)
    if found is None:
        raise invalid_field("kind", "is required")
    return found


def entity_from(entity: pb.Entity) -> Entity:
    """What is said of an entity; the rest is the ledger's."""
    kind = kind_from(entity.kind)
    if entity.role not in ROLES:
        raise invalid_field("user_role", f"must be one of {', '.join(ROLES[1:])}")
    if len(entity.models) > MODELS_MAX:
        raise invalid_field("models", f"has more than {MODELS_MAX} models")
    if kind is EntityKind.BUDGET and entity.budget_id:
        raise invalid_field("budget_id", "a budget uses no other")
    return Entity(
        kind=kind,
        entity_id=id_from("entity_id", entity.entity_id),
        alias=text_from("alias", entity.alias),
        email=text_from("email", entity.email),
        role=entity.role,
        organization_id=text_from("organization_id", entity.organization_id, ID_CHARACTERS_MAX),
        models=tuple(text_from("models", model, required=True) for model in entity.models),
        blocked=entity.blocked,
        budget_id=text_from("budget_id", entity.budget_id, ID_CHARACTERS_MAX),
        limits=plan_from(entity.limits),
        member_limits=plan_from(entity.member_limits),
        metadata_json=document_from("metadata", entity.metadata_json),
        settings_json=document_from("settings", entity.settings_json),
    )


def entity_to(record: Entity) -> pb.Entity:
    """Without what it used."""
    kind = next(number for number, kind in KINDS.items() if kind is record.kind)
    return pb.Entity(
        kind=kind,
        entity_id=record.entity_id,
        alias=record.alias,
        email=record.email,
        role=record.role,
        organization_id=record.organization_id,
        models=record.models,
        blocked=record.blocked,
        budget_id=record.budget_id,
        limits=plan_to(record.limits),
        member_limits=plan_to(record.member_limits),
        metadata_json=record.metadata_json,
        settings_json=record.settings_json,
        create_time=timestamp(record.created_at),
        update_time=timestamp(record.updated_at),
        created_by=record.created_by,
        updated_by=record.updated_by,
    )


def entity_state_to(state: EntityState) -> pb.Entity:
    message = entity_to(state.record)
    message.effective_limits.CopyFrom(plan_to(state.plan))
    message.usage.CopyFrom(usage_to(state.usage))
    return message


def member_from(member: pb.TeamMember) -> Member:
    role = member.role or MEMBER_ROLES[0]
    if role not in MEMBER_ROLES:
        raise invalid_field("role", f"must be one of {', '.join(MEMBER_ROLES)}")
    return Member(
        team_id=team_id_from(member.team_id),
        user_id=id_from("user_id", member.user_id),
        role=role,
        budget_id=text_from("budget_id", member.budget_id, ID_CHARACTERS_MAX),
        limits=plan_from(member.limits),
        user_email=text_from("user_email", member.user_email),
    )


def member_to(record: Member) -> pb.TeamMember:
    return pb.TeamMember(
        team_id=record.team_id,
        user_id=record.user_id,
        role=record.role,
        budget_id=record.budget_id,
        limits=plan_to(record.limits),
        user_email=record.user_email,
    )


def member_state_to(state: MemberState) -> pb.TeamMember:
    message = member_to(state.record)
    message.effective_limits.CopyFrom(plan_to(state.plan))
    message.usage.CopyFrom(usage_to(state.usage))
    return message


def plan_from(limits: Limits) -> LimitPlan:
    """Raises `invalid_field` by the names of LiteLLM's API."""
    if len(limits.budget_windows) > WINDOWS_MAX:
        raise invalid_field("budget_limits", f"has more than {WINDOWS_MAX} budgets")
    windows = tuple(_window("budget_limits", window) for window in limits.budget_windows)
    if len({window.period for window in windows}) < len(windows):
        raise invalid_field("budget_limits", "has two budgets of one duration")
    return LimitPlan(
        max_budget_nanos=_optional(limits, "max_budget_usd_nanos", "max_budget", BUDGET_NANOS_MAX),
        soft_budget_nanos=_optional(limits, "soft_budget_usd_nanos", "soft_budget", BUDGET_NANOS_MAX),
        budget_period=_period("budget_duration", limits.budget_duration),
        windows=windows,
        model_budgets=_by_model("model_max_budget", limits.model_budgets, _window),
        requests_per_minute=_optional(limits, "requests_per_minute", "rpm_limit"),
        tokens_per_minute=_optional(limits, "tokens_per_minute", "tpm_limit"),
        requests_per_day=_optional(limits, "requests_per_day", "rpd_limit"),
        tokens_per_day=_optional(limits, "tokens_per_day", "tpd_limit"),
        parallel_calls=_optional(limits, "parallel_calls", "max_parallel_requests"),
        model_requests_per_minute=_by_model("model_rpm_limit", limits.model_requests_per_minute, _rate),
        model_tokens_per_minute=_by_model("model_tpm_limit", limits.model_tokens_per_minute, _rate),
    )


def plan_to(plan: LimitPlan) -> Limits:
    return Limits(
        max_budget_usd_nanos=plan.max_budget_nanos,
        soft_budget_usd_nanos=plan.soft_budget_nanos,
        budget_duration=plan.budget_period,
        budget_windows=[_window_to(window) for window in plan.windows],
        model_budgets={model: _window_to(window) for model, window in plan.model_budgets.items()},
        requests_per_minute=plan.requests_per_minute,
        tokens_per_minute=plan.tokens_per_minute,
        requests_per_day=plan.requests_per_day,
        tokens_per_day=plan.tokens_per_day,
        parallel_calls=plan.parallel_calls,
        model_requests_per_minute=plan.model_requests_per_minute,
        model_tokens_per_minute=plan.model_tokens_per_minute,
    )


def usage_to(usage: Usage) -> UsageMessage:
    return UsageMessage(
        spend_usd_nanos=usage.spend_nanos,
        total_spend_usd_nanos=usage.total_spend_nanos,
        held_usd_nanos=usage.held_nanos,
        budget_reset_time=None if usage.budget_reset_at is None else timestamp(usage.budget_reset_at),
        model_spend_usd_nanos=usage.model_spend_nanos,
    )


def page_from(page: pb.Page, order: "pb.Order.ValueType", descending: bool) -> Page:
    """Unless an order is named, the newest come first."""
    found = ORDERS.get(order)
    if found is None:
        raise invalid_field("sort_by", "is not known")
    return Page(
        number=count_from("page", page.page, PAGE_NUMBER_MAX) or 1,
        size=count_from("size", page.size, IDS_MAX) or PAGE_SIZE,
        order=found,
        descending=descending or order == pb.ORDER_UNSPECIFIED,
    )


def id_from(field: str, text: str) -> str:
    """An id that can be part of an account's."""
    found = text_from(field, text, ID_CHARACTERS_MAX, required=True)
    if MODEL_MARK in found:
        raise invalid_field(field, f"must not have {MODEL_MARK!r} in it")
    return found


def team_id_from(text: str) -> str:
    """The id of a team that has members: theirs begins with it."""
    if "/" in text:
        raise invalid_field("team_id", "a team with members has no '/' in its id")
    return id_from("team_id", text)


def named_ids_from(field: str, texts: Iterable[str]) -> tuple[str, ...]:
    """1 to 1,000 ids."""
    found = ids_from(field, texts, IDS_MAX)
    if not found:
        raise invalid_field(field, "is empty")
    return found


def timestamp(moment: datetime) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(moment)
    return found


def _window(field: str, window: BudgetWindow) -> Window:
    maximum = count_from(field, window.max_budget_usd_nanos, BUDGET_NANOS_MAX)
    return Window(maximum, _period(field, window.budget_duration))


def _window_to(window: Window) -> BudgetWindow:
    return BudgetWindow(max_budget_usd_nanos=window.maximum_nanos, budget_duration=window.period)


def _period(field: str, text: str) -> str:
    if not text:
        return WHOLE_LIFE
    found = normal_period(text)
    if found is None:
        raise invalid_field(
            field, "Invalid duration format: a number and s, m, h, d, w or mo, for example 30d"
        )
    return found


def _rate(field: str, value: int) -> int:
    return count_from(field, value, LIMIT_MAX)


Value = TypeVar("Value")
Kept = TypeVar("Kept")


def _by_model(field: str, values: Mapping[str, Value], kept: Callable[[str, Value], Kept]) -> dict[str, Kept]:
    if len(values) > MODELS_LIMITED_MAX:
        raise invalid_field(field, f"has more than {MODELS_LIMITED_MAX} models")
    return {
        text_from(field, model, required=True): kept(f"{field}.{model}", value)
        for model, value in values.items()
    }


def _optional(limits: Limits, name: str, field: str, maximum: int = LIMIT_MAX) -> int | None:
    if not limits.HasField(name):  # type: ignore[arg-type]  # a literal in the stubs
        return None
    return count_from(field, getattr(limits, name), maximum)

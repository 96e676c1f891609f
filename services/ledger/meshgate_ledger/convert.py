"""Contract <-> the ledger's own words; the limits of the contract are checked here.

A reservation or a key with a bad field is refused. A settlement is money that was already spent: its texts
are cut to size rather than refused, only counts that no call can have are not taken.
"""

import json
import re
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_ledger.account_ids import split_account
from meshgate_ledger.call_rules import CallRules
from meshgate_ledger.limits import LimitNow, remaining_budget, tightest_first
from meshgate_ledger.price import COST_NANOS_MAX, TOKENS_MAX, Cost, Rates, TokenCounts
from meshgate_ledger.records import (
    Decision,
    Denial,
    KeyRecord,
    Leg,
    Outcome,
    Posting,
    Principal,
    PrincipalKind,
    ReserveCommand,
    SettleCommand,
    ToppedUp,
    TopUpCommand,
    VoidCommand,
    utc,
)
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

REQUEST_ID_CHARACTERS_MAX = 64
NAME_CHARACTERS_MAX = 256  # models, aliases, users, tags
DOCUMENT_BYTES_MAX = 256 * 1024  # metadata and settings of a key
TAGS_MAX = 64
LEGS_MAX = 32
LIMITS_MAX = 64
CHOICES_MAX = 1_000
HOLD_DURATION_S_MAX = 86_400
BUDGET_NANOS_MAX = 10**18
TIME_S_MAX = 253_402_300_799  # the end of the year 9999
KEY_HASH = re.compile(r"[0-9a-f]{64}")

KINDS = {
    pb.Principal.KIND_MASTER: PrincipalKind.MASTER,
    pb.Principal.KIND_OPEN: PrincipalKind.OPEN,
    pb.Principal.KIND_VIRTUAL_KEY: PrincipalKind.VIRTUAL_KEY,
}
METRICS = {
    "spend": pb.LimitState.METRIC_SPEND,
    "requests": pb.LimitState.METRIC_REQUESTS,
    "tokens": pb.LimitState.METRIC_TOKENS,
    "parallel": pb.LimitState.METRIC_PARALLEL,
}
OUTCOMES = {
    pb.OUTCOME_SUCCESS: Outcome.SUCCESS,
    pb.OUTCOME_FAILURE: Outcome.FAILURE,
    pb.OUTCOME_CANCELLED: Outcome.CANCELLED,
    pb.OUTCOME_CACHE_HIT: Outcome.CACHE_HIT,
}


def request_id_from(text: str) -> str:
    """1 to 64 characters."""
    return _text("request_id", text, REQUEST_ID_CHARACTERS_MAX, required=True)


def key_hash_from(field: str, text: str) -> str:
    """64 lower-case hex digits."""
    if not KEY_HASH.fullmatch(text):
        raise invalid_field(field, "must be the SHA-256 of the key, 64 lower-case hex digits")
    return text


def principal_from(principal: pb.Principal) -> Principal:
    kind = KINDS.get(principal.kind)
    if kind is None:
        raise invalid_field("principal.kind", "is required")
    if kind is PrincipalKind.OPEN:
        return Principal(kind)
    return Principal(kind, key_hash_from("principal.key_hash", principal.key_hash))


def reserve_command_from(request: pb.ReserveSpendRequest) -> ReserveCommand:
    if len(request.tags) > TAGS_MAX:
        raise invalid_field("tags", f"has more than {TAGS_MAX} tags")
    max_output_tokens = None
    if request.HasField("max_output_tokens"):
        max_output_tokens = _count("max_output_tokens", request.max_output_tokens, TOKENS_MAX)
    return ReserveCommand(
        request_id=request_id_from(request.request_id),
        principal=principal_from(request.principal),
        model=_text("model", request.model, NAME_CHARACTERS_MAX, required=True),
        prompt_tokens=_count("prompt_tokens", request.prompt_tokens, TOKENS_MAX),
        max_output_tokens=max_output_tokens,
        choice_count=_count("choice_count", request.choice_count, CHOICES_MAX) or 1,
        hold_duration_s=_hold_duration_s(request),
        end_user=_text("end_user", request.end_user, NAME_CHARACTERS_MAX),
        tags=tuple(_text("tags", tag, NAME_CHARACTERS_MAX) for tag in request.tags),
        edge_id=_text("edge_id", request.edge_id, REQUEST_ID_CHARACTERS_MAX),
        can_top_up=request.can_top_up,
        route=_text("route", request.route, NAME_CHARACTERS_MAX),
    )


def top_up_command_from(request: pb.TopUpSpendRequest) -> TopUpCommand:
    return TopUpCommand(
        request_id=request_id_from(request.request_id),
        deployment_id=cut(request.deployment_id),
        provider=cut(request.provider),
        upstream_model=cut(request.upstream_model),
        prompt_tokens=_count("prompt_tokens", request.prompt_tokens, TOKENS_MAX),
        output_tokens=_count("output_tokens", request.output_tokens, TOKENS_MAX),
        model=cut(request.model),
        legs=tuple(_leg(leg) for leg in request.legs[:LEGS_MAX]),
    )


def edge_id_from(text: str) -> str:
    """1 to 64 characters."""
    return _text("edge_id", text, REQUEST_ID_CHARACTERS_MAX, required=True)


def settle_command_from(request: pb.SettleSpendRequest) -> SettleCommand:
    outcome = OUTCOMES.get(request.outcome)
    if outcome is None:
        raise invalid_field("outcome", "is required")
    uncompressed = None
    if request.HasField("uncompressed_prompt_tokens"):
        uncompressed = _count("uncompressed_prompt_tokens", request.uncompressed_prompt_tokens, TOKENS_MAX)
    return SettleCommand(
        request_id=request_id_from(request.request_id),
        outcome=outcome,
        tokens=_tokens(request.tokens),
        principal=principal_from(request.principal) if request.HasField("principal") else None,
        deployment_id=cut(request.deployment_id),
        provider=cut(request.provider),
        upstream_model=cut(request.upstream_model),
        model_group=cut(request.model_group),
        estimated=request.estimated,
        start_time=_time(request, "start_time"),
        end_time=_time(request, "end_time"),
        first_token_time=_time(request, "first_token_time"),
        cache_key=cut(request.cache_key),
        saved_nanos=_count("saved_usd_nanos", request.saved_usd_nanos, COST_NANOS_MAX),
        uncompressed_prompt_tokens=uncompressed,
        error_reason=cut(request.error_reason),
        legs=tuple(_leg(leg) for leg in request.legs[:LEGS_MAX]),
        call_type=cut(request.call_type) or "acompletion",
        api_base=cut(request.api_base),
        response_id=cut(request.response_id),
        requester_ip_address=cut(request.requester_ip_address),
        end_user=cut(request.end_user),
        tags=tuple(cut(tag) for tag in request.tags[:TAGS_MAX]),
        offline=request.offline,
    )


def close_command_from(item: pb.CloseSpend) -> SettleCommand | VoidCommand:
    if item.WhichOneof("close") == "settle":
        return settle_command_from(item.settle)
    return VoidCommand(request_id_from(item.void.request_id), cut(item.void.reason))


def decision_to(principal: Principal, decision: Decision) -> pb.ReserveSpendResponse:
    grant = decision.verdict
    if isinstance(grant, Denial):
        return pb.ReserveSpendResponse(
            decision=pb.DECISION_DENIED, denial=denial_to(grant), repeated=decision.is_repeat
        )
    remaining = remaining_budget(decision.limits)  # also of an account that this call has made
    return pb.ReserveSpendResponse(
        decision=pb.DECISION_GRANTED,
        repeated=decision.is_repeat,
        account=account_to(principal, grant.key, grant.spend_nanos, grant.rules),
        held_usd_nanos=grant.held_nanos,
        resolved_model=grant.resolved_model,
        prompt_price=None if decision.prompt_rates is None else prompt_price_to(decision.prompt_rates),
        limits=[limit_to(limit) for limit in tightest_first(decision.limits)[:LIMITS_MAX]],
        covered_output_tokens=grant.covered_output_tokens,
        covers_model_only=grant.covers_model_only or remaining is not None,
        remaining_budget_usd_nanos=remaining,
    )


def reserve_error_to(error: MeshError) -> pb.ReserveSpendError:
    return pb.ReserveSpendError(
        code=error.code.value,
        reason=error.reason,
        message=error.message,
        retry_after_s=error.retry_after_s,
        fields=error.fields,
    )


def close_error_to(error: MeshError) -> pb.CloseSpendError:
    return pb.CloseSpendError(code=error.code.value, reason=error.reason, message=error.message)


def topped_up_to(topped_up: ToppedUp) -> pb.TopUpSpendResponse:
    return pb.TopUpSpendResponse(
        covered_output_tokens=topped_up.covered_output_tokens,
        held_usd_nanos=topped_up.held_nanos,
        denial=None if topped_up.denial is None else denial_to(topped_up.denial),
    )


def prompt_price_to(rates: Rates) -> pb.PromptPrice:
    return pb.PromptPrice(input_nanos_per_mtok=rates.input, cache_read_nanos_per_mtok=rates.cache_read)


def denial_to(denial: Denial) -> pb.Denial:
    return pb.Denial(
        reason=pb.Denial.Reason.Value(f"REASON_{denial.reason.value}"),
        message=denial.message,
        spend_usd_nanos=denial.spend_nanos,
        max_budget_usd_nanos=denial.max_budget_nanos,
        limit=None if denial.limit is None else limit_to(denial.limit),
        retry_after=None if denial.retry_after_s is None else _duration(denial.retry_after_s),
    )


def limit_to(limit: LimitNow) -> pb.LimitState:
    """A budget that is only soft is shown by that."""
    kind, identity, model = split_account(limit.account_id)
    maximum = limit.soft_maximum if limit.maximum is None else limit.maximum
    return pb.LimitState(
        scope=kind,
        scope_id=identity,
        model=model,
        metric=METRICS[limit.metric],
        period=limit.period,
        maximum=maximum or 0,
        remaining=max((maximum or 0) - limit.used, 0),
        reset_time=None if limit.ends_at is None else _timestamp(limit.ends_at),
        soft_exceeded=limit.soft_exceeded,
    )


def account_to(
    principal: Principal, key: KeyRecord | None, spend_nanos: int, rules: CallRules | None = None
) -> pb.Account:
    """The tenant's prefix keeps a team from taking the name of another's key. `rules`: None: the key's."""
    if key is None:
        return pb.Account(
            tenant_id=principal.kind.value, key_hash=principal.key_hash, spend_usd_nanos=spend_nanos
        )
    rules = key.rules if rules is None else rules
    return pb.Account(
        tenant_id=f"team:{key.team_id}" if key.team_id else principal.account_id,
        key_hash=key.key_hash,
        key_alias=key.key_alias,
        user_id=key.user_id,
        team_id=key.team_id,
        organization_id=key.organization_id,
        expire_time=None if key.expires_at is None else _timestamp(key.expires_at),
        metadata_json=key.metadata_json,
        spend_usd_nanos=spend_nanos,
        max_budget_usd_nanos=key.max_budget_nanos,
        models=key.models,
        aliases=key.aliases,
        allowed_routes=key.allowed_routes,
        enforced_params=rules.enforced_params,
        allowed_cache_controls=rules.cache_controls,
    )


def posting_to(posting: Posting) -> pb.SettleSpendResponse:
    return pb.SettleSpendResponse(
        charged_usd_nanos=posting.cost.total,
        breakdown=breakdown_to(posting.cost),
        key_spend_usd_nanos=posting.account_posted_nanos,
    )


def breakdown_to(cost: Cost) -> pb.CostBreakdown:
    return pb.CostBreakdown(
        input_usd_nanos=cost.input,
        cached_input_usd_nanos=cost.cached_input,
        cache_creation_usd_nanos=cost.cache_creation,
        output_usd_nanos=cost.output,
        reasoning_usd_nanos=cost.reasoning,
    )


def _leg(leg: pb.SpendLeg) -> Leg:
    return Leg(
        tokens=_tokens(leg.tokens),
        deployment_id=cut(leg.deployment_id),
        provider=cut(leg.provider),
        upstream_model=cut(leg.upstream_model),
        model_group=cut(leg.model_group),
        estimated=leg.estimated,
        reason=cut(leg.reason),
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1e6))
    return duration


def cut(text: str) -> str:
    """A text of a settlement as it can be stored."""
    return text.replace("\0", "")[:NAME_CHARACTERS_MAX]


def _text(field: str, text: str, characters_max: int, *, required: bool = False) -> str:
    if required and not text:
        raise invalid_field(field, "is required")
    if len(text) > characters_max:
        raise invalid_field(field, f"has more than {characters_max} characters")
    if "\0" in text:
        raise invalid_field(field, "has a NUL character")
    return text


def _count(field: str, value: int, maximum: int) -> int:
    if not 0 <= value <= maximum:
        raise invalid_field(field, f"must be 0 to {maximum}")
    return value


def _document(field: str, text: str) -> str:
    """JSON as it was given, or nothing."""
    if len(text.encode()) > DOCUMENT_BYTES_MAX:
        raise invalid_field(field, f"has more than {DOCUMENT_BYTES_MAX} bytes")
    if text:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            raise invalid_field(field, "is not JSON") from None
    return _text(field, text, DOCUMENT_BYTES_MAX)


def _tokens(tokens: pb.TokenCounts) -> TokenCounts:
    return TokenCounts(
        prompt=_count("tokens.prompt_tokens", tokens.prompt_tokens, TOKENS_MAX),
        completion=_count("tokens.completion_tokens", tokens.completion_tokens, TOKENS_MAX),
        cached=_count("tokens.cached_tokens", tokens.cached_tokens, TOKENS_MAX),
        cache_creation=_count("tokens.cache_creation_tokens", tokens.cache_creation_tokens, TOKENS_MAX),
        reasoning=_count("tokens.reasoning_tokens", tokens.reasoning_tokens, TOKENS_MAX),
        audio_prompt=_count("tokens.audio_prompt_tokens", tokens.audio_prompt_tokens, TOKENS_MAX),
        audio_completion=_count("tokens.audio_completion_tokens", tokens.audio_completion_tokens, TOKENS_MAX),
    )


def _hold_duration_s(request: pb.ReserveSpendRequest) -> float | None:
    if not request.HasField("hold_duration"):
        return None
    duration_s = request.hold_duration.seconds + request.hold_duration.nanos / 1e9
    if not 1 <= duration_s <= HOLD_DURATION_S_MAX:
        raise invalid_field("hold_duration", f"must be 1 s to {HOLD_DURATION_S_MAX} s")
    return duration_s


def _time(message: pb.SettleSpendRequest | pb.Key, field: str) -> datetime | None:
    if not message.HasField(field):  # type: ignore[arg-type]  # a literal in the stubs
        return None
    timestamp: Timestamp = getattr(message, field)
    if not 0 <= timestamp.seconds <= TIME_S_MAX:
        raise invalid_field(field, "is not between 1970 and 9999")
    return utc(timestamp.seconds * 1_000_000_000 + timestamp.nanos)


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp

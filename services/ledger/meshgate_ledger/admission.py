"""May this call be made, and what may it cost? Pure rules over a key's record.

The rules run in this order, and the first one that refuses is the answer:
unknown key, blocked by the configuration, blocked, expired, model not allowed, model not found, price
unknown, budget exceeded.
The last one needs the account's balance at the moment of the hold: PostgreSQL applies it
(`would_exceed` is its definition), all others are applied here to a record whose version PostgreSQL checks.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from meshgate_chassis.config.names import PublicNames, is_pattern, matched_text
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_ledger.price import COST_NANOS_MAX, Cost, highest_cost
from meshgate_ledger.price_book import PriceBook
from meshgate_ledger.records import Denial, DenialReason, KeyRecord, ReserveCommand, usd

ALL_MODELS = frozenset({"*", "all-proxy-models", "all-team-models"})
MODELS_NAMED_MAX = 20  # in a message

# An account without a limit still has this one, a billion USD: it keeps every sum inside 64 bits.
UNLIMITED_NANOS = 10**18


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What the rules need from the configuration."""

    names: PublicNames
    prices: PriceBook
    default_output_tokens: int
    require_pricing: bool | None  # None: only for keys with a budget
    blocked: Collection[str] = frozenset()  # SHA-256 of keys and of user ids that the configuration refuses


@dataclass(frozen=True, slots=True)
class Offer:
    """What will be held if the budget allows it."""

    resolved_model: str
    estimate: Cost
    output_tokens: int  # of all choices together


def judge(
    command: ReserveCommand, key: KeyRecord | None, policy: AdmissionPolicy, now: datetime
) -> Offer | Denial:
    """Every rule but the budget. `key` is None for the master key and in open mode: they are refused
    nothing but whom the configuration blocks, a model that does not exist, and one without a price when
    every call must have one."""
    user_id = "" if key is None else key.user_id
    denial = blocked_denial(policy.blocked, command.principal.key_hash, user_id, command.end_user)
    if denial is None and key is not None:
        denial = key_denial(key, now)
    if denial is not None:
        return denial
    resolved = command.model
    if key is not None:
        resolved = resolve_model(key, command.model, policy.names)
        if not may_use(key, command.model, resolved, policy.names):
            return _model_denial(key, command.model)
    if not policy.names.knows(resolved):
        # Both phrases: clients of LiteLLM look for either.
        text = f"Model not found: Invalid model name passed in model={command.model}."
        return Denial(DenialReason.MODEL_NOT_FOUND, text)
    return _offer(command, key, resolved, policy, now)


def blocked_denial(blocked: Collection[str], key_hash: str, *user_ids: str) -> Denial | None:
    """Why a caller is refused whom the configuration blocks: their key, its owner or the end user."""
    if not blocked:
        return None
    if key_hash in blocked:
        return Denial(DenialReason.KEY_BLOCKED, "This key is blocked.")
    if any(user_id and sha256(user_id.encode()).hexdigest() in blocked for user_id in user_ids):
        return Denial(DenialReason.KEY_BLOCKED, "This user is blocked.")
    return None


def key_denial(key: KeyRecord, now: datetime) -> Denial | None:
    """Why the key may not be used at all."""
    if key.blocked:
        return Denial(DenialReason.KEY_BLOCKED, "This key is blocked.")
    if key.expires_at is not None and key.expires_at <= now:
        expired = key.expires_at.isoformat(timespec="seconds")
        return Denial(DenialReason.KEY_EXPIRED, f"This key expired at {expired}.")
    return None


def unknown_key() -> Denial:
    """For a key that nobody made, or that was deleted."""
    return Denial(DenialReason.KEY_UNKNOWN, "This key is not known.")


def resolve_model(key: KeyRecord, requested: str, public: PublicNames) -> str:
    """The model behind the key's alias. Also the other way round: deployments exist that write
    {"model": "alias"}, so the name of nobody's model that is an alias' value means the alias' key."""
    if requested in key.aliases:
        return key.aliases[requested]
    if not public.knows(requested):
        for model, alias in key.aliases.items():
            if alias == requested and public.knows(model):
                return model
    return requested


def may_use(key: KeyRecord, requested: str, resolved: str, public: PublicNames) -> bool:
    """Whether the key's list allows the model by the name that was asked for, by the one it stands for,
    by an access group or by a pattern. Whoever made the key wrote both the list and the aliases."""
    if not key.models or not ALL_MODELS.isdisjoint(key.models):
        return True
    names = {requested, resolved} | _access_groups(public, resolved)
    if not names.isdisjoint(key.models):
        return True
    patterns = [name for name in key.models if is_pattern(name)]
    return any(matched_text(pattern, name) is not None for pattern in patterns for name in names)


def would_exceed(posted_nanos: int, held_nanos: int, hold_nanos: int, limit_nanos: int | None) -> bool:
    """Whether one more hold breaks the limit: posted + held + hold must not be more than it."""
    limit = UNLIMITED_NANOS if limit_nanos is None else limit_nanos
    return posted_nanos + held_nanos + hold_nanos > limit


def budget_denial(spend_nanos: int, hold_nanos: int, limit_nanos: int) -> Denial:
    """`spend_nanos`: posted plus held. The words are those that clients of LiteLLM look for."""
    return Denial(
        DenialReason.BUDGET_EXCEEDED,
        f"Budget exceeded: Budget has been exceeded! Current cost: {usd(spend_nanos)}, "
        f"Max budget: {usd(limit_nanos)}, this call: up to {usd(hold_nanos)} USD.",
        spend_nanos=spend_nanos,
        max_budget_nanos=limit_nanos,
    )


def _access_groups(public: PublicNames, model: str) -> frozenset[str]:
    """Names besides its own under which a key may be allowed the model (model_info.access_groups)."""
    group = public.find(model)
    found: set[str] = set()
    for deployment in group.deployments if group is not None else ():
        groups = deployment.model_info.get("access_groups")
        if isinstance(groups, Sequence) and not isinstance(groups, str):
            found.update(str(each) for each in groups)
    return frozenset(found)


def _model_denial(key: KeyRecord, requested: str) -> Denial:
    names = ", ".join(key.models[:MODELS_NAMED_MAX])
    more = ", ..." if len(key.models) > MODELS_NAMED_MAX else ""
    return Denial(
        DenialReason.MODEL_NOT_ALLOWED,
        f"This key may not use the model {requested!r}. It may use: {names}{more}.",
    )


def _offer(
    command: ReserveCommand,
    key: KeyRecord | None,
    model: str,
    policy: AdmissionPolicy,
    now: datetime,
) -> Offer | Denial:
    prices = policy.prices.of_model(model, now)
    has_budget = key is not None and key.max_budget_nanos is not None
    required = has_budget if policy.require_pricing is None else policy.require_pricing
    if required and not prices.complete:
        return Denial(
            DenialReason.PRICE_UNKNOWN,
            f"The price of the model {model!r} is not known, so its cost cannot be held to a budget; "
            "set input_cost_per_token and output_cost_per_token for it.",
        )
    output_tokens = command.choice_count * (
        policy.default_output_tokens if command.max_output_tokens is None else command.max_output_tokens
    )
    estimates = [highest_cost(price, command.prompt_tokens, output_tokens) for price in prices.prices]
    estimate = max(estimates, key=lambda cost: cost.total, default=Cost())
    if estimate.total > COST_NANOS_MAX:
        raise _too_large(command)
    return Offer(model, estimate, output_tokens)


def _too_large(command: ReserveCommand) -> MeshError:
    field = "prompt_tokens" if command.max_output_tokens is None else "max_output_tokens"
    return invalid_field(field, f"a call may not cost more than {usd(COST_NANOS_MAX)} USD")

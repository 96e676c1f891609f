"""May this call be made, and what may it cost? Pure rules over the records of a key and its accounts.

The rules run in this order, and the first one that refuses is the answer:
unknown key, blocked by the configuration, blocked, expired, route not allowed, account blocked, model not
allowed, model not found, price unknown, limits.
The last ones need balances and counts at the moment of the hold: PostgreSQL applies them, all others are
applied here to records whose versions PostgreSQL checks.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from meshgate_chassis.config.names import PublicNames, is_pattern, matched_text
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_chassis.routes import route_allowed
from meshgate_ledger.account_ids import split_account
from meshgate_ledger.call_rules import NO_TEAM_RULES, TeamRules
from meshgate_ledger.price import COST_NANOS_MAX, Cost, highest_cost
from meshgate_ledger.price_book import ModelPrices, PriceBook
from meshgate_ledger.records import AccountRecord, Denial, DenialReason, KeyRecord, ReserveCommand, usd
from meshgate_ledger.scopes import Scope

ALL_MODELS = frozenset({"*", "all-proxy-models", "all-team-models"})
MODELS_NAMED_MAX = 20  # in a message
ROUTES_NAMED_MAX = 20

# An account without a limit still has this one, a billion USD: it keeps every sum inside 64 bits.
UNLIMITED_NANOS = 10**18
LEAST_OUTPUT_TOKENS = 64  # of a choice: a stream that can be topped up begins with no less


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What the rules need from the configuration."""

    names: PublicNames
    prices: PriceBook
    default_output_tokens: int
    require_pricing: bool | None  # None: only where a budget applies
    blocked: Collection[str] = frozenset()  # SHA-256 of keys and of user ids that the configuration refuses


class Moment(NamedTuple):
    """What a decision needs besides rules. `usual_output_tokens(key_hash, model)`: None: nothing learned."""

    now: datetime
    usual_output_tokens: Callable[[str, str], int | None] = lambda _key_hash, _model: None


class Offer(NamedTuple):
    """What will be held if the limits allow it. `least_*`: what will do when they do not; None: nothing."""

    resolved_model: str
    estimate: Cost
    output_tokens: int  # of all choices together
    least_nanos: int | None
    least_tokens: int | None  # with the prompt's
    prices: ModelPrices


def refusal(
    command: ReserveCommand,
    key: KeyRecord | None,
    scopes: Sequence[Scope],
    policy: AdmissionPolicy,
    now: datetime,
) -> Denial | None:
    """Every rule that does not ask for a price.

    `scopes`: of the resolved model, the payer's first. `key` is None for the master key and in open mode:
    they are refused nothing but whom the configuration or an account blocks, and a model that does not exist.
    """
    user_id = "" if key is None else key.user_id
    denial = blocked_denial(policy.blocked, command.principal.key_hash, user_id, command.end_user)
    if denial is None and key is not None:
        denial = key_denial(key, now) or route_denial(key, command.route)
    resolved = resolve_model(key, command.model, policy.names, team_of(scope.record for scope in scopes))
    if denial is None and key is not None and not may_use(key.models, command.model, resolved, policy.names):
        denial = _model_denial("This key", key.models, command.model)
    for scope in scopes:
        if denial is not None:
            return denial
        denial = account_denial(scope, command.model, resolved, policy.names)
    if denial is None and not policy.names.knows(resolved):
        # Both phrases: clients of LiteLLM look for either.
        text = f"Model not found: Invalid model name passed in model={command.model}."
        denial = Denial(DenialReason.MODEL_NOT_FOUND, text)
    return denial


def account_denial(scope: Scope, requested: str, resolved: str, public: PublicNames) -> Denial | None:
    """Why an account refuses the call. A user's models, like their budgets, are for keys without a team."""
    record = scope.record
    if not record.blocked and not record.models:
        return None
    kind, identity, _ = split_account(record.account_id)
    if record.blocked:
        return Denial(DenialReason.ACCOUNT_BLOCKED, f"This {kind} is blocked: {identity}.")
    if scope.has_budget and not may_use(record.models, requested, resolved, public):
        return _model_denial(f"This {kind}", record.models, requested)
    return None


def blocked_denial(blocked: Collection[str], key_hash: str, *user_ids: str) -> Denial | None:
    """Why a caller is refused whom the configuration blocks: their key, its owner or the end user."""
    if not blocked:
        return None
    if key_hash in blocked:
        return Denial(DenialReason.KEY_BLOCKED, "This key is blocked.")
    if any(user_id and sha256(user_id.encode()).hexdigest() in blocked for user_id in user_ids):
        return Denial(DenialReason.KEY_BLOCKED, "This user is blocked.")
    return None


def blocked_since(account_id: str) -> Denial:
    """Why a call that was admitted gets no more: `account_id` was blocked meanwhile, or its key deleted."""
    kind, identity, _ = split_account(account_id)
    if kind == "key":
        return Denial(DenialReason.KEY_BLOCKED, "This key was blocked or deleted.")
    return Denial(DenialReason.ACCOUNT_BLOCKED, f"This {kind} is blocked: {identity}.")


def key_denial(key: KeyRecord, now: datetime) -> Denial | None:
    """Why the key may not be used at all."""
    if key.blocked:
        return Denial(DenialReason.KEY_BLOCKED, "This key is blocked.")
    if key.expires_at is not None and key.expires_at <= now:
        expired = key.expires_at.isoformat(timespec="seconds")
        return Denial(DenialReason.KEY_EXPIRED, f"This key expired at {expired}.")
    return None


def route_denial(key: KeyRecord, route: str) -> Denial | None:
    """Why the key may not call this path."""
    if route_allowed(key.allowed_routes, route):
        return None
    names = ", ".join(key.allowed_routes[:ROUTES_NAMED_MAX])
    more = ", ..." if len(key.allowed_routes) > ROUTES_NAMED_MAX else ""
    message = f"This key may not call {route or 'this route'}. It may call: {names}{more}."
    return Denial(DenialReason.ROUTE_NOT_ALLOWED, message)


def unknown_key() -> Denial:
    """For a key that nobody made, or that was deleted."""
    return Denial(DenialReason.KEY_UNKNOWN, "This key is not known.")


def team_of(records: Iterable[AccountRecord]) -> TeamRules:
    """What the team among the accounts of a call says; there is one at most."""
    return next((record.team for record in records if record.team is not NO_TEAM_RULES), NO_TEAM_RULES)


def resolve_model(
    key: KeyRecord | None, requested: str, public: PublicNames, team: TeamRules = NO_TEAM_RULES
) -> str:
    """The model behind the team's alias and, of that, behind the key's: LiteLLM's order."""
    if key is None:
        return requested
    return _behind(key.aliases, _behind(team.aliases, requested, public), public)


def _behind(aliases: Mapping[str, str], requested: str, public: PublicNames) -> str:
    """Also the other way round: deployments exist that write {"model": "alias"}, so the name of nobody's
    model that is an alias' value means the alias' key."""
    if not aliases:
        return requested
    if requested in aliases:
        return aliases[requested]
    if not public.knows(requested):
        for model, alias in aliases.items():
            if alias == requested and public.knows(model):
                return model
    return requested


def may_use(models: Sequence[str], requested: str, resolved: str, public: PublicNames) -> bool:
    """Whether a list of models allows the model by the name that was asked for, by the one it stands for,
    by an access group or by a pattern. Whoever made the key wrote both the list and the aliases."""
    if not models or not ALL_MODELS.isdisjoint(models):
        return True
    names = {requested, resolved} | _access_groups(public, resolved)
    if not names.isdisjoint(models):
        return True
    patterns = [name for name in models if is_pattern(name)]
    return any(matched_text(pattern, name) is not None for pattern in patterns for name in names)


def _access_groups(public: PublicNames, model: str) -> frozenset[str]:
    """Names besides its own under which a key may be allowed the model (model_info.access_groups)."""
    group = public.find(model)
    found: set[str] = set()
    for deployment in group.deployments if group is not None else ():
        groups = deployment.model_info.get("access_groups")
        if isinstance(groups, Sequence) and not isinstance(groups, str):
            found.update(str(each) for each in groups)
    return frozenset(found)


def _model_denial(who: str, models: Sequence[str], requested: str) -> Denial:
    names = ", ".join(models[:MODELS_NAMED_MAX])
    more = ", ..." if len(models) > MODELS_NAMED_MAX else ""
    return Denial(
        DenialReason.MODEL_NOT_ALLOWED,
        f"{who} may not use the model {requested!r}. It may use: {names}{more}.",
    )


def has_budget(scopes: Sequence[Scope]) -> bool:
    """Whether a budget applies."""
    return any(scope.has_budget and scope.record.has_budget for scope in scopes)


def limited_models(scopes: Sequence[Scope]) -> frozenset[str]:
    """The models that have limits of their own."""
    return frozenset().union(*(scope.record.limited_models for scope in scopes))


def needs_price(scopes: Sequence[Scope], policy: AdmissionPolicy) -> bool:
    """Whether a model without a price is refused."""
    return has_budget(scopes) if policy.require_pricing is None else policy.require_pricing


def price_unknown(model: str) -> Denial:
    """For a model of which a deployment has no price, where one is required."""
    return Denial(
        DenialReason.PRICE_UNKNOWN,
        f"The price of the model {model!r} is not known, so its cost cannot be held to a budget; "
        "set input_cost_per_token and output_cost_per_token for it.",
    )


def offer(
    command: ReserveCommand, model: str, price_needed: bool, policy: AdmissionPolicy, moment: Moment
) -> Offer | Denial:
    """What a call to this model may cost; a denial when that is not known and has to be."""
    prices = policy.prices.of_model(model, moment.now)
    if price_needed and not prices.complete:
        return price_unknown(model)
    each_tokens = command.max_output_tokens
    if each_tokens is None:
        each_tokens = moment.usual_output_tokens(command.principal.key_hash, model)
        if each_tokens is None:
            each_tokens = policy.default_output_tokens
    output_tokens = command.choice_count * each_tokens
    estimate = dearest(prices, command.prompt_tokens, output_tokens)
    if estimate.total > COST_NANOS_MAX:
        raise _too_large(command)
    least_output_tokens = min(output_tokens, command.choice_count * LEAST_OUTPUT_TOKENS)
    least_nanos = None
    if command.can_top_up:
        least_nanos = dearest(prices, command.prompt_tokens, least_output_tokens).total
    is_guess = command.can_top_up or command.max_output_tokens is None
    return Offer(
        model,
        estimate,
        output_tokens,
        least_nanos,
        command.prompt_tokens + least_output_tokens if is_guess else None,
        prices,
    )


def dearest(prices: ModelPrices, prompt_tokens: int, output_tokens: int) -> Cost:
    """The most that a call of this size may cost, whoever of those serves it."""
    estimates = [highest_cost(price, prompt_tokens, output_tokens) for price in prices.prices]
    if len(estimates) == 1:
        return estimates[0]
    return max(estimates, key=lambda cost: cost.total, default=Cost())


def covered_output_tokens(prices: ModelPrices, prompt_tokens: int, nanos: int, most: int) -> int:
    """How many output tokens a hold of `nanos` pays for, at most `most`."""
    fewest = 0
    while fewest < most:
        middle = (fewest + most + 1) // 2
        if dearest(prices, prompt_tokens, middle).total <= nanos:
            fewest = middle
        else:
            most = middle - 1
    return fewest


def _too_large(command: ReserveCommand) -> MeshError:
    field = "prompt_tokens" if command.max_output_tokens is None else "max_output_tokens"
    return invalid_field(field, f"a call may not cost more than {usd(COST_NANOS_MAX)} USD")

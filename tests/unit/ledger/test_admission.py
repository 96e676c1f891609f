"""The rules that decide before PostgreSQL does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from meshgate_chassis.config.model import DeploymentPrice
from meshgate_chassis.errors import MeshError
from meshgate_ledger.admission import (
    AdmissionPolicy,
    Moment,
    Offer,
    covered_output_tokens,
    dearest,
    needs_price,
    offer,
    refusal,
    resolve_model,
)
from meshgate_ledger.denials import limit_denial
from meshgate_ledger.limits import LimitNow
from meshgate_ledger.price import Cost
from meshgate_ledger.records import AccountRecord, Denial, DenialReason, KeyRecord, ReserveCommand
from meshgate_ledger.scopes import Scope
from tests.unit.ledger.subject import (
    DEPLOYMENTS,
    MASTER,
    OPEN,
    PRICE,
    deployment,
    key_hash,
    policy,
    principal,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
POLICY = policy(
    (
        *DEPLOYMENTS,
        deployment("grouped", price=PRICE, model_info={"access_groups": ["beta"]}),
        deployment("openai/*", price=PRICE),
        deployment("dear_enough", price=DeploymentPrice(10**12, 10**12)),
        deployment("twice", price=PRICE),
        deployment("twice", price=DeploymentPrice(3_000_000, 5_000_000), number=2),
    )
)


def ask(key: KeyRecord | None, model: str = "paid", **command: object) -> Offer | Denial:
    caller = MASTER if key is None else principal(1)
    asked = ReserveCommand("r", caller, model, **command)  # type: ignore[arg-type]
    return judge(asked, key, (), POLICY, Moment(NOW))


def judge(
    command: ReserveCommand,
    known: KeyRecord | None,
    scopes: tuple[Scope, ...],
    rules: AdmissionPolicy,
    moment: Moment,
) -> Offer | Denial:
    """All rules in their order."""
    denial = refusal(command, known, scopes, rules, moment.now)
    model = resolve_model(known, command.model, rules.names)
    return denial or offer(command, model, needs_price(scopes, rules), rules, moment)


def key(**rules: object) -> KeyRecord:
    return KeyRecord(key_hash(1), **rules)  # type: ignore[arg-type]


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def reason(verdict: Offer | Denial) -> DenialReason | None:
    return verdict.reason if isinstance(verdict, Denial) else None


def test_a_hold_covers_prompt_and_output() -> None:
    """The prompt once, the output for each choice; without a limit of the caller's, the default."""
    for asked, cost, output_tokens in (
        ({"prompt_tokens": 100, "max_output_tokens": 20}, Cost(input=100, output=200), 20),
        (
            {"prompt_tokens": 100, "max_output_tokens": 20, "choice_count": 3},
            Cost(input=100, output=600),
            60,
        ),
        ({}, Cost(output=1_000), 100),
        ({"max_output_tokens": 0}, Cost(), 0),
    ):
        verdict = ask(key(), **asked)
        assert isinstance(verdict, Offer)
        assert (cost, output_tokens) == (verdict.estimate, verdict.output_tokens)


def test_what_is_learned_of_answers_is_held() -> None:
    """Instead of the default, and only when the caller does not say."""
    moment = Moment(
        NOW, lambda key_hash, model: 33 if (key_hash, model) == (principal(1).key_hash, "paid") else None
    )
    for most, expected in ((None, 33), (20, 20)):
        verdict = judge(
            ReserveCommand("r", principal(1), "paid", max_output_tokens=most), key(), (), POLICY, moment
        )
        assert isinstance(verdict, Offer)
        assert expected == verdict.output_tokens


def test_the_least_that_a_stream_needs() -> None:
    """The prompt and 64 tokens of each choice, or all of it; nothing less for who cannot top up."""
    for asked, expected in (
        ({"can_top_up": True, "max_output_tokens": 1_000}, (110 + 640, 174)),
        ({"can_top_up": True, "max_output_tokens": 10}, (110 + 100, 120)),
        ({"can_top_up": True, "max_output_tokens": 1_000, "choice_count": 2}, (110 + 1_280, 238)),
        ({"max_output_tokens": 1_000}, (None, None)),
        ({}, (None, 174)),  # nobody said how long the answer may be: tokens are a guess, money is not risked
    ):
        verdict = ask(key(), prompt_tokens=110, **asked)
        assert isinstance(verdict, Offer)
        assert expected == (verdict.least_nanos, verdict.least_tokens)


@pytest.mark.parametrize("nanos", [0, 99, 100, 109, 110, 111, 1_100, 10_000])
def test_covered_tokens(nanos: int) -> None:
    """As many as the money pays for, and not one more."""
    prices = POLICY.prices.of_model("paid", NOW)
    covered = covered_output_tokens(prices, 100, nanos, 500)

    assert covered == max(0, min((nanos - 100) // 10, 500))
    assert covered == 0 or dearest(prices, 100, covered).total <= nanos


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (AccountRecord("team:t", 1, blocked=True), DenialReason.ACCOUNT_BLOCKED),
        (AccountRecord("team:t", 1, models=("free",)), DenialReason.MODEL_NOT_ALLOWED),
        (AccountRecord("team:t", 1, models=("paid",)), None),
        (AccountRecord("team:t", 1), None),
    ],
)
def test_the_rules_of_accounts(record: AccountRecord, expected: DenialReason | None) -> None:
    """Hold for every key of theirs, and for callers without a key."""
    for caller, known in ((principal(1), key()), (MASTER, None)):
        verdict = judge(ReserveCommand("r", caller, "paid"), known, (Scope(record),), POLICY, Moment(NOW))
        assert expected is reason(verdict)


def test_a_users_models_are_not_for_a_teams_keys() -> None:
    """But a blocked user is blocked everywhere."""
    scopes = (Scope(AccountRecord("user:u", 1, models=("free",)), has_budget=False),)
    command = ReserveCommand("r", principal(1), "paid")
    assert reason(judge(command, key(), scopes, POLICY, Moment(NOW))) is None
    scopes = (Scope(AccountRecord("user:u", 1, blocked=True), has_budget=False),)
    assert DenialReason.ACCOUNT_BLOCKED is reason(judge(command, key(), scopes, POLICY, Moment(NOW)))


@pytest.mark.parametrize("has_budget", [True, False])
def test_a_price_is_needed_where_a_budget_applies(has_budget: bool) -> None:
    """Anybody's of the call's accounts."""
    scopes = (Scope(AccountRecord("user:u", 1, has_budget=True), has_budget),)
    verdict = judge(ReserveCommand("r", principal(1), "unpriced"), key(), scopes, POLICY, Moment(NOW))
    assert reason(verdict) is (DenialReason.PRICE_UNKNOWN if has_budget else None)


def test_a_hold_is_for_the_dearest_deployment() -> None:
    """Of this call: who is dear for prompts may be cheap for answers."""
    assert Cost(input=300, output=5) == _estimate(ask(key(), "twice", prompt_tokens=100, max_output_tokens=1))
    assert Cost(input=1, output=1_000) == _estimate(
        ask(key(), "twice", prompt_tokens=1, max_output_tokens=100)
    )


def test_a_call_cannot_cost_more_than_a_million() -> None:
    """Refused by name, so that no sum overflows."""
    with pytest.raises(MeshError) as caught:
        ask(None, max_output_tokens=10**9, choice_count=128, prompt_tokens=10**9, model="dear_enough")
    assert ["max_output_tokens"] == list(caught.value.fields)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"blocked": True}, DenialReason.KEY_BLOCKED),
        ({"expires_at": NOW}, DenialReason.KEY_EXPIRED),
        ({"expires_at": NOW - timedelta(days=1), "blocked": True}, DenialReason.KEY_BLOCKED),
        ({"expires_at": NOW + timedelta(microseconds=1)}, None),
        ({"models": ("free",)}, DenialReason.MODEL_NOT_ALLOWED),
        ({"models": ("free", "paid")}, None),
        ({"models": ("*",)}, None),
        ({"models": ("all-proxy-models",)}, None),
    ],
    ids=str,
)
def test_the_keys_own_rules(rules: dict[str, object], expected: DenialReason | None) -> None:
    """In their order."""
    assert expected is reason(ask(key(**rules)))


@pytest.mark.parametrize(
    ("blocked", "expected"),
    [
        (key_hash(1), DenialReason.KEY_BLOCKED),
        (sha("owner"), DenialReason.KEY_BLOCKED),
        (sha("end user"), DenialReason.KEY_BLOCKED),
        (sha(key_hash(1)), None),
        (sha("somebody else"), None),
        (sha(""), None),
    ],
)
def test_whom_the_configuration_blocks(blocked: str, expected: DenialReason | None) -> None:
    """By key, by its owner or by end user; whoever has no name is not the user without a name."""
    rules = replace(POLICY, blocked=frozenset({blocked}))
    owned = key(user_id="owner")
    command = ReserveCommand("r", principal(1), "paid", end_user="end user")

    assert expected is reason(judge(command, owned, (), rules, Moment(NOW)))
    assert reason(judge(command._replace(end_user=""), key(), (), rules, Moment(NOW))) is (
        DenialReason.KEY_BLOCKED if blocked == key_hash(1) else None
    )


def test_whom_the_configuration_blocks_without_a_key() -> None:
    """End users of the master key and of open mode as well, and a master key that is on the list."""
    rules = replace(POLICY, blocked=frozenset({sha("end user")}))
    for caller in (MASTER, OPEN):
        command = ReserveCommand("r", caller, "paid", end_user="end user")
        assert DenialReason.KEY_BLOCKED is reason(judge(command, None, (), rules, Moment(NOW)))
        assert reason(judge(command._replace(end_user="other"), None, (), rules, Moment(NOW))) is None
    rules = replace(POLICY, blocked=frozenset({MASTER.key_hash}))
    assert DenialReason.KEY_BLOCKED is reason(
        judge(ReserveCommand("r", MASTER, "paid"), None, (), rules, Moment(NOW))
    )


def test_the_master_key_may_use_everything() -> None:
    """That exists."""
    assert reason(ask(None, "unpriced")) is None
    assert DenialReason.MODEL_NOT_FOUND is reason(ask(None, "nobody-serves-this"))


def test_a_model_that_nobody_serves() -> None:
    """Is not found; a key that may not use it is not told so much."""
    missing = ask(key(), "nobody-serves-this")
    assert isinstance(missing, Denial)
    assert DenialReason.MODEL_NOT_FOUND is missing.reason
    assert "Model not found" in missing.message
    assert "Invalid model name passed in model=nobody-serves-this" in missing.message
    assert DenialReason.MODEL_NOT_ALLOWED is reason(ask(key(models=("paid",)), "nobody-serves-this"))
    assert DenialReason.MODEL_NOT_FOUND is reason(ask(key(aliases={"paid": "gone"}), "paid"))


@pytest.mark.parametrize(
    ("aliases", "requested", "resolved"),
    [
        ({"fast": "paid"}, "fast", "paid"),
        ({"fast": "paid"}, "paid", "paid"),
        ({"paid": "fast"}, "fast", "paid"),  # written the other way round
        ({"paid": "free"}, "free", "free"),  # a known model is never taken for an alias
        ({"free": "paid"}, "free", "paid"),  # but an alias may hide one
    ],
)
def test_aliases(aliases: dict[str, str], requested: str, resolved: str) -> None:
    """Both directions."""
    verdict = ask(key(aliases=aliases), requested)
    assert isinstance(verdict, Offer)
    assert resolved == verdict.resolved_model


@pytest.mark.parametrize(
    ("models", "requested", "allowed"),
    [
        (("paid",), "fast", True),  # by the name it stands for
        (("fast",), "fast", True),  # by the name that was asked for
        (("free",), "fast", False),
        (("beta",), "grouped", True),  # by its access group
        (("beta",), "paid", False),
        (("openai/*",), "openai/o3", True),
        (("openai/*",), "paid", False),
        (("openai/o3",), "openai/o4", False),
    ],
)
def test_model_lists(models: tuple[str, ...], requested: str, allowed: bool) -> None:
    """Names, aliases, access groups, patterns."""
    verdict = ask(key(models=models, aliases={"fast": "paid"}), requested)
    assert allowed is isinstance(verdict, Offer)


def test_a_denied_model_names_a_bounded_list() -> None:
    """Not a thousand names in one sentence."""
    verdict = ask(key(models=tuple(f"m{number}" for number in range(1_000))))
    assert isinstance(verdict, Denial)
    assert "m19, ..." in verdict.message
    assert "m20" not in verdict.message


def test_the_words_of_an_exceeded_budget() -> None:
    """Clients of LiteLLM look for these."""
    limit = LimitNow("team:t", "spend", "", 110_000_000, 100_000_000)
    message = limit_denial(limit, 20_000_000, 0, NOW).message

    assert "Budget has been exceeded! Team=t Current cost: 0.1, Max budget: 0.11" in message
    assert "Budget exceeded" in message


def test_the_words_of_an_exceeded_rate() -> None:
    """And when to come again."""
    limit = LimitNow("user:u|model:m", "requests", "60s", 5, 5, ends_at=NOW + timedelta(seconds=7.5))
    denial = limit_denial(limit, 0, 0, NOW)

    assert denial.message == (
        "Rate limit exceeded for user: u. Model: m. Limit type: requests. Current limit: 5, Remaining: 0. "
        "Limit resets at: 2026-11-21 00:00:07 UTC."
    )
    assert (DenialReason.RATE_LIMITED, 7.5) == (denial.reason, denial.retry_after_s)
    parallel = limit_denial(LimitNow("gateway", "parallel", "", 1, 1), 0, 0, NOW)
    assert (DenialReason.PARALLEL_LIMITED, 1.0) == (parallel.reason, parallel.retry_after_s)


def _estimate(verdict: Offer | Denial) -> Cost:
    assert isinstance(verdict, Offer)
    return verdict.estimate

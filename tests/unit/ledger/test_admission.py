"""The rules that decide before PostgreSQL does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from meshgate_chassis.config.model import DeploymentPrice
from meshgate_chassis.errors import MeshError
from meshgate_ledger.admission import Offer, budget_denial, judge, would_exceed
from meshgate_ledger.price import Cost
from meshgate_ledger.records import Denial, DenialReason, KeyRecord, ReserveCommand
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
    return judge(ReserveCommand("r", caller, model, **command), key, POLICY, NOW)  # type: ignore[arg-type]


def key(**rules: object) -> KeyRecord:
    return KeyRecord(key_hash(1), **rules)  # type: ignore[arg-type]


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def reason(verdict: Offer | Denial) -> DenialReason | None:
    return verdict.reason if isinstance(verdict, Denial) else None


def test_a_hold_covers_prompt_and_output() -> None:
    """The prompt once, the output for each choice; without a limit of the caller's, the default."""
    assert Offer("paid", Cost(input=100, output=200), 20) == ask(
        key(), prompt_tokens=100, max_output_tokens=20
    )
    assert Offer("paid", Cost(input=100, output=600), 60) == ask(
        key(), prompt_tokens=100, max_output_tokens=20, choice_count=3
    )
    assert Offer("paid", Cost(output=1_000), 100) == ask(key())
    assert Offer("paid", Cost(), 0) == ask(key(), max_output_tokens=0)


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

    assert expected is reason(judge(command, owned, rules, NOW))
    assert reason(judge(replace(command, end_user=""), key(), rules, NOW)) is (
        DenialReason.KEY_BLOCKED if blocked == key_hash(1) else None
    )


def test_whom_the_configuration_blocks_without_a_key() -> None:
    """End users of the master key and of open mode as well, and a master key that is on the list."""
    rules = replace(POLICY, blocked=frozenset({sha("end user")}))
    for caller in (MASTER, OPEN):
        command = ReserveCommand("r", caller, "paid", end_user="end user")
        assert DenialReason.KEY_BLOCKED is reason(judge(command, None, rules, NOW))
        assert reason(judge(replace(command, end_user="other"), None, rules, NOW)) is None
    rules = replace(POLICY, blocked=frozenset({MASTER.key_hash}))
    assert DenialReason.KEY_BLOCKED is reason(judge(ReserveCommand("r", MASTER, "paid"), None, rules, NOW))


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


@pytest.mark.parametrize(
    ("numbers", "exceeded"),
    [
        ((0, 0, 10, 10), False),
        ((0, 0, 11, 10), True),
        ((5, 5, 0, 10), False),
        ((5, 5, 1, 10), True),
        ((5, 6, 0, 10), True),
        ((0, 0, 0, 0), False),
        ((10**17, 10**17, 10**15, None), False),
        ((10**18, 0, 1, None), True),
    ],
)
def test_the_budget(numbers: tuple[int, int, int, int | None], exceeded: bool) -> None:
    """Posted plus held plus the new hold is at most the limit."""
    assert exceeded is would_exceed(*numbers)


def test_the_words_of_an_exceeded_budget() -> None:
    """Clients of LiteLLM look for these."""
    message = budget_denial(100_000_000, 20_000_000, 110_000_000).message

    assert "Budget has been exceeded! Current cost: 0.1, Max budget: 0.11" in message
    assert "Budget exceeded" in message


def _estimate(verdict: Offer | Denial) -> Cost:
    assert isinstance(verdict, Offer)
    return verdict.estimate

"""What the configuration says of keys that are to be made."""

from decimal import Decimal

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_edge.http_key_models import GenerateKeyRequest
from meshgate_edge.key_rules import KeyRules

RULES = KeyRules(
    {"max_budget": 5, "models": ["gpt"], "rpm_limit": 3},
    {"max_budget": 10, "duration": "30d", "rpm_limit": 10},
)


def test_what_is_not_given_gets_the_default_else_the_bound() -> None:
    """Null is not given."""
    asked = RULES.applied(GenerateKeyRequest(models=None, rpm=7))

    assert (5, ["gpt"], 7, "30d") == (asked.max_budget, asked.models, asked.rpm_limit, asked.duration)
    assert asked.rpm is None


def test_what_is_given_stays() -> None:
    """Up to the bound, and with every digit."""
    asked = GenerateKeyRequest(max_budget=Decimal("9.999999999"), duration="29d", key_alias="a")
    applied = RULES.applied(asked)

    assert (Decimal("9.999999999"), "29d", "a") == (applied.max_budget, applied.duration, applied.key_alias)


@pytest.mark.parametrize(
    ("members", "path"),
    [({"max_budget": 10.01}, "max_budget"), ({"duration": "2mo"}, "duration"), ({"rpm": 11}, "rpm_limit")],
)
def test_more_than_the_bound_is_refused(members: dict[str, object], path: str) -> None:
    """By its name."""
    with pytest.raises(MeshError) as caught:
        RULES.applied(GenerateKeyRequest(**members))

    assert [path] == list(caught.value.fields)


def test_without_rules_nothing_changes() -> None:
    """Not even what counts as given."""
    asked = GenerateKeyRequest(models=None)

    assert asked is KeyRules({}, {}).applied(asked)


@pytest.mark.parametrize(
    ("defaults", "bounds"),
    [
        ({"max_budget": "much"}, {}),
        ({"max_budget": 2}, {"max_budget": 1}),
        ({}, {"metadata": {}}),
        ({}, {"duration": "x"}),
    ],
)
def test_rules_that_no_key_could_keep_stop_the_start(
    defaults: dict[str, object], bounds: dict[str, object]
) -> None:
    """Rather than the first /key/generate."""
    with pytest.raises(MeshError, match="SETTINGS_INVALID"):
        KeyRules(defaults, bounds)

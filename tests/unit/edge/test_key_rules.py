"""What the configuration says of keys that are to be made."""

from decimal import Decimal
from typing import Any

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.management.key_models import GenerateKeyRequest
from meshgate_edge.management.key_rules import KeyRules

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


GENERATION = {
    "team_key_generation": {"allowed_team_member_roles": ["admin"], "required_params": ["tags"]},
    "personal_key_generation": {"allowed_user_roles": ["proxy_admin"], "required_params": ["key_alias"]},
}


@pytest.mark.parametrize(
    ("members", "missing"),
    [
        ({"team_id": "t", "tags": ["x"]}, None),
        ({"team_id": "t", "tags": []}, "tags"),
        ({"team_id": "t", "key_alias": "a"}, "tags"),
        ({"key_alias": "a"}, None),
        ({"key_alias": ""}, "key_alias"),
        ({}, "key_alias"),
    ],
)
def test_members_that_a_new_key_needs(members: dict[str, Any], missing: str | None) -> None:
    """Of a team's key, and of any other; a default counts as given."""
    asked = GenerateKeyRequest(**members)
    rules = KeyRules({}, {}, GENERATION)
    if missing is None:
        rules.check(asked)
    else:
        with pytest.raises(MeshError) as caught:
            rules.check(asked)
        assert [missing] == list(caught.value.fields)
        with_default = KeyRules({missing: "x" if missing == "key_alias" else ["x"]}, {}, GENERATION)
        with_default.check(with_default.applied(asked.model_copy(update={missing: None})))


def test_keys_that_nobody_may_make() -> None:
    """Only admins make keys: a list of roles without theirs leaves nobody."""
    rules = KeyRules({}, {}, {"personal_key_generation": {"allowed_user_roles": ["internal_user"]}})
    with pytest.raises(MeshError) as caught:
        rules.check(GenerateKeyRequest())
    assert Code.PERMISSION_DENIED is caught.value.code
    rules.check(GenerateKeyRequest(team_id="t"))


@pytest.mark.parametrize(
    "members", ["tags", {"required_params": "tags"}, {"allowed_user_roles": {"proxy_admin": True}}]
)
def test_nonsense_about_new_keys_is_found_at_the_start(members: object) -> None:
    """Not when somebody wants a key."""
    with pytest.raises(MeshError) as caught:
        KeyRules({}, {}, {"personal_key_generation": members})
    assert "SETTINGS_INVALID" == caught.value.reason

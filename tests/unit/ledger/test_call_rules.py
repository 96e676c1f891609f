"""What documents of keys and teams say of calls, whatever somebody wrote into them."""

import json

import pytest

from meshgate_ledger.call_rules import NO_RULES, NO_TEAM_RULES, CallRules, TeamRules, key_rules, team_rules
from meshgate_ledger.call_rules import together as rules_together


def test_settings_and_metadata_say_the_same() -> None:
    """Each name once, the settings' first."""
    settings = json.dumps({"enforced_params": ["user", "seed"], "allowed_cache_controls": ["ttl"]})
    metadata = json.dumps({"enforced_params": ["metadata.a", "user"]})
    assert CallRules(("user", "seed", "metadata.a"), ("ttl",)) == key_rules(settings, metadata)
    assert CallRules(("metadata.a", "user")) == key_rules("", metadata)
    assert CallRules() == key_rules("", json.dumps({"allowed_cache_controls": ["ttl"]}))


def test_a_team_has_aliases_and_adds_members() -> None:
    """To those of its keys."""
    team = team_rules(json.dumps({"model_aliases": {"a": "b"}, "enforced_params": ["seed", "user"]}), "")
    assert TeamRules({"a": "b"}, ("seed", "user")) == team
    assert CallRules(("user", "seed"), ("ttl",)) == rules_together(CallRules(("user",), ("ttl",)), team)
    key = CallRules(("user",))
    assert key is rules_together(key, TeamRules({"a": "b"}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '"enforced_params allowed_cache_controls model_aliases"',
        '{"enforced_params": "user", "allowed_cache_controls": {"a": 1}, "model_aliases": ["a"]}',
        '{"enforced_params": [1, null, "", "\\ud800"], "allowed_cache_controls": null}',
        '{"model_aliases": {"a": 1, "b": "", "c": "\\ud800", "\\u0000": "d"}}',
        "no JSON: enforced_params allowed_cache_controls model_aliases",
    ],
)
def test_what_has_another_shape_says_nothing(text: str) -> None:
    """A call is not refused for it, and nothing fails."""
    assert NO_RULES is key_rules(text, text)
    assert NO_TEAM_RULES is team_rules(text, text)

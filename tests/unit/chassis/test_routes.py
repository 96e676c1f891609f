"""Which paths `allowed_routes` leave to a key."""

import pytest

from meshgate_chassis.routes import KEY_TYPES, route_allowed


@pytest.mark.parametrize(
    ("rules", "route", "allowed"),
    [
        ((), "/anything", True),
        ((), "", True),
        (("*",), "/key/info", True),
        (("/chat/completions",), "/v1/chat/completions", True),
        (("/v1/chat/completions",), "/v1/chat/completions", True),
        (("/v1/chat/completions",), "/v1/completions", False),
        (("/v1/*",), "/v1/embeddings", True),
        (("/v1/*",), "/key/info", False),
        (("/key/*",), "/key/info", True),
        (("/key/*",), "/v1/key", False),
        (("/key/info",), "/key/info/more", False),
        (("/key/info",), "/key/information", False),
        (("llm_api_routes",), "/v1/models", True),
        (("llm_api_routes",), "/models/claude", True),
        (("llm_api_routes",), "/key/info", False),
        (("info_routes",), "/key/info", True),
        (("info_routes",), "/key/generate", False),
        (("info_routes",), "/v1/chat/completions", False),
        (("management_routes",), "/team/new", True),
        (("management_routes",), "/v1/chat/completions", False),
        (("management_routes", "openai_routes"), "/v1/chat/completions", True),
        (("spend_tracking_routes",), "/spend/logs", True),
        (("spend_tracking_routes",), "/global/spend", False),
        (("global_spend_tracking_routes",), "/global/spend/report", True),
        (("a_group_of_a_later_release",), "/key/info", False),
        (("chat/completions",), "/chat/completions", False),
        (("/v1/chat/completions",), "", False),
        (("",), "/key/info", False),
    ],
)
def test_rules(rules: tuple[str, ...], route: str, allowed: bool) -> None:
    """Paths, prefixes, groups; what is not understood allows nothing."""
    assert allowed is route_allowed(rules, route)


def test_key_types_differ() -> None:
    """Each word stands for other rules: the word can be told from them."""
    assert len(KEY_TYPES) == len(set(KEY_TYPES.values()))

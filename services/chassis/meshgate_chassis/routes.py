"""Which paths a key may call (`allowed_routes`): paths, prefixes and the names of LiteLLM's groups. Pure.

A rule only ever takes away: a key that may call a path still needs the rights that the path asks for. A rule
that is neither a path nor a known group allows nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
EMBEDDINGS: Final = "/v1/embeddings"

_CALLS: Final = ("/chat/completions", "/completions", "/embeddings", "/models", "/models/*")
_KEYS: Final = ("/key/*", "/v2/key/*")
_MANAGEMENT: Final = (
    *_KEYS,
    *("/user/*", "/team/*", "/v2/team/*", "/organization/*", "/customer/*", "/end_user/*", "/budget/*"),
    *("/budget", "/tag/*", "/credentials", "/credentials/*", "/model/*", "/cache/*"),
)
_SPEND: Final = ("/spend/*",)
_GLOBAL_SPEND: Final = ("/global/*", "/usage/*")

GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "llm_api_routes": _CALLS,
    "openai_routes": _CALLS,
    "info_routes": (
        *("/key/info", "/v2/key/info", "/key/list", "/key/health", "/user/info", "/team/info", "/team/list"),
        *("/v2/team/list", "/organization/list", "/models", "/models/*", "/health"),
        *("/model/info", "/v2/model/info", "/model_group/info"),
    ),
    "key_management_routes": _KEYS,
    "management_routes": _MANAGEMENT,
    "spend_tracking_routes": _SPEND,
    "global_spend_tracking_routes": _GLOBAL_SPEND,
}
# LiteLLM's `key_type`; a key of another type has no rules.
KEY_TYPES: Final[Mapping[str, Sequence[str]]] = {
    "default": (),
    "llm_api": ("llm_api_routes",),
    "management": ("management_routes",),
    "read_only": ("info_routes",),
}


def route_allowed(rules: Sequence[str], route: str) -> bool:
    """Whether a key with these rules may call the path. Paths that are the same but for "/v1" are one."""
    if not rules:
        return True
    return any(_allows(part, route) for rule in rules for part in GROUPS.get(rule, (rule,)))


def _allows(rule: str, route: str) -> bool:
    if rule == "*":
        return True
    if not rule.startswith("/") or not route.startswith("/"):
        return False
    prefix = rule.removesuffix("*")
    if prefix == rule:
        return _plain(rule) == _plain(route)
    return route.startswith(prefix) or _plain(route).startswith(prefix)


def _plain(route: str) -> str:
    """Without the version of OpenAI's API, and without a slash at the end."""
    return route.removeprefix("/v1").rstrip("/") or "/"

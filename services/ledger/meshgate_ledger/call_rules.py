"""What a key and its team say of calls, read from the documents that are kept of them as given. Pure.

Names are LiteLLM's. `enforced_params` may also be a member of the metadata, where LiteLLM keeps it. What has
another shape than it should says nothing. The edge holds calls to these rules: only it knows the request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ALIASES: Final = "model_aliases"
ENFORCED: Final = "enforced_params"
CONTROLS: Final = "allowed_cache_controls"


@dataclass(frozen=True, slots=True)
class CallRules:
    """`enforced_params`: members that a call must have; `cache_controls`: those it may use, empty: all."""

    enforced_params: tuple[str, ...] = ()
    cache_controls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TeamRules:
    """`aliases`: requested name -> model, for the calls of all its keys."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    enforced_params: tuple[str, ...] = ()


NO_RULES: Final = CallRules()
NO_TEAM_RULES: Final = TeamRules()


def key_rules(settings_json: str, metadata_json: str) -> CallRules:
    """Of a key."""
    enforced = _enforced(settings_json, metadata_json)
    controls = _names(_members(settings_json, CONTROLS).get(CONTROLS))
    return CallRules(enforced, controls) if enforced or controls else NO_RULES


def team_rules(settings_json: str, metadata_json: str) -> TeamRules:
    """Of a team."""
    enforced = _enforced(settings_json, metadata_json)
    written = _members(settings_json, ALIASES).get(ALIASES)
    aliases = written if isinstance(written, dict) else {}
    aliases = {name: model for name, model in aliases.items() if _is_name(name) and _is_name(model)}
    return TeamRules(aliases, enforced) if enforced or aliases else NO_TEAM_RULES


def together(key: CallRules, team: TeamRules) -> CallRules:
    """What a call of the key has to keep to."""
    if not team.enforced_params:
        return key
    enforced = tuple(dict.fromkeys((*key.enforced_params, *team.enforced_params)))
    return CallRules(enforced, key.cache_controls)


def _enforced(settings_json: str, metadata_json: str) -> tuple[str, ...]:
    found = (_names(_members(text, ENFORCED).get(ENFORCED)) for text in (settings_json, metadata_json))
    return tuple(dict.fromkeys(name for names in found for name in names))


def _members(text: str, name: str) -> dict[str, Any]:
    """The document, if it may have the member at all."""
    if name not in text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _names(written: object) -> tuple[str, ...]:
    if not isinstance(written, list):
        return ()
    return tuple(name for name in written if _is_name(name))


def _is_name(written: object) -> bool:
    """Of no half characters either: they are JSON, and can not be sent."""
    return isinstance(written, str) and written != "" and written.isprintable()

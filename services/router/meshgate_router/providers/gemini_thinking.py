"""`reasoning_effort` and `thinking` -> Gemini's `thinkingConfig`: pure.

Gemini 2.5 takes budgets of tokens, Gemini 3 levels; older models do not think. An effort is a hint: where
a model cannot follow it, the nearest that it can is asked for.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.base import unfit

_VERSION: Final = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_BUDGETS: Final[Mapping[str, int]] = {"low": 1_024, "medium": 2_048, "high": 4_096, "xhigh": 8_192}
_LEVELS: Final[Mapping[str, str]] = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
_OFF: Final = ("none", "disable")
_EFFORTS: Final = ("minimal", *_BUDGETS)


def version_of(model: str) -> tuple[int, int]:
    """(2, 5) of gemini-2.5-flash; (0, 0) when the name does not tell."""
    match = _VERSION.search(model)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def thinking_config(model: str, source: JsonObject) -> JsonObject | None:
    """None: the model is left to itself. Raises ProviderError FIELD_INVALID."""
    thinking = source.get("thinking")
    if isinstance(thinking, dict):
        return _explicit(model, thinking)
    effort = source.get("reasoning_effort")
    if effort in (None, "default"):
        return None
    if effort not in _OFF and effort not in _EFFORTS:
        raise unfit("reasoning_effort", f"must be none, default or one of {', '.join(_EFFORTS)}")
    if not _thinks(model):
        return None
    if version_of(model) >= (3, 0):
        return {"includeThoughts": effort not in _OFF, "thinkingLevel": _level(model, effort)}
    budget = _BUDGETS.get(effort) or _least(model, off=effort in _OFF)
    return {"includeThoughts": effort not in _OFF, "thinkingBudget": budget}


def _explicit(model: str, thinking: Mapping[str, Any]) -> JsonObject | None:
    if thinking.get("type") == "disabled":
        return thinking_config(model, {"reasoning_effort": "none"})
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        return {"includeThoughts": True}
    return {"includeThoughts": budget != 0, "thinkingBudget": budget}


def _thinks(model: str) -> bool:
    """Aliases such as gemini-flash-latest name a recent model."""
    version = version_of(model)
    return version >= (2, 5) or "thinking" in model or (version == (0, 0) and "gemini" in model)


def _level(model: str, effort: str) -> str:
    if effort in _LEVELS:
        return _LEVELS[effort]
    return "low" if "pro" in model else "minimal"


def _least(model: str, *, off: bool) -> int:
    """The smallest budget of a model, which may be none at all."""
    if "pro" in model:
        return 128
    if off:
        return 0
    return 512 if "lite" in model else 1

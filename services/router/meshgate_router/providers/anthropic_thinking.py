"""`reasoning_effort` -> Anthropic's `thinking`: pure.

An explicit `thinking` goes through untouched. An effort is a hint: it never raises the limit the client
has set, and it gives way where Anthropic would refuse thinking (no room, a forced tool, a temperature, a
tool exchange whose own thinking was not sent back). Newer models think as much as an effort tells them.
"""

from collections.abc import Mapping
from typing import Any, Final

from meshgate_chassis.chat.json import JsonObject
from meshgate_router.providers.anthropic_models import knows_highest_effort, thinks_adaptively
from meshgate_router.providers.base import unfit

BUDGET_TOKENS_MIN: Final = 1_024
ANSWER_TOKENS: Final = 4_096  # room for the answer itself when the client set no limit
ADAPTIVE_MAX_TOKENS: Final = 16_384  # thoughts and answer, when the client set no limit
_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": BUDGET_TOKENS_MIN,
    "low": 1_024,
    "medium": 2_048,
    "high": 4_096,
    "xhigh": 8_192,
}


def set_thinking(body: JsonObject, source: JsonObject, *, limit_given: bool) -> None:
    """Sets `thinking` and, where it must grow, `max_tokens`. Raises ProviderError FIELD_INVALID."""
    thinking = body.get("thinking")
    if isinstance(thinking, dict):
        budget = thinking.get("budget_tokens")
        if isinstance(budget, int) and not limit_given:
            body["max_tokens"] = budget + ANSWER_TOKENS
        return
    effort = source.get("reasoning_effort")
    if effort in (None, "none", "default"):
        return
    if effort not in _BUDGETS:
        raise unfit("reasoning_effort", f"must be none, default or one of {', '.join(_BUDGETS)}")
    if thinks_adaptively(body["model"]):
        _set_effort(body, source, effort, limit_given=limit_given)
        return
    budget = _BUDGETS[effort]
    if limit_given:
        budget = min(budget, body["max_tokens"] // 2)  # the other half is for the answer
    if budget < BUDGET_TOKENS_MIN or _is_refused(source) or _thoughts_are_missing(body["messages"]):
        return
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if not limit_given:
        body["max_tokens"] = budget + ANSWER_TOKENS


def _set_effort(body: JsonObject, source: JsonObject, effort: str, *, limit_given: bool) -> None:
    if effort == "xhigh" and not knows_highest_effort(body["model"]):
        effort = "high"
    given = body.get("output_config")
    given = given if isinstance(given, dict) else {}
    body["output_config"] = {"effort": "low" if effort == "minimal" else effort, **given}
    if _is_refused(source):
        return
    body["thinking"] = {"type": "adaptive"}
    if not limit_given:
        body["max_tokens"] = ADAPTIVE_MAX_TOKENS


def _is_refused(source: JsonObject) -> bool:
    return _tool_is_forced(source) or source.get("temperature") not in (None, 1)


def _tool_is_forced(source: JsonObject) -> bool:
    choice = source.get("tool_choice")
    return choice == "required" or (isinstance(choice, dict) and choice.get("type") not in ("auto", "none"))


def _thoughts_are_missing(messages: list[Any]) -> bool:
    """The last turn of the model used tools, and its thinking blocks were not sent back with it."""
    for message in reversed(messages):
        if message["role"] == "assistant":
            kinds = {block.get("type") for block in message["content"]}
            return "tool_use" in kinds and not kinds & {"thinking", "redacted_thinking"}
    return False

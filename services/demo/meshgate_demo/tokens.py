"""A token count that is simple, deterministic and the same everywhere: a token is one piece of a split.

Invariant: "".join(pieces(text)) == text.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

MESSAGE_TOKENS = 4  # what a message costs besides its text
IMAGE_TOKENS = 85  # what a part that is not text costs

_PIECE = re.compile(r"\s*[^\W_]{1,7}|\s*[\W_]|\s+")


def pieces(text: str) -> tuple[str, ...]:
    """Words of at most seven letters or digits, and single other characters, with the space before them."""
    return tuple(_PIECE.findall(text))


def count(text: str) -> int:
    return len(pieces(text))


def count_messages(messages: list[Mapping[str, Any]], tools: list[Any]) -> int:
    """Prompt tokens of messages (either API's) and of the tools given with them."""
    total = sum(MESSAGE_TOKENS + _count_content(message.get("content")) for message in messages)
    for message in messages:
        for call in message.get("tool_calls") or ():
            total += count(json.dumps(call, sort_keys=True))
    return total + (count(json.dumps(tools, sort_keys=True)) if tools else 0)


def _count_content(content: object) -> int:
    if isinstance(content, str):
        return count(content)
    if not isinstance(content, list):
        return 0
    return sum(_count_part(part) for part in content)


def _count_part(part: object) -> int:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return count(part["text"])
    if isinstance(part, dict) and part.get("type") in {"tool_use", "tool_result"}:
        return count(json.dumps(part, sort_keys=True))
    return IMAGE_TOKENS

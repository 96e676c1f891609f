"""Ids that a provider does not give: made of what it said, so that a translation stays pure."""

import hashlib
from typing import Final

_DIGITS: Final = 28


def call_id(*said: object) -> str:
    """Of a tool call; `said` must tell it from every other call of the conversation."""
    return f"call_{_digest(said)}"


def chat_id(*said: object) -> str:
    """Of an answer."""
    return f"chatcmpl-{_digest(said)}"


def _digest(said: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(said).encode("utf-8", "replace")).hexdigest()[:_DIGITS]

"""One conversation compressed: plan, shorten, count. Runs in a worker process.

Invariants: pure but for the tokenizer; as many messages and parts come back as were given; the
result has fewer tokens than the conversation, or it is the conversation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from meshgate_compression.candidates import Count
from meshgate_compression.compressor import COMPRESSORS, Compressor
from meshgate_compression.messages import Message, plan
from meshgate_compression.policy import Policy


class Reason(StrEnum):
    """Why a conversation was not compressed."""

    NONE = ""
    BELOW_MINIMUM = "BELOW_MINIMUM"
    NOTHING_TO_GAIN = "NOTHING_TO_GAIN"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`messages`: shortened; empty iff there is a reason. Tokens are those of the texts.

    `message_tokens_before` and `_after`: of each message; empty iff there is a reason.
    """

    messages: tuple[Message, ...]
    tokens_before: int
    tokens_after: int
    reason: Reason = Reason.NONE
    message_tokens_before: tuple[int, ...] = ()
    message_tokens_after: tuple[int, ...] = ()


def compress_conversation(
    messages: Sequence[Message],
    policy: Policy,
    compressor: str,
    count: Count,
    compressors: Mapping[str, Compressor | None] = COMPRESSORS,
) -> Outcome:
    """`compressor`: a name in `compressors`."""
    count = remembering(count)
    tokens = [sum(count(part.text) for part in m.parts if part.text) for m in messages]
    before = sum(tokens)
    shorten = compressors[compressor]
    if shorten is None:
        return Outcome((), before, before, Reason.DISABLED)
    if before < policy.min_tokens:
        return Outcome((), before, before, Reason.BELOW_MINIMUM)
    result = list(messages)
    tokens_after = list(tokens)
    for passage in plan(messages, tokens, policy):
        texts = shorten(passage, count)
        for place, section, text in zip(passage.places, passage.sections, texts, strict=True):
            if text != section.text:
                result[place.message] = _with_text(result[place.message], place.part, text)
                tokens_after[place.message] += count(text) - count(section.text)
    after = sum(tokens_after)
    if after >= before:
        return Outcome((), before, before, Reason.NOTHING_TO_GAIN)
    return Outcome(
        tuple(result),
        before,
        after,
        message_tokens_before=tuple(tokens),
        message_tokens_after=tuple(tokens_after),
    )


def remembering(count: Count) -> Count:
    """The same counts, each text counted once; for one conversation, so that nothing piles up."""
    known: dict[str, int] = {}

    def remembered(text: str) -> int:
        tokens = known.get(text)
        if tokens is None:
            tokens = known[text] = count(text)
        return tokens

    return remembered


def _with_text(message: Message, part: int, text: str) -> Message:
    parts = list(message.parts)
    parts[part] = replace(parts[part], text=text)
    return replace(message, parts=tuple(parts))

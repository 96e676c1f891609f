"""A provider's prompt cache, and what it makes of a bill: as OpenAI describes it, token by token.

Written apart from the guard it is used to judge: it looks at the tokens that are really sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rs_bpe.bpe import openai

from meshgate_protos.chat.v1 import chat_pb2 as chat

CACHEABLE_TOKENS_MIN = 1_024
NANOS_PER_UNIT = 1_000_000  # rates are for a million tokens


@dataclass
class CachingProvider:
    """Remembers every prompt; bills the longest prefix it has seen at the cached rate."""

    input_nanos_per_mtok: int
    cached_nanos_per_mtok: int
    spent_nanos: int = 0
    bills: list[int] = field(default_factory=list)
    cached: list[int] = field(default_factory=list)
    _seen: list[list[int]] = field(default_factory=list)

    def send(self, messages: Sequence[chat.Message]) -> int:
        """Answers nothing, and bills the prompt, in nano-USD."""
        tokens = tokens_of(messages)
        hit = max((_common(tokens, seen) for seen in self._seen), default=0)
        hit = hit if hit >= CACHEABLE_TOKENS_MIN else 0
        self._seen.append(tokens)
        fresh = len(tokens) - hit
        bill = (fresh * self.input_nanos_per_mtok + hit * self.cached_nanos_per_mtok) // NANOS_PER_UNIT
        self.cached.append(hit)
        self.bills.append(bill)
        self.spent_nanos += bill
        return bill


def tokens_of(messages: Sequence[chat.Message]) -> list[int]:
    """The tokens of a prompt; -1 separates messages."""
    tokenizer = openai.o200k_base()
    tokens: list[int] = []
    for message in messages:
        texts = [message.text, *(part.text.text for part in message.parts.parts)]
        tokens += [-1, *tokenizer.encode(f"{message.role}\n{''.join(texts)}")]
    return tokens


def _common(one: list[int], other: list[int]) -> int:
    length = min(len(one), len(other))
    return next((index for index in range(length) if one[index] != other[index]), length)

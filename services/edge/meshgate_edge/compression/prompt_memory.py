"""Which prompts went to a provider lately, and in which form: as given, or compressed. Digests only, no text.

A provider's prompt cache has what it was sent. So the edge remembers, for each prompt that compression was
wanted for, a chain of digests: one at the end of each message, one for each block inside long messages. The
longest known one says how much of a new prompt the provider has seen, and that must keep its form.

Invariants: bounded; a prompt nobody knows is taken to be cached as given up to its last answer: history that
was not compressed here. What is forgotten costs savings or one cache miss, never an error.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

BLOCK_CHARACTERS: Final = 4_096  # about the 1,024 tokens that providers cache from
DIGEST_BYTES: Final = 16
MARKS_MAX: Final = 50_000  # remembered; about 10 MB
ASSISTANT: Final = "assistant"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a prompt. `messages`: how many it covers, the last of them in part unless `whole`."""

    digest: bytes
    messages: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a prompt before it is compressed, in counts of its first messages.

    `first_touched`: those before it stay as given. `cached_given`, `cached_compressed`: those that the
    provider has in that form. `shared`: those that other prompts begin with as well; 0: the prompt continues
    its own conversation, or is the first. `repeats`: later calls to reckon with.
    """

    first_touched: int = 0
    cached_given: int = 0
    cached_compressed: int = 0
    shared: int = 0
    repeats: int = 1


@dataclass(slots=True)
class _Sent:
    """`first_touched`: the first message that was changed, None when none was. `ended`: a prompt ended here.
    `times`: prompts that came by."""

    first_touched: int | None
    ended: bool
    times: int


class PromptMemory:
    """The prompts of one edge."""

    def __init__(self, marks_max: int = MARKS_MAX) -> None:
        self._marks_max = marks_max
        self._sent: OrderedDict[bytes, _Sent] = OrderedDict()

    def outlook(self, marks: Sequence[Mark], messages: Sequence[chat_pb.Message]) -> Outlook:
        """What to expect of a prompt with these marks and messages."""
        answers = [index for index, message in enumerate(messages) if message.role == ASSISTANT]
        repeats = max(1, len(answers))  # A conversation is expected to go on as long as it has.
        for mark in reversed(marks):
            sent = self._sent.get(mark.digest)
            if sent is not None:
                return _known(mark, sent, repeats, _finished_turns(messages, mark))
        last = answers[-1] if answers else 0
        return Outlook(first_touched=last, cached_given=last, repeats=repeats)

    def remember(self, marks: Sequence[Mark], first_touched: int | None) -> None:
        """A prompt is sent now. `first_touched`: the first message that was changed; None: none was."""
        for mark in marks:
            sent = self._sent.pop(mark.digest, None)
            ended = mark is marks[-1] or (sent is not None and sent.ended)
            times = 1 if sent is None else sent.times + 1
            self._sent[mark.digest] = _Sent(first_touched, ended, times)
        while len(self._sent) > self._marks_max:
            self._sent.popitem(last=False)

    def __len__(self) -> int:
        return len(self._sent)


def _known(mark: Mark, sent: _Sent, repeats: int, finished: int) -> Outlook:
    covered = mark.messages
    first = sent.first_touched
    if first is None or first >= covered:
        return Outlook(first_touched=covered, cached_given=covered, repeats=repeats)
    stable = covered if sent.ended else finished
    if stable > first:
        return Outlook(first, cached_given=first, cached_compressed=stable, repeats=repeats)
    return Outlook(first, cached_given=first, shared=covered, repeats=sent.times)


def _finished_turns(messages: Sequence[chat_pb.Message], mark: Mark) -> int:
    """Messages up to the last answer before the mark: whatever follows, they are compressed alike."""
    whole = mark.messages if mark.whole else mark.messages - 1
    return max((n for n in range(1, whole + 1) if messages[n - 1].role == ASSISTANT), default=0)


def marks_of(scope: str, messages: Sequence[chat_pb.Message]) -> list[Mark]:
    """The marks of a prompt, in order. `scope`: all that the form of a prompt and its cache depend on
    besides the messages: tenant, model, policy."""
    chain = hashlib.blake2b(scope.encode(), digest_size=DIGEST_BYTES)
    marks: list[Mark] = []
    for number, message in enumerate(messages, 1):
        chain.update(f"\0{message.role}\0".encode())
        for block in _blocks(message):
            chain.update(block.encode())
            if len(block) == BLOCK_CHARACTERS:
                marks.append(Mark(chain.digest(), number, whole=False))
        chain.update(message.SerializeToString(deterministic=True))
        marks.append(Mark(chain.digest(), number, whole=True))
    return marks


def _blocks(message: chat_pb.Message) -> Iterator[str]:
    texts = [message.text] if message.WhichOneof("content") == "text" else []
    texts += [part.text.text for part in message.parts.parts if part.WhichOneof("part") == "text"]
    for text in texts:
        for start in range(0, len(text), BLOCK_CHARACTERS):
            yield text[start : start + BLOCK_CHARACTERS]

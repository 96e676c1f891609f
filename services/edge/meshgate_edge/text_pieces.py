"""Which chunks of a stream are as the one before but for their text: nearly all, and they are simple to tell,
to count and to keep. Pure.
"""

from typing import Final

from meshgate_chassis.chat.json import loads_object
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

LEARNED_MAX: Final = 8  # of one stream: who changes something else all the time is not learned again
_PLAIN_DELTA: Final = frozenset({"role", "content"})


class TextPieces:
    """Of one stream. Ask for each of its chunks, in order."""

    def __init__(self) -> None:
        self._usual: chat_pb.ChatChunk | None = None
        self._delta = chat_pb.MessageDelta()  # of the usual chunk
        self._learned = 0

    def text_of(self, chunk: chat_pb.ChatChunk) -> str | None:
        """Its text, if that is all in which it differs from the chunk before, and all that it adds to the
        answer; else None."""
        choices = chunk.choices
        if not choices:
            self._usual = None
            return None
        delta = choices[0].delta
        text = delta.content
        if self._usual is not None:
            self._delta.content = text
            if self._usual == chunk:
                return text
        self._usual = None
        if self._learned < LEARNED_MAX and _is_plain(chunk):
            self._learned += 1
            self._usual = chat_pb.ChatChunk()
            self._usual.CopyFrom(chunk)
            self._delta = self._usual.choices[0].delta
        return None


def _is_plain(chunk: chat_pb.ChatChunk) -> bool:
    """It says nothing that would count each time it is said, but for its text."""
    if len(chunk.choices) != 1 or chunk.HasField("usage"):
        return False
    choice = chunk.choices[0]
    extra = loads_object(choice.extra_json) if choice.extra_json else {}
    if choice.HasField("finish_reason") or extra.get("logprobs") is not None:
        return False
    names = {field.name for field, _ in choice.delta.ListFields()}
    return choice.delta.HasField("content") and names <= _PLAIN_DELTA

"""The usual event of a stream, recognised by its bytes: as the one before, but for its text. Pure.

Nearly all events of a stream are equal but for the text of their one choice. What reading one of them came
to is kept, and of the next ones only that text is parsed. Invariant: what is told is what parsing would tell.
"""

import re
from typing import Final

from meshgate_chassis.chat.json import JsonObject, dumps, loads, loads_object
from meshgate_chassis.errors import MeshError
from meshgate_protos.chat.v1 import chat_pb2 as pb

LEARNED_MAX: Final = 8  # of one stream: who changes something else all the time is not learned again
_CONTENT: Final = re.compile(rb'"content"\s*:\s*("(?:[^"\\]|\\.)*")')


class TextPieces:
    """Of one stream. Learn only from events that change nothing but the answer's text."""

    def __init__(self) -> None:
        self._head = self._tail = b""
        self._usual = pb.ChatChunk()
        self._delta = pb.MessageDelta()  # of the usual chunk
        self._learned = 0

    def read(self, data: bytes) -> pb.ChatChunk | None:
        """The chunk of an event; None: it is not like the one learned last."""
        if not (self._head and data.startswith(self._head) and data.endswith(self._tail)):
            return None
        try:
            text = loads(data[len(self._head) : len(data) - len(self._tail)])
        except MeshError:
            return None
        if type(text) is not str:
            return None
        self._delta.content = text
        chunk = pb.ChatChunk()
        chunk.CopyFrom(self._usual)
        return chunk

    def learn(self, data: bytes, body: JsonObject, chunk: pb.ChatChunk) -> None:
        """`body`: what `data` says. `chunk`: what that amounts to."""
        text = _text_of(body)
        if text is None or self._learned >= LEARNED_MAX:
            return
        self._learned += 1
        found = _CONTENT.search(data)
        if found is None:
            return
        head, tail = data[: found.start(1)], data[found.end(1) :]
        other = text + "?"
        if _text_of(loads_object(head + dumps(other) + tail)) != other:
            return  # it is the content of something else
        self._head, self._tail = head, tail
        self._usual = pb.ChatChunk()
        self._usual.CopyFrom(chunk)
        self._delta = self._usual.choices[0].delta


def _text_of(body: JsonObject) -> str | None:
    """The content of an event with one choice that goes on; else None."""
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return None
    delta = choices[0].get("delta")
    if not isinstance(delta, dict) or choices[0].get("finish_reason") is not None:
        return None
    content = delta.get("content")
    return content if isinstance(content, str) else None

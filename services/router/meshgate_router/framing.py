"""How the bytes of a stream become events: server-sent events, or one JSON value a line (NDJSON)."""

from typing import Final, Protocol

from meshgate_chassis.chat.sse import SseDecoder, SseEvent
from meshgate_chassis.errors import Code, MeshError
from meshgate_router.providers.base import Framing


class Framer(Protocol):
    """One per stream. Raises MeshError EVENT_TOO_LARGE. Invariant: the split of the bytes does not matter."""

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that `data` completes."""

    def finish(self) -> list[SseEvent]:
        """At the end of the bytes: the last event, if its end is missing."""


class LineDecoder:
    """Framer of NDJSON: every line that is not blank is an event without a name."""

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def feed(self, data: bytes) -> list[SseEvent]:
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._pieces:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces.clear()
            self._size_bytes = 0
        if rest:
            self._pieces.append(rest)
            self._size_bytes += len(rest)
        if max(self._size_bytes, *map(len, lines), 0) > self._event_bytes_max:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED, "EVENT_TOO_LARGE", f"one line exceeds {self._event_bytes_max} bytes"
            )
        return [SseEvent("", line.strip()) for line in lines if line.strip()]

    def finish(self) -> list[SseEvent]:
        return self.feed(b"\n")


CONTENT_TYPES: Final[dict[Framing, tuple[str, ...]]] = {
    Framing.SSE: ("text/event-stream",),
    Framing.LINES: ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json"),
}


def framer(framing: Framing, event_bytes_max: int) -> Framer:
    """A new one."""
    return LineDecoder(event_bytes_max) if framing is Framing.LINES else SseDecoder(event_bytes_max)

"""Server-sent events: bytes in any split -> events, and back.

Source: the HTML standard, "Server-sent events". Lines end in \\n, \\r\\n or \\r; comments, `id` and
`retry` are dropped. Invariant: the events do not depend on how the bytes were split.
"""

from dataclasses import dataclass
from typing import Final

from meshgate_chassis.errors import Code, MeshError

DONE_DATA: Final = b"[DONE]"
DONE_EVENT: Final = b"data: [DONE]\n\n"
EVENT_BYTES_MAX: Final = 16 << 20

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SseEvent:
    """`event`: its name, "" when it has none. `data`: its data lines joined by newlines."""

    event: str
    data: bytes


class SseDecoder:
    """One per stream. Raises RESOURCE_EXHAUSTED/EVENT_TOO_LARGE, and is spent then, when the lines
    kept for one event would exceed `event_bytes_max`.
    """

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._at_start = True
        self._after_return = False  # The bytes ended in \r: a \n that follows belongs to it.
        self._line_pieces: list[bytes] = []
        self._line_size_bytes = 0
        self._event = ""
        self._data_lines: list[bytes] = []
        self._data_size_bytes = 0

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that `data` completes."""
        lines = self._newlines_only(data).split(b"\n")
        rest = lines.pop()
        events: list[SseEvent] = []
        if lines:
            if self._line_pieces:
                lines[0] = self._take_line(lines[0])
            if self._at_start:
                self._at_start = False
                lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
            for line in lines:
                if line:
                    self._add_line(line)
                elif self._data_lines or self._event:
                    self._dispatch(events)
        if rest:
            self._line_pieces.append(rest)
            self._line_size_bytes += len(rest)
            self._check_size(self._line_size_bytes)
        return events

    def finish(self) -> list[SseEvent]:
        """At the end of the bytes: the last event, when its closing empty line is missing.

        The standard drops such an event. Some providers forget the empty line after the last one;
        a truncated one does not parse as JSON, so the caller can tell.
        """
        return self.feed(b"\n\n")

    def _newlines_only(self, data: bytes) -> bytes:
        if self._after_return and data:
            self._after_return = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _take_line(self, end: bytes) -> bytes:
        self._line_pieces.append(end)
        line = b"".join(self._line_pieces)
        self._line_pieces.clear()
        self._line_size_bytes = 0
        return line

    def _add_line(self, line: bytes) -> None:
        self._check_size(len(line))
        if line.startswith(b"data: "):
            self._add_data(line[6:])
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add_data(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")

    def _add_data(self, value: bytes) -> None:
        self._data_lines.append(value)
        self._data_size_bytes += len(value)

    def _dispatch(self, events: list[SseEvent]) -> None:
        if self._data_lines:
            events.append(SseEvent(self._event, b"\n".join(self._data_lines)))
            self._data_lines.clear()
            self._data_size_bytes = 0
        self._event = ""

    def _check_size(self, line_size_bytes: int) -> None:
        # Each kept data line counts one byte more, so that empty ones count too.
        kept = self._data_size_bytes + len(self._data_lines) + line_size_bytes
        if kept > self._event_bytes_max:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED,
                "EVENT_TOO_LARGE",
                f"one server-sent event exceeds {self._event_bytes_max} bytes",
            )


def encode_event(data: bytes, event: str = "") -> bytes:
    """One event as bytes, with its name if it has one. JSON never holds a raw line end."""
    head = b"event: " + event.encode() + b"\n" if event else b""
    if b"\n" in data or b"\r" in data:
        lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        data = b"\ndata: ".join(lines)
    return head + b"data: " + data + b"\n\n"

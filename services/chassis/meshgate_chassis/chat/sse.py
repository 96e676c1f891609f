"""Server-sent events: bytes in any split -> events, and back."""

from dataclasses import dataclass
from typing import Final

DONE_DATA: Final = b"[DONE]"
DONE_EVENT: Final = b"data: [DONE]\n\n"
EVENT_BYTES_MAX: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class SseEvent:
    """`event`: its name, "" when it has none. `data`: its data lines joined by newlines."""

    event: str
    data: bytes


class SseDecoder:
    """Raises RESOURCE_EXHAUSTED/EVENT_TOO_LARGE when one event exceeds `event_bytes_max`."""

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that `data` completes."""
        raise NotImplementedError

    def finish(self) -> list[SseEvent]:
        """At the end of the bytes: the last event when its closing empty line is missing."""
        raise NotImplementedError


def encode_event(data: bytes, event: str = "") -> bytes:
    """One event as bytes, with its name if it has one."""
    raise NotImplementedError

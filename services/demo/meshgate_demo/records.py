"""What was served, so that a test can compare it with the ledger. Bounded; credentials are masked.

Times are seconds of the machine's monotonic clock, which on Linux all processes share.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from meshgate_demo.conversation import JsonObject

BODY_BYTES_MAX = 65_536  # a larger body is remembered by its size only
CREDENTIAL_TAIL_CHARS = 4

_CREDENTIALS = {"authorization", "x-api-key", "api-key", "cookie"}


@dataclass(slots=True)
class ServedRequest:
    """One request, filled in while it is served.

    `chunks_sent`: events with a payload ([DONE] is none). `tokens_sent`: completion tokens in what was sent.
    `outcome`: serving, complete, disconnected (by the caller) or faulted (cut short on purpose).
    """

    number: int
    path: str
    headers: dict[str, str]
    received_s: float
    request_id: str | None = None
    model: str | None = None
    stream: bool = False
    body: Any = None
    fault: str | None = None
    status: int | None = None
    first_chunk_s: float | None = None
    chunks_sent: int = 0
    tokens_sent: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0  # of the whole answer, sent or not
    disconnected_s: float | None = None
    finished_s: float | None = None
    outcome: str = "serving"


@dataclass(slots=True)
class Records:
    """The latest requests, oldest first."""

    records_max: int
    _latest: deque[ServedRequest] = field(init=False)
    _number: int = 0  # of the latest request since the start: never reused
    _cleared: int = 0  # requests before the last clear

    def __post_init__(self) -> None:
        self._latest = deque(maxlen=self.records_max)

    @property
    def count(self) -> int:
        """Requests since the start or the last clear."""
        return self._number - self._cleared

    def open(self, path: str, headers: Iterable[tuple[bytes, bytes]], received_s: float) -> ServedRequest:
        self._number += 1
        shown = _shown_headers(headers)
        record = ServedRequest(
            self._number, path, shown, received_s, request_id=shown.get("x-client-request-id")
        )
        self._latest.append(record)
        return record

    def clear(self) -> None:
        self._latest.clear()
        self._cleared = self._number

    def as_json(self, now_s: float) -> JsonObject:
        return {"now_s": now_s, "count": self.count, "requests": [asdict(one) for one in self._latest]}


def shown_body(raw: bytes, parsed: JsonObject) -> JsonObject:
    """The body as it is remembered."""
    return parsed if len(raw) <= BODY_BYTES_MAX else {"demo_body_size_bytes": len(raw)}


def _shown_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    shown = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        shown[name] = f"***{value[-CREDENTIAL_TAIL_CHARS:]}" if name in _CREDENTIALS else value
    return shown

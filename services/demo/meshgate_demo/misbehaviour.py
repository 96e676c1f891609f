"""How each fault looks on the wire. The one place that decides when a fault happens.

A fault that belongs in the middle of a stream hits a JSON answer in the middle of its body.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from meshgate_demo.conversation import Event, JsonObject, Question, Reply
from meshgate_demo.delivery import Delivery, Headers
from meshgate_demo.faults import Fault, FaultKind

HTML = b"<!doctype html><html><body><h1>Bad gateway</h1></body></html>"
MALFORMED = Event(b'{"id": "demo", "choices": [{"index": 0, "delta": {"cont')

_SSE: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_JSON = (b"content-type", b"application/json")
_MESSAGES = {
    400: "The demo provider was told to find this request invalid.",
    401: "The demo provider was told to refuse this API key.",
    403: "The demo provider was told to forbid this request.",
    404: "The demo provider was told that this model does not exist.",
    408: "The demo provider was told to time out.",
    429: "The demo provider was told that its rate limit is reached.",
    529: "The demo provider was told to be overloaded.",
}


class ApiShape(Protocol):
    """What openai_shape and anthropic_shape both are."""

    def question_of(self, body: JsonObject) -> Question: ...

    def body_of(self, reply: Reply) -> JsonObject: ...

    def events_of(self, reply: Reply) -> Iterator[Event]: ...

    def error_body(
        self, status: int, message: str, number: int, parameter: str | None = None
    ) -> JsonObject: ...

    def error_event(self, status: int, message: str, number: int) -> Event: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds before the first chunk, and between chunks."""

    first_s: float
    between_s: float


async def refuse(delivery: Delivery, shape: ApiShape, fault: Fault) -> bool:
    """The faults that happen instead of an answer; False: the fault is another one."""
    if fault.kind is FaultKind.STATUS and fault.status is not None:
        await _error(delivery, shape, fault.status, fault.retry_after_s)
    elif fault.kind is FaultKind.WRONG_CONTENT_TYPE:
        await delivery.answer(200, HTML, [(b"content-type", b"text/html; charset=utf-8")])
    elif fault.kind is FaultKind.HANG_BEFORE_HEADERS:
        await delivery.hang()
    elif fault.kind is FaultKind.CLOSE_CONNECTION:
        await delivery.hang_up(reset=True)
    else:
        return False
    return True


async def _error(delivery: Delivery, shape: ApiShape, status: int, retry_after_s: float | None) -> None:
    message = _MESSAGES.get(status, f"The demo provider was told to fail with status {status}.")
    body = json.dumps(shape.error_body(status, message, delivery.record.number)).encode()
    retry = [] if retry_after_s is None else [(b"retry-after", f"{retry_after_s:g}".encode())]
    await delivery.answer(status, body, retry)


async def send_stream(
    delivery: Delivery, shape: ApiShape, events: Iterator[Event], pace: Pace, fault: Fault | None
) -> None:
    """Every event of the stream, and the fault after as many events as it says."""
    await delivery.pause(pace.first_s)
    await delivery.start(200, _SSE)
    half_pause_s = 0.0
    if fault is not None and fault.kind is FaultKind.HANG_BEFORE_FIRST_CHUNK:
        await delivery.hang()
    if fault is not None and fault.kind is FaultKind.SLOW_DRIP:
        half_pause_s = fault.argument
    for index, event in enumerate(events):
        if index:
            await delivery.pause(pace.between_s)
        if fault is not None and index == fault.events_before and await _break_stream(delivery, shape, fault):
            return
        await delivery.write_event(event, half_pause_s)
    await delivery.end()


async def _break_stream(delivery: Delivery, shape: ApiShape, fault: Fault) -> bool:
    """True: the stream has ended here."""
    if fault.kind is FaultKind.STALL_MID_STREAM:
        await delivery.hang()
    elif fault.kind is FaultKind.CUT_MID_STREAM:
        await delivery.hang_up(reset=False)
    elif fault.kind is FaultKind.ERROR_MID_STREAM:
        message = "The demo provider was told to fail in the middle of the stream."
        await delivery.write_event(shape.error_event(529, message, delivery.record.number))
        await delivery.end()
        return True
    elif fault.kind is FaultKind.END_WITHOUT_FINISH:
        await delivery.end()
        return True
    elif fault.kind is FaultKind.MALFORMED_CHUNK:
        await delivery.write_event(MALFORMED)
    return False


async def send_json(
    delivery: Delivery, shape: ApiShape, reply: Reply, first_s: float, fault: Fault | None
) -> None:
    """The whole answer as one body, in two halves around a fault."""
    await delivery.pause(first_s)
    body = json.dumps(shape.body_of(reply), ensure_ascii=False).encode()
    if fault is None or fault.kind is FaultKind.HUGE_ANSWER:
        await delivery.answer(200, body)
        delivery.record.tokens_sent = reply.completion_tokens
        return
    if fault.kind is FaultKind.ERROR_MID_STREAM:
        await _error(delivery, shape, 500, None)
        return
    half, rest = body[: len(body) // 2], body[len(body) // 2 :]
    if fault.kind in {FaultKind.MALFORMED_CHUNK, FaultKind.END_WITHOUT_FINISH}:
        await delivery.answer(200, half)
        return
    await delivery.start(200, [_JSON, (b"content-length", str(len(body)).encode())])
    if fault.kind is FaultKind.HANG_BEFORE_FIRST_CHUNK:
        await delivery.hang()
    await delivery.write(half)
    if fault.kind is FaultKind.STALL_MID_STREAM:
        await delivery.hang()
    if fault.kind is FaultKind.CUT_MID_STREAM:
        await delivery.hang_up(reset=False)
    await delivery.pause(fault.argument)
    await delivery.write(rest)
    await delivery.end()
    delivery.record.tokens_sent = reply.completion_tokens

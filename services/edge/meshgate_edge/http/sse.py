"""A streamed answer as server-sent events: chunks, at the end usage if asked for, and [DONE]. Pure."""

from itertools import zip_longest

from meshgate_chassis.chat.chunk_json import chunk_to_json
from meshgate_chassis.chat.json import JsonObject, dumps
from meshgate_chassis.chat.response_json import usage_to_json
from meshgate_chassis.chat.sse import DONE_EVENT, encode_event
from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo, Chunks, Ended
from meshgate_edge.http.call_headers import usd
from meshgate_edge.http.errors import render_error
from meshgate_edge.http.messages import Header
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

CHUNK_OBJECT = "chat.completion.chunk"
STREAM_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # proxies must not collect events
)


def cost_of(info: CallInfo) -> JsonObject | None:
    """The `cost` member, USD; None while the cost is not known."""
    if info.cost_usd_nanos is None:
        return None
    return {
        "input_cost": usd(info.input_cost_usd_nanos),
        "output_cost": usd(info.output_cost_usd_nanos),
        "total_cost": usd(info.cost_usd_nanos),
    }


class ChunkEvents:
    """The chunks of one stream as events."""

    def __init__(self) -> None:
        self._frame: tuple[bytes, bytes] | None = None  # around the text of the chunk before

    def of(self, ready: Chunks) -> bytes:
        """The events of chunks that are ready at the same time."""
        return b"".join([self._event(chunk, text) for chunk, text in zip_longest(ready.chunks, ready.texts)])

    def _event(self, chunk: chat_pb.ChatChunk, text: str | None) -> bytes:
        if text is None:
            self._frame = None
            return _event_of(chunk)
        if self._frame is None:
            self._frame = _frame_of(chunk)
        head, tail = self._frame
        return head + dumps(text) + tail


def last_events(ended: Ended, *, include_usage: bool) -> bytes:
    """What follows the last chunk of a whole answer."""
    if not include_usage:
        return DONE_EVENT
    body = chunk_to_json(ended.last)
    body.setdefault("object", CHUNK_OBJECT)
    body["choices"] = []
    body["usage"] = usage_to_json(ended.usage)
    cost = cost_of(ended.info)
    if cost is not None:
        body["cost"] = cost
    return encode_event(dumps(body)) + DONE_EVENT


def error_event(error: MeshError) -> bytes:
    """An answer that broke off: the error, and no [DONE]."""
    return encode_event(dumps(render_error(error).body))


def _event_of(chunk: chat_pb.ChatChunk) -> bytes:
    return _event_with(_body_of(chunk))


def _frame_of(chunk: chat_pb.ChatChunk) -> tuple[bytes, bytes]:
    """What stands before and behind the text of a chunk that has one choice."""
    body = _body_of(chunk)
    delta = body["choices"][0]["delta"]
    longest = dumps(body)  # a text that is not in it
    delta["content"] = longest.decode()
    head, _, tail = _event_with(body).partition(dumps(delta["content"]))
    return head, tail


def _body_of(chunk: chat_pb.ChatChunk) -> JsonObject:
    body = chunk_to_json(chunk)
    body.setdefault("object", CHUNK_OBJECT)
    return body


def _event_with(body: JsonObject) -> bytes:
    return b"data: %b\n\n" % dumps(body)  # JSON has no line ends that an event would have to split at

"""POST /v1/chat/completions and /v1/completions: JSON -> ChatCall -> pipeline -> JSON or server-sent events.

Invariants: a client that goes away cancels the pipeline at once; an error before the first event is an
ordinary answer with its status, after it one `error` event without [DONE].
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from starlette.types import Receive, Send

from meshgate_chassis.chat.json import dumps, loads_object
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import ChatCall, Chunks, Completed, Started, StreamEvent
from meshgate_edge.http.call_endpoint import CallParts, Received
from meshgate_edge.http.call_headers import call_headers
from meshgate_edge.http.disconnect import UntilDisconnect
from meshgate_edge.http.messages import send_json
from meshgate_edge.http.shapes import Shape
from meshgate_edge.http.sse import STREAM_HEADERS, error_event


class ChatPipeline(Protocol):
    """What carries out calls: meshgate_edge.pipeline.Pipeline."""

    async def create(self, call: ChatCall) -> Completed: ...

    def stream(self, call: ChatCall) -> AsyncGenerator[StreamEvent, None]: ...


class ChatHandler:
    """Calls in one shape: chat completions, or legacy completions."""

    def __init__(self, pipeline: ChatPipeline, shape: Shape, parts: CallParts) -> None:
        self._pipeline = pipeline
        self._shape = shape
        self._tasks = parts.tasks
        self._version = parts.version

    def call_of(self, received: Received) -> ChatCall:
        """Raises INVALID_ARGUMENT."""
        chat = self._shape.request(received.members)
        return ChatCall(
            received.call_id,
            received.principal,
            chat,
            received.options,
            received.client_address,
            self._shape.call_type,
            received.given,
        )

    async def answer(self, call: ChatCall, receive: Receive, send: Send) -> None:
        """Raises MeshError only as long as nothing was sent."""
        if call.request.stream:
            await self._stream(call, receive, send)
        else:
            await self._create(call, receive, send)

    async def _create(self, call: ChatCall, receive: Receive, send: Send) -> None:
        async with UntilDisconnect(receive, self._tasks) as client:
            completed = await self._pipeline.create(call)
        if client.disconnected:
            return
        headers = call_headers(completed.info, self._version)
        await send_json(send, 200, dumps(self._shape.answer(completed)), headers)

    async def _stream(self, call: ChatCall, receive: Receive, send: Send) -> None:
        started = False
        last = b""
        events_of = self._shape.events()
        async with UntilDisconnect(receive, self._tasks) as client:
            try:
                async with aclosing(self._pipeline.stream(call)) as events:
                    async for event in events:
                        if isinstance(event, Chunks):
                            body = events_of(event)
                            await send({"type": "http.response.body", "body": body, "more_body": True})
                        elif isinstance(event, Started):
                            headers = [*STREAM_HEADERS, *call_headers(event.info, self._version)]
                            await send({"type": "http.response.start", "status": 200, "headers": headers})
                            started = True
                        else:
                            last = self._shape.last(event, include_usage=_wants_usage(call))
            except MeshError as error:
                if not started:
                    raise
                last = error_event(error)
        if not client.disconnected:
            last = last or error_event(_truncated())
            await send({"type": "http.response.body", "body": last, "more_body": False})


def _truncated() -> MeshError:
    """Of a pipeline that neither ended nor failed: an answer without its end never looks whole."""
    return MeshError(Code.UNAVAILABLE, "PROVIDER_STREAM_BROKEN", "the stream ended before its answer")


def _wants_usage(call: ChatCall) -> bool:
    options = call.request.stream_options_json
    # Hardly anyone sends more than this one member: most streams are decided without parsing.
    return b"include_usage" in options and loads_object(options).get("include_usage") is True

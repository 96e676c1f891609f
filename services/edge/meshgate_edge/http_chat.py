"""POST /v1/chat/completions and /v1/completions: bytes -> ChatCall -> pipeline -> JSON or server-sent events.

Invariants: the pipeline runs in the request's own task; a client that goes away cancels it at once; an error
before the first event is an ordinary answer with its status, after it one `error` event without [DONE].
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Receive, Scope, Send

from meshgate_chassis.chat.json import dumps, loads_object
from meshgate_chassis.deadline import deadline_scope
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.authentication import Authenticator
from meshgate_edge.call import CallInfo, ChatCall, Chunks, Completed, Started, StreamEvent
from meshgate_edge.http_body import BodyLimits, read_json_object
from meshgate_edge.http_call_headers import call_headers, error_headers
from meshgate_edge.http_disconnect import UntilDisconnect
from meshgate_edge.http_messages import headers_of, send_error, send_json
from meshgate_edge.http_shapes import Shape
from meshgate_edge.http_sse import STREAM_HEADERS, error_event
from meshgate_edge.observer import CallObserver
from meshgate_edge.options import split_options


class ChatPipeline(Protocol):
    """What carries out calls: meshgate_edge.pipeline.Pipeline."""

    async def create(self, call: ChatCall) -> Completed: ...

    def stream(self, call: ChatCall) -> AsyncGenerator[StreamEvent, None]: ...


class InFlight(Protocol):
    """Counts requests under way, for example a Prometheus gauge."""

    def inc(self) -> None: ...

    def dec(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ChatParts:
    """What the endpoint stands on. `tasks` owns one small task for each request under way."""

    pipeline: ChatPipeline
    authenticator: Authenticator
    observer: CallObserver  # hears of requests that were refused before the pipeline
    in_flight: InFlight
    tasks: TaskOwner
    new_call_id: Callable[[], str]
    version: str
    body_limits: BodyLimits
    request_timeout_s: float = 600.0


class ChatEndpoint:
    """An ASGI application for the paths of one shape."""

    def __init__(self, parts: ChatParts, shape: Shape) -> None:
        self._parts = parts
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = self._parts
        call_id = parts.new_call_id()
        parts.in_flight.inc()
        try:
            with deadline_scope(parts.request_timeout_s):
                await self._answer(scope, receive, send, call_id)
        except MeshError as error:
            await send_error(send, error, error_headers(call_id, parts.version))
        finally:
            parts.in_flight.dec()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, call_id: str) -> None:
        """Raises MeshError only as long as nothing was sent."""
        try:
            call = await self._call(scope, receive, call_id)
        except MeshError as error:
            self._parts.observer.finished(CallInfo(call_id, model="", outcome="denied"), error)
            raise
        if call is None:
            return  # the client went away while it sent its request
        if call.request.stream:
            await self._stream(call, receive, send)
        else:
            await self._create(call, receive, send)

    async def _call(self, scope: Scope, receive: Receive, call_id: str) -> ChatCall | None:
        headers = headers_of(scope)
        principal = self._parts.authenticator.authenticate(headers)
        body = await read_json_object(receive, headers, self._parts.body_limits)
        if body is None:
            return None
        model = scope.get("path_params", {}).get("model")
        if model:
            body["model"] = model
        members, options = split_options(body, headers)
        chat = self._shape.request(members)
        client = scope.get("client")
        address = "" if client is None else str(client[0])
        return ChatCall(call_id, principal, chat, options, address, self._shape.call_type)

    async def _create(self, call: ChatCall, receive: Receive, send: Send) -> None:
        async with UntilDisconnect(receive, self._parts.tasks) as client:
            completed = await self._parts.pipeline.create(call)
        if client.disconnected:
            return
        headers = call_headers(completed.info, self._parts.version)
        await send_json(send, 200, dumps(self._shape.answer(completed)), headers)

    async def _stream(self, call: ChatCall, receive: Receive, send: Send) -> None:
        started = False
        last = b""
        async with UntilDisconnect(receive, self._parts.tasks) as client:
            try:
                async with aclosing(self._parts.pipeline.stream(call)) as events:
                    async for event in events:
                        if isinstance(event, Chunks):
                            body = self._shape.events(event.chunks)
                            await send({"type": "http.response.body", "body": body, "more_body": True})
                        elif isinstance(event, Started):
                            headers = [*STREAM_HEADERS, *call_headers(event.info, self._parts.version)]
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

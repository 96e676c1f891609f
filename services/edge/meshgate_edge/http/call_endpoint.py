"""What every endpoint for calls does around its own work: time, size, who asks, and what was refused.

Invariants: the work runs in the request's own task and within its deadline; a refusal before the pipeline is
told to the observer; an error before anything was sent is an ordinary answer with its status.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from starlette.types import Receive, Scope, Send

from meshgate_chassis.chat.json import JsonObject
from meshgate_chassis.deadline import deadline_scope
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.call import CallInfo, CallOptions, Principal
from meshgate_edge.caller_rules import members_of
from meshgate_edge.http.authentication import Authenticator
from meshgate_edge.http.body import BodyLimits, read_json_object
from meshgate_edge.http.call_headers import error_headers
from meshgate_edge.http.call_rules import CallRules
from meshgate_edge.http.messages import headers_of, send_error
from meshgate_edge.http.options import split_options
from meshgate_edge.observer import CallObserver

Call = TypeVar("Call")


class InFlight(Protocol):
    """Counts requests under way, for example a Prometheus gauge."""

    def inc(self) -> None: ...

    def dec(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CallParts:
    """What the endpoints stand on. `tasks` owns one small task for each request under way."""

    authenticator: Authenticator
    observer: CallObserver  # hears of requests that were refused before the pipeline
    in_flight: InFlight
    tasks: TaskOwner
    new_call_id: Callable[[], str]
    version: str
    body_limits: BodyLimits
    rules: CallRules
    request_timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Received:
    """A request whose shape is not looked at yet. `members`: of its body, without our own options; `given`:
    all of them, as a ChatCall has them."""

    call_id: str
    principal: Principal
    members: JsonObject
    options: CallOptions
    client_address: str  # "" if unknown
    given: Mapping[str, object]


class CallHandler(Protocol[Call]):
    """One kind of call: from its JSON to its answer."""

    def call_of(self, received: Received) -> Call:
        """Raises INVALID_ARGUMENT."""
        ...

    async def answer(self, call: Call, receive: Receive, send: Send) -> None:
        """Raises MeshError only as long as nothing was sent."""
        ...


class CallEndpoint(Generic[Call]):
    """An ASGI application for the paths of one kind of call."""

    def __init__(self, parts: CallParts, handler: CallHandler[Call]) -> None:
        self._parts = parts
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = self._parts
        call_id = parts.new_call_id()
        parts.in_flight.inc()
        try:
            with deadline_scope(parts.request_timeout_s):
                call = await self._call(scope, receive, call_id)
                if call is not None:  # else the client went away while it sent its request
                    await self._handler.answer(call, receive, send)
        except MeshError as error:
            await send_error(send, error, error_headers(call_id, parts.version))
        finally:
            parts.in_flight.dec()

    async def _call(self, scope: Scope, receive: Receive, call_id: str) -> Call | None:
        parts = self._parts
        try:
            headers = headers_of(scope)
            principal = parts.authenticator.authenticate(headers)
            body = await read_json_object(receive, headers, parts.body_limits)
            if body is None:
                return None
            model = scope.get("path_params", {}).get("model")
            if model:
                body["model"] = model
            members, options = split_options(body, headers)
            parts.rules.check(body, options)
            client = scope.get("client")
            address = "" if client is None else str(client[0])
            given = members_of(body)
            return self._handler.call_of(Received(call_id, principal, members, options, address, given))
        except MeshError as error:
            parts.observer.finished(CallInfo(call_id, model="", outcome="denied"), error)
            raise

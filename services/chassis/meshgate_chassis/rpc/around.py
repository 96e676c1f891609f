"""What surrounds every servicer method, on whichever transport.

In this order: span (the transport's), metrics, deadline, caller, handler, error. A call without a deadline is
refused; an unexpected exception is logged here and leaves as INTERNAL without detail.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import structlog

from meshgate_chassis.deadline import detached_scope, set_deadline
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.identity import authenticate
from meshgate_chassis.rpc.metrics import MethodMetrics, Observation
from meshgate_chassis.rpc.serving import ServerCall, ServerOptions, address_of
from meshgate_chassis.rpc.status import STATUS_DETAILS_KEY, to_status
from meshgate_chassis.rpc.tracing import tell_end
from meshgate_chassis.telemetry import Telemetry

log = structlog.get_logger("meshgate.rpc")


class Incoming(Protocol):
    """What a transport tells of a call."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Those that are text, by lower-case names."""

    @property
    def peer(self) -> str:
        """As gRPC names peers; see `address_of`."""

    def peer_names(self) -> Sequence[str]:
        """Of the client's certificate; none without TLS."""

    def remaining_s(self) -> float | None:
        """Until its deadline, if it has one."""


class Failure(NamedTuple):
    """How a call ends that failed. `trailers`: binary metadata."""

    code: Code
    text: str
    trailers: tuple[tuple[str, bytes], ...]


Told = TypeVar("Told", bound=Incoming)
UnaryBehaviour = Callable[[Any, ServerCall], Awaitable[Any]]
StreamBehaviour = Callable[[Any, ServerCall], AsyncIterator[Any]]


@dataclass(frozen=True, slots=True)
class Around(Generic[Told]):
    """Of one method. `end` tells the peer of a failure, by the means of the transport."""

    settings: ServerOptions
    metrics: MethodMetrics
    telemetry: Telemetry
    public: bool
    end: Callable[[Told, Failure], Awaitable[None]]

    async def unary(self, behaviour: UnaryBehaviour, request: Any, told: Told) -> Any:
        """The response; None for a call that failed and was ended."""
        self.telemetry.adopt(told.metadata)
        with self.metrics.observe() as observation:
            try:
                call, timeout_s = self._admit(told)
                with detached_scope(timeout_s):
                    return await behaviour(request, call)
            except Exception as error:  # noqa: BLE001 - the border where a defect becomes an answer
                failure = error
            except asyncio.CancelledError:
                tell_end(Code.CANCELLED)
                raise
            # Behind the except: the span of what is raised here is not to tell the error's text.
            try:
                return await self._fail(told, observation, failure)
            finally:
                del failure  # it leads back to this frame

    async def stream(self, behaviour: StreamBehaviour, request: Any, told: Told) -> AsyncGenerator[Any, None]:
        """The responses; a call that failed was ended when they are at their end."""
        self.telemetry.adopt(told.metadata)
        failure: Exception | None = None
        with self.metrics.observe() as observation:
            try:
                call, timeout_s = self._admit(told)
                set_deadline(timeout_s)
                responses = behaviour(request, call)
                try:
                    async for response in responses:
                        yield response
                finally:
                    await responses.aclose()  # type: ignore[attr-defined] # always a generator
            except Exception as error:  # noqa: BLE001 - the border where a defect becomes an answer
                failure = error
            except (asyncio.CancelledError, GeneratorExit):
                tell_end(Code.CANCELLED)
                raise
            try:
                if failure is not None:
                    await self._fail(told, observation, failure)
            finally:
                del failure  # it leads back to this frame

    def _admit(self, told: Told) -> tuple[ServerCall, float]:
        timeout_s = told.remaining_s()
        if self.public:
            limit_s = self.settings.public_deadline_s_max
            call = ServerCall("", told.metadata, address_of(told.peer))
            return call, limit_s if timeout_s is None else min(timeout_s, limit_s)
        identity = self.settings.identity
        # The client's certificate, which only TLS has: asking costs something.
        names = () if identity.tls is None else told.peer_names()
        caller = authenticate(identity, told.metadata, names, self.settings.allowed_callers)
        if timeout_s is None:
            raise MeshError(Code.INVALID_ARGUMENT, "DEADLINE_REQUIRED", "every call needs a deadline")
        return ServerCall(caller, told.metadata), timeout_s

    async def _fail(self, told: Told, observation: Observation, error: Exception) -> None:
        """Ends the call. What is no MeshError is a defect: told to the log, not to the caller."""
        if isinstance(error, MeshError):
            meant = error
        else:
            log.error("handler failed", method=self.metrics.name, exc_info=error)
            meant = MeshError(Code.INTERNAL, "UNEXPECTED", "the service failed; its log tells why")
        observation.code = meant.code.name
        status = to_status(meant, f"{self.settings.identity.name}.meshgate")
        tell_end(meant.code)
        details = (STATUS_DETAILS_KEY, status.SerializeToString())
        await self.end(told, Failure(meant.code, status.message, (details,)))

"""The answering side: what surrounds every servicer method.

In this order: span (telemetry.py), metrics, deadline, caller, handler, error. A call without a deadline is
refused; an unexpected exception is logged here and leaves as INTERNAL without detail.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Protocol, Self
from urllib.parse import unquote

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from meshgate_chassis.deadline import detached_scope, remaining_s, set_deadline
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.identity import Identity, TlsFiles, authenticate, require_private
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.on_grpcio import options
from meshgate_chassis.rpc.options import CONCURRENT_CALLS_MAX
from meshgate_chassis.rpc.status import STATUS_DETAILS_KEY, to_status
from meshgate_chassis.rpc.tracing import tell_end, without_span
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.rpc import Service, StreamMethod, UnaryMethod

log = structlog.get_logger("meshgate.rpc")


class Servicer(Protocol):
    """Any generated servicer."""

    service: ClassVar[Service]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """`allowed_callers`: who may call; health and reflection are open. `public`: see `Server.add_public`."""

    listen: str
    identity: Identity
    allowed_callers: frozenset[str] = frozenset({"edge"})
    plaintext_allowed: bool = False
    drain_delay_s: float = 0.0  # after NOT_SERVING, before calls are refused: load balancers need it
    drain_grace_s: float = 30.0
    public_deadline_s_max: float = 3_600.0  # for callers of a public service who give none


@dataclass(frozen=True, slots=True)
class ServerCall:
    """Implements `meshgate_protos.rpc.Call`."""

    caller: str
    metadata: Mapping[str, str]
    peer_address: str = ""

    def remaining_s(self) -> float:
        left = remaining_s()
        assert left is not None, "a server call always runs inside a deadline scope"
        return left


def address_of(peer: str) -> str:
    """gRPC's name of a peer (ipv4:1.2.3.4:567, ipv6:%5B::1%5D:567, unix:) -> its IP address, or ""."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""


class Server:
    """A gRPC server with health and reflection; an async context manager that serves while it is open."""

    def __init__(self, settings: ServerOptions, telemetry: Telemetry, metrics: RpcMetrics) -> None:
        require_private(settings.listen, settings.identity.tls, plaintext_allowed=settings.plaintext_allowed)
        self._settings = settings
        self._metrics = metrics
        self._telemetry = telemetry
        self._server = grpc.aio.server(
            options=options.SERVER,
            interceptors=telemetry.server_interceptors(),
            maximum_concurrent_rpcs=CONCURRENT_CALLS_MAX,
        )
        self._health = health.aio.HealthServicer()
        self._names: list[str] = []

    def add(self, servicer: Servicer) -> None:
        """Serves it to the allowed callers of the mesh."""
        self._register(servicer, public=False)

    def add_public(self, servicer: Servicer) -> None:
        """Serves it to everyone; the servicer authenticates its callers itself."""
        self._register(servicer, public=True)

    async def __aenter__(self) -> Self:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        tls = self._settings.identity.tls
        try:
            if tls is None:
                self._server.add_insecure_port(self._settings.listen)
            else:
                self._server.add_secure_port(self._settings.listen, _server_credentials(tls))
        except RuntimeError as error:
            raise MeshError(
                Code.FAILED_PRECONDITION,
                "LISTEN_FAILED",
                f"cannot listen on {self._settings.listen}",
            ) from error
        await self._server.start()
        await self.set_serving(True)
        log.info("serving", service=self._settings.identity.name, listen=self._settings.listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.set_serving(False)
        await asyncio.sleep(self._settings.drain_delay_s)
        await self._server.stop(self._settings.drain_grace_s)

    async def set_serving(self, serving: bool) -> None:
        """What grpc.health.v1 answers for the server as a whole and for each of its services."""
        status = health_pb2.HealthCheckResponse.SERVING
        if not serving:
            status = health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)

    def _register(self, servicer: Servicer, *, public: bool) -> None:
        service = servicer.service
        handlers = {}
        for attribute, method in service.methods.items():
            behaviour = getattr(servicer, attribute)
            name = method.path.rsplit("/", 1)[1]
            handlers[name] = self._handler(service.name, name, method, behaviour, public=public)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.name, handlers),))
        self._names.append(service.name)

    def _handler(
        self,
        service: str,
        name: str,
        method: UnaryMethod[Any, Any] | StreamMethod[Any, Any],
        behaviour: Callable[..., Any],
        *,
        public: bool,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        around = _Around(self._settings, self._metrics.method(service, name), self._telemetry, public)
        if isinstance(method, StreamMethod):
            return grpc.unary_stream_rpc_method_handler(
                around.stream(behaviour),
                request_deserializer=method.request_type.FromString,
                response_serializer=method.response_type.SerializeToString,
            )
        return grpc.unary_unary_rpc_method_handler(
            around.unary(behaviour),
            request_deserializer=method.request_type.FromString,
            response_serializer=method.response_type.SerializeToString,
        )


class _Around:
    """Wraps the methods of one RPC; see the module."""

    def __init__(self, settings: ServerOptions, metrics: Any, telemetry: Telemetry, public: bool) -> None:
        self._settings = settings
        self._metrics = metrics
        self._telemetry = telemetry
        self._public = public

    def unary(self, behaviour: Callable[[Any, ServerCall], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def handle(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
            metadata = _texts(context)
            self._telemetry.adopt(metadata)
            with self._metrics.observe() as observation:
                try:
                    call, timeout_s = self._admit(context, metadata)
                    with detached_scope(timeout_s):
                        return await behaviour(request, call)
                except Exception as error:  # noqa: BLE001 - the border where a defect becomes an answer
                    failure = error
                except asyncio.CancelledError:
                    tell_end(Code.CANCELLED)
                    raise
                # Behind the except: the span of what is raised here is not to tell the error's text.
                try:
                    return await self._fail(context, observation, failure)
                finally:
                    del failure  # it leads back to this frame

        return handle

    def stream(self, behaviour: Callable[[Any, ServerCall], AsyncIterator[Any]]) -> Callable[..., Any]:
        async def handle(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> AsyncIterator[Any]:
            metadata = _texts(context)
            self._telemetry.adopt(metadata)
            failure: Exception | None = None
            with self._metrics.observe() as observation:
                try:
                    call, timeout_s = self._admit(context, metadata)
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
                        await self._fail(context, observation, failure)
                finally:
                    del failure  # it leads back to this frame

        return handle

    def _admit(
        self, context: "grpc.aio.ServicerContext[Any, Any]", metadata: Mapping[str, str]
    ) -> tuple[ServerCall, float]:
        timeout_s = context.time_remaining()
        if self._public:
            limit_s = self._settings.public_deadline_s_max
            call = ServerCall("", metadata, address_of(context.peer()))
            return call, limit_s if timeout_s is None else min(timeout_s, limit_s)
        caller = authenticate(
            self._settings.identity, metadata, self._peer_names(context), self._settings.allowed_callers
        )
        if timeout_s is None:
            raise MeshError(Code.INVALID_ARGUMENT, "DEADLINE_REQUIRED", "every call needs a deadline")
        return ServerCall(caller, metadata), timeout_s

    def _peer_names(self, context: "grpc.aio.ServicerContext[Any, Any]") -> Sequence[str]:
        """Of the client's certificate, which only TLS has: asking costs something."""
        if self._settings.identity.tls is None:
            return ()
        return [name.decode() for name in context.auth_context().get("x509_subject_alternative_name", ())]

    async def _fail(
        self, context: "grpc.aio.ServicerContext[Any, Any]", observation: Any, error: Exception
    ) -> NoReturn:
        """Ends the call. What is no MeshError is a defect: told to the log, not to the caller."""
        if isinstance(error, MeshError):
            told = error
        else:
            log.error("handler failed", method=self._metrics.name, exc_info=error)
            told = MeshError(Code.INTERNAL, "UNEXPECTED", "the service failed; its log tells why")
        observation.code = told.code.name
        status = to_status(told, f"{self._settings.identity.name}.meshgate")
        details = (STATUS_DETAILS_KEY, status.SerializeToString())
        code = next(code for code in grpc.StatusCode if code.value[0] == told.code.value)
        tell_end(told.code)
        await without_span(context).abort(code, status.message, trailing_metadata=(details,))
        raise AssertionError("abort raises")


def _texts(context: "grpc.aio.ServicerContext[Any, Any]") -> dict[str, str]:
    """The metadata of a call, without those that are bytes."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        root_certificates=tls.ca.read_bytes(),
        require_client_auth=True,
    )

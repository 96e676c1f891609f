"""Servers on grpcio: carries what comes in to servicers, and their answers back."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from meshgate_chassis.rpc.around import Around, Failure
from meshgate_chassis.rpc.identity import TlsFiles
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.on_grpcio import options
from meshgate_chassis.rpc.options import CONCURRENT_CALLS_MAX
from meshgate_chassis.rpc.serving import ServerOptions, Servicer, listen_failed
from meshgate_chassis.rpc.tracing import without_span
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.rpc import StreamMethod, UnaryMethod

CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext[Any, Any]


class Call:
    """What grpcio tells of a call. Implements `around.Incoming`."""

    __slots__ = ("context", "metadata")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.metadata = {
            key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }

    @property
    def peer(self) -> str:
        """Asked for on public services only."""
        return str(self.context.peer())

    def peer_names(self) -> Sequence[str]:
        """Of the client's certificate."""
        return [
            name.decode() for name in self.context.auth_context().get("x509_subject_alternative_name", ())
        ]

    def remaining_s(self) -> float | None:
        """None when the caller gave no deadline."""
        return self.context.time_remaining()


class GrpcioServer:
    """Implements `serving.ServerTransport`."""

    def __init__(self, settings: ServerOptions, telemetry: Telemetry, metrics: RpcMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._telemetry = telemetry
        self._server = grpc.aio.server(
            options=options.SERVER,
            interceptors=telemetry.server_interceptors(),
            maximum_concurrent_rpcs=CONCURRENT_CALLS_MAX,
        )
        self._health = health.aio.HealthServicer()

    def add(self, servicer: Servicer, *, public: bool) -> None:
        """Before it listens."""
        service = servicer.service
        handlers = {}
        for attribute, method in service.methods.items():
            name = method.path.rsplit("/", 1)[1]
            around = Around(
                self._settings, self._metrics.method(service.name, name), self._telemetry, public, abort
            )
            handlers[name] = _handler(around, method, getattr(servicer, attribute))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.name, handlers),))

    async def listen(self, names: Iterable[str]) -> None:
        """On every address that the name of the host has."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        tls = self._settings.identity.tls
        try:
            if tls is None:
                self._server.add_insecure_port(self._settings.listen)
            else:
                self._server.add_secure_port(self._settings.listen, _server_credentials(tls))
        except RuntimeError as error:
            raise listen_failed(self._settings.listen) from error
        await self._server.start()

    async def set_serving(self, names: Iterable[str], *, serving: bool) -> None:
        """Watchers are told."""
        status = health_pb2.HealthCheckResponse.SERVING
        if not serving:
            status = health_pb2.HealthCheckResponse.NOT_SERVING
        for name in names:
            await self._health.set(name, status)

    async def stop(self, grace_s: float) -> None:
        """What is under way has the grace to end."""
        await self._server.stop(grace_s)


def _handler(
    around: Around[Call], method: UnaryMethod[Any, Any] | StreamMethod[Any, Any], behaviour: Any
) -> "grpc.RpcMethodHandler[Any, Any]":
    async def unary(request: Any, context: Context) -> Any:
        return await around.unary(behaviour, request, Call(context))

    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        async with aclosing(around.stream(behaviour, request, Call(context))) as responses:
            async for response in responses:
                yield response

    if isinstance(method, StreamMethod):
        return grpc.unary_stream_rpc_method_handler(
            stream,
            request_deserializer=method.request_type.FromString,
            response_serializer=method.response_type.SerializeToString,
        )
    return grpc.unary_unary_rpc_method_handler(
        unary,
        request_deserializer=method.request_type.FromString,
        response_serializer=method.response_type.SerializeToString,
    )


async def abort(call: Call, failure: Failure) -> None:
    """Never returns: so grpcio ends a call."""
    await without_span(call.context).abort(
        CODES[failure.code.value], failure.text, trailing_metadata=failure.trailers
    )
    raise AssertionError("abort raises")


def _server_credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        root_certificates=tls.ca.read_bytes(),
        require_client_auth=True,
    )

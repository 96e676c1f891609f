"""The calling side: deadline, identity, telemetry and errors around grpcio's channel.

Invariant: every call has a deadline, and every failure leaves as a MeshError.
"""

from collections.abc import AsyncGenerator, Mapping

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meshgate_chassis.deadline import outgoing_timeout_s
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.callee import Callee, Metadata
from meshgate_chassis.rpc.identity import TlsFiles
from meshgate_chassis.rpc.on_grpcio import options
from meshgate_chassis.rpc.on_grpcio.reading import StreamReader, answer_of
from meshgate_chassis.rpc.options import CONCURRENT_CALLS_MAX
from meshgate_chassis.rpc.status import STATUS_DETAILS_KEY, from_status
from meshgate_chassis.tasks import TaskOwner
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod

# How grpcio words a call that never left: no connection could be made. Any other UNAVAILABLE without
# details may have been lost after it was sent, and is told apart because money depends on it.
NEVER_SENT_TEXTS = (
    "failed to connect",
    "connections to all backends failing",
    "DNS resolution failed",
    "empty address list",
)

STREAMS_MAX = 4 * CONCURRENT_CALLS_MAX  # of one channel: over all replicas of the callee
CLOSE_GRACE_S = 1.0  # cancelled streams end at once


class GrpcioChannel:
    """Implements `MeshChannel`. Needs a running event loop."""

    def __init__(self, callee: Callee, telemetry: Telemetry | None) -> None:
        self._channel = _grpc_channel(callee)
        self._streams: set[StreamReader] = set()  # closing a channel of grpc.aio does not reach all of them
        self._tasks = TaskOwner("rpc", STREAMS_MAX)
        self._metadata = callee.credentials
        self._telemetry = telemetry if telemetry is not None and telemetry.enabled else None

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        multi = self._channel.unary_unary(
            method.path,
            request_serializer=method.request_type.SerializeToString,
            response_deserializer=method.response_type.FromString,
        )

        async def call(
            request: Request,
            *,
            timeout_s: float | None = None,
            metadata: Mapping[str, str] | None = None,
        ) -> Response:
            timeout = outgoing_timeout_s(timeout_s)
            try:
                response: Response | None = await answer_of(
                    multi(request, timeout=timeout, metadata=self._with(metadata)), timeout
                )
            except grpc.aio.AioRpcError as error:
                raise _mesh_error(error) from error
            if response is None:  # grpcio, when a deadline meets the answer; it may have been carried out
                raise MeshError(Code.UNAVAILABLE, "CONNECTION_LOST", "the answer was lost")
            return response

        return call

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]:
        multi = self._channel.unary_stream(
            method.path,
            request_serializer=method.request_type.SerializeToString,
            response_deserializer=method.response_type.FromString,
        )

        async def call(
            request: Request,
            *,
            timeout_s: float | None = None,
            metadata: Mapping[str, str] | None = None,
        ) -> AsyncGenerator[Response, None]:
            timeout = outgoing_timeout_s(timeout_s)
            reader = StreamReader(multi(request, timeout=timeout, metadata=self._with(metadata)))
            self._streams.add(reader)
            try:
                self._tasks.start(reader.read(), method.path)
                while (response := await reader.next()) is not None:
                    yield response
            except grpc.aio.AioRpcError as error:
                raise _mesh_error(error) from error
            finally:
                self._streams.discard(reader)
                reader.end()  # no effect on a stream that has ended

        return call

    async def serving(self, timeout_s: float) -> bool:
        """True when the service says of itself, over grpc.health.v1, that it is serving."""
        stub = health_pb2_grpc.HealthStub(self._channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Ends the connection; calls under way are cancelled."""
        for reader in list(self._streams):
            reader.end()
        await self._tasks.drain(CLOSE_GRACE_S)
        await self._channel.close()

    def _with(self, metadata: Mapping[str, str] | None) -> Metadata:
        if self._telemetry is None:
            return self._metadata if not metadata else (*self._metadata, *metadata.items())
        context: dict[str, str] = {}
        self._telemetry.inject(context)
        return (*self._metadata, *context.items(), *(metadata or {}).items())


def _grpc_channel(callee: Callee) -> grpc.aio.Channel:
    if callee.tls is None:
        return grpc.aio.insecure_channel(callee.target, options=options.CHANNEL)
    named = (*options.CHANNEL, ("grpc.ssl_target_name_override", callee.name))
    return grpc.aio.secure_channel(callee.target, _channel_credentials(callee.tls), options=named)


def _channel_credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=tls.ca.read_bytes(),
        private_key=tls.key.read_bytes(),
        certificate_chain=tls.certificate.read_bytes(),
    )


def _mesh_error(error: grpc.aio.AioRpcError) -> MeshError:
    code = int(error.code().value[0])
    trailers = error.trailing_metadata() or ()
    details = next((value for key, value in trailers if key == STATUS_DETAILS_KEY), None)
    mesh_error = from_status(code, error.details() or "", details if isinstance(details, bytes) else None)
    if mesh_error.code is Code.UNAVAILABLE and not mesh_error.domain:
        never_sent = mesh_error.message.startswith(NEVER_SENT_TEXTS)
        mesh_error.reason = "SERVICE_UNREACHABLE" if never_sent else "CONNECTION_LOST"
    return mesh_error

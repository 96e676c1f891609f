"""The calling side: deadline, identity, telemetry and errors around the connections to one service.

Invariants: every call has a deadline, and every failure leaves as a MeshError. A call that was certainly
never begun by the service goes to another connection, once.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from meshgate_chassis.deadline import outgoing_timeout_s
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.callee import Callee
from meshgate_chassis.rpc.http2.client import ALPN, ClientConnection, ClientStream, open_connection
from meshgate_chassis.rpc.http2.headers import block, literal
from meshgate_chassis.rpc.http2.values import encode_timeout
from meshgate_chassis.rpc.identity import TlsFiles
from meshgate_chassis.rpc.native.balancer import Balancer, Ways
from meshgate_chassis.rpc.native.resolver import addresses_of, parse_target
from meshgate_chassis.rpc.options import LEFT_ALONE_S_MAX, MESSAGE_BYTES_MAX
from meshgate_chassis.rpc.status import from_status
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod

HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
TIMEOUT_FIELD: Final = literal("grpc-timeout", "")[:-1]  # then one byte of length, and the value


class Outgoing(NamedTuple):
    """A call before it has a connection. Header blocks are whole fields, in HPACK."""

    head: bytes
    more: bytes
    message: bytes
    end_s: float  # of the monotonic clock


class NativeChannel:
    """Implements `MeshChannel`. Make it with `open_channel`."""

    def __init__(self, callee: Callee, telemetry: Telemetry | None, balancer: Balancer) -> None:
        self._callee = callee
        self._balancer = balancer
        self._telemetry = telemetry if telemetry is not None and telemetry.enabled else None

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        head, parse = self._head(method.path), method.response_type.FromString

        async def call(
            request: Request,
            *,
            timeout_s: float | None = None,
            metadata: Mapping[str, str] | None = None,
        ) -> Response:
            timeout = outgoing_timeout_s(timeout_s)
            answer = await self._answer(self._outgoing(head, request, timeout, metadata), timeout)
            return _parsed(parse, answer)

        return call

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]:
        head, parse = self._head(method.path), method.response_type.FromString

        async def call(
            request: Request,
            *,
            timeout_s: float | None = None,
            metadata: Mapping[str, str] | None = None,
        ) -> AsyncGenerator[Response, None]:
            outgoing = self._outgoing(head, request, outgoing_timeout_s(timeout_s), metadata)
            stream = self._begun(outgoing) or await self._begun_later(outgoing)
            try:
                try:
                    message = await stream.next()
                except MeshError:
                    if not stream.refused:
                        raise
                    stream = await self._begun_later(outgoing, stream)
                    message = await stream.next()
                while message is not None:
                    yield _parsed(parse, message)
                    message = await stream.next()
            finally:
                stream.cancel()  # no effect on one that has ended

        return call

    async def serving(self, timeout_s: float) -> bool:
        """True when the service says of itself, over grpc.health.v1, that it is serving."""
        request = health_pb2.HealthCheckRequest()
        outgoing = self._outgoing(self._head(HEALTH_CHECK), request, timeout_s, None)
        try:
            answer = _parsed(
                health_pb2.HealthCheckResponse.FromString, await self._answer(outgoing, timeout_s)
            )
        except MeshError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Ends the connections; calls under way end with UNAVAILABLE/CONNECTION_LOST."""
        await self._balancer.close()

    def _head(self, path: str) -> bytes:
        """What the headers of all calls of a method begin with."""
        return block(
            [
                (":method", "POST"),
                (":scheme", "http" if self._callee.tls is None else "https"),
                (":path", path),
                (":authority", self._callee.name),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "meshgate"),
                *self._callee.credentials,
            ]
        )

    def _outgoing(
        self, head: bytes, request: Request, timeout_s: float, metadata: Mapping[str, str] | None
    ) -> Outgoing:
        """Raises RESOURCE_EXHAUSTED for a request that no server takes."""
        message = request.SerializeToString()
        if len(message) > MESSAGE_BYTES_MAX:
            text = f"a request of {len(message)} bytes; {MESSAGE_BYTES_MAX} are allowed"
            raise from_status(Code.RESOURCE_EXHAUSTED.value, text, None)
        fields = dict(metadata) if metadata else {}
        if self._telemetry is not None:
            self._telemetry.inject(fields)
        more = block(fields.items()) if fields else b""
        return Outgoing(head, more, message, time.monotonic() + timeout_s)

    async def _answer(self, outgoing: Outgoing, timeout_s: float) -> bytes:
        """Of a unary call. Who is cancelled leaves a short call alone until its deadline: it may be changing
        something. A long one, which may cost money for as long as it lasts, is cancelled."""
        stream = self._begun(outgoing) or await self._begun_later(outgoing)
        try:
            try:
                return await stream.answer()
            except MeshError:
                if not stream.refused:
                    raise
                stream = await self._begun_later(outgoing, stream)
                return await stream.answer()
        except asyncio.CancelledError:
            if timeout_s > LEFT_ALONE_S_MAX:
                stream.cancel()
            raise

    def _begun(self, outgoing: Outgoing) -> ClientStream | None:
        """The call on its way, when a connection takes it now."""
        connection = self._balancer.pick()
        return None if connection is None else _begin(connection, outgoing)

    async def _begun_later(self, outgoing: Outgoing, refused: ClientStream | None = None) -> ClientStream:
        """The call on its way, once a connection takes it, and another one than refused it. Raises
        MeshError."""
        left_s = outgoing.end_s - time.monotonic()
        connection = await self._balancer.wait(left_s, None if refused is None else refused.wire)
        return _begin(connection, outgoing)


def _begin(connection: ClientConnection, outgoing: Outgoing) -> ClientStream:
    timeout_s = outgoing.end_s - time.monotonic()
    if timeout_s <= 0:
        raise MeshError(Code.DEADLINE_EXCEEDED, "DEADLINE_TOO_CLOSE", "no time was left to make the call")
    value = encode_timeout(timeout_s).encode()
    fields = b"".join((outgoing.head, TIMEOUT_FIELD, bytes((len(value),)), value, outgoing.more))
    return connection.call(fields, outgoing.message, timeout_s)


def open_channel(callee: Callee, telemetry: Telemetry | None) -> NativeChannel:
    """Connects when it is first used. Raises FAILED_PRECONDITION/ADDRESS_INVALID; OSError for PEM files."""
    target = parse_target(callee.target)
    tls = None if callee.tls is None else tls_context(callee.tls)
    ways = Ways(
        where=f"the {callee.name} at {callee.target}",
        addresses=partial(addresses_of, target),
        open=partial(open_connection, tls=tls, server_name=callee.name),
        lookups=not target.known,
    )
    return NativeChannel(callee, telemetry, Balancer(ways))


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Shows our certificate, and wants the service's to be signed by the CA and to carry its name."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols([ALPN])
    return context


def _parsed(parse: Callable[[bytes], Response], answer: bytes) -> Response:
    try:
        return parse(answer)
    except DecodeError as error:
        raise MeshError(
            Code.INTERNAL, "ANSWER_UNREADABLE", "the answer does not follow the contract"
        ) from error

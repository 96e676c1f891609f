"""Servers on the transport of our own: what they serve, who is connected, and how they stop."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from meshgate_chassis.rpc.around import Around
from meshgate_chassis.rpc.http2.calls import IncomingCall, Method
from meshgate_chassis.rpc.http2.server import CallLimit, ServerConnection
from meshgate_chassis.rpc.metrics import RpcMetrics
from meshgate_chassis.rpc.native import health, reflection
from meshgate_chassis.rpc.native.health import Health
from meshgate_chassis.rpc.native.listener import Listener, server_tls
from meshgate_chassis.rpc.native.methods import StreamHandler, UnaryHandler, end
from meshgate_chassis.rpc.native.reflection import Reflection
from meshgate_chassis.rpc.serving import ServerOptions, Servicer, listen_failed
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.rpc import StreamMethod, UnaryMethod

CANCELLED_S: Final = 1.0  # for calls that are cancelled to clean up, and for connections to say goodbye
CONNECTIONS_MAX: Final = 4_096  # of clients; a process of the mesh has one to each replica. One more is left
LOOK_S: Final = 0.01  # between two looks at whether connections and handlers have ended: no one event says so


class NativeServer:
    """Implements `serving.ServerTransport`."""

    def __init__(self, settings: ServerOptions, telemetry: Telemetry, metrics: RpcMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._telemetry = telemetry
        self._servicers: list[tuple[Servicer, bool]] = []
        self._methods: dict[str, Method] = {}
        self._health = Health()
        self._calls = CallLimit()
        self._connections: set[ServerConnection] = set()
        self._listener: Listener | None = None
        self._stopping = False

    def add(self, servicer: Servicer, *, public: bool) -> None:
        """Before it listens."""
        self._servicers.append((servicer, public))

    async def listen(self, names: Iterable[str]) -> None:
        """On every address that the name of the host has."""
        told = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        self._methods.update(self._health.methods())
        self._methods.update(Reflection(told).methods())
        interceptor = self._telemetry.server_interceptor()
        for servicer, public in self._servicers:
            await self._add_methods(servicer, interceptor, public=public)
        tls = self._settings.identity.tls
        try:
            context = None if tls is None else server_tls(tls)
            self._listener = await Listener.open(self._settings.listen, self._connection, context)
        except (OSError, ValueError) as error:
            raise listen_failed(self._settings.listen) from error

    async def set_serving(self, names: Iterable[str], *, serving: bool) -> None:
        """Watchers are told."""
        self._health.set(names, serving=serving)

    async def stop(self, grace_s: float) -> None:
        """What is under way has the grace to end. Clients are asked to take what is new elsewhere."""
        self._stopping = True
        if self._listener is not None:
            self._listener.close()
        self._health.end()
        for connection in list(self._connections):
            connection.go_away()
        await self._quiet(grace_s)
        for connection in list(self._connections):
            connection.close()
        await self._quiet(CANCELLED_S)

    async def _quiet(self, limit_s: float) -> None:
        """Until nobody is connected and no handler runs, or the time is over."""
        over = time.monotonic() + limit_s
        while self._busy() and time.monotonic() < over:  # noqa: ASYNC110 - see LOOK_S
            await asyncio.sleep(LOOK_S)

    def _busy(self) -> bool:
        return bool(self._connections) or self._calls.count > 0

    def _connection(self) -> ServerConnection:
        return ServerConnection(self._methods, self._calls, self._made, self._connections.discard)

    def _made(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        if len(self._connections) > CONNECTIONS_MAX:
            connection.close()
        elif self._stopping:  # it was accepted while the listener closed
            connection.go_away()

    async def _add_methods(self, servicer: Servicer, interceptor: Any, *, public: bool) -> None:
        service = servicer.service
        for attribute, method in service.methods.items():
            metrics = self._metrics.method(service.name, method.path.rsplit("/", 1)[1])
            around = Around(self._settings, metrics, self._telemetry, public, end)
            handle = await _handler(around, method, getattr(servicer, attribute), interceptor)
            self._methods[method.path] = Method(handle, whole_request=True)


async def _handler(
    around: Around[IncomingCall],
    method: UnaryMethod[Any, Any] | StreamMethod[Any, Any],
    behaviour: Any,
    interceptor: Any,
) -> Callable[[IncomingCall], Any]:
    parse = method.request_type.FromString
    if isinstance(method, StreamMethod):
        if interceptor is None:
            return StreamHandler(around, behaviour, parse, None).handle
        from meshgate_chassis.rpc.native.spans import stream_span

        return StreamHandler(around, behaviour, parse, await stream_span(interceptor, method.path)).handle
    if interceptor is None:
        return UnaryHandler(around, behaviour, parse, None).handle
    from meshgate_chassis.rpc.native.spans import unary_span

    return UnaryHandler(around, behaviour, parse, await unary_span(interceptor, method.path)).handle

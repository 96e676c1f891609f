"""The standard health service, grpc.health.v1: open to everyone, without a deadline, without a span."""

import asyncio
from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from meshgate_chassis.errors import Code
from meshgate_chassis.rpc.http2.calls import IncomingCall, Method

SERVICE_NAME = "grpc.health.v1.Health"
Response = health_pb2.HealthCheckResponse


class Health:
    """What is served, told to who asks once and to who watches."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._ended = False

    def methods(self) -> Mapping[str, Method]:
        """By their paths."""
        return {
            f"/{SERVICE_NAME}/Check": Method(self.check, whole_request=True),
            f"/{SERVICE_NAME}/Watch": Method(self.watch, whole_request=True),
        }

    def set(self, names: Iterable[str], *, serving: bool) -> None:
        """From now on, for these services; "" is the server as a whole."""
        self._serving.update(dict.fromkeys(names, serving))
        self._tell()

    def end(self) -> None:
        """Watchers are let go: a server that stops does not wait for them."""
        self._ended = True
        self._tell()

    async def check(self, call: IncomingCall) -> None:
        """Once; NOT_FOUND for a service that is not known."""
        name = _asked(call)
        if name is None:
            return
        if name not in self._serving:
            call.finish(Code.NOT_FOUND.value, "there is no such service")
            return
        call.answer(Response(status=self._status(name)).SerializeToString())

    async def watch(self, call: IncomingCall) -> None:
        """Now and whenever it changes; SERVICE_UNKNOWN for a service that is not known yet."""
        name = _asked(call)
        told = None
        while name is not None:
            changed, status = self._changed, self._status(name)
            if status != told:
                told = status
                await call.send(Response(status=status).SerializeToString())
            if self._ended:
                call.finish(Code.UNAVAILABLE.value, "the service is stopping")
                return
            await changed.wait()

    def _status(self, name: str) -> "health_pb2.HealthCheckResponse.ServingStatus":
        if name not in self._serving:
            return Response.SERVICE_UNKNOWN
        return Response.SERVING if self._serving[name] else Response.NOT_SERVING

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _asked(call: IncomingCall) -> str | None:
    """The service asked for; None for a call that had to be refused."""
    try:
        return str(health_pb2.HealthCheckRequest.FromString(call.request).service)
    except DecodeError:
        call.finish(Code.INTERNAL.value, "the request is no HealthCheckRequest")
        return None

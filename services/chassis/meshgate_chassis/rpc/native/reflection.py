"""The standard reflection service, grpc.reflection.v1alpha, by grpcio's own answers: for people with grpcurl.

They are imported at the first such call, in a thread: with them comes all of grpcio.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from meshgate_chassis.errors import Code
from meshgate_chassis.rpc.http2.calls import IncomingCall, Method

SERVICE_NAME: Final = "grpc.reflection.v1alpha.ServerReflection"
REQUESTS_MAX: Final = 10_000  # of one stream; a tool asks a few for each service


class TooManyRequestsError(Exception):
    """A stream asked for more than REQUESTS_MAX."""


class Reflection:
    """Tells of the services named, and of every contract that the process knows."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._servicer: Any = None

    def methods(self) -> Mapping[str, Method]:
        """By their paths."""
        return {f"/{SERVICE_NAME}/ServerReflectionInfo": Method(self.info, whole_request=False)}

    async def info(self, call: IncomingCall) -> None:
        """An answer for each request, until there are no more."""
        if self._servicer is None:
            self._servicer = await asyncio.to_thread(_servicer, self._names)
        try:
            async for answer in self._servicer.ServerReflectionInfo(_requests(call), None):
                await call.send(answer.SerializeToString())
        except DecodeError:
            call.finish(Code.INTERNAL.value, "the request is no ServerReflectionRequest")
        except TooManyRequestsError:
            call.finish(Code.RESOURCE_EXHAUSTED.value, f"{REQUESTS_MAX} requests are enough for one stream")
        else:
            call.finish(0)


async def _requests(call: IncomingCall) -> AsyncIterator[Any]:
    count = 0
    while (message := await call.next_request()) is not None:
        count += 1
        if count > REQUESTS_MAX:
            raise TooManyRequestsError
        yield reflection_pb2.ServerReflectionRequest.FromString(message)


def _servicer(names: tuple[str, ...]) -> Any:
    from grpc_reflection.v1alpha import reflection

    return reflection.aio.ReflectionServicer(names)

"""From the bytes of a call to a servicer's method and back."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from meshgate_chassis.errors import Code
from meshgate_chassis.rpc.around import Around, Failure, StreamBehaviour, UnaryBehaviour
from meshgate_chassis.rpc.http2.calls import IncomingCall
from meshgate_chassis.rpc.options import MESSAGE_BYTES_MAX
from meshgate_chassis.telemetry import may_be_sampled

if TYPE_CHECKING:  # only who traces needs grpcio
    from meshgate_chassis.rpc.native.spans import StreamSpan, UnarySpan

Behaviour = TypeVar("Behaviour")

NO_MESSAGE: Final = "the request is not a message of its type"
TOO_LONG: Final = f"the response is longer than {MESSAGE_BYTES_MAX} bytes"


async def end(call: IncomingCall, failure: Failure) -> None:
    """Tells the client how its call failed."""
    call.finish(failure.code.value, failure.text, failure.trailers)


class _Handler(Generic[Behaviour]):
    """What the handlers of both kinds of methods are made of."""

    def __init__(
        self,
        around: Around[IncomingCall],
        behaviour: Behaviour,
        parse: Callable[[bytes], Message],
        span: Any,  # None without tracing
    ) -> None:
        self._around = around
        self._behaviour = behaviour
        self._parse = parse
        self._span = span

    def _request_of(self, call: IncomingCall) -> Message | None:
        """None: it is not a message of its type, and the call has ended."""
        try:
            return self._parse(call.request)
        except DecodeError:
            call.finish(Code.INTERNAL.value, NO_MESSAGE)
            return None


class UnaryHandler(_Handler[UnaryBehaviour]):
    """Answers the calls of a unary method."""

    _span: "UnarySpan | None"

    async def handle(self, call: IncomingCall) -> None:
        """From its request, which is whole, to its end."""
        request = self._request_of(call)
        if request is None:
            return
        work = self._around.unary(self._behaviour, request, call)
        if self._span is None or not may_be_sampled(call.metadata):
            response = await work
        else:
            response = await self._span(work, context_of(call))
        if response is None:  # it failed, and has ended
            return
        message = response.SerializeToString()
        if len(message) > MESSAGE_BYTES_MAX:
            call.finish(Code.RESOURCE_EXHAUSTED.value, TOO_LONG)
        else:
            call.answer(message)


class StreamHandler(_Handler[StreamBehaviour]):
    """Answers the calls of a method that streams its responses."""

    _span: "StreamSpan | None"

    async def handle(self, call: IncomingCall) -> None:
        """From its request, which is whole, to its end."""
        request = self._request_of(call)
        if request is None:
            return
        responses = work = self._around.stream(self._behaviour, request, call)
        if self._span is not None and may_be_sampled(call.metadata):
            responses = self._span(work, context_of(call))
        try:
            async for response in responses:
                message = response.SerializeToString()
                if len(message) > MESSAGE_BYTES_MAX:
                    call.finish(Code.RESOURCE_EXHAUSTED.value, TOO_LONG)
                    return
                await call.send(message)
        finally:
            # Here, in the call's own task, and the work before its span, which it tells of its end.
            await work.aclose()
            await responses.aclose()
        call.finish(0)  # no effect on one that failed, and has ended


def context_of(call: IncomingCall) -> Any:
    """Of a call that is traced."""
    from meshgate_chassis.rpc.native.spans import Context

    return Context(call)

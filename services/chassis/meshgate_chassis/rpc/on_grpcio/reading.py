"""Waiting for grpcio so that a caller who is cancelled costs no memory.

grpcio (1.76 to 1.85 alike) never takes an operation apart whose waiting task was cancelled: 0.6 to 1 kB are
lost for good each time, and in a gateway callers leave all the time. A call that is cancelled with
`call.cancel()` while its reader goes on waiting ends cleanly. So here the caller waits for a future of ours,
and something that nobody cancels waits for grpcio.
"""

import asyncio
from collections import deque
from typing import Any, Final

import grpc.aio

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.options import LEFT_ALONE_S_MAX

MESSAGES_AHEAD_MAX: Final = 16  # read before the caller asks; then grpcio's flow control holds the sender

_END: Final = object()


class StreamReader:
    """Messages of one streaming call, in order. Run `read` as a task, and call `end` when done with it."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._messages: deque[Any] = deque()  # _END comes last
        self._arrived: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        # What `next` raises at the end; None: nothing, the stream was whole.
        self._error: grpc.aio.AioRpcError | asyncio.CancelledError | MeshError | None = MeshError(
            Code.UNAVAILABLE, "CONNECTION_LOST", "the stream was not read to its end"
        )

    async def read(self) -> None:
        """Until the call has ended; its error is kept for `next`."""
        try:
            async for message in self._call:
                if message is None:  # grpcio could not parse it
                    return
                self._put(message)
                if len(self._messages) >= MESSAGES_AHEAD_MAX:
                    await self._wait_for_room()
            self._error = None
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            self._error = error.with_traceback(None)  # which leads back here: a cycle would hold the stream
        finally:
            self._put(_END)

    async def next(self) -> Any:
        """The next message; None at the end. Raises AioRpcError, CancelledError when the call was ended here,
        and UNAVAILABLE/CONNECTION_LOST."""
        while not self._messages:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        if self._messages[0] is _END:
            if self._error is not None:
                raise self._error
            return None
        message = self._messages.popleft()
        _wake(self._room)
        return message

    def end(self) -> None:
        """Cancels the call unless it has ended; what was read can still be had."""
        self._call.cancel()
        _wake(self._room)

    def _put(self, message: Any) -> None:
        self._messages.append(message)
        _wake(self._arrived)

    async def _wait_for_room(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        await self._room
        self._room = None


async def answer_of(call: Any, timeout_s: float) -> Any:
    """A unary call's answer. Whoever is cancelled here leaves a short call alone until its deadline; a long
    one, which may cost money, is cancelled. Raises AioRpcError."""
    try:
        await call.code()  # a done callback would hold the call, and the call it, until a collection
    except asyncio.CancelledError:
        if timeout_s > LEFT_ALONE_S_MAX:
            call.cancel()
        raise
    return await call


def _wake(future: "asyncio.Future[None] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)

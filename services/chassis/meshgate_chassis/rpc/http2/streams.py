"""One call on a connection, both directions: its windows, what waits to leave, what waits to be taken.

Invariants: nothing is sent beyond the peer's windows; what waits to be taken is at most
STREAM_WINDOW_BYTES and one message; messages arrive whole and in order.
"""

import asyncio
from collections import deque
from typing import Protocol

from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.http2.limits import SEND_BUFFER_BYTES_MAX, STREAM_WINDOW_BYTES, TURN_BYTES_MAX
from meshgate_chassis.rpc.http2.messages import PREFIX_BYTES, MessageReader
from meshgate_chassis.rpc.options import MESSAGE_BYTES_MAX


class Wire(Protocol):
    """What a stream needs of its connection."""

    send_window: int  # bytes the peer takes on the whole connection
    frame_bytes_max: int  # that the peer takes
    writable: bool  # False: what is to leave waits in the stream
    head_prefix: bytes  # of the next block of headers, once

    def write(self, data: bytes) -> None:
        """Whole frames, in order."""

    def wait(self, stream: "Stream") -> None:
        """`stream.pump` is called when the connection takes more."""


class Stream:
    """Both directions of one call."""

    __slots__ = (
        "_arrived",
        "_end_with_data",
        "_messages",
        "_pending",
        "_pending_bytes",
        "_reader",
        "_room",
        "_trailers",
        "_uncredited",
        "_waiting_bytes",
        "id",
        "local_ended",
        "remote_ended",
        "send_window",
        "wire",
    )

    def __init__(self, wire: Wire, stream_id: int, send_window: int) -> None:
        self.wire = wire
        self.id = stream_id
        self.send_window = send_window
        self.local_ended = False  # we said all, or nothing more can be said
        self.remote_ended = False  # the peer said all, or was reset
        self._pending: deque[memoryview] = deque()
        self._pending_bytes = 0
        self._end_with_data = False
        self._trailers: bytes | None = None
        self._room: asyncio.Future[None] | None = None
        self._reader = MessageReader(MESSAGE_BYTES_MAX)
        self._messages: deque[bytes] = deque()
        self._waiting_bytes = 0  # of whole messages that nobody took yet, with their prefixes
        self._uncredited = 0  # received, and not given back to the peer's window
        self._arrived: asyncio.Future[None] | None = None

    def put(self, payload: bytes, *, end: bool = False) -> None:
        """As data: now, as far as the windows allow, the rest when they do. `end`: nothing follows."""
        wire = self.wire
        size = len(payload)
        if (
            wire.writable
            and size <= self.send_window
            and size <= wire.send_window
            and size <= wire.frame_bytes_max
            and not self._pending
        ):
            self.send_window -= size
            wire.send_window -= size
            wire.write(frames.data(self.id, payload, end_stream=end))
            self.local_ended = end
        else:
            self._pending.append(memoryview(payload))
            self._pending_bytes += size
            self._end_with_data = end
            self.pump()

    def end_with(self, trailers: bytes) -> None:
        """Frames that end our side, behind all that waits."""
        if self._pending:
            self._trailers = trailers
        else:
            self.wire.write(trailers)
            self.local_ended = True

    def pump(self) -> None:
        """Sends what waits, as far as the windows allow, and not so much that others wait for long."""
        wire = self.wire
        pending = self._pending
        turn = TURN_BYTES_MAX
        while pending and wire.writable:
            allowed = min(self.send_window, wire.send_window, wire.frame_bytes_max, turn)
            if allowed <= 0:
                break
            piece = pending[0][:allowed]
            if len(piece) == len(pending[0]):
                pending.popleft()
            else:
                pending[0] = pending[0][allowed:]
            self.send_window -= len(piece)
            wire.send_window -= len(piece)
            turn -= len(piece)
            self._pending_bytes -= len(piece)
            last = self._end_with_data and not pending
            wire.write(frames.data(self.id, piece, end_stream=last))
            self.local_ended = last
        if pending:
            if self.send_window > 0:
                wire.wait(self)
        elif self._trailers is not None:
            trailers, self._trailers = self._trailers, None
            self.end_with(trailers)
        if self._pending_bytes <= SEND_BUFFER_BYTES_MAX:
            wake(self._room)

    async def room(self) -> None:
        """Until little enough waits, or nothing can leave any more."""
        while self._pending_bytes > SEND_BUFFER_BYTES_MAX and not self.local_ended:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def discard_output(self) -> None:
        """What waits is not sent any more."""
        self._pending.clear()
        self._pending_bytes = 0
        self._trailers = None
        wake(self._room)

    def drop_output(self) -> None:
        """What waits is not sent any more, nor anything else."""
        self.discard_output()
        self.local_ended = True

    def receive(self, payload: bytes, flow_bytes: int) -> None:
        """Data of the peer, which took `flow_bytes` of its window. Raises MessageError, and FrameError when
        it had no window."""
        self._uncredited += flow_bytes
        if self._uncredited > STREAM_WINDOW_BYTES:
            raise frames.FrameError(frames.FLOW_CONTROL_ERROR, "data beyond the window of its stream")
        for message in self._reader.feed(payload):
            self._messages.append(message)
            self._waiting_bytes += PREFIX_BYTES + len(message)
        self._credit()

    def take(self) -> bytes:
        """The next message; there must be one."""
        message = self._messages.popleft()
        self._waiting_bytes -= PREFIX_BYTES + len(message)
        self._credit()
        return message

    def _credit(self) -> None:
        owed = self._uncredited - self._waiting_bytes
        if owed >= STREAM_WINDOW_BYTES // 2 and not self.remote_ended:
            self._uncredited -= owed
            self.wire.write(frames.window_update(self.id, owed))

    async def arrival(self) -> None:
        """Until something came, or the stream ended."""
        self._arrived = asyncio.get_running_loop().create_future()
        await self._arrived

    def tell(self) -> None:
        """Wakes up who waits for an arrival."""
        wake(self._arrived)


def wake(future: "asyncio.Future[None] | None") -> None:
    """Whoever waits for it, if anybody does."""
    if future is not None and not future.done():
        future.set_result(None)

"""What both ends of a connection do alike: frames in, frames out, windows, settings, pings, who is silent.

Invariants: all frames of one turn of the event loop leave in one write; a peer that is silent for
KEEPALIVE_TIME and KEEPALIVE_TIMEOUT while calls are under way is given up; a peer that breaks a rule or a
limit is told by GOAWAY and left; a connection that is left hears nothing more, and ends soon.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Final, cast

from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.http2.frames import FrameError, FrameReader
from meshgate_chassis.rpc.http2.headers import HeaderDecoder, HeaderError
from meshgate_chassis.rpc.http2.limits import (
    BLOCK_BYTES_MAX,
    CONNECTION_WINDOW_BYTES,
    CONTINUATIONS_MAX,
    CONTROL_FRAMES_MAX,
    CONTROL_FRAMES_UNREAD_MAX,
    FRAME_BYTES_MAX,
    OUTPUT_BYTES_MAX,
    STREAM_WINDOW_BYTES,
    UNSENT_BYTES_MAX,
    Times,
)
from meshgate_chassis.rpc.http2.streams import Stream
from meshgate_chassis.rpc.options import METADATA_BYTES_MAX

WINDOW_DEFAULT: Final = 65_535  # RFC 9113, until settings say otherwise
TABLE_BYTES_DEFAULT: Final = 4_096  # of HPACK
TABLE_UNUSED: Final = b"\x20"  # says, in front of a block, that no table will be needed
PING: Final = b"meshgate"


class Connection(asyncio.Protocol, ABC):
    """One end. Subclasses know who opens streams and what headers mean. Implements `streams.Wire`."""

    def __init__(self, times: Times) -> None:
        self.send_window = WINDOW_DEFAULT
        self.frame_bytes_max = frames.FRAME_BYTES_MAX_LEAST
        self.writable = False
        self.head_prefix = b""  # of the next block of headers
        self.closed = False
        self.lost_by: Exception | None = None
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._stream_window = WINDOW_DEFAULT  # that the peer gives to a new stream
        self._frames = FrameReader(FRAME_BYTES_MAX)
        self._headers = HeaderDecoder(METADATA_BYTES_MAX)
        self._block: tuple[int, int, list[bytes]] | None = None  # stream, flags, parts of headers under way
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._full = False  # the transport asked for a pause
        self._waiting: OrderedDict[int, Stream] = OrderedDict()  # for more than their own windows
        self._received = 0  # bytes of data that the connection's window was not given back for
        self._settled = False  # the peer's settings have come
        self._control_frames = 0
        self._control_frames_unread = 0
        self._heard = True
        self._silent_s = 0.0
        self._left = False  # the last words are said
        self._housekeeping: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None

    # -- asyncio's side -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by type
        self.writable = True
        self._housekeeping = self._loop.call_later(self._times.look_s, self._look)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._transport.abort()  # as RFC 9113 wants it of both ends

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        if self._left:  # over TLS something may still come
            return
        self._heard = True
        try:
            for kind, flags, stream_id, payload in self._frames.feed(data):
                self._take_frame(kind, flags, stream_id, payload)
        except FrameError as error:
            self._fail(error.error_code, error.text)

    def eof_received(self) -> None:
        """Called by asyncio, which then closes."""
        self._leave()

    def pause_writing(self) -> None:
        """Called by asyncio."""
        self._full = True
        self.writable = False

    def resume_writing(self) -> None:
        """Called by asyncio."""
        self._full = False
        self._control_frames_unread = 0
        self.writable = True
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.closed = True
        self.writable = False
        self._output.clear()
        self._waiting.clear()
        for timer in (self._housekeeping, self._linger):
            if timer is not None:
                timer.cancel()
        if exc is not None:
            self.lost_by = exc
        self._lost()

    # -- what leaves ----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Whole frames, in order; they leave at the end of this turn."""
        if self.closed:
            return
        if not self._output:
            self._loop.call_soon(self._flush)
        self._output.append(data)
        self._output_bytes += len(data)
        if self._output_bytes > OUTPUT_BYTES_MAX:
            self.writable = False

    def wait(self, stream: Stream) -> None:
        """It is pumped when more may leave."""
        self._waiting[stream.id] = stream

    def _flush(self) -> None:
        if self._waiting:
            self._pump()
        output, self._output = self._output, []
        self._output_bytes = 0
        transport = self._transport
        if not output or transport is None or transport.is_closing():
            return
        transport.write(output[0] if len(output) == 1 else b"".join(output))
        if self._full:
            if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
                self._abort("the peer asks and never reads")
        elif not self.closed:
            self.writable = True
            if self._waiting:
                self._pump()

    def _pump(self) -> None:
        """Streams that wait have their turns, one after the other."""
        waiting = self._waiting
        while waiting and self.writable and self.send_window > 0:
            _, stream = waiting.popitem(last=False)
            stream.pump()

    def _announce(self, more: dict[int, int]) -> None:
        """Our settings, and the window of the whole connection."""
        values = {
            frames.SETTINGS_INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
            frames.SETTINGS_MAX_FRAME_SIZE: FRAME_BYTES_MAX,
            frames.SETTINGS_MAX_HEADER_LIST_SIZE: METADATA_BYTES_MAX,
        }
        self.write(frames.settings({**values, **more}))
        self.write(frames.window_update(0, CONNECTION_WINDOW_BYTES - WINDOW_DEFAULT))

    def _fail(self, error_code: int, text: str) -> None:
        """Tells the peer what it did, and leaves."""
        if self.closed or self._transport is None:
            return
        self.lost_by = ConnectionError(text)
        self.write(frames.goaway(self._last_stream_id(), error_code, text.encode()[:200]))
        self._leave()

    def _leave(self) -> None:
        """What was written still leaves, if the peer reads it; nothing is read any more."""
        if self._transport is not None and not self._left and not self.closed:
            self._flush()
            self._left = True
            self._transport.close()
            self._linger = self._loop.call_later(self._times.linger_s, self._transport.abort)

    def _abort(self, text: str) -> None:
        """Nothing that was written leaves any more."""
        if self._transport is not None:
            self.lost_by = ConnectionError(text)
            self._transport.abort()

    # -- what comes -----------------------------------------------------------------------------------------

    def _take_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and kind != frames.CONTINUATION:
            raise FrameError(frames.PROTOCOL_ERROR, "headers were interrupted")
        if kind == frames.DATA:
            self._take_data(flags, stream_id, payload)
        elif kind == frames.HEADERS:
            block = frames.without_priority(flags, frames.unpadded(flags, payload))
            if flags & frames.END_HEADERS:
                self._take_block(stream_id, flags, block)
            else:
                self._block = (stream_id, flags, [block])
        elif not self._settled and kind != frames.SETTINGS:
            raise FrameError(frames.PROTOCOL_ERROR, "settings come first")
        elif kind == frames.WINDOW_UPDATE:
            self._take_window(stream_id, payload)
        else:
            self._take_control(kind, flags, stream_id, payload)

    def _take_control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """The rarer frames, which a peer could flood us with."""
        if kind == frames.CONTINUATION:
            self._take_continuation(flags, stream_id, payload)
            return
        if kind == frames.RST_STREAM:
            _check(len(payload) == 4, stream_id != 0, "a reset is 4 bytes for a stream")
            self._take_reset(stream_id, int.from_bytes(payload, "big"))
            return
        self._count_control_frame()
        if kind == frames.SETTINGS:
            self._take_settings(flags, stream_id, payload)
        elif kind == frames.PING:
            _check(len(payload) == frames.PING_BYTES, stream_id == 0, "a ping is 8 bytes for the connection")
            if not flags & frames.ACK:
                self.write(frames.ping(payload, ack=True))
            else:
                self._pinged(payload)
        elif kind == frames.GOAWAY:
            _check(len(payload) >= 8, stream_id == 0, "goaway is 8 bytes for the connection")
            self._take_goaway(int.from_bytes(payload[:4], "big") & frames.STREAM_ID_MAX)
        elif kind == frames.PUSH_PROMISE:
            raise FrameError(frames.PROTOCOL_ERROR, "nothing may be pushed")
        # PRIORITY and kinds that nobody knows are passed over, as RFC 9113 wants it.

    def _count_control_frame(self) -> None:
        self._control_frames += 1
        self._control_frames_unread += self._full
        unread = self._control_frames_unread
        if self._control_frames > CONTROL_FRAMES_MAX or unread > CONTROL_FRAMES_UNREAD_MAX:
            raise FrameError(frames.ENHANCE_YOUR_CALM, "too many control frames")

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        if not size and not flags & frames.END_STREAM:
            self._count_control_frame()
        self._received += size
        if self._received >= CONNECTION_WINDOW_BYTES // 2:
            self.write(frames.window_update(0, self._received))
            self._received = 0
        if flags & frames.PADDED:
            payload = frames.unpadded(flags, payload)
        self._take_payload(stream_id, payload, size, ended=bool(flags & frames.END_STREAM))

    def _take_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream_id:
            raise FrameError(frames.PROTOCOL_ERROR, "a continuation of nothing")
        _, first_flags, parts = self._block
        parts.append(payload)
        if len(parts) > CONTINUATIONS_MAX or sum(map(len, parts)) > BLOCK_BYTES_MAX:
            raise FrameError(frames.ENHANCE_YOUR_CALM, "the headers are too long")
        if flags & frames.END_HEADERS:
            self._block = None
            self._take_block(stream_id, first_flags, b"".join(parts))

    def _take_window(self, stream_id: int, payload: bytes) -> None:
        increment = int.from_bytes(payload, "big") & frames.WINDOW_BYTES_MAX
        _check(len(payload) == 4, increment != 0, "a window grows by 1 or more, told in 4 bytes")
        if stream_id == 0:
            self.send_window += increment
            if self.send_window > frames.WINDOW_BYTES_MAX:
                raise FrameError(frames.FLOW_CONTROL_ERROR, "the window is too large")
            if self._waiting and self.writable:
                self._pump()
        elif (stream := self._stream(stream_id)) is not None:
            stream.send_window += increment
            if stream.send_window > frames.WINDOW_BYTES_MAX:
                raise FrameError(frames.FLOW_CONTROL_ERROR, "the window of a stream is too large")
            stream.pump()

    def _take_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check(True, stream_id == 0, "settings are for the connection")
        if flags & frames.ACK:
            _check(not payload, self._settled, "settings come first, and their receipt is empty")
            return
        # The last of several values of one setting is what counts, and each costs a walk over all streams.
        for setting, value in dict(frames.parse_settings(payload)).items():
            if setting == frames.SETTINGS_INITIAL_WINDOW_SIZE:
                change = value - self._stream_window
                self._stream_window = value
                self._change_windows(change)
            elif setting == frames.SETTINGS_MAX_FRAME_SIZE:
                self.frame_bytes_max = min(value, FRAME_BYTES_MAX)
            elif setting == frames.SETTINGS_MAX_CONCURRENT_STREAMS:
                self._limit_streams(value)
            elif setting == frames.SETTINGS_HEADER_TABLE_SIZE and value < TABLE_BYTES_DEFAULT:
                self.head_prefix = TABLE_UNUSED  # RFC 7541, 4.2
        self.write(frames.SETTINGS_ACK)
        first, self._settled = not self._settled, True
        if first:
            self._ready()

    def _change_windows(self, change: int) -> None:
        streams = self._all_streams()
        for stream in streams:
            stream.send_window += change
            if stream.send_window > frames.WINDOW_BYTES_MAX:
                raise FrameError(frames.FLOW_CONTROL_ERROR, "the window of a stream is too large")
        if change > 0:
            for stream in streams:
                stream.pump()

    def _take_block(self, stream_id: int, flags: int, block: bytes) -> None:
        if not self._settled or stream_id == 0:
            raise FrameError(frames.PROTOCOL_ERROR, "settings come first, and headers belong to a stream")
        try:
            self._take_headers(stream_id, block, ended=bool(flags & frames.END_STREAM))
        except HeaderError as error:
            if not error.table_intact:
                raise FrameError(error.error_code, error.text) from None
            self._take_bad_headers(stream_id, error)

    def _look(self) -> None:
        """Now and then: is the peer still there?"""
        self._housekeeping = self._loop.call_later(self._times.look_s, self._look)
        self._control_frames = 0
        if self._heard or not self._busy():
            self._heard = False
            self._silent_s = 0.0
            return
        times, before_s = self._times, self._silent_s
        self._silent_s += times.look_s
        if self._silent_s >= times.silent_until_gone_s:
            self._abort(f"the peer was silent for {times.silent_until_gone_s:g} s")
        elif before_s < times.silent_until_ping_s <= self._silent_s:
            self.write(frames.ping(PING))

    # -- for the two ends -----------------------------------------------------------------------------------

    @abstractmethod
    def _stream(self, stream_id: int) -> Stream | None:
        """One that is under way. Raises FrameError for one that was never opened."""

    @abstractmethod
    def _all_streams(self) -> "list[Stream]":
        """Those under way."""

    @abstractmethod
    def _take_headers(self, stream_id: int, block: bytes, *, ended: bool) -> None:
        """A whole block; it must be decoded even when nobody wants it, because it has state."""

    @abstractmethod
    def _take_bad_headers(self, stream_id: int, error: HeaderError) -> None:
        """A whole block that breaks a rule or limit of its stream alone."""

    @abstractmethod
    def _take_payload(self, stream_id: int, payload: bytes, flow_bytes: int, *, ended: bool) -> None:
        """Data of a stream that was opened."""

    @abstractmethod
    def _take_reset(self, stream_id: int, error_code: int) -> None:
        """The peer gave a stream up."""

    @abstractmethod
    def _take_goaway(self, last_stream_id: int) -> None:
        """The peer takes no new streams."""

    @abstractmethod
    def _last_stream_id(self) -> int:
        """Of the peer, that was taken."""

    @abstractmethod
    def _busy(self) -> bool:
        """Somebody waits for the peer."""

    @abstractmethod
    def _lost(self) -> None:
        """The connection is gone, by `lost_by`."""

    def _ready(self) -> None:
        """The peer's first settings are known."""

    def _pinged(self, payload: bytes) -> None:
        """The peer answered a ping."""

    def _limit_streams(self, count: int) -> None:
        """What the peer takes at a time."""


def _check(size: bool, rule: bool, text: str) -> None:
    """Of a frame: RFC 9113 tells apart what is too long or short from what breaks a rule."""
    if not (size and rule):
        raise FrameError(frames.PROTOCOL_ERROR if size else frames.FRAME_SIZE_ERROR, text)

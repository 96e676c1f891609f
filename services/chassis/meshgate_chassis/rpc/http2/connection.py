"""What both ends of a connection do alike: frames in, frames out, windows, settings, pings, who is silent.

Invariants: all frames of one turn of the event loop leave in one write; a peer that is silent for
KEEPALIVE_TIME and KEEPALIVE_TIMEOUT while calls are under way is given up; a peer that breaks a rule or a
limit is told by GOAWAY and left.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import Final, cast

from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.http2.frames import FrameError, FrameReader
from meshgate_chassis.rpc.http2.headers import HeaderDecoder, HeaderError
from meshgate_chassis.rpc.http2.limits import (
    CONNECTION_WINDOW_BYTES,
    CONTINUATIONS_MAX,
    CONTROL_FRAMES_MAX,
    CONTROL_FRAMES_UNREAD_MAX,
    FRAME_BYTES_MAX,
    HOUSEKEEPING_S,
    OUTPUT_BYTES_MAX,
    STREAM_WINDOW_BYTES,
)
from meshgate_chassis.rpc.http2.streams import Stream
from meshgate_chassis.rpc.options import KEEPALIVE_TIME_MS, KEEPALIVE_TIMEOUT_MS, METADATA_BYTES_MAX

WINDOW_DEFAULT: Final = 65_535  # RFC 9113, until settings say otherwise
WINDOW_MAX: Final = 2**31 - 1
PING: Final = b"meshgate"
SILENT_UNTIL_PING: Final = KEEPALIVE_TIME_MS / 1_000
SILENT_UNTIL_GONE: Final = (KEEPALIVE_TIME_MS + KEEPALIVE_TIMEOUT_MS) / 1_000

Headers = list[tuple[str, str]]


class Connection(asyncio.Protocol, ABC):
    """One end. Subclasses know who opens streams and what headers mean. Implements `streams.Wire`."""

    def __init__(self) -> None:
        self.send_window = WINDOW_DEFAULT
        self.frame_bytes_max = 16_384
        self.writable = False
        self.closed = False
        self.lost_by: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._stream_window = WINDOW_DEFAULT  # that the peer gives to a new stream
        self._frames = FrameReader(FRAME_BYTES_MAX)
        self._headers = HeaderDecoder(METADATA_BYTES_MAX)
        self._block: tuple[int, int, list[bytes]] | None = (
            None  # stream, flags and parts of headers under way
        )
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._full = False  # the transport asked for a pause
        self._waiting: dict[int, Stream] = {}
        self._received = 0  # bytes of data that the connection's window was not given back for
        self._settled = False  # the peer's settings have come
        self._control_frames = 0
        self._control_frames_unread = 0
        self._heard = True
        self._silent_s = 0.0
        self._housekeeping: asyncio.TimerHandle | None = None

    # -- asyncio's side -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by type
        self.writable = True
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._look)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._transport.abort()  # as RFC 9113 wants it of both ends

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._heard = True
        try:
            for kind, flags, stream_id, payload in self._frames.feed(data):
                self._take_frame(kind, flags, stream_id, payload)
        except FrameError as error:
            self._fail(error.error_code, error.text)
        except HeaderError as error:
            self._fail(frames.COMPRESSION_ERROR, str(error))

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
        if self._housekeeping is not None:
            self._housekeeping.cancel()
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
        output, self._output = self._output, []
        self._output_bytes = 0
        if not output or self._transport is None or self._transport.is_closing():
            return
        self._transport.write(output[0] if len(output) == 1 else b"".join(output))
        if not self._full and not self.closed:
            self.writable = True
            if self._waiting:
                self._pump()

    def _pump(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for stream in waiting.values():
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
        self.write(frames.goaway(self._last_stream_id(), error_code, text.encode()[:200]))
        self._flush()
        self._leave()

    def _leave(self) -> None:
        """What was written still leaves; nothing is read any more."""
        if self._transport is not None and not self._transport.is_closing():
            self._flush()
            self._transport.close()

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
        self._control_frames += 1
        self._control_frames_unread += self._full
        if (
            self._control_frames > CONTROL_FRAMES_MAX
            or self._control_frames_unread > CONTROL_FRAMES_UNREAD_MAX
        ):
            raise FrameError(frames.ENHANCE_YOUR_CALM, "too many control frames")
        if kind == frames.SETTINGS:
            self._take_settings(flags, stream_id, payload)
        elif kind == frames.PING:
            if stream_id or len(payload) != 8:
                raise FrameError(frames.FRAME_SIZE_ERROR, "a ping is 8 bytes for the connection")
            if not flags & frames.ACK:
                self.write(frames.ping(payload, ack=True))
            else:
                self._pinged(payload)
        elif kind == frames.RST_STREAM:
            if stream_id == 0 or len(payload) != 4:
                raise FrameError(frames.PROTOCOL_ERROR, "a reset is 4 bytes for a stream")
            self._take_reset(stream_id, int.from_bytes(payload, "big"))
        elif kind == frames.GOAWAY:
            if stream_id or len(payload) < 8:
                raise FrameError(frames.PROTOCOL_ERROR, "goaway is 8 bytes for the connection")
            self._take_goaway(int.from_bytes(payload[:4], "big") & WINDOW_MAX)
        elif kind == frames.PUSH_PROMISE:
            raise FrameError(frames.PROTOCOL_ERROR, "nothing may be pushed")
        # PRIORITY and kinds that nobody knows are passed over, as RFC 9113 wants it.

    def _take_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._received += size
        if self._received > CONNECTION_WINDOW_BYTES:
            raise FrameError(frames.FLOW_CONTROL_ERROR, "data beyond the window of the connection")
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
        if len(parts) > CONTINUATIONS_MAX or sum(map(len, parts)) > METADATA_BYTES_MAX:
            raise FrameError(frames.ENHANCE_YOUR_CALM, "the headers are too long")
        if flags & frames.END_HEADERS:
            self._block = None
            self._take_block(stream_id, first_flags, b"".join(parts))

    def _take_window(self, stream_id: int, payload: bytes) -> None:
        increment = int.from_bytes(payload, "big") & WINDOW_MAX
        if len(payload) != 4 or increment == 0:
            raise FrameError(frames.PROTOCOL_ERROR, "a window grows by 1 or more")
        if stream_id == 0:
            self.send_window += increment
            if self.send_window > WINDOW_MAX:
                raise FrameError(frames.FLOW_CONTROL_ERROR, "the window is too large")
            if self._waiting and self.writable:
                self._pump()
        elif (stream := self._stream(stream_id)) is not None:
            stream.send_window += increment
            if stream.send_window > WINDOW_MAX:
                raise FrameError(frames.FLOW_CONTROL_ERROR, "the window of a stream is too large")
            stream.pump()

    def _take_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise FrameError(frames.PROTOCOL_ERROR, "settings are for the connection")
        if flags & frames.ACK:
            return
        for setting, value in frames.parse_settings(payload):
            if setting == frames.SETTINGS_INITIAL_WINDOW_SIZE:
                if value > WINDOW_MAX:
                    raise FrameError(frames.FLOW_CONTROL_ERROR, "the initial window is too large")
                change = value - self._stream_window
                self._stream_window = value
                self._change_windows(change)
            elif setting == frames.SETTINGS_MAX_FRAME_SIZE:
                self.frame_bytes_max = min(max(value, 16_384), FRAME_BYTES_MAX)
            elif setting == frames.SETTINGS_MAX_CONCURRENT_STREAMS:
                self._limit_streams(value)
        self.write(frames.SETTINGS_ACK)
        first, self._settled = not self._settled, True
        if first:
            self._ready()

    def _change_windows(self, change: int) -> None:
        for stream in self._all_streams():
            stream.send_window += change
        if change > 0 and self.writable:
            self._pump()

    def _take_block(self, stream_id: int, flags: int, block: bytes) -> None:
        if not self._settled or stream_id == 0:
            raise FrameError(frames.PROTOCOL_ERROR, "settings come first, and headers belong to a stream")
        self._take_headers(stream_id, block, ended=bool(flags & frames.END_STREAM))

    def _look(self) -> None:
        """Now and then: is the peer still there?"""
        self._housekeeping = self._loop.call_later(HOUSEKEEPING_S, self._look)
        self._control_frames = 0
        if self._heard or not self._busy():
            self._heard = False
            self._silent_s = 0.0
            return
        self._silent_s += HOUSEKEEPING_S
        if self._silent_s >= SILENT_UNTIL_GONE and self._transport is not None:
            self._transport.abort()
        elif self._silent_s == SILENT_UNTIL_PING:
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

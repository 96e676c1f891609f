"""HTTP/2 frames (RFC 9113, sections 4 and 6): pure, bytes to frames and back.

Frames that were read come whole and within the limit; what they mean is the connection's business.
"""

import struct
from collections.abc import Mapping
from typing import Final

CLIENT_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES: Final = 9
STREAM_ID_MAX: Final = 0x7FFFFFFF
WINDOW_BYTES_MAX: Final = 0x7FFFFFFF
FRAME_BYTES_MAX_LEAST: Final = 16_384  # what every peer takes; SETTINGS may allow more
FRAME_BYTES_MAX_MOST: Final = 16_777_215
PING_BYTES: Final = 8

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x01
ACK: Final = 0x01
END_HEADERS: Final = 0x04
PADDED: Final = 0x08
PRIORITY_FLAG: Final = 0x20

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
FLOW_CONTROL_ERROR: Final = 3
SETTINGS_TIMEOUT: Final = 4
STREAM_CLOSED: Final = 5
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
COMPRESSION_ERROR: Final = 9
CONNECT_ERROR: Final = 10
ENHANCE_YOUR_CALM: Final = 11
INADEQUATE_SECURITY: Final = 12
HTTP_1_1_REQUIRED: Final = 13

SETTINGS_HEADER_TABLE_SIZE: Final = 1
SETTINGS_ENABLE_PUSH: Final = 2
SETTINGS_MAX_CONCURRENT_STREAMS: Final = 3
SETTINGS_INITIAL_WINDOW_SIZE: Final = 4
SETTINGS_MAX_FRAME_SIZE: Final = 5
SETTINGS_MAX_HEADER_LIST_SIZE: Final = 6

# Length and kind share one number, which is quicker to take apart than 24 bits alone.
_HEADER: Final = struct.Struct(">IBI")
_UNSIGNED: Final = struct.Struct(">I")
_TWO_UNSIGNED: Final = struct.Struct(">II")
_SETTING: Final = struct.Struct(">HI")

SETTINGS_ACK: Final = _HEADER.pack(SETTINGS, ACK, 0)

Frame = tuple[int, int, int, bytes]  # kind, flags, stream id, payload


class FrameError(Exception):
    """The peer broke the protocol: the whole connection ends with `error_code`."""

    def __init__(self, error_code: int, text: str) -> None:
        super().__init__(text)
        self.error_code = error_code
        self.text = text


class FrameReader:
    """Cuts the bytes of one connection into frames."""

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._partial = bytearray()  # at most one frame that is not whole yet
        self._missing_bytes = 0  # how many more make it worth to look again

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now, in their order.

        A frame above the limit raises `FrameError` as soon as its header is there; nothing is kept of it.
        """
        if self._missing_bytes:
            if len(data) < self._missing_bytes:
                self._partial += data
                self._missing_bytes -= len(data)
                return []
            self._partial += data
            data = bytes(self._partial)
            self._partial = bytearray()
            self._missing_bytes = 0
        frames: list[Frame] = []
        unpack = _HEADER.unpack_from
        frame_bytes_max = self._frame_bytes_max
        start, available = 0, len(data)
        while (payload_start := start + FRAME_HEADER_BYTES) <= available:
            length_and_kind, flags, stream_id = unpack(data, start)
            length = length_and_kind >> 8
            end = payload_start + length
            if length > frame_bytes_max:
                raise FrameError(FRAME_SIZE_ERROR, f"a frame of {length} bytes, not {frame_bytes_max}")
            if end > available:
                self._missing_bytes = end - available
                break
            # The highest bit of a stream id is reserved and ignored.
            frames.append((length_and_kind & 0xFF, flags, stream_id & 0x7FFFFFFF, data[payload_start:end]))
            start = end
        if start < available:
            self._partial += data[start:] if start else data
            if not self._missing_bytes:
                self._missing_bytes = start + FRAME_HEADER_BYTES - available
        return frames


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One frame of any kind."""
    return _HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def data(stream_id: int, payload: bytes | memoryview, *, end_stream: bool) -> bytes:
    """A DATA frame; the caller keeps within the peer's frame size and windows."""
    return _HEADER.pack(len(payload) << 8, END_STREAM if end_stream else 0, stream_id) + payload


def headers(stream_id: int, block: bytes, *, end_stream: bool, frame_bytes_max: int) -> bytes:
    """A HEADERS frame, with as many CONTINUATION frames behind it as the peer's frame size asks for."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= frame_bytes_max:
        return _HEADER.pack(len(block) << 8 | HEADERS, flags | END_HEADERS, stream_id) + block
    pieces = [block[at : at + frame_bytes_max] for at in range(0, len(block), frame_bytes_max)]
    frames = [frame(HEADERS, flags, stream_id, pieces[0])]
    frames += [frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    frames.append(frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1]))
    return b"".join(frames)


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame of these ids and values."""
    return frame(SETTINGS, 0, 0, b"".join([_SETTING.pack(key, value) for key, value in values.items()]))


def window_update(stream_id: int, increment: int) -> bytes:
    """Allows the peer so many more bytes, for a stream or (id 0) for the connection."""
    return _HEADER.pack(4 << 8 | WINDOW_UPDATE, 0, stream_id) + _UNSIGNED.pack(increment)


def rst_stream(stream_id: int, code: int) -> bytes:
    """Ends one stream at once."""
    return _HEADER.pack(4 << 8 | RST_STREAM, 0, stream_id) + _UNSIGNED.pack(code)


def ping(data: bytes, ack: bool = False) -> bytes:
    """A PING of exactly 8 bytes, or the answer to one."""
    assert len(data) == PING_BYTES
    return frame(PING, ACK if ack else 0, 0, data)


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """No stream above `last_stream_id` was or will be looked at."""
    return frame(GOAWAY, 0, 0, _TWO_UNSIGNED.pack(last_stream_id, code) + debug)


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """Ids and values in their order, unknown ones too; raises `FrameError` for what RFC 9113 forbids."""
    if len(payload) % _SETTING.size:
        raise FrameError(FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
    pairs: list[tuple[int, int]] = list(_SETTING.iter_unpack(payload))
    for key, value in pairs:
        if key == SETTINGS_ENABLE_PUSH and value > 1:
            raise FrameError(PROTOCOL_ERROR, f"ENABLE_PUSH is {value}")
        if key == SETTINGS_INITIAL_WINDOW_SIZE and value > WINDOW_BYTES_MAX:
            raise FrameError(FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE is {value}")
        if key == SETTINGS_MAX_FRAME_SIZE and not FRAME_BYTES_MAX_LEAST <= value <= FRAME_BYTES_MAX_MOST:
            raise FrameError(PROTOCOL_ERROR, f"MAX_FRAME_SIZE is {value}")
    return pairs


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload of DATA or HEADERS without its padding; `FrameError` when the padding leaves no room."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise FrameError(PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]


def without_priority(flags: int, payload: bytes) -> bytes:
    """The block of HEADERS, already unpadded, without the priority that RFC 9113 has abandoned."""
    if not flags & PRIORITY_FLAG:
        return payload
    if len(payload) < 5:
        raise FrameError(FRAME_SIZE_ERROR, "HEADERS too short for the priority it announces")
    return payload[5:]

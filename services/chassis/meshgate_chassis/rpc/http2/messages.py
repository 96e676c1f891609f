"""gRPC messages in the bytes of a stream: one byte of compression, four of length, the message. Pure."""

import struct
from typing import Final

PREFIX_BYTES: Final = 5
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13

_PREFIX: Final = struct.Struct(">BI")


class MessageError(Exception):
    """The call ends with the gRPC status `code`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def wrap(message: bytes) -> bytes:
    """The message with its prefix, not compressed."""
    return _PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Cuts the data of one direction of a stream into messages.

    `encoding_announced` says that the peer named a compression other than `identity`.
    """

    __slots__ = ("_encoding_announced", "_message_bytes_max", "_missing_bytes", "_partial")

    def __init__(self, message_bytes_max: int, encoding_announced: bool = False) -> None:
        self._message_bytes_max = message_bytes_max
        self._encoding_announced = encoding_announced
        self._partial: bytearray | None = None  # at most one message that is not whole yet
        self._missing_bytes = 0  # how many more make it worth to look again

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended: a stream must not end now."""
        return self._partial is not None

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now, in their order.

        One that is compressed or too long raises `MessageError` as soon as its prefix is there.
        """
        partial = self._partial
        if partial is not None:
            partial += data
            if len(data) < self._missing_bytes:
                self._missing_bytes -= len(data)
                return []
            data = bytes(partial)
            self._partial = None
        messages: list[bytes] = []
        unpack = _PREFIX.unpack_from
        start, available, missing_bytes = 0, len(data), 0
        while (body := start + PREFIX_BYTES) <= available:
            compressed, length = unpack(data, start)
            if compressed or length > self._message_bytes_max:
                raise self._refusal(compressed, length)
            end = body + length
            if end > available:
                missing_bytes = end - available
                break
            messages.append(data[body:end])
            start = end
        if start < available:
            self._partial = bytearray(data[start:] if start else data)
            self._missing_bytes = missing_bytes or start + PREFIX_BYTES - available
        return messages

    def _refusal(self, compressed: int, length: int) -> MessageError:
        if compressed and self._encoding_announced:
            return MessageError(UNIMPLEMENTED, "compressed messages are not supported")
        if compressed:
            return MessageError(INTERNAL, "a compressed message, but no compression was announced")
        return MessageError(
            RESOURCE_EXHAUSTED, f"a message of {length} bytes; {self._message_bytes_max} are allowed"
        )

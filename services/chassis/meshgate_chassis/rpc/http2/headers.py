"""Header lists as bytes (HPACK, RFC 7541) and back.

What is sent leaves the peer's table alone: static entries and literals only. What is read is taken apart
here when it leaves our table alone too, and by the library `hpack` otherwise, which keeps that table. So a
block is decoded by one of the two as a whole, and the table is always right.
"""

from collections.abc import Iterable
from typing import Final

from hpack import Decoder, HPACKError
from hpack.table import HeaderTable

from meshgate_chassis.rpc.http2.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, PROTOCOL_ERROR

FIELD_OVERHEAD_BYTES: Final = 32  # what RFC 9113 adds to name and value of each field
# A list up to so many times the limit is refused without losing the table, and with it the connection.
OVERSIZE_READ_FACTOR_MAX: Final = 2
KNOWN_NAMES_MAX: Final = 128  # names of one connection that need no second look
KNOWN_NAME_BYTES_MAX: Final = 64
KNOWN_BLOCKS_MAX: Final = 16  # answers and trailers are few and always the same
KNOWN_BLOCK_BYTES_MAX: Final = 64

Field = tuple[str, str]

_COLON: Final = ord(":")
_NAME_BYTES: Final = bytes([byte for byte in range(0x21, 0x7F) if byte != _COLON and not chr(byte).isupper()])

_STATIC: Final[tuple[Field, ...]] = tuple(
    (name.decode("ascii"), value.decode("ascii")) for name, value in HeaderTable.STATIC_TABLE
)
_STATIC_MAX: Final = len(_STATIC)
_STATIC_FIELD_BYTES_MAX: Final = max(len(name) + len(value) for name, value in _STATIC)
_STATIC_BLOCKS: Final[dict[tuple[str, str | bytes], bytes]] = {
    field: bytes([0x80 | index]) for index, field in enumerate(_STATIC, start=1) if field[1]
}


class HeaderError(Exception):
    """A block that cannot be decoded, or whose fields HTTP/2 forbids.

    With `table_intact` only its stream is broken; without, no later block of the connection can be read.
    """

    def __init__(self, error_code: int, text: str, *, table_intact: bool) -> None:
        super().__init__(text)
        self.error_code = error_code
        self.text = text
        self.table_intact = table_intact


def literal(name: str, value: str | bytes) -> bytes:
    """One field, for any block of any connection; `ValueError` for what HTTP/2 forbids or Latin-1 lacks."""
    raw_name = name.encode("latin-1")
    raw_value = value.encode("latin-1") if isinstance(value, str) else value
    if not _name_allowed(raw_name) or not _value_allowed(raw_value):
        raise ValueError(f"no header field: {name[:40]!r}")
    return b"\0" + _length(len(raw_name)) + raw_name + _length(len(raw_value)) + raw_value


def block(pairs: Iterable[tuple[str, str | bytes]]) -> bytes:
    """A whole block of these fields in their order; parts made before may be put in front of it or behind."""
    return b"".join([_STATIC_BLOCKS.get(pair) or literal(*pair) for pair in pairs])


class HeaderDecoder:
    """Reads the blocks of one connection, all of them and in their order."""

    def __init__(self, header_list_bytes_max: int) -> None:
        self._list_bytes_max = header_list_bytes_max
        # No string is longer in a block than in the list, unless its encoder does not care.
        self._block_bytes_max = OVERSIZE_READ_FACTOR_MAX * header_list_bytes_max
        self._with_table = Decoder(max_header_list_size=OVERSIZE_READ_FACTOR_MAX * header_list_bytes_max)
        self._known_names: dict[bytes, str] = {}
        self._known_blocks: dict[bytes, list[Field]] = {}

    def decode(self, block: bytes) -> list[Field]:
        """Names and values in their order; values are Latin-1, nearly always ASCII.

        Raises `HeaderError`: malformed, a field that is not allowed, or a list above the limit.
        """
        if len(block) > self._block_bytes_max:
            text = f"a header block of {len(block)} bytes"
            raise HeaderError(ENHANCE_YOUR_CALM, text, table_intact=False)
        known = self._known_blocks.get(block)
        if known is not None:
            return known.copy()
        try:
            fields = self._without_table(block)
        except IndexError:  # it ends within a number: the library says so, too
            fields = None
        if fields is None:
            return self._by_library(block)
        if len(block) <= KNOWN_BLOCK_BYTES_MAX and len(self._known_blocks) < KNOWN_BLOCKS_MAX:
            self._known_blocks[block] = fields.copy()
        return fields

    def _without_table(self, block: bytes) -> list[Field] | None:
        """None for whatever is not plain and right: then the whole block is the library's."""
        fields: list[Field] = []
        names = self._known_names
        at, end = 0, len(block)
        while at < end:
            first = block[at]
            at += 1
            if first > 0x80:
                if first > 0x80 + _STATIC_MAX:
                    return None
                fields.append(_STATIC[first - 0x81])
                continue
            if first >= 0x20:  # it changes the table, or index 0
                return None
            index = first & 0x0F
            if index:
                if index == 0x0F:
                    index += block[at]
                    at += 1
                    if index > _STATIC_MAX:
                        return None
                name = _STATIC[index - 1][0]
            else:
                length = block[at]
                at += 1
                if length >= 0x7F:  # Huffman, or uncommonly long
                    return None
                raw_name = block[at : at + length]
                at += length
                name = names.get(raw_name) or self._name(raw_name)
                if not name:
                    return None
            length = block[at]
            at += 1
            if length >= 0x7F:
                if length > 0x7F:  # Huffman
                    return None
                length += block[at]
                at += 1
                if length >= 0x7F + 0x80:
                    length += (block[at] << 7) - 0x80
                    if block[at] >= 0x80:
                        return None
                    at += 1
            value = block[at : at + length].decode("latin-1")
            at += length
            if not value.isprintable():
                return None
            fields.append((name, value))
        if at > end:
            return None
        list_bytes_most = end + len(fields) * (FIELD_OVERHEAD_BYTES + _STATIC_FIELD_BYTES_MAX)
        if list_bytes_most > self._list_bytes_max and _list_bytes(fields) > self._list_bytes_max:
            return None
        return fields

    def _name(self, raw_name: bytes) -> str:
        """The name, remembered; empty when it is not allowed."""
        if not _name_allowed(raw_name):
            return ""
        name = raw_name.decode("ascii")
        if len(raw_name) <= KNOWN_NAME_BYTES_MAX and len(self._known_names) < KNOWN_NAMES_MAX:
            self._known_names[raw_name] = name
        return name

    def _by_library(self, block: bytes) -> list[Field]:
        try:
            pairs = self._with_table.decode(block, raw=True)
        except HPACKError as error:  # its text holds the block, which may hold secrets
            text = f"a header block that cannot be decoded: {type(error).__name__}"
            raise HeaderError(COMPRESSION_ERROR, text, table_intact=False) from None
        fields = []
        for raw_name, raw_value in pairs:
            name = raw_name.decode("latin-1")
            if not _name_allowed(raw_name):
                raise HeaderError(PROTOCOL_ERROR, f"no header name: {name[:40]!r}", table_intact=True)
            if not _value_allowed(raw_value):
                raise HeaderError(PROTOCOL_ERROR, f"no header value, of {name[:40]}", table_intact=True)
            fields.append((name, raw_value.decode("latin-1")))
        if _list_bytes(fields) > self._list_bytes_max:
            raise HeaderError(
                ENHANCE_YOUR_CALM, f"headers above {self._list_bytes_max} bytes", table_intact=True
            )
        return fields


def _length(count: int) -> bytes:
    """The number of bytes of a string that is not Huffman-coded, with its prefix of 7 bits."""
    if count < 0x7F:
        return bytes((count,))
    digits = bytearray((0x7F,))
    count -= 0x7F
    while count >= 0x80:
        digits.append(count & 0x7F | 0x80)
        count >>= 7
    digits.append(count)
    return bytes(digits)


def _list_bytes(fields: list[Field]) -> int:
    return sum([len(name) + len(value) + FIELD_OVERHEAD_BYTES for name, value in fields])


def _name_allowed(name: bytes) -> bool:
    """RFC 9113, 8.2.1: visible ASCII without capitals; a colon only in front, and not alone."""
    forbidden = name.translate(None, _NAME_BYTES)
    return (not forbidden and name != b"") or (forbidden == b":" and name[0] == _COLON and len(name) > 1)


def _value_allowed(value: bytes) -> bool:
    return not (b"\n" in value or b"\r" in value or b"\0" in value)

"""A stored answer and its form outside the process. Pure.

    value   magic, CRC-32, creation time, cost, length of the deployment id, deployment id, response

Invariant: `decode` gives an entry only for bytes that `encode` made for the same store key. What is
foreign, cut, damaged, of another version or under another key's name is None: a miss, never an error.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"MGC1"  # changes with the layout
_HEADER: Final = struct.Struct(">4sI")
_FIELDS: Final = struct.Struct(">qqH")
_BODY_START: Final = _HEADER.size + _FIELDS.size


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An answer given before. `response`: a serialised chat.v1.ChatResponse; times are Unix nanoseconds."""

    response: bytes
    created_ns: int
    deployment_id: str  # 65,535 bytes at most
    cost_usd_nanos: int

    @property
    def size_bytes(self) -> int:
        """What it weighs in memory, about."""
        return len(self.response) + len(self.deployment_id)


def encode(entry: CacheEntry, store_key: str) -> bytes:
    """The value to keep under `store_key`."""
    deployment = entry.deployment_id.encode()
    fields = _FIELDS.pack(entry.created_ns, entry.cost_usd_nanos, len(deployment))
    content = b"".join((fields, deployment, entry.response))
    return _HEADER.pack(_MAGIC, _checksum(store_key, content)) + content


def decode(value: bytes, store_key: str) -> CacheEntry | None:
    """The entry in a value that was found under `store_key`; see the module."""
    if len(value) < _BODY_START:
        return None
    magic, checksum = _HEADER.unpack_from(value)
    if magic != _MAGIC or checksum != _checksum(store_key, memoryview(value)[_HEADER.size :]):
        return None
    created_ns, cost_usd_nanos, deployment_bytes = _FIELDS.unpack_from(value, _HEADER.size)
    response_start = _BODY_START + deployment_bytes
    deployment = value[_BODY_START:response_start]
    try:
        return CacheEntry(value[response_start:], created_ns, deployment.decode(), cost_usd_nanos)
    except UnicodeDecodeError:
        return None


def begins_entry(value: bytes) -> bool:
    """Whether a value that begins like this may be an entry of ours."""
    return value.startswith(_MAGIC)


def _checksum(store_key: str, content: bytes | memoryview) -> int:
    """Over the key as well: an answer that turns up under another key is not that key's answer."""
    return zlib.crc32(content, zlib.crc32(store_key.encode()))

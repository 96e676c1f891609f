"""What images, sound and files in a prompt cost, in tokens: estimated by published rules. Pure.

Sizes are read from the head of data URLs; what cannot be read counts as a usual one.
"""

import base64
import binascii
import struct
from typing import Final

from meshgate_chassis.chat.json import JsonObject, loads_object
from meshgate_chassis.errors import MeshError
from meshgate_edge.tokens.families import Family

USUAL_SIZE: Final = (1_024, 1_024)
HEAD_CHARACTERS: Final = 65_536  # of base64: enough for the frame header behind a JPEG's metadata
COMPRESSED_BYTES_PER_S: Final = 16_000  # of sound at 128 kbit/s
FILE_BYTES_PER_TOKEN: Final = 16  # of a PDF, about 1,500 tokens a page
JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_tokens(url: str, detail: str, family: Family) -> int:
    """Of one image, by the rule of the family."""
    width, height = _size(url)
    if family.image == "anthropic":
        longest = max(width, height)
        scale = min(1.0, 1_568 / longest)
        return min(1_600, int(width * scale * height * scale / 750) + 1)
    if family.image == "gemini":
        if width <= 384 and height <= 384:
            return 258
        return 258 * _ceil(width, 768) * _ceil(height, 768)
    base, tile = (2_833, 5_667) if family.image == "openai-mini" else (85, 170)
    return base if detail == "low" else base + tile * _openai_tiles(width, height)


def part_tokens(raw_json: bytes, family: Family) -> int | None:
    """Of a part that is sound or a file; None: it is neither, and counts as the text it is."""
    try:
        part = loads_object(raw_json)
    except MeshError:
        return None
    audio = part.get("input_audio")
    if isinstance(audio, dict):
        return _audio_tokens(audio, family)
    file = part.get("file")
    if isinstance(file, dict):
        return _data_bytes(file.get("file_data")) // FILE_BYTES_PER_TOKEN
    return None


def _audio_tokens(audio: JsonObject, family: Family) -> int:
    data = audio.get("data")
    if not isinstance(data, str):
        return 0
    size_bytes = _data_bytes(data)
    bytes_per_s = COMPRESSED_BYTES_PER_S
    if audio.get("format") == "wav":
        head = _head_bytes(data)
        if head[:4] == b"RIFF" and len(head) >= 32:
            bytes_per_s = int.from_bytes(head[28:32], "little") or bytes_per_s
    return -(-size_bytes * family.audio_tokens_per_s // bytes_per_s)


def _openai_tiles(width: int, height: int) -> int:
    scale = min(1.0, 2_048 / max(width, height))
    scale = min(scale, 768 / min(width, height)) if min(width, height) * scale > 768 else scale
    return _ceil(int(width * scale), 512) * _ceil(int(height * scale), 512)


def _ceil(length: int, unit: int) -> int:
    return max(1, -(-length // unit))


def _data_bytes(data: object) -> int:
    return (len(data) - data[-2:].count("=")) * 3 // 4 if isinstance(data, str) else 0


def _size(url: str) -> tuple[int, int]:
    """Width and height in pixels, each at least 1."""
    if not url.startswith("data:"):
        return USUAL_SIZE
    head = _head_bytes(url[url.find(",") + 1 :])
    try:
        width, height = _size_of(head)
    except (struct.error, IndexError):
        return USUAL_SIZE
    return (width, height) if width > 0 and height > 0 else USUAL_SIZE


def _head_bytes(encoded: str) -> bytes:
    head = encoded[: min(HEAD_CHARACTERS, len(encoded) // 4 * 4)]
    try:
        return base64.b64decode(head)
    except (binascii.Error, ValueError):
        return b""


def _size_of(head: bytes) -> tuple[int, int]:
    if head.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", head, 16)
        return width, height
    if head.startswith(b"GIF8"):
        width, height = struct.unpack_from("<HH", head, 6)
        return width, height
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp_size(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg_size(head)
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(head: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(head):
        marker = head[at + 1]
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", head, at + 2)[0]
    return 0, 0

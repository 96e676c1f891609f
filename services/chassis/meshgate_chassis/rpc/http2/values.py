"""Values of gRPC's own headers: time limits, texts and binary metadata. Pure."""

import binascii
from math import ceil
from typing import Final
from urllib.parse import quote, unquote_to_bytes

TIMEOUT_DIGITS_MAX: Final = 8

_LARGEST: Final = 10**TIMEOUT_DIGITS_MAX - 1
# How many of the unit make a second, or how many seconds make the unit; exact numbers, so that one rounding
# is all that happens.
_PER_SECOND: Final = {"n": 1_000_000_000, "u": 1_000_000, "m": 1_000, "S": 1}
_SECONDS: Final = {"M": 60, "H": 3_600}
# Printable ASCII but the percent sign; letters, digits and `_.-~` are safe already.
_SAFE: Final = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"


def encode_timeout(timeout_s: float) -> str:
    """The value of grpc-timeout: never less than was given, and at most one of its unit more.

    No time at all becomes the shortest that can be told; what cannot be told in seconds, hours.
    """
    for unit, per_second in (("u", 1_000_000), ("m", 1_000), ("S", 1)):
        if timeout_s * per_second <= _LARGEST:
            count = int(timeout_s * per_second)
            # Compared as the peer will divide: rounding up the product would add to whole numbers.
            if count <= 0 or count / per_second < timeout_s:
                count = max(0, count) + 1
            return f"{count}{unit}"
    return f"{ceil(min(timeout_s / 3_600, _LARGEST))}H"


def decode_timeout(text: str) -> float:
    """Seconds; raises `ValueError` for what is no grpc-timeout."""
    digits, unit = text[:-1], text[-1:]
    if len(digits) > TIMEOUT_DIGITS_MAX or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"no grpc-timeout: {text[:20]!r}")
    if unit in _PER_SECOND:
        return int(digits) / _PER_SECOND[unit]
    if unit in _SECONDS:
        return float(int(digits) * _SECONDS[unit])
    raise ValueError(f"no grpc-timeout: {text[:20]!r}")


def encode_text(text: str) -> str:
    """The value of grpc-message: UTF-8, percent-encoded. Lone surrogates, which UTF-8 lacks, become `?`."""
    if text.isascii() and text.isprintable() and "%" not in text:
        return text
    return quote(text, safe=_SAFE, encoding="utf-8", errors="replace")


def decode_text(text: str) -> str:
    """The text of a grpc-message; what is not well encoded stays as it is or becomes U+FFFD."""
    if "%" not in text and text.isascii():
        return text
    return unquote_to_bytes(text.encode("latin-1", "replace")).decode("utf-8", "replace")


def encode_binary(value: bytes) -> str:
    """The value of a `-bin` header: base64 without padding."""
    return binascii.b2a_base64(value, newline=False).rstrip(b"=").decode("ascii")


def decode_binary(text: str) -> bytes:
    """The bytes of a `-bin` header, padded or not; the first of several. Raises `ValueError`."""
    digits = text.partition(",")[0].strip(" ").rstrip("=")
    return binascii.a2b_base64(digits + "=" * (-len(digits) % 4), strict_mode=True)

"""What replicas tell each other about questions, and its form in a Redis stream. Pure."""

from typing import Final

import msgspec

VERSION: Final = 1


class Learned(msgspec.Struct, frozen=True, tag="l", array_like=True):
    """A question has an answer. `row`: its vector as int8, of `model`; `expires_ns`: Unix time."""

    key: str
    namespace: str
    context: bytes
    text: str
    model: str
    row: bytes
    expires_ns: int


class Forgotten(msgspec.Struct, frozen=True, tag="f", array_like=True):
    """These answers are gone."""

    namespace: str
    keys: tuple[str, ...]


class Cleared(msgspec.Struct, frozen=True, tag="c", array_like=True):
    """All answers of a namespace are gone, of all when it is empty; of one tenant, unless its digest is."""

    namespace: str
    tenant_digest: str


class Reported(msgspec.Struct, frozen=True, tag="r", array_like=True):
    """Two questions were told to be different."""

    namespace: str
    first_key: str
    second_key: str


Event = Learned | Forgotten | Cleared | Reported

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Event]] = msgspec.msgpack.Decoder(Event)


def encode(event: Event) -> bytes:
    """The value of a stream entry."""
    return bytes([VERSION]) + _ENCODER.encode(event)


def decode(value: bytes) -> Event | None:
    """None for what another version, or nobody we know, wrote."""
    if value[:1] != bytes([VERSION]):
        return None
    try:
        return _DECODER.decode(value[1:])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None

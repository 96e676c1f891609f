"""Who makes an answer that is not there yet. Pure.

A claim stands where the answer will stand, so that one command takes it and finds an answer, and storing the
answer ends it. It is not an answer: `entry.decode` gives None for it. One that is not renewed ends by itself.

    value   magic, then the token of who makes the answer; or another magic: answers may not be kept here
"""

from dataclasses import dataclass
from typing import Final

from meshgate_cache.entry import CacheEntry

_MAGIC: Final = b"MGL1"
_UNSHARED: Final = b"MGU1"

UNSHARED_S: Final = 30.0  # a request whose answer could not be kept is not waited for, for so long


@dataclass(frozen=True, slots=True)
class Claim:
    """`token`: of the one who wants to make the answer, no other has it."""

    key: str
    token: str
    lease_s: float


@dataclass(frozen=True, slots=True)
class Look:
    """What is at a place: an answer, or who makes it. Neither: nobody can tell, or waiting is in vain."""

    entry: CacheEntry | None = None
    holder: str = ""


NOTHING: Final = Look()


def encode(claim: Claim) -> bytes:
    """What stands for the claim."""
    return _MAGIC + claim.token.encode()


def unshared() -> bytes:
    """What stands where answers may not be kept."""
    return _UNSHARED


def begins_claim(value: bytes) -> bool:
    """Whether a value that begins like this is one of those above."""
    return value.startswith((_MAGIC, _UNSHARED))


def holder(value: bytes) -> str:
    """Who holds the place; empty for anything but a claim."""
    return value[len(_MAGIC) :].decode(errors="replace") if value.startswith(_MAGIC) else ""

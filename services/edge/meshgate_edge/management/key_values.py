"""Virtual keys as values: secrets, hashes, durations, and USD as people write it. Pure."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from meshgate_chassis.errors import invalid_field
from meshgate_edge.http.authentication import KEY_PREFIX, key_hash

SECRET_BYTES: Final = 16  # 22 URL-safe characters
CUSTOM_KEY_CHARACTERS_MIN: Final = 16
CUSTOM_KEY_CHARACTERS_MAX: Final = 256
USD_MAX: Final = 1_000_000_000
NANOS: Final = 1_000_000_000
DURATION_S_MAX: Final = 100 * 366 * 86_400

_DURATION: Final = re.compile(r"([0-9]{1,10})(s|mo|m|h|d|w)")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "mo": 30 * 86_400}
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_CUSTOM_KEY: Final = re.compile(r"sk-[\x21-\x7e]+")


RandomBytes = Callable[[int], bytes]


def new_key(random_bytes: RandomBytes) -> str:
    """A new secret: "sk-" and 22 characters; `random_bytes` must be fit for secrets."""
    secret = urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=")
    return KEY_PREFIX + secret.decode()


def custom_key(key: str) -> str:
    """A secret that a person chose. Raises `invalid_field`; never repeats the key."""
    if not _CUSTOM_KEY.fullmatch(key):
        raise invalid_field("key", "Invalid key format: a key starts with 'sk-' and has no spaces")
    if not CUSTOM_KEY_CHARACTERS_MIN <= len(key) <= CUSTOM_KEY_CHARACTERS_MAX:
        limits = f"{CUSTOM_KEY_CHARACTERS_MIN} to {CUSTOM_KEY_CHARACTERS_MAX}"
        raise invalid_field("key", f"Invalid key format: a key has {limits} characters")
    return key


def key_name(key: str) -> str:
    """What may be shown of a key."""
    return f"{KEY_PREFIX}...{key[-4:]}"


def hash_of(key_or_hash: str) -> str:
    """The hash of a key; a hash is taken as it is."""
    return key_or_hash if _HASH.fullmatch(key_or_hash) else key_hash(key_or_hash)


def parse_duration_s(text: str, path: str = "duration") -> int:
    """LiteLLM's durations: 30s, 15m, 24h, 30d, 2w, 1mo (30 days). Raises `invalid_field`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise invalid_field(
            path, "Invalid duration format: a number and s, m, h, d, w or mo, for example 30d"
        )
    duration_s = int(match[1]) * _UNIT_S[match[2]]
    if not 0 < duration_s <= DURATION_S_MAX:
        raise invalid_field(path, f"{path} must be between 1s and 100 years")
    return duration_s


def usd_to_nanos(amount_usd: Decimal | float, path: str) -> int:
    """The amount as it was written, in nano-USD, rounded half-even. Raises `invalid_field`."""
    amount = amount_usd if isinstance(amount_usd, Decimal) else Decimal(str(amount_usd))
    if not amount.is_finite() or not 0 <= amount <= USD_MAX:
        raise invalid_field(path, f"{path} must be between 0 and {USD_MAX}")
    return int((amount * NANOS).to_integral_value(ROUND_HALF_EVEN))


def nanos_to_usd(nanos: int) -> Decimal:
    """The exact amount, for `dumps`; at least one decimal, as of a float, and no exponent."""
    digits = f"{abs(nanos):010d}"
    fraction = digits[-9:].rstrip("0") or "0"
    return Decimal(f"{'-' if nanos < 0 else ''}{digits[:-9]}.{fraction}")

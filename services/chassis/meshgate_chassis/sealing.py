"""Secrets at rest: AES-256-GCM, by keys from the environment.

Sealed bytes are nonce (12) + cipher text + tag (16), bound to a context that is not secret: they open only
under the same one. The first key seals, any key opens, so that a new key can be put before an old one.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import SecretStr

from meshgate_chassis.errors import Code, MeshError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEYS_MAX: Final = 10
KEY_SETTING: Final = "MESHGATE_CREDENTIALS_KEY"


class Sealer:
    """Seals and opens. `random_bytes` must be fit for secrets: a nonce must never come twice."""

    def __init__(self, keys: Sequence[bytes], random_bytes: Callable[[int], bytes]) -> None:
        assert keys, "a sealer has a key"
        # Imported here: most have no such key, and it costs every process 6 MB.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._unreadable = (InvalidTag, ValueError)
        self._ciphers = [AESGCM(key) for key in keys]
        self._random_bytes = random_bytes

    def seal(self, secret: bytes, context: bytes) -> bytes:
        """The secret, for nobody but who has the key."""
        nonce = self._random_bytes(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, secret, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The secret. Raises FAILED_PRECONDITION/CREDENTIAL_UNREADABLE: another key, another context, or
        damage; which one cannot be told."""
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, rest, context)
            except self._unreadable:
                continue
        raise unreadable(f"a credential was not sealed with this {KEY_SETTING}")


def sealer_of(setting: SecretStr | None, random_bytes: Callable[[int], bytes]) -> Sealer | None:
    """By the setting KEY_SETTING; None without it. Raises as `keys_from`."""
    return None if setting is None else Sealer(keys_from(setting.get_secret_value()), random_bytes)


def credential_context(credential_id: str, provider: str) -> bytes:
    """What a provider credential is bound to: it opens for no other name and no other provider."""
    return f"meshgate credential {len(credential_id)}:{credential_id}{provider}".encode()


def keys_from(text: str) -> tuple[bytes, ...]:
    """Keys of 32 bytes as hex or base64, the newest first, with commas between.

    Raises FAILED_PRECONDITION/SETTINGS_INVALID; never repeats the text.
    """
    keys = tuple(_key(part.strip()) for part in text.split(",") if part.strip())
    if not 1 <= len(keys) <= KEYS_MAX:
        raise _invalid()
    return keys


def unreadable(message: str) -> MeshError:
    """A credential that cannot be used, although there is one."""
    return MeshError(Code.FAILED_PRECONDITION, "CREDENTIAL_UNREADABLE", message)


def _key(text: str) -> bytes:
    if len(text) == 2 * KEY_BYTES:
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise _invalid() from None
    standard = text.replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(standard + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid() from None
    if len(key) != KEY_BYTES:
        raise _invalid()
    return key


def _invalid() -> MeshError:
    message = f"{KEY_SETTING} must be {KEY_BYTES} bytes as base64 or hex, as of: openssl rand -base64 32"
    return MeshError(Code.FAILED_PRECONDITION, "SETTINGS_INVALID", message)

"""Who calls: the credential of a request, and what it proves here. The ledger knows which keys exist.

Invariants: a credential is compared and kept only as its SHA-256 digest; it is never logged.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import Principal

KEY_PREFIX = "sk-"
SCHEMES = ("bearer", "basic")
# In this order; the first that is present counts.
CREDENTIAL_HEADERS = ("x-litellm-api-key", "authorization", "api-key", "x-api-key", "x-goog-api-key")

ADMIN_ONLY_MESSAGE = "Only proxy admin can be used to generate, delete, update info for new keys/users/teams"


def key_hash(key: str) -> str:
    """SHA-256 of the whole key, 64 lower-case hex digits: what the ledger knows a key by."""
    return hashlib.sha256(key.encode()).hexdigest()


class Authenticator:
    """`master_key` None: open mode, everyone may call; and manage keys, too, if `open_management`.
    `key_header`: one that is looked at before the usual ones."""

    def __init__(
        self, master_key: str | None, *, open_management: bool = False, key_header: str = ""
    ) -> None:
        self._headers = (*((key_header.lower(),) if key_header else ()), *CREDENTIAL_HEADERS)
        self._open_management = open_management
        self._master_digest = None if not master_key else hashlib.sha256(master_key.encode()).digest()

    @property
    def open(self) -> bool:
        """True without a master key."""
        return self._master_digest is None

    @property
    def gateway(self) -> Principal:
        """Whose calls the gateway's own are: the operator's."""
        if self._master_digest is None:
            return Principal("open")
        return Principal("master", self._master_digest.hex())

    def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Who calls, by lower-case header names. Raises UNAUTHENTICATED/KEY_MISSING or KEY_MALFORMED."""
        if self._master_digest is None:
            return Principal("open")
        credential = _credential(headers, self._headers)
        # Header values come as Latin-1; a key is the bytes that were sent.
        digest = hashlib.sha256(credential.encode("latin-1", "replace"))
        if hmac.compare_digest(digest.digest(), self._master_digest):
            return Principal("master", digest.hexdigest())
        if not credential.startswith(KEY_PREFIX):
            raise _unauthenticated("KEY_MALFORMED", "a virtual key is expected to start with 'sk-'")
        return Principal("virtual_key", digest.hexdigest())

    def require_admin(self, headers: Mapping[str, str]) -> Principal:
        """As `authenticate`, and raises UNAUTHENTICATED/ADMIN_ONLY for who may not manage keys."""
        principal = self.authenticate(headers)
        if principal.kind == "virtual_key":
            raise _unauthenticated("ADMIN_ONLY", ADMIN_ONLY_MESSAGE)
        if principal.kind == "open" and not self._open_management:
            message = "There is no master key; without one, keys are managed on loopback only."
            raise _unauthenticated("ADMIN_ONLY", f"{ADMIN_ONLY_MESSAGE}. {message}")
        return principal


def _credential(headers: Mapping[str, str], names: Sequence[str]) -> str:
    for name in names:
        value = headers.get(name, "").strip()
        if not value:
            continue
        scheme, separator, rest = value.partition(" ")
        if separator and scheme.lower() in SCHEMES:
            return rest.strip()
        if name == "authorization":
            raise _unauthenticated(
                "KEY_MALFORMED",
                "malformed Authorization header: 'Bearer <key>' is expected, with a key of 'sk-...'",
            )
        return value
    raise _unauthenticated("KEY_MISSING", "No api key passed in.")


def _unauthenticated(reason: str, message: str) -> MeshError:
    return MeshError(Code.UNAUTHENTICATED, reason, message, domain="gateway.meshgate")

"""Who calls: services authenticate each other by a token made of a shared secret, or by mTLS.

The token of caller A for service B is an HMAC of both names, so a token seen by one service is of no
use at another. Without TLS it travels only over loopback (`require_private`).
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from meshgate_chassis.errors import Code, MeshError

CALLER_KEY = "x-meshgate-caller"
TOKEN_KEY = "x-meshgate-token"  # noqa: S105 - the name of a header


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. The certificate's DNS name is the service's name; `ca` signs all of them."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A service's own name and what it proves it with. The secret never shows in a repr."""

    name: str
    secret: bytes
    tls: TlsFiles | None = None

    def __repr__(self) -> str:
        return f"Identity({self.name!r})"


@lru_cache(maxsize=64)  # asked for with every call; whoever makes names up only pushes others out
def token(secret: bytes, caller: str, callee: str) -> str:
    """What `caller` shows to `callee`: hex."""
    return hmac.new(secret, f"meshgate/1:{caller}->{callee}".encode(), hashlib.sha256).hexdigest()


def credentials(identity: Identity, callee: str) -> tuple[tuple[str, str], ...]:
    """The metadata that authenticates `identity` to `callee`."""
    return ((CALLER_KEY, identity.name), (TOKEN_KEY, token(identity.secret, identity.name, callee)))


def authenticate(
    identity: Identity,
    metadata: Mapping[str, str],
    peer_names: Sequence[str],
    allowed: frozenset[str],
) -> str:
    """The caller's name. `identity` is the callee's own; `peer_names` come from a client certificate.

    Raises UNAUTHENTICATED/CALLER_UNKNOWN or PERMISSION_DENIED/CALLER_NOT_ALLOWED.
    """
    caller = metadata.get(CALLER_KEY, "")
    shown = metadata.get(TOKEN_KEY, "")
    expected = token(identity.secret, caller, identity.name)
    if not hmac.compare_digest(shown.encode(), expected.encode()):
        raise MeshError(Code.UNAUTHENTICATED, "CALLER_UNKNOWN", "the caller did not prove who it is")
    if identity.tls is not None and caller not in peer_names:
        raise MeshError(
            Code.UNAUTHENTICATED,
            "CALLER_UNKNOWN",
            "the caller's certificate does not carry its name",
        )
    if caller not in allowed:
        raise MeshError(
            Code.PERMISSION_DENIED,
            "CALLER_NOT_ALLOWED",
            f"{caller!r} may not call {identity.name!r}",
        )
    return caller


def is_loopback(address: str) -> bool:
    """True for a Unix socket and for a host:port on loopback."""
    if address.startswith("unix:"):
        return True
    host = address.rsplit("///", 1)[-1].rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_private(address: str, tls: TlsFiles | None, *, plaintext_allowed: bool) -> None:
    """Raises FAILED_PRECONDITION/TLS_REQUIRED for plaintext beyond loopback that nobody asked for."""
    if tls is None and not plaintext_allowed and not is_loopback(address):
        raise MeshError(
            Code.FAILED_PRECONDITION,
            "TLS_REQUIRED",
            f"{address} is not on loopback: set MESHGATE_TLS_CERTIFICATE_FILE, MESHGATE_TLS_KEY_FILE and "
            "MESHGATE_TLS_CA_FILE, or MESHGATE_PLAINTEXT_ALLOWED=true on a network that is encrypted below",
        )

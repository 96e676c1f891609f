"""Who is called: what any transport needs to open a channel."""

from dataclasses import dataclass

from meshgate_chassis.rpc.identity import Identity, TlsFiles, credentials, require_private

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Callee:
    """A service and where it listens ("host:port", "dns:///name:port" or "unix:/path"). `name` is what its
    certificate has to carry; `credentials` go with every call and never show in a repr."""

    name: str
    target: str
    tls: TlsFiles | None = None
    credentials: Metadata = ()

    def __repr__(self) -> str:
        return f"Callee({self.name!r}, {self.target!r})"


def called_by(identity: Identity, callee: str, target: str, *, plaintext_allowed: bool) -> Callee:
    """The service as `identity` may call it. Raises FAILED_PRECONDITION/TLS_REQUIRED for plaintext beyond
    loopback that nobody asked for."""
    require_private(target, identity.tls, plaintext_allowed=plaintext_allowed)
    return Callee(callee, target, identity.tls, credentials(identity, callee))

"""What a server is told, what a servicer is told of a call, and what a transport of servers does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol
from urllib.parse import unquote

from meshgate_chassis.deadline import remaining_s
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.identity import Identity
from meshgate_protos.rpc import Service


class Servicer(Protocol):
    """Any generated servicer."""

    service: ClassVar[Service]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """`allowed_callers`: who may call; health and reflection are open. `public`: see `Server.add_public`."""

    listen: str
    identity: Identity
    allowed_callers: frozenset[str] = frozenset({"edge"})
    plaintext_allowed: bool = False
    drain_delay_s: float = 0.0  # after NOT_SERVING, before calls are refused: load balancers need it
    drain_grace_s: float = 30.0
    public_deadline_s_max: float = 3_600.0  # for callers of a public service who give none


@dataclass(frozen=True, slots=True)
class ServerCall:
    """Implements `meshgate_protos.rpc.Call`."""

    caller: str
    metadata: Mapping[str, str]
    peer_address: str = ""

    def remaining_s(self) -> float:
        left = remaining_s()
        assert left is not None, "a server call always runs inside a deadline scope"
        return left


class ServerTransport(Protocol):
    """Carries the calls of a server to its servicers."""

    def add(self, servicer: Servicer, *, public: bool) -> None:
        """Before it listens. `public`: open to everyone."""

    async def listen(self, names: Iterable[str]) -> None:
        """From now on calls are taken, and the services named can be reflected upon. Raises MeshError
        FAILED_PRECONDITION/LISTEN_FAILED."""

    async def set_serving(self, names: Iterable[str], *, serving: bool) -> None:
        """What grpc.health.v1 answers for each of these names."""

    async def stop(self, grace_s: float) -> None:
        """Takes no new calls, and cancels those that are under way after the grace."""


def address_of(peer: str) -> str:
    """gRPC's name of a peer (ipv4:1.2.3.4:567, ipv6:%5B::1%5D:567, unix:) -> its IP address, or ""."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""


def listen_failed(listen: str) -> MeshError:
    """For whatever keeps a server from its address; raise it from that."""
    return MeshError(Code.FAILED_PRECONDITION, "LISTEN_FAILED", f"cannot listen on {listen}")

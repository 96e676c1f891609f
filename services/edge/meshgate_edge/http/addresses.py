"""`allowed_ips`: from anywhere else nothing is answered but what probes ask. ASGI, and gRPC."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.messages import headers_of, send_error

OPEN_PATHS: Final = frozenset({"/health/liveliness", "/health/liveness", "/health/readiness"})


class AllowedAddresses:
    """`behind_proxy`: the caller's address is the last of x-forwarded-for, which the proxy itself wrote.
    Those before are what the caller says. Nothing is allowed: everything is."""

    def __init__(self, allowed: Sequence[str] = (), *, behind_proxy: bool = False) -> None:
        self._allowed = tuple(ip_network(each, strict=False) for each in allowed)
        self._behind_proxy = behind_proxy

    def check(self, address: str, headers: Mapping[str, str]) -> None:
        """`address`: of the connection. Raises PERMISSION_DENIED/ADDRESS_NOT_ALLOWED."""
        if not self._allowed:
            return
        forwarded = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if not self._is_allowed(forwarded if self._behind_proxy and forwarded else address):
            message = "Access forbidden: this IP address is not allowed."
            raise MeshError(Code.PERMISSION_DENIED, "ADDRESS_NOT_ALLOWED", message, domain="gateway.meshgate")

    def _is_allowed(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self._allowed)


class AddressGuard:
    """In front of all HTTP."""

    def __init__(self, app: ASGIApp, allowed: AllowedAddresses) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            client = scope.get("client")
            try:
                self._allowed.check("" if client is None else str(client[0]), headers_of(scope))
            except MeshError as error:
                await send_error(send, error)
                return
        await self._app(scope, receive, send)

"""`allowed_ips`: from anywhere else nothing is answered but what probes ask. Pure ASGI."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.messages import headers_of, send_error

OPEN_PATHS: Final = frozenset({"/health/liveliness", "/health/liveness", "/health/readiness"})


class AddressGuard:
    """`behind_proxy`: the caller's address is the last of x-forwarded-for, which the proxy itself wrote.
    Those before are what the caller says."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str], *, behind_proxy: bool) -> None:
        self._app = app
        self._allowed = tuple(ip_network(each, strict=False) for each in allowed)
        self._behind_proxy = behind_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._is_allowed(self._address(scope)):
            await self._app(scope, receive, send)
            return
        message = "Access forbidden: this IP address is not allowed."
        await send_error(
            send, MeshError(Code.PERMISSION_DENIED, "ADDRESS_NOT_ALLOWED", message, domain="gateway.meshgate")
        )

    def _address(self, scope: Scope) -> str:
        if self._behind_proxy:
            forwarded = headers_of(scope).get("x-forwarded-for", "").rpartition(",")[2].strip()
            if forwarded:
                return forwarded
        client = scope.get("client")
        return "" if client is None else str(client[0])

    def _is_allowed(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self._allowed)

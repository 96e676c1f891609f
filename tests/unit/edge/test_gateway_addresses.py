"""`allowed_ips` over gRPC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_edge.gateway_servicer import GatewayRules, GatewayServicer
from meshgate_edge.http.addresses import AllowedAddresses
from meshgate_edge.http.call_rules import CallRules
from meshgate_protos.gateway.v1 import gateway_service_pb2 as pb


@dataclass(frozen=True)
class Asked:
    """A call as the transport tells of it."""

    peer_address: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    caller: str = ""

    def remaining_s(self) -> float:
        return 1.0


class Arrived(Exception):
    """Nothing stood in the way."""


class Door:
    """Where a caller would be authenticated."""

    def authenticate(self, metadata: Mapping[str, str]) -> Any:
        raise Arrived


async def reason(address: str, *, behind_proxy: bool = False, **metadata: str) -> str:
    """Why a caller is refused; "" when it is not."""
    rules = GatewayRules(
        AllowedAddresses(["10.0.0.0/8", "fd00::/8"], behind_proxy=behind_proxy), CallRules(), 1_000
    )
    unused: Any = None
    door: Any = Door()
    servicer = GatewayServicer(unused, unused, door, lambda: "id", rules)
    call = Asked(address, {name.replace("_", "-"): value for name, value in metadata.items()})
    try:
        await servicer.create_chat(pb.CreateChatRequest(), call)
    except MeshError as error:
        return error.reason
    except Arrived:
        return ""
    return "not asked"


@pytest.mark.parametrize("address", ["10.1.2.3", "fd00::1", "::ffff:10.0.0.1", ""])
async def test_who_may_call(address: str) -> None:
    """Also over a unix socket, whose rights decide."""
    assert "" == await reason(address)


async def test_all_others_may_not() -> None:
    """What they say of themselves does not count, unless a proxy stands before us."""
    refused = "ADDRESS_NOT_ALLOWED"
    assert refused == await reason("192.0.2.1")
    assert refused == await reason("192.0.2.1", x_forwarded_for="10.0.0.1")
    assert "" == await reason("192.0.2.1", behind_proxy=True, x_forwarded_for="192.0.2.9, 10.0.0.1")
    assert refused == await reason("10.0.0.1", behind_proxy=True, x_forwarded_for="10.0.0.1, 192.0.2.9")


async def test_calls_are_asked_first() -> None:
    """Before anything of them is read."""
    rules = GatewayRules(AllowedAddresses(["10.0.0.1"]), CallRules(), 1_000)
    unused: Any = None
    servicer = GatewayServicer(unused, unused, unused, lambda: "id", rules)
    with pytest.raises(MeshError) as caught:
        await servicer.create_chat(pb.CreateChatRequest(), Asked("10.0.0.2"))
    assert "ADDRESS_NOT_ALLOWED" == caught.value.reason

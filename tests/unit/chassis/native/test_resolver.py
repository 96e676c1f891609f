"""Targets as gRPC writes them become addresses."""

import asyncio
import socket

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_chassis.rpc.http2.client import Address
from meshgate_chassis.rpc.native.resolver import ADDRESSES_MAX, Target, addresses_of, parse_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:50051", Address("127.0.0.1", 50051)),
        ("[::1]:50051", Address("::1", 50051)),
        ("dns:///127.0.0.1:50051", Address("127.0.0.1", 50051)),
        ("dns:///[::1]:50051", Address("::1", 50051)),
        ("ipv4:10.1.2.3:1", Address("10.1.2.3", 1)),
        ("ipv6:[fe80::1]:65535", Address("fe80::1", 65_535)),
        ("unix:/run/ledger.sock", Address("", 0, "/run/ledger.sock")),
        ("unix:///run/ledger.sock", Address("", 0, "/run/ledger.sock")),
        ("unix:ledger.sock", Address("", 0, "ledger.sock")),
    ],
)
async def test_an_address_needs_no_look_up(text: str, expected: Address) -> None:
    """Literals and sockets are known from the start."""
    target = parse_target(text)

    assert (expected,) == target.known
    assert [expected] == await addresses_of(target)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ledger:50051", "ledger"),
        ("dns:ledger:50051", "ledger"),
        ("dns:///ledger.mesh.svc:50051", "ledger.mesh.svc"),
        ("dns://10.0.0.10/ledger:50051", "ledger"),
        ("localhost:50051", "localhost"),
    ],
)
def test_a_name_is_looked_up(text: str, name: str) -> None:
    """With or without the scheme; the system's name servers are asked."""
    assert Target(name=name, port=50051) == parse_target(text)


async def test_several_addresses_are_several_replicas() -> None:
    """Each once, in their order."""
    target = parse_target("ipv4:127.0.0.1:1,127.0.0.1:2,127.0.0.1:1")

    assert [Address("127.0.0.1", 1), Address("127.0.0.1", 2)] == await addresses_of(target)


async def test_the_number_of_addresses_is_limited() -> None:
    """Each costs a connection."""
    many = ",".join(f"127.0.0.1:{port}" for port in range(1, 2 * ADDRESSES_MAX))

    assert ADDRESSES_MAX == len(await addresses_of(parse_target(f"ipv4:{many}")))


async def test_a_name_of_this_machine_is_found() -> None:
    """By the system, with the port of the target."""
    found = await addresses_of(parse_target("dns:///localhost:50051"))

    assert found == list(dict.fromkeys(found))
    assert {address.host for address in found} <= {"127.0.0.1", "::1"}
    assert {50051} == {address.port for address in found}


@pytest.mark.parametrize("name", ["nobody.invalid", "x" * 64, "a..b"])
async def test_a_name_that_nobody_has(name: str) -> None:
    """Is an OSError like any other, also when it cannot be a name."""
    with pytest.raises(socket.gaierror):
        async with asyncio.timeout(60):
            await addresses_of(parse_target(f"{name}:50051"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "ledger", ":50051", "ledger:", "ledger:port", "ledger:0", "ledger:65536", "::1:50051"),
        *("ledger:\N{SUPERSCRIPT TWO}", "dns:///ledger", "ipv4:ledger:1", "ipv4:127.0.0.1:1,"),
        *("unix:", "unix://host/a"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Before anything is called, with what may be written."""
    with pytest.raises(MeshError) as caught:
        parse_target(text)

    assert "ADDRESS_INVALID" == caught.value.reason
    assert repr(text) in caught.value.message

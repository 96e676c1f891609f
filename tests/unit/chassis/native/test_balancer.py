"""Connections to one service: in turn, at a pace, found again, left in peace; over real sockets."""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.http2.client import Address, ClientConnection, ClientStream, open_connection
from meshgate_chassis.rpc.native.balancer import Balancer, Pace, Ways
from tests.support.eventually import eventually
from tests.unit.chassis.native.bare_peer import BarePeer, listening

QUICK = Pace(attempt_s_max=5.0, backoff_s_min=0.001, backoff_s_max=0.01, lookup_s=0.01, lookup_s_min=0.001)
NEVER_AGAIN = replace(QUICK, backoff_s_min=3_600.0, backoff_s_max=3_600.0)


class Service:
    """Peers, and a balancer over those whose addresses are found."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.found: list[Address] = []
        self.attempts: Counter[Address] = Counter()
        self.lookups = 0
        self.lookup_failure: OSError | None = None

    async def peer(self, peer: BarePeer | None = None) -> BarePeer:
        """One more that is found."""
        peer = await self.stack.enter_async_context(listening(peer or BarePeer()))
        self.found.append(peer.address)
        return peer

    def nobody(self) -> Address:
        """One more address that is found, where nobody listens."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.found.append(Address("127.0.0.1", free.getsockname()[1]))
        return self.found[-1]

    def balancer(self, pace: Pace = QUICK, chance: Callable[[], float] = random.random) -> Balancer:
        ways = Ways("the ledger at dns:///ledger:1", self._addresses, self._open)
        made = Balancer(ways, pace, chance)
        self.stack.push_async_callback(made.close)
        return made

    async def _addresses(self) -> list[Address]:
        self.lookups += 1
        if self.lookup_failure is not None:
            raise self.lookup_failure
        return list(self.found)

    async def _open(self, address: Address) -> ClientConnection:
        self.attempts[address] += 1
        return await open_connection(address, tls=None, server_name=None)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        yield Service(stack)


def call(connection: ClientConnection) -> ClientStream:
    return connection.call(b"", b"", 60.0)


async def failure(balancer: Balancer, timeout_s: float = 20.0) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await balancer.wait(timeout_s)
    return caught.value


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_backoff_grows_to_its_limit(chance: float) -> None:
    """From a tenth of a second to a second; chance only makes it shorter, so that not all come together."""
    times = [Pace().backoff_s(failures, chance) for failures in range(1, 50)]

    assert sorted(times) == times
    assert (0.1 * (1 - 0.2 * chance), 1.0 * (1 - 0.2 * chance)) == (times[0], times[-1])


async def test_nothing_connects_before_it_is_asked_for(service: Service) -> None:
    """A channel that is not used costs nothing."""
    peer = await service.peer()
    balancer = service.balancer()

    assert balancer.pick() is None
    assert (0, 0) == (service.lookups, peer.accepted)

    assert (await balancer.wait(20.0)).usable


async def test_calls_go_to_all_in_turn(service: Service) -> None:
    """One connection to each address, the same number of calls on each."""
    peers = [await service.peer() for _ in range(3)]
    balancer = service.balancer()
    await balancer.wait(20.0)
    await eventually(lambda: all(peer.accepted for peer in peers), "all are connected")
    await eventually(lambda: len({balancer.pick() for _ in range(3)}) == 3, "all are ready")

    picked = Counter(balancer.pick() for _ in range(30))

    assert [10, 10, 10] == list(picked.values())
    assert [1, 1, 1] == [peer.accepted for peer in peers]


async def test_one_that_hangs_holds_nobody_up(service: Service) -> None:
    """It accepts, and never says a word of HTTP/2; calls go to the other one."""
    await service.peer(BarePeer(greeting=b""))
    await service.peer()

    assert (await service.balancer(replace(QUICK, attempt_s_max=3_600.0)).wait(20.0)).usable


async def test_one_that_hangs_alone_is_given_up(service: Service) -> None:
    """After the time that an attempt may take."""
    await service.peer(BarePeer(greeting=b""))

    error = await failure(service.balancer(replace(NEVER_AGAIN, attempt_s_max=0.05)))

    assert (Code.UNAVAILABLE, "SERVICE_UNREACHABLE") == (error.code, error.reason)
    assert "cannot connect to the ledger at dns:///ledger:1: no answer within 0.05 s" == error.message


async def test_a_call_waits_no_longer_than_its_deadline(service: Service) -> None:
    """Also when the attempt goes on; nothing was sent, and the error says so."""
    await service.peer(BarePeer(greeting=b""))

    error = await failure(service.balancer(replace(QUICK, attempt_s_max=3_600.0)), timeout_s=0.05)

    assert (Code.UNAVAILABLE, "SERVICE_UNREACHABLE") == (error.code, error.reason)


async def test_while_all_are_unreachable_calls_fail_at_once(service: Service) -> None:
    """Between attempts nobody waits, and no call causes one."""
    addresses = {service.nobody(), service.nobody()}
    balancer = service.balancer(NEVER_AGAIN)

    errors = [await failure(balancer) for _ in range(3)]

    text = "cannot connect to the ledger at dns:///ledger:1: connection refused"
    assert [("SERVICE_UNREACHABLE", text)] * 3 == [(error.reason, error.message) for error in errors]
    assert dict.fromkeys(addresses, 1) == service.attempts


async def test_a_service_that_comes_late_is_found(service: Service) -> None:
    """Without a call that asks for it."""
    peer = await service.peer()
    service.found.clear()
    service.nobody()
    balancer = service.balancer()
    await failure(balancer)

    service.found[:] = [peer.address]

    assert await eventually(balancer.pick, "it is found")


async def test_a_lost_connection_comes_back_by_itself(service: Service) -> None:
    """At once, and calls wait for it meanwhile."""
    peer = await service.peer()
    balancer = service.balancer(replace(QUICK, backoff_s_max=0.0))
    lost = await balancer.wait(20.0)

    peer.hang_up()
    await lost.gone

    assert balancer.pick() is None
    assert await balancer.wait(20.0) is not lost
    assert 2 == peer.accepted


async def test_one_that_leaves_whenever_it_is_reached_is_not_hammered(service: Service) -> None:
    """It is tried again at the pace of one that cannot be reached."""
    backed_off = asyncio.Event()
    peer = BarePeer()
    peer.hangs_up = True
    await service.peer(peer)

    def chance() -> float:
        backed_off.set()
        return 0.0

    waiting = asyncio.ensure_future(service.balancer(NEVER_AGAIN, chance).wait(60.0))
    await backed_off.wait()

    assert 1 == peer.accepted
    waiting.cancel()


async def test_one_that_is_leaving_finishes_its_calls(service: Service) -> None:
    """It gets no new ones: they go to a new connection."""
    peer = await service.peer()
    balancer = service.balancer()
    old = await balancer.wait(20.0)
    under_way = call(old)
    await eventually(lambda: peer.called == 1, "it is called")

    peer.say(frames.goaway(2**31 - 1, frames.NO_ERROR))
    new = await eventually(lambda: (now := balancer.pick()) is not old and now, "it is replaced")

    assert (False, True) == (old.closed, new.usable)
    under_way.cancel()
    await old.gone


async def test_a_new_replica_is_found(service: Service) -> None:
    """While all is well, by looking again."""
    await service.peer()
    balancer = service.balancer()
    await balancer.wait(20.0)

    added = await service.peer()

    await eventually(lambda: added.connected == 1, "it is connected")


async def test_a_replica_that_vanished_finishes_its_calls(service: Service) -> None:
    """New calls go to the others; with its last call the connection ends."""
    peer = await service.peer()
    balancer = service.balancer()
    old = await balancer.wait(20.0)
    under_way = call(old)
    other = await service.peer()
    service.found[:] = [other.address]

    await eventually(lambda: {old} != {balancer.pick() for _ in range(4)}, "the other is ready")
    await eventually(lambda: old not in {balancer.pick() for _ in range(4)}, "it gets no more calls")
    lookups = service.lookups
    await eventually(lambda: service.lookups > lookups + 2, "it is looked at again")
    assert (1, False) == (old.calls, old.closed)

    under_way.cancel()
    await old.gone
    await eventually(lambda: peer.connected == 0, "it is disconnected")
    assert 1 == peer.accepted


async def test_a_replica_that_vanished_is_kept_while_nobody_else_can_be_reached(service: Service) -> None:
    """A list of addresses that is wrong for a while takes nothing away."""
    peer = await service.peer()
    balancer = service.balancer()
    old = await balancer.wait(20.0)
    service.found.clear()

    missing = service.nobody()
    await eventually(lambda: service.attempts[missing] > 3, "the new one is tried")

    assert old is balancer.pick()
    assert 1 == peer.connected


async def test_a_look_up_that_fails_takes_nothing_away(service: Service) -> None:
    """What is connected stays so, and later look-ups count."""
    await service.peer()
    balancer = service.balancer()
    old = await balancer.wait(20.0)
    service.lookup_failure = socket.gaierror(socket.EAI_AGAIN, "try again")
    lookups = service.lookups
    await eventually(lambda: service.lookups > lookups + 2, "it fails several times")

    assert old is balancer.pick()

    service.lookup_failure = None
    added = await service.peer()
    await eventually(lambda: added.connected == 1, "it is found")


async def test_a_name_that_nobody_knows(service: Service) -> None:
    """Fails at once, in plain words; and is asked for again."""
    service.lookup_failure = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    balancer = service.balancer()

    error = await failure(balancer)

    assert ("SERVICE_UNREACHABLE", True) == (error.reason, error.message.endswith("the name is not known"))
    service.lookup_failure = None
    await service.peer()
    assert await eventually(balancer.pick, "it is found")


async def test_a_look_up_that_hangs(service: Service) -> None:
    """Holds calls up for no longer than an attempt to connect, and is not made twice."""
    asked = 0

    async def never() -> list[Address]:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return []

    ways = Ways("the ledger", never, service._open)
    balancer = Balancer(ways, replace(QUICK, attempt_s_max=0.05))
    service.stack.push_async_callback(balancer.close)

    errors = [await failure(balancer) for _ in range(2)]

    assert ["SERVICE_UNREACHABLE"] * 2 == [error.reason for error in errors]
    assert 1 == asked


async def test_more_calls_than_the_service_takes_are_refused(service: Service) -> None:
    """By name; and taken again when one has ended."""
    await service.peer(BarePeer(greeting=frames.settings({frames.SETTINGS_MAX_CONCURRENT_STREAMS: 1})))
    balancer = service.balancer()
    only = await balancer.wait(20.0)
    under_way = call(only)

    error = await failure(balancer)

    assert (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS") == (error.code, error.reason)
    under_way.cancel()
    assert only is await balancer.wait(20.0)


async def test_what_is_closed_stays_closed(service: Service) -> None:
    """Who waits is told, calls end, connections end, none is made."""
    hanging = await service.peer(BarePeer(greeting=b""))
    waiting = service.balancer(replace(QUICK, attempt_s_max=3_600.0))
    told = asyncio.gather(waiting.wait(60.0), return_exceptions=True)
    await eventually(lambda: hanging.accepted == 1, "it is connecting")
    await waiting.close()
    error = (await told)[0]

    assert isinstance(error, MeshError)
    assert "SERVICE_UNREACHABLE" == error.reason
    await eventually(lambda: hanging.connected == 0, "the attempt has ended")

    service.found.clear()
    peer = await service.peer()
    balancer = service.balancer()
    under_way = call(await balancer.wait(20.0))
    await balancer.close()

    with pytest.raises(MeshError, match="CONNECTION_LOST"):
        await under_way.answer()
    assert "SERVICE_UNREACHABLE" == (await failure(balancer)).reason
    await eventually(lambda: peer.connected == 0, "it is disconnected")
    assert 1 == peer.accepted

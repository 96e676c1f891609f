"""Claims that nobody hears of are given back: they would hold up all who ask the same."""

import asyncio

import pytest

from meshgate_cache.circuit import unavailable
from meshgate_cache.claims import Claim, Look
from meshgate_cache.flights import Flights, Role
from meshgate_cache.grants import ON_THE_WAY_S, granting
from meshgate_cache.store import MemoryStore
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from tests.support.clock import ManualClock
from tests.support.eventually import eventually

LEADER, FOLLOWER, ALONE = pb.FLIGHT_ROLE_LEADER, pb.FLIGHT_ROLE_FOLLOWER, pb.FLIGHT_ROLE_ALONE
LONG_S = 5.0


class SlowStore(MemoryStore):
    """Does what it is asked, and its answer does not come: it is late, or its caller has gone."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, bytes_max=1_000, entries_max=10)
        self.error: MeshError | None = None
        self.slow = True

    async def get_or_claim(self, claim: Claim, remaining_s: float) -> Look:
        look = await super().get_or_claim(claim, remaining_s)
        if self.error is not None:
            raise self.error
        if self.slow:
            await asyncio.Event().wait()
        return look


def flights(store: SlowStore) -> Flights:
    tokens = iter("abcdefgh")
    return Flights(store, TaskOwner("flights", 10), ManualClock(), lambda: next(tokens))


@pytest.mark.parametrize("late", [False, True])
async def test_a_claim_whose_caller_has_gone_is_released(late: bool) -> None:
    """Whether it left, or the store's answer was lost: who asks next leads."""
    store = SlowStore(ManualClock())
    subject = flights(store)
    store.error = unavailable("timeout") if late else None
    boarding = asyncio.ensure_future(subject.board("n:key", LONG_S))
    await asyncio.sleep(0)
    boarding.cancel()
    await asyncio.wait((boarding,))
    store.slow, store.error = False, None

    async def free() -> bool:
        return (await subject.board("n:key", LONG_S)).role is Role.LEADER

    await eventually(free, "the place is free")


@pytest.mark.parametrize("error", [MeshError, asyncio.CancelledError])
def test_an_rpc_that_ends_without_an_answer_grants_nothing(error: type[BaseException]) -> None:
    """All that it had claimed goes back."""
    given_back: list[tuple[str, str, str]] = []
    wrong = error(13, "R", "m") if error is MeshError else error()  # type: ignore[arg-type]
    with pytest.raises(error), granting(lambda *claim: given_back.append(claim)) as grants:
        grants.add("key", "n", "token")
        grants.add("other", "", "token-2")
        raise wrong

    assert [("key", "n", "token"), ("other", "", "token-2")] == given_back


@pytest.mark.parametrize(
    ("left_s", "roles"), [(ON_THE_WAY_S, [LEADER, FOLLOWER]), (0.001, [ALONE, FOLLOWER])]
)
def test_nobody_leads_by_an_answer_that_comes_too_late(left_s: float, roles: list[int]) -> None:
    """Then it is alone, and whoever is in time leads."""
    given_back: list[tuple[str, str, str]] = []
    responses = [pb.LookupEntryResponse(flight=pb.Flight(role=role)) for role in (LEADER, FOLLOWER)]
    with granting(lambda *claim: given_back.append(claim)) as grants:
        grants.add("key", "n", "token")
        grants.checked(responses, left_s)

    assert roles == [response.flight.role for response in responses]
    assert (LEADER not in roles) == bool(given_back)

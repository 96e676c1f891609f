"""Batches form while one is under way, and nobody suffers from a neighbour."""

import asyncio
from collections.abc import Sequence

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.group_commit import HALF_MIN, BatchRefusedError, GroupCommit, GroupLimits, Traffic
from tests.support.eventually import eventually

TIMEOUT_S = 20.0


class Backend:
    """Doubles numbers, when it is let; negative ones are refused."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def run(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if min(items) < 0:
            raise BatchRefusedError(MeshError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "negative"))
        return [2 * item for item in items]


@pytest.fixture
def backend() -> Backend:
    return Backend()


def group(backend: Backend, **limits: int) -> GroupCommit[int, int]:
    return GroupCommit("test", backend.run, GroupLimits(**limits))


async def submit_all(commit: GroupCommit[int, int], items: Sequence[int]) -> "list[asyncio.Task[int]]":
    tasks = [asyncio.ensure_future(commit.submit(item, TIMEOUT_S)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_one_goes_alone_and_the_waiting_go_together(backend: Backend) -> None:
    """In the order they came, each with its own result."""
    backend.gate.clear()
    commit = group(backend)
    first = await submit_all(commit, [1])
    await eventually(lambda: backend.batches, "the first batch is under way")
    rest = await submit_all(commit, [2, 3, 4])
    backend.gate.set()

    assert [2, 4, 6, 8] == await asyncio.gather(*first, *rest)
    assert [[1], [2, 3, 4]] == backend.batches


async def test_batches_and_their_number_are_limited(backend: Backend) -> None:
    """Two at a time, of two items."""
    backend.gate.clear()
    commit = group(backend, items_max=2, batches_max=2)
    tasks = await submit_all(commit, range(1, 8))
    await eventually(lambda: len(backend.batches) == 2 or None, "two batches are under way")
    for _ in range(10):
        await asyncio.sleep(0)
    assert 2 == len(backend.batches)
    backend.gate.set()

    assert [2 * item for item in range(1, 8)] == await asyncio.gather(*tasks)
    assert max(len(batch) for batch in backend.batches) <= 2


async def test_many_at_once_go_in_two_halves(backend: Backend) -> None:
    """So that one is worked on here while PostgreSQL has the other; few are not worth a second batch."""
    commit = group(backend)
    await asyncio.gather(*await submit_all(commit, range(2 * HALF_MIN - 1)))
    await asyncio.gather(*await submit_all(commit, range(2 * HALF_MIN)))

    assert [2 * HALF_MIN - 1, HALF_MIN, HALF_MIN] == [len(batch) for batch in backend.batches]


async def test_many_that_are_not_alone_stay_together(backend: Backend) -> None:
    """A batch of another group is under way: it is what they take turns with."""
    traffic = Traffic()
    other = GroupCommit("other", backend.run, GroupLimits(), traffic)
    mine = Backend()
    commit = GroupCommit("test", mine.run, GroupLimits(), traffic)
    backend.gate.clear()
    first = await submit_all(other, [1])
    await eventually(lambda: backend.batches, "the other group's batch is under way")
    await asyncio.gather(*await submit_all(commit, range(2 * HALF_MIN)))
    backend.gate.set()
    await asyncio.gather(*first)

    assert [2 * HALF_MIN] == [len(batch) for batch in mine.batches]


async def test_a_full_queue_refuses(backend: Backend) -> None:
    """RESOURCE_EXHAUSTED/QUEUE_FULL with a time to come back; those who wait are served."""
    backend.gate.clear()
    commit = group(backend, queue_items_max=2)
    first = await submit_all(commit, [1])
    await eventually(lambda: backend.batches, "the first batch is under way")
    waiting = await submit_all(commit, [2, 3])
    with pytest.raises(MeshError) as caught:
        await commit.submit(4, TIMEOUT_S)
    backend.gate.set()

    assert (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL") == (caught.value.code, caught.value.reason)
    assert caught.value.retry_after_s is not None
    assert [2, 4, 6] == await asyncio.gather(*first, *waiting)


async def test_who_leaves_before_the_start_is_dropped(backend: Backend) -> None:
    """Who leaves after it is served without them."""
    backend.gate.clear()
    commit = group(backend)
    (started,) = await submit_all(commit, [1])
    await eventually(lambda: backend.batches, "the first batch is under way")
    queued = await submit_all(commit, [2, 3])
    started.cancel()
    queued[0].cancel()
    await asyncio.sleep(0)
    backend.gate.set()

    assert 6 == await queued[1]
    assert [[1], [3]] == backend.batches


async def test_the_callers_deadline_ends_the_wait(backend: Backend) -> None:
    """DEADLINE_EXCEEDED; the batch goes on for the others."""
    backend.gate.clear()
    commit = group(backend)
    hasty = asyncio.ensure_future(commit.submit(1, 0.0))
    (patient,) = await submit_all(commit, [2])
    with pytest.raises(MeshError) as caught:
        await hasty
    backend.gate.set()

    assert (Code.DEADLINE_EXCEEDED, "LEDGER_TOO_SLOW") == (caught.value.code, caught.value.reason)
    assert 4 == await patient


async def test_a_bad_item_is_found_and_refused_alone(backend: Backend) -> None:
    """Wherever it is among its neighbours."""
    backend.gate.clear()
    commit = group(backend)
    first = await submit_all(commit, [1])
    rest = await submit_all(commit, [2, 3, -4, 5, 6, 7, -8])
    backend.gate.set()
    results = await asyncio.gather(*first, *rest, return_exceptions=True)

    assert [2, 4, 6, 10, 12, 14] == [result for result in results if isinstance(result, int)]
    assert ["FIELD_INVALID"] * 2 == [error.reason for error in results if isinstance(error, MeshError)]


async def test_an_error_is_everyones(backend: Backend) -> None:
    """Each gets one of its own, and the next batch starts afresh."""
    commit = group(backend)
    backend.error = MeshError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "away", retry_after_s=0.5)
    results = await asyncio.gather(*await submit_all(commit, [1, 2]), return_exceptions=True)
    backend.error = None

    assert [("STORE_UNAVAILABLE", 0.5)] * 2 == [
        (error.reason, error.retry_after_s) for error in results if isinstance(error, MeshError)
    ]
    assert results[0] is not results[1]
    assert 6 == await commit.submit(3, TIMEOUT_S)


async def test_a_defect_fails_its_batch_and_no_other(backend: Backend) -> None:
    """INTERNAL for those in it; whoever waited is served by the next."""
    backend.gate.clear()
    commit = group(backend)
    first = await submit_all(commit, [1])
    await eventually(lambda: backend.batches, "the first batch is under way")
    waiting = await submit_all(commit, [2])
    backend.error = ZeroDivisionError("a defect")
    backend.gate.set()
    with pytest.raises(MeshError) as caught:
        await first[0]
    backend.error = None

    assert (Code.INTERNAL, "BATCH_FAILED") == (caught.value.code, caught.value.reason)
    assert 4 == await waiting[0]


async def test_drain_waits_for_everything(backend: Backend) -> None:
    """What was submitted is done when it returns."""
    backend.gate.clear()
    commit = group(backend, items_max=1)
    tasks = await submit_all(commit, [1, 2, 3])
    drain = asyncio.ensure_future(commit.drain(TIMEOUT_S))
    await asyncio.sleep(0)
    assert not drain.done()
    backend.gate.set()
    await drain

    assert [2, 4, 6] == [task.result() for task in tasks]

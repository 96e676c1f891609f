"""The worker pool: real processes that die, hang and are too busy."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.errors import MeshError
from meshgate_compression.compressor import EXTRACTIVE
from meshgate_compression.conversation import compress_conversation
from meshgate_compression.jobs import Job
from meshgate_compression.policy import Policy
from meshgate_compression.tokens import O200K
from meshgate_compression.worker import PoolLimits, WorkerPool
from tests.support.eventually import eventually
from tests.unit.compression.passages import count, document, message

JOB = Job((message("user", f"{document()}\n\nWho paid for the lighthouse?"),), Policy(), EXTRACTIVE, O200K)
LONG_S = 30.0


@contextlib.asynccontextmanager
async def pool(**limits: float) -> AsyncIterator[WorkerPool]:
    """A pool whose processes are gone when it is left."""
    before = children()
    async with WorkerPool(PoolLimits(**limits), SystemClock()) as opened:  # type: ignore[arg-type]
        yield opened
    assert before == children()


def children() -> set[int]:
    """The worker processes there are."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            if "meshgate_compression.worker_process" in child.cmdline():
                found.add(child.pid)
    return found


async def test_a_worker_compresses_as_we_do() -> None:
    """Another process, with other hash seeds, gives the same bytes."""
    async with pool() as workers:
        outcome = await workers.run(JOB, LONG_S)

    assert compress_conversation(JOB.messages, JOB.policy, JOB.compressor, count) == outcome
    assert outcome.messages


async def test_a_killed_worker_costs_its_job_and_is_replaced() -> None:
    """The next job is answered by a new process."""
    async with pool() as workers:
        (victim,) = children()
        os.kill(victim, signal.SIGSTOP)
        waiting = asyncio.ensure_future(workers.run(JOB, LONG_S))
        await asyncio.sleep(0)
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(MeshError, match="WORKER_LOST"):
            await waiting

        assert (await workers.run(JOB, LONG_S)).messages
        assert {victim} != children()


async def test_a_hanging_worker_is_replaced() -> None:
    """Nobody waits longer than he said; the worker is given up after its own limit."""
    async with pool(job_s_max=0.5) as workers:
        (victim,) = children()
        os.kill(victim, signal.SIGSTOP)
        with pytest.raises(MeshError, match="TOO_LATE"):
            await workers.run(JOB, 0.05)
        await eventually(lambda: children() and victim not in children(), "another worker")

        assert (await workers.run(JOB, LONG_S)).messages


async def test_a_full_queue_refuses_at_once() -> None:
    """Uncompressed now is better than compressed too late."""
    async with pool(queue_max=1, job_s_max=LONG_S) as workers:
        (victim,) = children()
        os.kill(victim, signal.SIGSTOP)
        first = asyncio.ensure_future(workers.run(JOB, LONG_S))
        await asyncio.sleep(0)
        await eventually(lambda: workers.waiting == 0, "the worker to take the first job")
        second = asyncio.ensure_future(workers.run(JOB, LONG_S))
        await eventually(lambda: workers.waiting == 1, "the second job to wait")
        with pytest.raises(MeshError, match="QUEUE_FULL"):
            await workers.run(JOB, LONG_S)
        os.kill(victim, signal.SIGCONT)

        assert (await first).messages
        assert (await second).messages


async def test_a_job_nobody_waits_for_is_skipped() -> None:
    """A cancelled caller does not cost the next one his turn."""
    async with pool() as workers:
        (victim,) = children()
        os.kill(victim, signal.SIGSTOP)
        first = asyncio.ensure_future(workers.run(JOB, LONG_S))
        left = asyncio.ensure_future(workers.run(JOB, LONG_S))
        await asyncio.sleep(0)
        left.cancel()
        os.kill(victim, signal.SIGCONT)

        assert (await first).messages
        assert (await workers.run(JOB, LONG_S)).messages
        with pytest.raises(asyncio.CancelledError):
            await left


async def test_workers_start_when_they_are_wanted() -> None:
    """None before the first job, which they do."""
    before = children()
    async with WorkerPool(PoolLimits(workers=2), SystemClock(), when_wanted=True) as workers:
        assert before == children()
        outcome = await workers.run(JOB, LONG_S)
        assert outcome.messages
    assert before == children()

"""Tasks have an owner, a limit and an end."""

import asyncio

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner


async def test_drain_waits_for_what_is_under_way() -> None:
    """A task that ends within the grace is not cancelled."""
    owner, done, go = TaskOwner("t", 2), [], asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.append(True)

    owner.start(work(), "w")
    asyncio.get_running_loop().call_soon(go.set)

    assert 0 == await owner.drain(10)
    assert [True] == done
    assert 0 == owner.count


async def test_drain_cancels_what_is_late() -> None:
    """After it nothing of this owner runs."""
    owner = TaskOwner("t", 2)
    task = owner.start(asyncio.Event().wait(), "w")

    assert 1 == await owner.drain(0.01)
    assert task.cancelled()


async def test_the_limit_holds() -> None:
    """One more is refused, and its coroutine is closed, not leaked."""
    owner = TaskOwner("t", 1)
    owner.start(asyncio.Event().wait(), "one")

    with pytest.raises(MeshError) as caught:
        owner.start(asyncio.Event().wait(), "two")

    assert "TASK_LIMIT" == caught.value.reason
    await owner.drain(0)


async def test_a_failure_is_logged_and_makes_room(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody awaits a background task, so it has to speak for itself."""

    async def fail() -> None:
        raise ValueError("why")

    owner = TaskOwner("t", 1)
    owner.start(fail(), "f")
    await owner.drain(1)
    await asyncio.sleep(0)

    assert 0 == owner.count
    assert "task failed" in capsys.readouterr().out

"""Looking rarely, and soon when somebody asks."""

import asyncio

from meshgate_edge.pace import Pace

LONG_S = 3_600.0


async def test_a_question_ends_the_wait() -> None:
    """From this thread and from others; also one that came before the wait's least time was over."""
    pace = Pace()
    for ask in (pace.asked, lambda: asyncio.to_thread(pace.asked)):
        waiting = asyncio.ensure_future(pace.wait(0.01, LONG_S))
        await asyncio.sleep(0)
        answer = ask()
        if answer is not None:
            await answer
        async with asyncio.timeout(10):
            await waiting


async def test_without_a_question_it_takes_its_time() -> None:
    """And an answered question is forgotten."""
    pace = Pace()
    waiting = asyncio.ensure_future(pace.wait(0.0, LONG_S))
    await asyncio.sleep(0)
    pace.asked()
    async with asyncio.timeout(10):
        await waiting
    again = asyncio.ensure_future(pace.wait(0.0, LONG_S))
    await asyncio.sleep(0.05)

    assert not again.done()
    again.cancel()


async def test_it_ends_by_itself() -> None:
    """After the longest time."""
    async with asyncio.timeout(10):
        await Pace().wait(0.0, 0.01)

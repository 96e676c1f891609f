"""How often to look at something that others only ask about now and then: rarely, and soon when they do."""

import asyncio
import contextlib


class Pace:
    """One looks and waits here before looking again; any thread may say that it asks."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False

    def asked(self) -> None:
        """Somebody wants to know."""
        if not self._asked and self._loop is not None:
            self._asked = True
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, least_s: float, most_s: float) -> None:
        """`least_s`; and then until somebody has asked since the last time, `most_s` in all at most."""
        self._loop = asyncio.get_running_loop()
        await asyncio.sleep(least_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s - least_s):
                await self._event.wait()
        self._event.clear()
        self._asked = False

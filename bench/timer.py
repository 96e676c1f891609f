"""Wakes at given nanoseconds: asyncio's timers round to milliseconds, most of what is measured here."""

import asyncio
import ctypes
import os
from time import monotonic_ns

_TFD_NONBLOCK, _TFD_TIMER_ABSTIME, _CLOCK_MONOTONIC = 0o4000, 1, 1


class _Times(ctypes.Structure):
    _fields_ = (("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2))


class Timer:
    """A Linux timerfd in the running loop. One waiter at a time; close it."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._waiter: asyncio.Future[None] | None = None
        asyncio.get_running_loop().add_reader(self._descriptor, self._ring)

    async def wait_until(self, at_ns: int) -> None:
        """Returns at once when the time is past."""
        if at_ns <= monotonic_ns():
            return
        times = _Times((0, 0), divmod(at_ns, 1_000_000_000))
        self._libc.timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(times), None)
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _ring(self) -> None:
        os.read(self._descriptor, 8)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

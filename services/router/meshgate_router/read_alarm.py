"""Ends a read of a provider's answer that takes too long, with one timer for all reads of the answer.

A timer for each read would cost more than the read: a stream has one for each token, and none of them ever
rings. So the timer stays where it is, and only when it rings it is seen whether it was moved meanwhile.
"""

import asyncio
import math

import aiohttp


class ReadAlarm:
    """Of one answer; once it has rung, every further read of the answer fails. Switch it off at the end."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self.rang = False
        self._content = content
        self._loop = asyncio.get_running_loop()
        self._at_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf

    def set(self, at_s: float) -> None:
        """A read begins that raises TimeoutError at this time of the event loop's clock."""
        self._at_s = at_s
        if at_s < self._timer_s:
            self._start_timer()

    def pause(self) -> None:
        """The read is over."""
        self._at_s = math.inf

    def switch_off(self) -> None:
        """Nothing is read any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_s = self._at_s = math.inf

    def _start_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = self._at_s
        self._timer = self._loop.call_at(self._at_s, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_s = None, math.inf
        if self._at_s <= self._loop.time():
            self.rang = True
            self._content.set_exception(TimeoutError())
        elif self._at_s < math.inf:
            self._start_timer()

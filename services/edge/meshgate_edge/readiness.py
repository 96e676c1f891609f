"""Watches the other services in the background, so that health questions are answered at once.

A service that stops answering is noticed within one interval plus one timeout when somebody asks, which one
question tells; else within REST_S. What is down is asked at each interval.
"""

import asyncio
from collections.abc import Mapping

import structlog

from meshgate_chassis.rpc import MeshChannel
from meshgate_edge.http.health import MeshState
from meshgate_edge.pace import Pace

log = structlog.get_logger("meshgate.edge.readiness")

INTERVAL_S = 1.0
REST_S = 5.0  # while all answer, and nobody wants to know
TIMEOUT_S = 1.0
START_INTERVAL_S = 0.05  # until everything has answered once: nobody likes to wait at the start


class MeshWatch:
    """Asks grpc.health.v1 of each service; implements http_health.Readiness."""

    def __init__(self, channels: Mapping[str, MeshChannel]) -> None:
        self._channels = channels
        self._state = MeshState(ledger=False, cache=False, compression=False, router=False)
        self._pace = Pace()

    def state(self) -> MeshState:
        self._pace.asked()
        return self._state

    async def run(self) -> None:
        """Until cancelled."""
        started = False
        while True:
            names = list(self._channels)
            answers = await asyncio.gather(*(self._channels[name].serving(TIMEOUT_S) for name in names))
            state = MeshState(**dict(zip(names, answers, strict=True)))
            if state != self._state:
                log.info("mesh", **dict(zip(names, answers, strict=True)))
            self._state = state
            started = started or all(answers)
            if started:
                await self._pace.wait(INTERVAL_S, REST_S if all(answers) else INTERVAL_S)
            else:
                await asyncio.sleep(START_INTERVAL_S)

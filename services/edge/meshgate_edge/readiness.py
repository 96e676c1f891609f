"""Watches the other services in the background, so that health questions are answered at once.

A service that stops answering is noticed within one interval plus one timeout.
"""

import asyncio
from collections.abc import Mapping

import structlog

from meshgate_chassis.rpc import MeshChannel
from meshgate_edge.http_health import MeshState

log = structlog.get_logger("meshgate.edge.readiness")

INTERVAL_S = 1.0
TIMEOUT_S = 1.0
START_INTERVAL_S = 0.05  # until everything has answered once: nobody likes to wait at the start


class MeshWatch:
    """Asks grpc.health.v1 of each service; implements http_health.Readiness."""

    def __init__(self, channels: Mapping[str, MeshChannel]) -> None:
        self._channels = channels
        self._state = MeshState(ledger=False, cache=False, compression=False, router=False)

    def state(self) -> MeshState:
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
            await asyncio.sleep(INTERVAL_S if started else START_INTERVAL_S)

"""Watches the other services in the background, so that health questions are answered at once.

A service that stops answering is noticed within one interval plus one timeout when somebody asks, which one
question tells; else within REST_S. What is down is asked at each interval.
"""

import asyncio
from collections.abc import Mapping

import structlog

from meshgate_chassis.errors import MeshError
from meshgate_chassis.rpc import MeshChannel
from meshgate_edge.http.health import MeshState
from meshgate_edge.pace import Pace
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient

log = structlog.get_logger("meshgate.edge.readiness")

INTERVAL_S = 1.0
REST_S = 5.0  # while all answer, and nobody wants to know
TIMEOUT_S = 1.0
START_INTERVAL_S = 0.05  # until everything has answered once: nobody likes to wait at the start


class MeshWatch:
    """Asks grpc.health.v1 of each service, and the cache for its store; implements http_health.Readiness."""

    def __init__(self, channels: Mapping[str, MeshChannel], cache: CacheServiceClient) -> None:
        self._channels = channels
        self._cache = cache
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
            *answers, store = await asyncio.gather(
                *(self._channels[name].serving(TIMEOUT_S) for name in names), self._store_answers()
            )
            state = MeshState(**dict(zip(names, answers, strict=True)), store=store)
            if state != self._state:
                log.info("mesh", **dict(zip(names, answers, strict=True)), store=store)
            self._state = state
            started = started or all(answers)
            if started:
                await self._pace.wait(INTERVAL_S, REST_S if all(answers) and store else INTERVAL_S)
            else:
                await asyncio.sleep(START_INTERVAL_S)

    async def _store_answers(self) -> bool:
        """As the cache says; True when it says nothing: then it is the cache that does not answer."""
        try:
            status = await self._cache.get_status(pb.GetStatusRequest(), timeout_s=TIMEOUT_S)
        except MeshError:
            return True
        return status.reachable or not status.enabled

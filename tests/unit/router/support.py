"""The router's parts put together for a test, with the real transport."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.request_json import request_from_json
from meshgate_chassis.chat.response_json import response_to_json
from meshgate_chassis.clock import Clock, SystemClock
from meshgate_chassis.config.model import Deployment, RouterConfig
from meshgate_chassis.tasks import TaskOwner
from meshgate_chassis.telemetry import Telemetry
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_router.answers import Answers
from meshgate_router.app import RoutingBase, Sharing, build_routing
from meshgate_router.attempt import Served
from meshgate_router.catalog import Catalog
from meshgate_router.hedge import TASKS_MAX, Hedger
from meshgate_router.journey import RouteTask
from meshgate_router.provider_call import Answer, ProviderCaller
from meshgate_router.providers.registry import providers
from meshgate_router.stream import Delta, Event, Finished, Started, Streams
from meshgate_router.timing import TimeoutRules
from meshgate_router.transport import Transport, TransportLimits
from tests.support.deployments import SECRET as SECRET
from tests.support.deployments import deployment as deployment

DEADLINE_S = 20.0


def chat(model: str = "gpt", **members: Any) -> chat_pb.ChatRequest:
    """A request in OpenAI's shape."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **members}
    return request_from_json(body)


@dataclass(frozen=True)
class StreamResult:
    """What a stream brought: its events, and the answer its chunks amount to."""

    events: Sequence[Event]
    answer: dict[str, Any]

    @property
    def finished(self) -> Finished | None:
        last = self.events[-1]
        return last if isinstance(last, Finished) else None


class RouterUnderTest:
    """All of the router but its gRPC server."""

    def __init__(
        self,
        deployments: Sequence[Deployment],
        config: RouterConfig = RouterConfig(),  # noqa: B008 - frozen
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
        limits: TransportLimits = TransportLimits(),  # noqa: B008 - frozen
        sharing: Sharing | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        table = providers()
        self.catalog = Catalog(deployments, config, table)
        self.transport = Transport(limits)
        self.caller = ProviderCaller(table, self.transport, telemetry or Telemetry(None), self.clock)
        self.registry = CollectorRegistry()
        base = RoutingBase(self.clock, Random(1), self.registry)
        timeouts = TimeoutRules(connect_s=5.0, between_reads_s=10.0)
        self.routing = build_routing(self.catalog, config, timeouts, base, sharing)
        self.loop = self.routing.loop
        self.hedges = TaskOwner("hedges", TASKS_MAX)
        hedger = Hedger(config.hedging, self.loop, self.hedges, self.clock)
        self.answers = Answers(self.loop, self.caller, hedger)
        self.streams = Streams(self.loop, self.caller, hedger, recovers=config.mid_stream_recovery)

    def task(self, request: chat_pb.ChatRequest, *, stream: bool, **changes: Any) -> RouteTask:
        deadline_s = self.clock.monotonic_s() + changes.pop("deadline_s", DEADLINE_S)
        return RouteTask(request.model, deadline_s, stream, **changes)

    async def served(self, request: chat_pb.ChatRequest, **changes: Any) -> Served[Answer]:
        """A whole answer."""
        return await self.answers.create(self.task(request, stream=False, **changes), request)

    async def create(self, request: chat_pb.ChatRequest, **changes: Any) -> dict[str, Any]:
        """A whole answer, as JSON."""
        return response_to_json((await self.served(request, **changes)).value.response)

    def events(self, request: chat_pb.ChatRequest, **changes: Any) -> Any:
        """The events of a stream."""
        return self.streams.events(self.task(request, stream=True, **changes), request)

    async def stream(self, request: chat_pb.ChatRequest, **changes: Any) -> StreamResult:
        """A stream read to its end."""
        events: list[Event] = []
        chunks = ChunkAccumulator()
        async with contextlib.aclosing(self.events(request, **changes)) as found:
            async for event in found:
                events.append(event)
                if isinstance(event, Delta):
                    for chunk in event.chunks:
                        chunks.add(chunk)
        assert isinstance(events[0], Started)
        return StreamResult(events, response_to_json(chunks.response()))


@contextlib.asynccontextmanager
async def router(deployments: Sequence[Deployment], **options: Any) -> AsyncIterator[RouterUnderTest]:
    """Closes its connections at the end."""
    subject = RouterUnderTest(deployments, **options)
    try:
        yield subject
    finally:
        await subject.hedges.drain(0.0)
        await subject.transport.close()

"""RouterService over the attempt loop: checks, converts, and decides nothing."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from meshgate_chassis.clock import Clock
from meshgate_chassis.sealing import Sealer
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceServicer
from meshgate_protos.rpc import Call
from meshgate_router import convert, convert_state, embeddings
from meshgate_router.answers import Answers
from meshgate_router.attempt import Served
from meshgate_router.catalog import Catalog
from meshgate_router.credentials import own_credentials
from meshgate_router.embeddings import Embeddings
from meshgate_router.journey import RouteTask
from meshgate_router.probe import Prober
from meshgate_router.provider_call import ProviderCaller
from meshgate_router.state_report import StateReport
from meshgate_router.stream import Event, Opened, Streams, follows_at_once


@dataclass(frozen=True, slots=True)
class ServicerParts:
    """What answers. `shared`: whether limits and cooldowns are those of all replicas just now. `replica`: a
    name that no other process has."""

    catalog: Catalog
    answers: Answers
    embeddings: Embeddings
    streams: Streams
    caller: ProviderCaller
    report: StateReport
    prober: Prober
    shared: Callable[[], bool]
    replica: str
    clock: Clock
    sealer: Sealer | None = None  # opens the tenants' own credentials


class RouterServicer(RouterServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(self, parts: ServicerParts) -> None:
        self._parts = parts
        self._caller = parts.caller

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        task = self._task(request, call, stream=False)
        served = await self._parts.answers.create(task, request.chat)
        answer = served.value
        api_base = self._caller.base(served.deployment)
        return pb.CreateChatResponse(
            served_by=convert.served_by(served, answer.headers, api_base), response=answer.response
        )

    async def stream_chat(
        self, request: pb.StreamChatRequest, call: Call
    ) -> AsyncIterator[pb.StreamChatResponse]:
        task = self._task(request, call, stream=True)
        told = convert.told_of(request)
        ready: list[Event] = []  # what leaves in one message
        async with aclosing(self._parts.streams.events(task, request.chat, told)) as events:
            async for event in events:
                ready.append(event)
                if not (request.joined and follows_at_once(event)):
                    yield convert.stream_response(ready, self._base_of)
                    ready.clear()

    async def create_embeddings(
        self, request: pb.CreateEmbeddingsRequest, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        wanted = embeddings.wanted_of(request.embeddings)
        task = self._with_credentials(embeddings.task_of(request, self._deadline_s(call)), request.options)
        served = await self._parts.embeddings.create(task, wanted)
        api_base = self._caller.base(served.deployment)
        return pb.CreateEmbeddingsResponse(
            served_by=convert.served_by(served, served.value.headers, api_base),
            response=embeddings.response_of(served.value.answer),
        )

    async def list_models(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        models = self._parts.catalog.public_models(patterns=request.include_patterns)
        return pb.ListModelsResponse(models=map(convert.model, models))

    async def get_state(self, request: pb.GetStateRequest, call: Call) -> pb.GetStateResponse:
        rows = self._parts.report.rows()
        states = (convert_state.deployment_state(row, self._caller.base(row.deployment)) for row in rows)
        return pb.GetStateResponse(
            deployments=states, shared=self._parts.shared(), replica=self._parts.replica
        )

    async def probe_deployments(
        self, request: pb.ProbeDeploymentsRequest, call: Call
    ) -> pb.ProbeDeploymentsResponse:
        results = await self._parts.prober.probe(request.model, request.deployment_id, self._deadline_s(call))
        return pb.ProbeDeploymentsResponse(results=map(convert_state.probe_result, results))

    def _task(
        self, request: pb.CreateChatRequest | pb.StreamChatRequest, call: Call, *, stream: bool
    ) -> RouteTask:
        task = convert.route_task(request, self._deadline_s(call), stream=stream)
        return self._with_credentials(task, request.options)

    def _with_credentials(self, task: RouteTask, options: pb.RouteOptions) -> RouteTask:
        if not options.credentials:
            return task
        return replace(task, credentials=own_credentials(options.credentials, self._parts.sealer))

    def _base_of(self, served: Served[Opened]) -> str:
        return self._caller.base(served.deployment)

    def _deadline_s(self, call: Call) -> float:
        return self._parts.clock.monotonic_s() + call.remaining_s()

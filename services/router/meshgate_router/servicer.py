"""RouterService over the attempt loop: checks, converts, and decides nothing."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from meshgate_chassis.clock import Clock
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceServicer
from meshgate_protos.rpc import Call
from meshgate_router import convert
from meshgate_router.attempt import AttemptLoop
from meshgate_router.catalog import Catalog
from meshgate_router.lease import Lease
from meshgate_router.provider_call import Answer, ProviderCaller
from meshgate_router.stream import Started, stream_events, tokens_of


class RouterServicer(RouterServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(self, catalog: Catalog, loop: AttemptLoop, caller: ProviderCaller, clock: Clock) -> None:
        self._catalog = catalog
        self._loop = loop
        self._caller = caller
        self._clock = clock

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        task = convert.route_task(request, self._deadline_s(call), stream=False)

        async def create(lease: Lease) -> tuple[Answer, Lease]:
            where, timeouts = lease.deployment, lease.timeouts
            return await self._caller.create(request.chat, where, timeouts, task.request_id), lease

        served = await self._loop.run(task, create)
        answer = served.value
        served.lease.ended(tokens_of(answer.response.usage if answer.response.HasField("usage") else None))
        api_base = self._caller.base(served.deployment)
        return pb.CreateChatResponse(
            served_by=convert.served_by(served, answer.headers, api_base), response=answer.response
        )

    async def stream_chat(
        self, request: pb.StreamChatRequest, call: Call
    ) -> AsyncIterator[pb.StreamChatResponse]:
        task = convert.route_task(request, self._deadline_s(call), stream=True)
        async with aclosing(stream_events(self._loop, self._caller, task, request.chat)) as events:
            async for event in events:
                base = self._caller.base(event.served.deployment) if isinstance(event, Started) else ""
                yield convert.stream_response(event, base)

    async def list_models(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=map(convert.model, self._catalog.public_models()))

    def _deadline_s(self, call: Call) -> float:
        return self._clock.monotonic_s() + call.remaining_s()

"""RouterService over the attempt loop: checks, converts, and decides nothing."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from meshgate_chassis.clock import Clock
from meshgate_protos.router.v1 import router_service_pb2 as pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceServicer
from meshgate_protos.rpc import Call
from meshgate_router import convert
from meshgate_router.answers import Answers
from meshgate_router.catalog import Catalog
from meshgate_router.provider_call import ProviderCaller
from meshgate_router.stream import Delta, Streams


class RouterServicer(RouterServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(
        self, catalog: Catalog, answers: Answers, streams: Streams, caller: ProviderCaller, clock: Clock
    ) -> None:
        self._catalog = catalog
        self._answers = answers
        self._streams = streams
        self._caller = caller
        self._clock = clock

    async def create_chat(self, request: pb.CreateChatRequest, call: Call) -> pb.CreateChatResponse:
        task = convert.route_task(request, self._deadline_s(call), stream=False)
        served = await self._answers.create(task, request.chat)
        answer = served.value
        api_base = self._caller.base(served.deployment)
        return pb.CreateChatResponse(
            served_by=convert.served_by(served, answer.headers, api_base), response=answer.response
        )

    async def stream_chat(
        self, request: pb.StreamChatRequest, call: Call
    ) -> AsyncIterator[pb.StreamChatResponse]:
        task = convert.route_task(request, self._deadline_s(call), stream=True)
        async with aclosing(self._streams.events(task, request.chat)) as events:
            async for event in events:
                served = None if isinstance(event, Delta) else event.served
                base = "" if served is None else self._caller.base(served.deployment)
                yield convert.stream_response(event, base)

    async def list_models(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=map(convert.model, self._catalog.public_models()))

    def _deadline_s(self, call: Call) -> float:
        return self._clock.monotonic_s() + call.remaining_s()

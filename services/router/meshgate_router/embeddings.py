"""Embeddings: one call, retried and routed as answers are; never hedged."""

from meshgate_chassis.chat.json import loads_object
from meshgate_chassis.errors import invalid_field
from meshgate_protos.embeddings.v1 import embeddings_pb2 as pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb
from meshgate_router import convert
from meshgate_router.attempt import AttemptLoop, Served
from meshgate_router.journey import RouteTask
from meshgate_router.lease import Lease, Tokens
from meshgate_router.provider_call import Embedded, ProviderCaller
from meshgate_router.providers.base import EmbeddingsAnswer, EmbeddingsRequest

INPUTS_MAX = 2_048


class Embeddings:
    """All requests for embeddings."""

    def __init__(self, loop: AttemptLoop, caller: ProviderCaller) -> None:
        self._loop = loop
        self._caller = caller

    async def create(self, task: RouteTask, wanted: EmbeddingsRequest) -> Served[Embedded]:
        """Raises MeshError. Its lease is over."""

        async def one(lease: Lease) -> tuple[Embedded, Lease]:
            with task.credentials.used_for(lease.deployment) as deployment:
                embedded = await self._caller.embed(wanted, deployment, lease.timeouts, task.request_id)
                return embedded, lease
            raise AssertionError("it swallows nothing")

        served = await self._loop.run(task, one)
        usage = served.value.answer.usage
        served.lease.ended(None if usage is None else Tokens(usage.prompt_tokens, 0))
        return served


def task_of(request: router_pb.CreateEmbeddingsRequest, deadline_s: float) -> RouteTask:
    """Raises `invalid_field`."""
    if not request.embeddings.model:
        raise invalid_field("embeddings.model", "embeddings.model is required")
    return convert.options_task(request.embeddings.model, request.request_id, request.options, deadline_s)


def wanted_of(request: pb.EmbeddingsRequest) -> EmbeddingsRequest:
    """Raises `invalid_field`."""
    if not 1 <= len(request.inputs) <= INPUTS_MAX:
        raise invalid_field("input", f"1 to {INPUTS_MAX} inputs are needed")
    return EmbeddingsRequest(
        model=request.model,
        inputs=tuple(
            item.text if item.WhichOneof("input") == "text" else tuple(item.tokens.ids)
            for item in request.inputs
        ),
        dimensions=request.dimensions if request.HasField("dimensions") else None,
        user=request.user,
        extra=loads_object(request.extra_json) if request.extra_json else {},
    )


def response_of(answer: EmbeddingsAnswer) -> pb.EmbeddingsResponse:
    """The contract's form."""
    return pb.EmbeddingsResponse(
        model=answer.model,
        embeddings=[pb.Embedding(values=vector) for vector in answer.vectors],
        usage=answer.usage,
    )

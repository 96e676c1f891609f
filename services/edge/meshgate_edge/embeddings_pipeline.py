"""The data path of embeddings: reserve -> look up -> route -> settle + store.

Books are kept as for a conversation. Each input is looked up for itself; the router is asked for those that
are missing only, and only they are charged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_edge.cache.embedding_step import EmbeddingStep, Looked
from meshgate_edge.call import CallInfo, CallOptions, ChatCall, Principal
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.accounts import Accounts
from meshgate_edge.money.admission import Admission
from meshgate_edge.money.fallbacks import Fallbacks
from meshgate_edge.pipeline import route_options
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.embeddings.v1 import embeddings_pb2 as pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient

CALL_TYPE = "aembedding"  # LiteLLM's name
OTHER_MODEL = "other_model"  # of a leg whose vectors do not go with those of the cache


@dataclass(frozen=True, slots=True)
class EmbeddingsCall:
    """A validated request for embeddings. `client_address`: "" if unknown. `members`: as a ChatCall's."""

    call_id: str
    principal: Principal
    request: pb.EmbeddingsRequest
    options: CallOptions
    client_address: str = ""
    members: Mapping[str, object] = field(default_factory=dict)

    def on_the_books(self) -> ChatCall:
        """What accounts keep of any call: who, which model, and that there is no output to pay for."""
        chat = chat_pb.ChatRequest(model=self.request.model, user=self.request.user, max_tokens=0)
        who = (self.call_id, self.principal)
        return ChatCall(*who, chat, self.options, self.client_address, CALL_TYPE, self.members)


@dataclass(frozen=True, slots=True)
class Embedded:
    """One vector for each input, with usage."""

    response: pb.EmbeddingsResponse
    info: CallInfo


@dataclass(frozen=True, slots=True)
class EmbeddingSteps:
    """What a request passes through, in order."""

    admission: Admission
    cache: EmbeddingStep
    router: RouterServiceClient
    fallbacks: Fallbacks


class EmbeddingsPipeline:
    """Orchestrates one request for embeddings over the mesh."""

    def __init__(self, steps: EmbeddingSteps, accounts: Accounts, clock: Clock) -> None:
        self._steps = steps
        self._accounts = accounts
        self._clock = clock

    async def create(self, call: EmbeddingsCall) -> Embedded:
        """Raises MeshError."""
        with self._accounts.open(call.on_the_books(), self._tokens(call.request)) as run:
            request = pb.EmbeddingsRequest()
            request.CopyFrom(call.request)
            request.model = await self._steps.admission.reserve(run)
            looked = await self._steps.cache.look_up(run, request)
            _note_found(run, looked)
            if not looked.missing:
                return await self._hit(run, looked)
            answer = await self._ask(run, request, looked)
            if looked.found and not _goes_with(run, answer, looked):
                # Vectors of two models cannot be compared: those found are of no use beside this answer.
                run.legs = [*run.legs, _leg(run, answer)]
                looked = looked.nothing_found()
                _note_found(run, looked)
                answer = await self._ask(run, request, looked)
            await self._settle(run, answer)
            if run.info.attempted_fallbacks == 0:  # else they are not of the model that was asked for
                self._steps.cache.store(run, looked, answer, self._weights(_only(request, looked.missing)))
            return Embedded(assembled(looked, answer), run.info)

    async def _ask(
        self, run: CallRun, request: pb.EmbeddingsRequest, looked: Looked
    ) -> pb.EmbeddingsResponse:
        """The vectors of the inputs that are missing."""
        wanted = _only(request, looked.missing)
        run.prompt_tokens = sum(self._weights(wanted))
        run.asked = True
        run.earlier_legs = run.legs
        asked_s = self._clock.monotonic_s()
        answer = await self._routed(run, wanted)
        run.info.provider_duration_s += self._clock.monotonic_s() - asked_s
        run.served(answer.served_by)
        return answer.response

    async def _routed(self, run: CallRun, wanted: pb.EmbeddingsRequest) -> router_pb.CreateEmbeddingsResponse:
        """The router's answer, of the model or of a fallback that is paid for."""
        told: MeshError | None = None
        while True:
            request = router_pb.CreateEmbeddingsRequest(
                request_id=run.call.call_id, embeddings=wanted, options=route_options(run)
            )
            try:
                return await self._steps.router.create_embeddings(request)
            except MeshError as error:
                told = await self._steps.fallbacks.cover(run, error, told)

    async def _hit(self, run: CallRun, looked: Looked) -> Embedded:
        """All of them were known: it costs nothing, and the ledger hears of it."""
        info = run.info
        info.cache_hit, info.cache_key = True, run.cache_key
        info.deployment_id = looked.found[0].deployment_id
        info.model_group = run.model  # after the key's aliases
        tokens = ledger_pb.TokenCounts(prompt_tokens=looked.prompt_tokens)
        await self._accounts.settle(run, ledger_pb.OUTCOME_CACHE_HIT, tokens, estimated=False)
        return Embedded(assembled(looked, pb.EmbeddingsResponse(model=looked.model)), info)

    async def _settle(self, run: CallRun, response: pb.EmbeddingsResponse) -> None:
        counted = not response.usage.HasField("prompt_tokens")
        if counted:
            tokens = run.prompt_tokens_as_served(self._accounts.counter)
            response.usage.prompt_tokens = response.usage.total_tokens = tokens
        usage = ledger_pb.TokenCounts(prompt_tokens=response.usage.prompt_tokens)
        await self._accounts.settle(run, ledger_pb.OUTCOME_SUCCESS, usage, estimated=counted)

    def _tokens(self, request: pb.EmbeddingsRequest) -> int:
        return sum(self._weights(request))

    def _weights(self, request: pb.EmbeddingsRequest) -> list[int]:
        """Tokens of each input."""
        counter = self._accounts.counter
        family = counter.group(request.model)
        return [
            counter.text(item.text, family) if item.WhichOneof("input") == "text" else len(item.tokens.ids)
            for item in request.inputs
        ]


def _note_found(run: CallRun, looked: Looked) -> None:
    """For the ledger and the headers: what the cache saved, and under which key."""
    run.cache_key = looked.keys[0] if looked.keys else ""
    run.info.saved_usd_nanos = looked.saved_usd_nanos
    run.info.cached_input_count = len(looked.found)


def _only(request: pb.EmbeddingsRequest, places: Sequence[int]) -> pb.EmbeddingsRequest:
    """The request with these inputs only."""
    if len(places) == len(request.inputs):
        return request
    wanted = pb.EmbeddingsRequest()
    wanted.CopyFrom(request)
    del wanted.inputs[:]
    wanted.inputs.extend(request.inputs[at] for at in places)
    return wanted


def _goes_with(run: CallRun, answer: pb.EmbeddingsResponse, looked: Looked) -> bool:
    """Whether the answer's vectors are of the model of those that were found."""
    return run.info.attempted_fallbacks == 0 and answer.model == looked.model


def _leg(run: CallRun, answer: pb.EmbeddingsResponse) -> router_pb.Leg:
    """A call that has to be paid although its vectors are not used."""
    info = run.info
    return router_pb.Leg(
        deployment_id=info.deployment_id,
        provider=info.provider,
        upstream_model=info.upstream_model,
        model_group=info.model_group,
        usage=answer.usage,
        estimated=not answer.usage.HasField("prompt_tokens"),
        reason=OTHER_MODEL,
    )


def assembled(looked: Looked, fresh: pb.EmbeddingsResponse) -> pb.EmbeddingsResponse:
    """One vector for each input, in order. Usage is of all inputs, as without a cache; the charge is not."""
    if not looked.found:
        return fresh
    response = pb.EmbeddingsResponse(model=fresh.model)
    response.usage.CopyFrom(fresh.usage)
    response.usage.prompt_tokens += looked.prompt_tokens
    response.usage.total_tokens = response.usage.prompt_tokens
    new = iter(fresh.embeddings)
    response.embeddings.extend(
        entry.embedding if entry is not None else next(new) for entry in looked.entries
    )
    return response

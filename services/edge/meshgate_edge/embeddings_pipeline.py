"""The data path of embeddings: reserve -> route -> settle. Books are kept as for a conversation."""

from dataclasses import dataclass

from meshgate_chassis.clock import Clock
from meshgate_edge.accounts import Accounts
from meshgate_edge.admission import Admission
from meshgate_edge.call import CallInfo, CallOptions, ChatCall, Principal
from meshgate_edge.call_run import CallRun
from meshgate_edge.pipeline import route_options
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.embeddings.v1 import embeddings_pb2 as pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient

CALL_TYPE = "aembedding"  # LiteLLM's name


@dataclass(frozen=True, slots=True)
class EmbeddingsCall:
    """A validated request for embeddings. `client_address`: "" if unknown."""

    call_id: str
    principal: Principal
    request: pb.EmbeddingsRequest
    options: CallOptions
    client_address: str = ""

    def on_the_books(self) -> ChatCall:
        """What accounts keep of any call: who, which model, and that there is no output to pay for."""
        chat = chat_pb.ChatRequest(model=self.request.model, user=self.request.user, max_tokens=0)
        return ChatCall(self.call_id, self.principal, chat, self.options, self.client_address, CALL_TYPE)


@dataclass(frozen=True, slots=True)
class Embedded:
    """One vector for each input, with usage."""

    response: pb.EmbeddingsResponse
    info: CallInfo


class EmbeddingsPipeline:
    """Orchestrates one request for embeddings over the mesh."""

    def __init__(
        self, admission: Admission, router: RouterServiceClient, accounts: Accounts, clock: Clock
    ) -> None:
        self._admission = admission
        self._router = router
        self._accounts = accounts
        self._clock = clock

    async def create(self, call: EmbeddingsCall) -> Embedded:
        """Raises MeshError."""
        with self._accounts.open(call.on_the_books(), self._tokens(call.request)) as run:
            request = pb.EmbeddingsRequest()
            request.CopyFrom(call.request)
            request.model = await self._admission.reserve(run)
            run.asked = True
            asked_s = self._clock.monotonic_s()
            answer = await self._router.create_embeddings(
                router_pb.CreateEmbeddingsRequest(
                    request_id=call.call_id, embeddings=request, options=route_options(run)
                )
            )
            run.info.provider_duration_s = self._clock.monotonic_s() - asked_s
            run.served(answer.served_by)
            await self._settle(run, answer.response)
            return Embedded(answer.response, run.info)

    async def _settle(self, run: CallRun, response: pb.EmbeddingsResponse) -> None:
        counted = not response.usage.HasField("prompt_tokens")
        if counted:
            tokens = run.prompt_tokens_as_served(self._accounts.counter)
            response.usage.prompt_tokens = response.usage.total_tokens = tokens
        usage = ledger_pb.TokenCounts(prompt_tokens=response.usage.prompt_tokens)
        await self._accounts.settle(run, ledger_pb.OUTCOME_SUCCESS, usage, estimated=counted)

    def _tokens(self, request: pb.EmbeddingsRequest) -> int:
        counter = self._accounts.counter
        family = counter.group(request.model)
        return sum(
            counter.text(item.text, family) if item.WhichOneof("input") == "text" else len(item.tokens.ids)
            for item in request.inputs
        )

"""THE DATA PATH of one call: reserve (and look up beside it) -> compress -> route -> settle + store.

Read `create` (one answer) and `stream` (the same, event by event). Whatever happens to a call, `Accounts`
closes it exactly once: a hold is settled when a provider was called, released when none was.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.replay import chunks_of, usage_chunk
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_edge.cache.step import CacheStep
from meshgate_edge.call import ChatCall, Chunks, Completed, Ended, Started, StreamEvent
from meshgate_edge.call_run import CallRun
from meshgate_edge.compression.step import CompressionStep
from meshgate_edge.money.accounts import Accounts
from meshgate_edge.money.admission import Admission
from meshgate_edge.money.bill import add_broken_legs, spend_legs, tokens_of_usage
from meshgate_edge.money.continuation import told as told_to_router
from meshgate_edge.money.fallbacks import Fallbacks
from meshgate_edge.money.hedges import pays_for_hedge
from meshgate_edge.money.top_up import TopUps
from meshgate_edge.routed import RoutedStream
from meshgate_protos.cache.v1 import cache_service_pb2 as cache_pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb
from meshgate_protos.router.v1.router_service_mesh import RouterServiceClient


@dataclass(frozen=True, slots=True)
class Steps:
    """What a call passes through, in order."""

    admission: Admission
    cache: CacheStep
    compression: CompressionStep
    router: RouterServiceClient
    top_ups: TopUps
    fallbacks: Fallbacks


class Pipeline:
    """Orchestrates one call over the mesh; the only place that knows all services."""

    def __init__(self, steps: Steps, accounts: Accounts, clock: Clock, *, hedges: bool) -> None:
        self._steps = steps
        self._accounts = accounts
        self._clock = clock
        self._hedges = hedges  # the configuration wants it

    async def create(self, call: ChatCall) -> Completed:
        """The whole answer. Raises MeshError."""
        with self._accounts.open(call) as run, self._steps.cache.flight(run):
            with self._steps.cache.early(run) as early:
                request = await self._admit(run)
                entry = await self._steps.cache.look_up(run, request, early)
            if entry is not None:
                return await self._hit(run, entry)
            request = await self._steps.compression.compress(run, request)
            run.asked = True
            asked_s = self._clock.monotonic_s()
            response = await self._answer(run, request)
            run.info.provider_duration_s = self._clock.monotonic_s() - asked_s
            await self._settle(run, response)
            self._steps.cache.store(run, response)
            return Completed(response, run.info)

    async def stream(self, call: ChatCall) -> AsyncGenerator[StreamEvent, None]:
        """Started, Chunks as they come, Ended. Raises MeshError; without Ended the answer is truncated."""
        with self._accounts.open(call) as run, self._steps.cache.flight(run):
            with self._steps.cache.early(run) as early:
                request = await self._admit(run)
                entry = await self._steps.cache.look_up(run, request, early)
            if entry is not None:
                completed = await self._hit(run, entry)
                yield Started(run.info)
                yield Chunks(list(chunks_of(completed.response)))
                yield _ended(run, completed.response)
                return
            request = await self._steps.compression.compress(run, request)
            run.asked = True
            run.chunks = ChunkAccumulator()
            asked_s = self._clock.monotonic_s()
            told: MeshError | None = None
            while True:
                try:
                    async with aclosing(self._routed(run, request)) as events:
                        async for event in events:
                            yield event
                    break
                except MeshError as error:
                    told = await self._steps.fallbacks.cover(run, error, told)
            run.info.provider_duration_s = self._clock.monotonic_s() - asked_s
            response = run.chunks.response()
            await self._settle(run, response)
            self._steps.cache.store(run, response)
            yield _ended(run, response)

    async def _admit(self, run: CallRun) -> chat_pb.ChatRequest:
        """Holds the estimate; the request under the model's own name."""
        model = await self._steps.admission.reserve(run)
        request = run.call.request
        if model == request.model:
            return request
        renamed = chat_pb.ChatRequest()
        renamed.CopyFrom(request)
        renamed.model = model
        return renamed

    async def _answer(self, run: CallRun, request: chat_pb.ChatRequest) -> chat_pb.ChatResponse:
        """The whole answer of the model, or of a fallback that is paid for."""
        told: MeshError | None = None
        while True:
            gathers = run.broken is not None or self._steps.top_ups.is_tight(run)
            answer = self._gathered_answer if gathers else self._whole_answer
            try:
                return await answer(run, request)
            except MeshError as error:
                told = await self._steps.fallbacks.cover(run, error, told)

    async def _whole_answer(self, run: CallRun, request: chat_pb.ChatRequest) -> chat_pb.ChatResponse:
        """The router's whole answer."""
        answer = await self._steps.router.create_chat(
            router_pb.CreateChatRequest(request_id=run.call.call_id, chat=request, options=route_options(run))
        )
        run.served(answer.served_by)
        run.response_id = answer.response.id
        return answer.response

    async def _gathered_answer(self, run: CallRun, request: chat_pb.ChatRequest) -> chat_pb.ChatResponse:
        """A whole answer, streamed to here because the budget may end within it."""
        if run.broken is None:
            run.chunks = ChunkAccumulator()
        async with aclosing(self._routed(run, request)) as events:
            async for _ in events:
                pass
        assert run.chunks is not None, "what breaks off has begun"
        return run.chunks.response()

    def _routed(self, run: CallRun, request: chat_pb.ChatRequest) -> AsyncGenerator[Started | Chunks, None]:
        """The router's stream; see RoutedStream.events."""
        options = route_options(run, may_hedge=self._hedges)
        asked = router_pb.StreamChatRequest(
            request_id=run.call.call_id, chat=request, options=options, joined=True
        )
        if run.broken is not None:
            asked.told.CopyFrom(told_to_router(run, self._accounts.counter))
        routed = RoutedStream(run, self._steps.top_ups, self._accounts.counter, self._clock)
        return routed.events(self._steps.router.stream_chat(asked))

    async def _hit(self, run: CallRun, entry: cache_pb.Entry) -> Completed:
        """A stored answer: costs nothing, and the ledger hears of it."""
        info = run.info
        info.cache_hit, info.cache_key = True, run.cache_key
        info.deployment_id = entry.deployment_id
        info.model_group = run.model  # after the key's aliases
        info.saved_usd_nanos = entry.cost_usd_nanos
        run.response_id = entry.response.id
        if entry.HasField("similarity"):
            info.similarity, info.cache_source_key = entry.similarity, entry.source_key
        tokens, _ = tokens_of_usage(entry.response.usage, run, self._accounts.counter, entry.response)
        await self._accounts.settle(run, ledger_pb.OUTCOME_CACHE_HIT, tokens, estimated=False)
        return Completed(entry.response, info)

    async def _settle(self, run: CallRun, response: chat_pb.ChatResponse) -> None:
        usage = response.usage if response.HasField("usage") else run.usage
        tokens, counted = tokens_of_usage(usage, run, self._accounts.counter, response)
        if counted:
            response.usage.prompt_tokens = tokens.prompt_tokens
            response.usage.completion_tokens = tokens.completion_tokens
            response.usage.total_tokens = tokens.prompt_tokens + tokens.completion_tokens
        elif not response.HasField("usage") and usage is not None:
            response.usage.CopyFrom(usage)
        if run.legs:
            add_broken_legs(response.usage, spend_legs(run, self._accounts.counter))
        await self._accounts.settle(run, ledger_pb.OUTCOME_SUCCESS, tokens, estimated=counted)


def _ended(run: CallRun, response: chat_pb.ChatResponse) -> Ended:
    return Ended(run.info, response.usage, usage_chunk(response))


def route_options(run: CallRun, *, may_hedge: bool = False) -> router_pb.RouteOptions:
    """What the router may and shall do for this call. `may_hedge`: also where a budget applies, if that pays
    for it: never an answer in one piece, which cannot end where its hold does."""
    options = run.call.options
    route = router_pb.RouteOptions(
        fallbacks=options.fallbacks, tags=options.tags, prompt_tokens=run.prompt_tokens
    )
    if options.num_retries is not None:
        route.num_retries = options.num_retries
    if options.timeout_s is not None:
        route.timeout.FromNanoseconds(int(options.timeout_s * 1e9))
    if run.covers_model_only:
        route.covered_only = True
        route.covered_models.extend(run.covered_models)
        route.resume = run.resume
        route.no_extra_calls = not pays_for_hedge(run, may_hedge=may_hedge)
    if run.info.remaining_budget_usd_nanos is not None:
        # What is held already may be spent as well.
        route.remaining_budget_usd_nanos = run.info.remaining_budget_usd_nanos + run.held_usd_nanos
    for credential in run.account.credentials:
        route.credentials.add(
            provider=credential.provider, sealed=credential.sealed, credential_id=credential.credential_id
        )
    return route

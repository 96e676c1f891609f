"""Answers to questions that mean the same, found by vectors of a model of the configuration.

The cache tells when it needs the vector of a question (its contract: Question). It is asked of the router as
a call of the gateway's own: the operator pays, and the ledger has an entry of kind aembedding with TAG. A
caller waits for it only when there is something to compare with, and for a limited time; else it comes beside
the provider's answer, and is there when that is stored.

Invariants: never an error to the call; equal texts of a tenant that come at the same time are embedded once;
a model that fails or is late is left out for a while.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from meshgate_chassis.clock import Clock
from meshgate_chassis.deadline import detached_scope, remaining_s
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.call import CacheOptions, CallOptions, Principal
from meshgate_edge.call_run import CallRun
from meshgate_edge.circuit import Circuit, CircuitRules
from meshgate_edge.embeddings_pipeline import EmbeddingsCall, EmbeddingsPipeline
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.embeddings.v1 import embeddings_pb2 as embeddings_pb

log = structlog.get_logger("meshgate.edge.meaning")

TAG: Final = "meshgate-semantic-cache"
DIMENSIONS_MAX: Final = 4_096
CIRCUIT: Final = CircuitRules(failures_max=3, pause_s=1.0, pause_s_max=10.0)


@dataclass(frozen=True, slots=True)
class MeaningRules:
    """`wait_s`: what a call waits for the vector of its question, and never more than half of its time.
    `embed_s`: one call for a vector, whoever still waits."""

    wait_s: float = 0.3
    embed_s: float = 10.0
    lookup_s: float = 0.050
    learn_s: float = 2.0


@dataclass(frozen=True, slots=True)
class MeaningParts:
    """What the step stands on. `caller`: whose call an embedding is. `tasks` bounds those under way."""

    cache: CacheServiceClient
    embeddings: EmbeddingsPipeline
    tasks: TaskOwner
    clock: Clock
    caller: Principal
    new_call_id: Callable[[], str]
    registry: CollectorRegistry


class MeaningStep:
    """See the module."""

    def __init__(self, parts: MeaningParts, rules: MeaningRules) -> None:
        self._parts = parts
        self._rules = rules
        self._circuit = Circuit("embedding model", parts.clock, CIRCUIT)
        self._vectors = Counter(
            "meshgate_edge_vectors", "Vectors of questions, by outcome", ("result",), registry=parts.registry
        )
        self._under_way: dict[tuple[str, str, str], asyncio.Task[pb.Vector | None]] = {}

    async def look_up(self, run: CallRun, answer: pb.LookupEntryResponse) -> pb.Entry | None:
        """The answer to a question that means the same. Notes on the run where the vector comes from."""
        question = answer.question
        if not question.embedding_model or not (question.comparable or run.call.options.cache.write):
            return None
        run.vector = self._begin(run.account.tenant_id, question)
        if run.vector is None or not question.comparable:
            return None
        vector = await self._waited(run.vector)
        if vector is None:
            return None
        question.vector.CopyFrom(vector)
        waits = answer.flight.role == pb.FLIGHT_ROLE_FOLLOWER
        return await self._alike(run, answer.cache_key, question, waits=waits)

    def store(self, run: CallRun, request: pb.StoreEntryRequest) -> Callable[[], None] | None:
        """Puts the vector with an answer that is about to be stored. Or tells what to do once it is: to tell
        the vector when it comes."""
        question = request.question
        if not question.embedding_model or question.HasField("vector"):
            return None
        task = run.vector
        if task is None or task.done():
            vector = None if task is None else _result(task)
            if vector is None:
                request.ClearField("question")  # only equal requests get the answer
            else:
                question.vector.CopyFrom(vector)
            return None
        later = pb.LearnQuestionRequest(
            tenant_id=request.tenant_id,
            cache_key=request.cache_key,
            namespace=request.namespace,
            question=question,
        )
        if request.HasField("ttl"):
            later.ttl.CopyFrom(request.ttl)
        request.ClearField("question")
        return partial(self._start_learning, task, later)

    def _begin(self, tenant_id: str, question: pb.Question) -> "asyncio.Task[pb.Vector | None] | None":
        """The vector on its way; None while the model is left out, or when too many are under way."""
        key = (tenant_id, question.embedding_model, question.text)
        task = self._under_way.get(key)
        if task is not None:
            return task
        if not self._circuit.allows():
            self._vectors.labels("left_out").inc()
            return None
        try:
            task = self._parts.tasks.start(self._embed(question.embedding_model, question.text), "embed")
        except MeshError as error:
            log.info("question not embedded", error=error.reason)
            return None
        self._under_way[key] = task
        task.add_done_callback(lambda _: self._under_way.pop(key))
        return task

    async def _embed(self, model: str, text: str) -> pb.Vector | None:
        parts, start_s = self._parts, self._parts.clock.monotonic_s()
        request = embeddings_pb.EmbeddingsRequest(
            model=model, inputs=[embeddings_pb.EmbeddingInput(text=text)]
        )
        # The vector is kept by the cache, under the tenant whose text it is of: not as the gateway's own.
        options = CallOptions(
            cache=CacheOptions(read=False, write=False), timeout_s=self._rules.embed_s, tags=(TAG,)
        )
        try:
            with detached_scope(self._rules.embed_s):
                embedded = await parts.embeddings.create(
                    EmbeddingsCall(parts.new_call_id(), parts.caller, request, options)
                )
        except MeshError as error:
            self._circuit.failed()
            self._vectors.labels("failed").inc()
            log.info("question not embedded", error=error.reason)
            return None
        if parts.clock.monotonic_s() - start_s <= self._rules.wait_s:
            self._circuit.succeeded()
            self._vectors.labels("in_time").inc()
        else:
            self._vectors.labels("late").inc()
            self._circuit.failed()  # nobody can wait for it: asked less often, it is still learned from
        if embedded.info.attempted_fallbacks:
            return None  # of another model than those that it would be compared with
        return vector_of(embedded.response)

    async def _waited(self, task: "asyncio.Task[pb.Vector | None]") -> pb.Vector | None:
        left_s = remaining_s()
        wait_s = self._rules.wait_s if left_s is None else min(self._rules.wait_s, left_s / 2)
        await asyncio.wait((task,), timeout=wait_s)
        if not task.done():
            log.info("question not compared", cause="its vector is late")
            return None
        return _result(task)

    async def _alike(
        self, run: CallRun, cache_key: str, question: pb.Question, *, waits: bool
    ) -> pb.Entry | None:
        options = run.call.options.cache
        request = pb.LookupAlikeRequest(
            tenant_id=run.account.tenant_id,
            cache_key=cache_key,
            namespace=options.namespace,
            question=question,
            waits=waits,
        )
        if options.max_age_s is not None:
            request.max_age.FromNanoseconds(int(options.max_age_s * 1e9))
        try:
            answer = await self._parts.cache.lookup_alike(request, timeout_s=self._rules.lookup_s)
        except MeshError as error:
            log.info("lookup by meaning failed: a miss", error=error.reason)
            return None
        return answer.entry if answer.HasField("entry") else None

    def _start_learning(
        self, task: "asyncio.Task[pb.Vector | None]", request: pb.LearnQuestionRequest
    ) -> None:
        try:
            self._parts.tasks.start(self._learn(task, request), "learn")
        except MeshError as error:
            log.info("question not learned", error=error.reason)

    async def _learn(self, task: "asyncio.Task[pb.Vector | None]", request: pb.LearnQuestionRequest) -> None:
        await asyncio.wait((task,))  # it bounds its own time
        vector = _result(task)
        if vector is None:
            return
        request.question.vector.CopyFrom(vector)
        try:
            with detached_scope(self._rules.learn_s):
                await self._parts.cache.learn_question(request)
        except MeshError as error:
            log.info("question not learned", error=error.reason)


def vector_of(response: embeddings_pb.EmbeddingsResponse) -> pb.Vector | None:
    """As the cache compares them; None for what is no vector, or one that is too long."""
    if len(response.embeddings) != 1 or not 1 <= len(response.embeddings[0].values) <= DIMENSIONS_MAX:
        return None
    numbers = response.embeddings[0].values
    try:
        return pb.Vector(values=struct.pack(f"<{len(numbers)}f", *numbers), model=response.model)
    except OverflowError:  # no float32
        return None


def _result(task: "asyncio.Task[pb.Vector | None]") -> pb.Vector | None:
    return None if task.cancelled() or task.exception() is not None else task.result()

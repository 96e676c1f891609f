"""The cache's part of a request for embeddings: find the vectors of its inputs, store those that were new.

Invariants: never an error to the call, never a wait beyond the limit; the vectors found are all of one model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.deadline import detached_scope
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache.step import wants_cache
from meshgate_edge.cache.variant import Variants
from meshgate_edge.call_run import CallRun
from meshgate_edge.circuit import Circuit
from meshgate_edge.clients import HopLimits
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.embeddings.v1 import embeddings_pb2 as embeddings_pb

log = structlog.get_logger("meshgate.edge.cache")


@dataclass(frozen=True, slots=True)
class Looked:
    """One entry or None for each input. `keys` is empty when nothing may be stored."""

    entries: Sequence[pb.EmbeddingEntry | None]
    keys: Sequence[str] = ()

    @property
    def found(self) -> list[pb.EmbeddingEntry]:
        """Those that are there."""
        return [entry for entry in self.entries if entry is not None]

    @property
    def missing(self) -> list[int]:
        """The places of the others."""
        return [at for at, entry in enumerate(self.entries) if entry is None]

    @property
    def model(self) -> str:
        """Whose vectors they are; empty when there are none."""
        return next((entry.model for entry in self.found), "")

    @property
    def saved_usd_nanos(self) -> int:
        """What they had cost."""
        return sum(entry.cost_usd_nanos for entry in self.found)

    @property
    def prompt_tokens(self) -> int:
        """Of the inputs that were found."""
        return sum(entry.prompt_tokens for entry in self.found)

    def nothing_found(self) -> "Looked":
        """The same inputs, all of them missing."""
        return Looked([None] * len(self.entries), self.keys)


class EmbeddingStep:
    """Reads and writes the cache for requests that want it."""

    def __init__(
        self,
        cache: CacheServiceClient,
        config: CacheConfig,
        limits: HopLimits,
        tasks: TaskOwner,
        circuit: Circuit,
        variants: Variants,
    ) -> None:
        self._cache = cache
        self._config = config
        self._limits = limits
        self._tasks = tasks
        self._circuit = circuit
        self._variants = variants

    async def look_up(self, run: CallRun, request: embeddings_pb.EmbeddingsRequest) -> Looked:
        """What is known of the inputs."""
        nothing = Looked([None] * len(request.inputs))
        if not wants_cache(self._config, run) or not self._circuit.allows():
            return nothing
        options = run.call.options.cache
        lookup = pb.LookupEmbeddingsRequest(
            tenant_id=run.account.tenant_id,
            variant=self._variants.tagged(run),
            embeddings=request,
            namespace=options.namespace,
            key_only=not options.read,
        )
        if options.max_age_s is not None:
            lookup.max_age.FromNanoseconds(int(options.max_age_s * 1e9))
        limits = self._limits
        limit_s = limits.lookup_s if len(request.inputs) == 1 else limits.lookup_many_s
        try:
            answer = await self._cache.lookup_embeddings(lookup, timeout_s=limit_s)
        except MeshError as error:
            self._circuit.ended(error)
            log.info("lookup failed: a miss", error=error.reason)
            return nothing
        self._circuit.ended(None)
        if len(answer.slots) != len(request.inputs):
            return nothing
        return looked(answer.slots)

    def store(
        self, run: CallRun, looked: Looked, fresh: embeddings_pb.EmbeddingsResponse, weights: Sequence[int]
    ) -> None:
        """Starts storing the vectors of the missing inputs. `weights`: their shares of tokens and cost."""
        if not looked.keys or not run.call.options.cache.write:
            return
        tokens = shares(fresh.usage.prompt_tokens, weights)
        costs = shares(run.info.cost_usd_nanos or 0, weights)
        request = pb.StoreEmbeddingsRequest(
            tenant_id=run.account.tenant_id, namespace=run.call.options.cache.namespace
        )
        for at, embedding, token_count, cost in zip(
            looked.missing, fresh.embeddings, tokens, costs, strict=True
        ):
            request.slots.add(cache_key=looked.keys[at]).entry.MergeFrom(
                pb.EmbeddingEntry(
                    embedding=embedding,
                    model=fresh.model,
                    prompt_tokens=token_count,
                    cost_usd_nanos=cost,
                    deployment_id=run.info.deployment_id,
                )
            )
        if run.call.options.cache.ttl_s is not None:
            request.ttl.FromNanoseconds(int(run.call.options.cache.ttl_s * 1e9))
        try:
            self._tasks.start(self._store(request), "store")
        except MeshError as error:
            log.info("vectors not stored", error=error.reason)

    async def _store(self, request: pb.StoreEmbeddingsRequest) -> None:
        try:
            with detached_scope(self._limits.store_s):
                await self._cache.store_embeddings(request)
        except MeshError as error:
            log.info("vectors not stored", error=error.reason)


def looked(slots: Sequence[pb.EmbeddingSlot]) -> Looked:
    """What was found, of one model only: that of the newest vector."""
    entries = [slot.entry if slot.HasField("entry") else None for slot in slots]
    newest = max(
        (entry for entry in entries if entry is not None),
        key=lambda entry: entry.create_time.ToNanoseconds(),
        default=None,
    )
    if newest is not None:
        entries = [entry if entry is not None and entry.model == newest.model else None for entry in entries]
    return Looked(entries, [slot.cache_key for slot in slots])


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts as the weights are, which add up to it exactly; the largest remainders first."""
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: -(total * weights[at] % whole))
    for at in by_remainder[: total - sum(parts)]:
        parts[at] += 1
    return parts

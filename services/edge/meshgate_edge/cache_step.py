"""The cache's part of the pipeline: look an answer up, store one.

Never an error to the call, never a wait beyond the limit; but a call may wait for the answer of another that
asks the same at the same time (flight.py).
"""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import structlog

from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.call_run import CallRun
from meshgate_edge.circuit import Circuit
from meshgate_edge.early_lookup import EarlyLookup, TenantMemory
from meshgate_edge.flight import Flights
from meshgate_edge.store_batch import StoreBatch
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

log = structlog.get_logger("meshgate.edge.cache")


@dataclass(frozen=True, slots=True)
class CacheParts:
    """What the step stands on."""

    cache: CacheServiceClient
    circuit: Circuit
    flights: Flights
    stores: StoreBatch
    lookups: TaskOwner  # those beside reservations
    tenants: TenantMemory


class CacheStep:
    """Reads and writes the cache for calls that want it."""

    def __init__(self, parts: CacheParts, config: CacheConfig, lookup_timeout_s: float) -> None:
        self._cache = parts.cache
        self._circuit = parts.circuit
        self._flights = parts.flights
        self._stores = parts.stores
        self._lookups = parts.lookups
        self._tenants = parts.tenants
        self._config = config
        self._lookup_timeout_s = lookup_timeout_s

    def flight(self, run: CallRun) -> AbstractContextManager[None]:
        """For the block of a call: others who wait for its answer are freed at its end, whatever happens."""
        return self._flights.open(run)

    @contextmanager
    def early(self, run: CallRun) -> Iterator[EarlyLookup | None]:
        """For the block that reserves and looks up: the lookup, already under way, of a known caller."""
        early = self._started(run)
        try:
            yield early
        finally:
            if early is not None and not early.used:
                if not run.held:
                    self._tenants.refused(run.call.principal)
                self._drop(run, early)

    async def look_up(
        self, run: CallRun, request: chat_pb.ChatRequest, early: EarlyLookup | None = None
    ) -> pb.Entry | None:
        """The stored answer, or None. Notes the key on the run when the answer may be stored later."""
        if not wants_cache(self._config, run):
            return None
        tenant_id = run.account.tenant_id
        self._tenants.admitted(run.call.principal, tenant_id)
        if early is not None and early.tenant_id == tenant_id and early.chat is request:
            early.used = True
            answer = await early.task
        elif self._circuit.allows():
            answer = await self._ask(self._lookup(run, request, tenant_id))
        else:
            answer = None
        if answer is None:
            return None
        run.cache_key = answer.cache_key
        run.question = answer.question if answer.HasField("question") else None
        if answer.HasField("entry"):
            return answer.entry
        return await self._flights.join(run, answer.flight) if answer.HasField("flight") else None

    def _started(self, run: CallRun) -> EarlyLookup | None:
        tenant_id = self._tenants.find(run.call.principal)
        if tenant_id is None or self._circuit.open or not wants_cache(self._config, run):
            return None
        chat = run.call.request
        try:
            task = self._lookups.start(self._ask(self._lookup(run, chat, tenant_id)), "lookup")
        except MeshError:  # too many: it is done in its turn
            return None
        return EarlyLookup(tenant_id, chat, task)

    def _drop(self, run: CallRun, early: EarlyLookup) -> None:
        """Nobody wants the answer; if the cache waits for this call to make one, it is told not to."""
        namespace = run.call.options.cache.namespace

        def dropped(task: "asyncio.Task[pb.LookupEntryResponse | None]") -> None:
            answer = None if task.cancelled() or task.exception() is not None else task.result()
            if answer is not None and answer.flight.role == pb.FLIGHT_ROLE_LEADER:
                self._flights.give_back(
                    pb.FlightClaim(
                        tenant_id=early.tenant_id,
                        cache_key=answer.cache_key,
                        namespace=namespace,
                        token=answer.flight.token,
                    )
                )

        early.task.add_done_callback(dropped)

    def _lookup(self, run: CallRun, request: chat_pb.ChatRequest, tenant_id: str) -> pb.LookupEntryRequest:
        options = run.call.options.cache
        lookup = pb.LookupEntryRequest(
            tenant_id=tenant_id,
            chat=request,
            namespace=options.namespace,
            key_only=not options.read,
            claim=self._flights.wanted(run),
        )
        if options.max_age_s is not None:
            lookup.max_age.FromNanoseconds(int(options.max_age_s * 1e9))
        return lookup

    async def _ask(self, lookup: pb.LookupEntryRequest) -> pb.LookupEntryResponse | None:
        try:
            answer = await self._cache.lookup_entry(lookup, timeout_s=self._lookup_timeout_s)
        except MeshError as error:
            self._circuit.ended(error)
            log.info("lookup failed: a miss", error=error.reason)
            return None
        self._circuit.ended(None)
        return answer

    def store(self, run: CallRun, response: chat_pb.ChatResponse) -> None:
        """Starts storing a whole answer, if the call allows it; the call does not wait for it."""
        if not run.cache_key or not run.call.options.cache.write:
            return
        entry = pb.Entry(
            response=response,
            deployment_id=run.info.deployment_id,
            cost_usd_nanos=run.info.cost_usd_nanos or 0,
        )
        request = pb.StoreEntryRequest(
            tenant_id=run.account.tenant_id,
            cache_key=run.cache_key,
            namespace=run.call.options.cache.namespace,
            entry=entry,
            question=run.question,
            flight_token=run.flight_token,
        )
        if run.call.options.cache.ttl_s is not None:
            request.ttl.FromNanoseconds(int(run.call.options.cache.ttl_s * 1e9))
        try:
            self._stores.add(request)
        except MeshError as error:
            log.info("answer not stored", error=error.reason)
        else:
            self._flights.landed(run)


def wants_cache(config: CacheConfig, run: CallRun) -> bool:
    """Whether this kind of call, and this call, may use the cache at all."""
    options, kinds = run.call.options.cache, config.supported_call_types
    if not config.enabled or not (options.read or options.write):
        return False
    kind = run.call.call_type
    if kinds is not None and kind not in kinds and kind.removeprefix("a") not in kinds:
        return False
    return config.mode != "default_off" or options.opt_in

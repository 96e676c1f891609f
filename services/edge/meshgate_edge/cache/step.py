"""The cache's part of the pipeline: look an answer up, store one.

Never an error to the call, never a wait beyond the limit; but a call may wait for the answer of another that
asks the same at the same time (flight.py).
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import structlog

from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.deadline import detached_scope
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache.early_lookup import EarlyLookup, TenantMemory
from meshgate_edge.cache.flight import Flights
from meshgate_edge.cache.local_flight import (
    AGAIN,
    ALONE,
    LocalFlight,
    LocalFlights,
    LocalKey,
    LocalLanding,
    Share,
    copied,
    local_key,
)
from meshgate_edge.cache.lookups import Lookups
from meshgate_edge.cache.store_batch import StoreBatch
from meshgate_edge.cache.variant import Variants, caller_of
from meshgate_edge.call_run import CallRun
from meshgate_edge.circuit import Circuit
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

log = structlog.get_logger("meshgate.edge.cache")

KEY_S: Final = 1.0  # for a key alone, when no call waits


class Meanings(Protocol):
    """Finds answers by vectors that the cache has to be given (meaning_step.py)."""

    async def look_up(self, run: CallRun, answer: pb.LookupEntryResponse) -> pb.Entry | None:
        """The answer to a question that means the same."""

    def store(self, run: CallRun, request: pb.StoreEntryRequest) -> Callable[[], None] | None:
        """Puts the vector with an answer that is about to be stored; what to do once it is."""


@dataclass(frozen=True, slots=True)
class CacheParts:
    """What the step stands on."""

    cache: CacheServiceClient
    circuit: Circuit
    flights: Flights
    stores: StoreBatch
    lookups: TaskOwner  # those beside reservations
    tenants: TenantMemory
    meanings: Meanings
    local: LocalFlights
    variants: Variants


class CacheStep:
    """Reads and writes the cache for calls that want it."""

    def __init__(self, parts: CacheParts, config: CacheConfig, lookup_timeout_s: float) -> None:
        self._asking = Lookups(parts.cache, parts.lookups, lookup_timeout_s, self._came_late)
        self._cache = parts.cache
        self._circuit = parts.circuit
        self._flights = parts.flights
        self._stores = parts.stores
        self._lookups = parts.lookups
        self._tenants = parts.tenants
        self._meanings = parts.meanings
        self._local = parts.local
        self._variants = parts.variants
        self._config = config

    @contextmanager
    def flight(self, run: CallRun) -> Iterator[None]:
        """For the block of a call: others who wait for its answer are freed at its end, whatever happens."""
        try:
            with self._flights.open(run):
                yield
        finally:
            if run.local_flight is not None and not run.local_flight.stored_later:
                self._local.land(run.local_flight, AGAIN)

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
                self._local.land(early.flight, AGAIN)
                self._drop(run, early)

    async def look_up(
        self, run: CallRun, request: chat_pb.ChatRequest, early: EarlyLookup | None = None
    ) -> pb.Entry | None:
        """The stored answer, or None. Notes the key on the run when the answer may be stored later."""
        if not wants_cache(self._config, run):
            return None
        caller = caller_of(run)
        self._tenants.admitted(run.call.principal, caller)
        share = self._variants.share(run, caller, request.model)
        if early is not None and early.share == share and early.chat is request:
            early.used = True
            run.local_flight = early.flight
            return await self._found(run, await early.task, share)
        landing = await self._followed(run, self._local_key(run, request, share))
        if landing is not None:
            run.cache_key = landing.cache_key
            return None if landing.entry is None else copied(landing.entry)
        if not self._circuit.allows():
            return await self._found(run, None, share)
        return await self._found(run, await self._ask(self._lookup(run, request, share)), share)

    async def _found(
        self, run: CallRun, answer: pb.LookupEntryResponse | None, share: Share
    ) -> pb.Entry | None:
        """What the cache has, or will have; those who wait at this edge are told as well."""
        if answer is None:
            self._local.land(run.local_flight, ALONE)
            run.late_share = share
            return None
        run.cache_key = answer.cache_key
        run.question = answer.question if answer.HasField("question") else None
        entry = answer.entry if answer.HasField("entry") else await self._made(run, answer)
        if entry is not None:
            self._local.land(run.local_flight, LocalLanding(entry, run.cache_key))
            return copied(entry) if run.local_flight is not None else entry
        if answer.flight.role == pb.FLIGHT_ROLE_ALONE:
            self._local.land(run.local_flight, ALONE)  # waiting is in vain
        return None

    async def _made(self, run: CallRun, answer: pb.LookupEntryResponse) -> pb.Entry | None:
        """An answer to a question that means the same, or one that another call makes now."""
        if answer.question.embedding_model:
            entry = await self._meanings.look_up(run, answer)
            if entry is not None:
                self._give_back(run.account.tenant_id, run.call.options.cache.namespace, answer)
                return entry
        return await self._flights.join(run, answer.flight) if answer.HasField("flight") else None

    async def _followed(self, run: CallRun, key: LocalKey | None) -> LocalLanding | None:
        """What came of an equal call at this edge; None: this one asks, and others may wait for it."""
        if key is None:
            return None
        for _ in range(self._local.leaders_max):
            flight = self._local.find(key)
            if flight is None:
                run.local_flight = self._local.lead(key)
                return None
            if flight.stored_later:
                self._stores.hurry()
            landing = await self._local.wait(flight, self._flights.wait_s(run))
            if not landing.again:
                return landing
        return None

    def _local_key(self, run: CallRun, request: chat_pb.ChatRequest, share: Share) -> LocalKey | None:
        if not self._flights.wanted(run):
            return None
        return local_key(share, run.call.options.cache.namespace, request)

    def _started(self, run: CallRun) -> EarlyLookup | None:
        caller = self._tenants.find(run.call.principal)
        if caller is None or self._circuit.open or not wants_cache(self._config, run):
            return None
        chat = run.call.request
        share = self._variants.share(run, caller, chat.model)
        key = self._local_key(run, chat, share)
        if key is not None and self._local.find(key) is not None:
            return None  # its answer is on the way
        try:
            task = self._lookups.start(self._ask_beside(run, chat, share), "lookup")
        except MeshError:  # too many: it is done in its turn
            return None
        return EarlyLookup(share, chat, task, None if key is None else self._local.lead(key))

    async def _ask_beside(
        self, run: CallRun, request: chat_pb.ChatRequest, share: Share
    ) -> pb.LookupEntryResponse | None:
        await asyncio.sleep(0)  # the reservation, which takes longer, leaves first
        return await self._ask(self._lookup(run, request, share))

    def _drop(self, run: CallRun, early: EarlyLookup) -> None:
        """Nobody wants the answer; if the cache waits for this call to make one, it is told not to."""
        namespace = run.call.options.cache.namespace

        def dropped(task: "asyncio.Task[pb.LookupEntryResponse | None]") -> None:
            answer = None if task.cancelled() or task.exception() is not None else task.result()
            if answer is not None:
                self._give_back(early.share.tenant_id, namespace, answer)

        early.task.add_done_callback(dropped)

    def _give_back(self, tenant_id: str, namespace: str, answer: pb.LookupEntryResponse) -> None:
        """The claim of a call that makes no answer, if it has one."""
        token = answer.flight.token
        if answer.flight.role == pb.FLIGHT_ROLE_LEADER:
            claim = pb.FlightClaim(
                tenant_id=tenant_id, cache_key=answer.cache_key, namespace=namespace, token=token
            )
            self._flights.give_back(claim)

    def _came_late(self, lookup: pb.LookupEntryRequest, answer: pb.LookupEntryResponse) -> None:
        self._give_back(lookup.tenant_id, lookup.namespace, answer)

    def _lookup(self, run: CallRun, request: chat_pb.ChatRequest, share: Share) -> pb.LookupEntryRequest:
        options = run.call.options.cache
        lookup = pb.LookupEntryRequest(
            tenant_id=share.tenant_id,
            variant=share.variant,
            chat=request,
            namespace=options.namespace,
            key_only=not options.read,
            claim=self._flights.wanted(run),
        )
        if options.max_age_s is not None:
            lookup.max_age.FromNanoseconds(int(options.max_age_s * 1e9))
        return lookup

    async def _ask(self, lookup: pb.LookupEntryRequest) -> pb.LookupEntryResponse | None:
        """Takes along what waits to be stored."""
        try:
            with self._stores.carried() as carried:
                lookup.stores.extend(carried.requests)
                answer = await self._asking.look_up(lookup)
                carried.results = answer.kept
        except MeshError as error:
            self._circuit.ended(error)
            log.info("lookup failed: a miss", error=error.reason)
            return None
        self._circuit.ended(None)
        return answer

    def store(self, run: CallRun, response: chat_pb.ChatResponse) -> None:
        """Starts storing a whole answer, if the call allows it; the call does not wait for it."""
        if not run.call.options.cache.write:
            return
        if run.info.attempted_fallbacks:  # of another model than the one that was asked for
            self._local.land(run.local_flight, ALONE)
            self._flights.end_unshared(run)
            return
        if not run.cache_key:
            self._store_late(run, response)
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
        then = self._meanings.store(run, request)
        flight = run.local_flight
        try:
            self._stores.add(request, partial(self._stored, flight, LocalLanding(entry, run.cache_key), then))
        except MeshError as error:
            log.info("answer not stored", error=error.reason)
            self._local.land(flight, ALONE)
        else:
            self._flights.landed(run)
            if flight is not None:
                flight.stored_later = True
                if flight.waiting:
                    self._stores.hurry()

    def _store_late(self, run: CallRun, response: chat_pb.ChatResponse) -> None:
        """For a call whose lookup was late: where all are, at a busy edge, nothing would ever be found."""
        if run.late_share is None or self._circuit.open:
            return
        lookup = self._lookup(run, run.call.request, run.late_share)
        lookup.chat.model = run.model or lookup.chat.model
        lookup.key_only, lookup.claim = True, False
        answer = chat_pb.ChatResponse()
        answer.CopyFrom(response)  # the call goes on with its own
        try:
            self._lookups.start(self._keyed(run, lookup, answer), "key")
        except MeshError as error:
            log.info("answer not stored", error=error.reason)

    async def _keyed(
        self, run: CallRun, lookup: pb.LookupEntryRequest, response: chat_pb.ChatResponse
    ) -> None:
        try:
            with detached_scope(KEY_S):
                answer = await self._cache.lookup_entry(lookup, timeout_s=KEY_S)
        except MeshError as error:
            log.info("answer not stored", error=error.reason)
            return
        run.cache_key, run.late_share = answer.cache_key, None
        run.question = answer.question if answer.HasField("question") else None
        self.store(run, response)

    def _stored(
        self,
        flight: LocalFlight | None,
        landing: LocalLanding,
        then: Callable[[], None] | None,
        stored: bool,
    ) -> None:
        self._local.land(flight, landing if stored else ALONE)
        if stored and then is not None:
            then()


def wants_cache(config: CacheConfig, run: CallRun) -> bool:
    """Whether this kind of call, and this call, may use the cache at all."""
    options, kinds = run.call.options.cache, config.supported_call_types
    if not config.enabled or not (options.read or options.write):
        return False
    kind = run.call.call_type
    if kinds is not None and kind not in kinds and kind.removeprefix("a") not in kinds:
        return False
    return config.mode != "default_off" or options.opt_in

"""The cache's part of the pipeline: look an answer up, store one.

Never an error to the call, never a wait beyond the limit.
"""

import structlog

from meshgate_chassis.config.model import CacheConfig
from meshgate_chassis.deadline import detached_scope
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.call_run import CallRun
from meshgate_edge.circuit import Circuit
from meshgate_edge.clients import HopLimits
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

log = structlog.get_logger("meshgate.edge.cache")


class CacheStep:
    """Reads and writes the cache for calls that want it."""

    def __init__(
        self,
        cache: CacheServiceClient,
        config: CacheConfig,
        limits: HopLimits,
        tasks: TaskOwner,
        circuit: Circuit,
    ) -> None:
        self._cache = cache
        self._config = config
        self._limits = limits
        self._tasks = tasks
        self._circuit = circuit

    async def look_up(self, run: CallRun, request: chat_pb.ChatRequest) -> pb.Entry | None:
        """The stored answer, or None. Notes the key on the run when the answer may be stored later."""
        if not self._wanted(run) or not self._circuit.allows():
            return None
        options = run.call.options.cache
        lookup = pb.LookupEntryRequest(
            tenant_id=run.account.tenant_id,
            chat=request,
            namespace=options.namespace,
            key_only=not options.read,
        )
        if options.max_age_s is not None:
            lookup.max_age.FromNanoseconds(int(options.max_age_s * 1e9))
        try:
            answer = await self._cache.lookup_entry(lookup, timeout_s=self._limits.lookup_s)
        except MeshError as error:
            self._circuit.ended(error)
            log.info("lookup failed: a miss", error=error.reason)
            return None
        self._circuit.ended(None)
        run.cache_key = answer.cache_key
        run.question = answer.question if answer.HasField("question") else None
        return answer.entry if answer.HasField("entry") else None

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
        )
        if run.call.options.cache.ttl_s is not None:
            request.ttl.FromNanoseconds(int(run.call.options.cache.ttl_s * 1e9))
        try:
            self._tasks.start(self._store(request), "store")
        except MeshError as error:
            log.info("answer not stored", error=error.reason)

    async def _store(self, request: pb.StoreEntryRequest) -> None:
        try:
            with detached_scope(self._limits.store_s):
                await self._cache.store_entry(request)
        except MeshError as error:
            log.info("answer not stored", error=error.reason)

    def _wanted(self, run: CallRun) -> bool:
        options = run.call.options.cache
        if not self._config.enabled or not (options.read or options.write):
            return False
        return self._config.mode != "default_off" or options.opt_in

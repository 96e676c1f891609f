"""CacheService over the answer cache: checks and converts, counts, and decides nothing."""

from meshgate_cache import convert
from meshgate_cache.answer_cache import Answer, AnswerCache
from meshgate_cache.convert import checked_length
from meshgate_cache.metrics import CacheMetrics
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceServicer
from meshgate_protos.rpc import Call

TENANT_CHARACTERS_MAX = 256
NAMESPACE_CHARACTERS_MAX = 256
DEPLOYMENT_CHARACTERS_MAX = 256
DELETE_KEYS_MAX = 10_000


class CacheServicer(CacheServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(self, cache: AnswerCache, metrics: CacheMetrics, clock: Clock) -> None:
        self._cache = cache
        self._metrics = metrics
        self._clock = clock

    async def lookup_entry(self, request: pb.LookupEntryRequest, call: Call) -> pb.LookupEntryResponse:
        tenant_id = checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX, required=True)
        namespace = checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        if not request.HasField("chat"):
            raise invalid_field("chat", "is missing")
        key = self._cache.key(tenant_id, namespace, convert.canonical_chat(request.chat))
        response = pb.LookupEntryResponse(cache_key=key)
        if request.key_only or not self._cache.enabled:
            return response
        entry = await self._read(key, namespace, convert.max_age_s(request), call.remaining_s())
        if entry is None:
            self._metrics.miss()
        else:
            self._metrics.hit()
            response.entry.CopyFrom(entry)
        return response

    async def store_entry(self, request: pb.StoreEntryRequest, call: Call) -> pb.StoreEntryResponse:
        tenant_id = checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX, required=True)
        namespace = checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        checked_length("entry.deployment_id", request.entry.deployment_id, DEPLOYMENT_CHARACTERS_MAX)
        choices = request.entry.response.choices
        answer = Answer(
            entry=convert.entry_from_proto(request.entry, self._clock.now_ns()),
            finish_reasons=[choice.finish_reason for choice in choices],
            empty=convert.says_nothing(choices),
            ttl_s=convert.requested_ttl_s(request),
        )
        try:
            refusal = await self._cache.keep(
                tenant_id, request.cache_key, namespace, answer, call.remaining_s()
            )
        except MeshError:
            self._metrics.stored("error")
            raise
        self._metrics.stored("stored" if refusal is None else refusal.lower())
        return pb.StoreEntryResponse(stored=refusal is None, reason=refusal or "")

    async def delete_entries(self, request: pb.DeleteEntriesRequest, call: Call) -> pb.DeleteEntriesResponse:
        tenant_id = checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX)
        namespace = checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        if len(request.cache_keys) > DELETE_KEYS_MAX:
            raise invalid_field("cache_keys", f"has more than {DELETE_KEYS_MAX} keys")
        count = await self._cache.delete(tenant_id, namespace, request.cache_keys, call.remaining_s())
        return pb.DeleteEntriesResponse(deleted_count=count)

    async def get_status(self, request: pb.GetStatusRequest, call: Call) -> pb.GetStatusResponse:
        return pb.GetStatusResponse(
            backend=self._cache.backend,
            reachable=await self._cache.reachable(call.remaining_s()),
            hit_count=self._metrics.hit_count,
            miss_count=self._metrics.miss_count,
            enabled=self._cache.enabled,
        )

    async def _read(
        self, key: str, namespace: str, max_age_s: float | None, remaining_s: float
    ) -> pb.Entry | None:
        try:
            entry = await self._cache.look_up(key, namespace, max_age_s, remaining_s)
        except MeshError:
            self._metrics.error()
            raise
        return None if entry is None else convert.entry_to_proto(entry)

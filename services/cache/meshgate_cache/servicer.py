"""CacheService over the answer cache: checks and converts, counts, and decides nothing."""

from meshgate_cache import convert
from meshgate_cache.answer_cache import Answer, AnswerCache
from meshgate_cache.canonical_chat import canonical_chat
from meshgate_cache.convert import checked_length
from meshgate_cache.metrics import CacheMetrics
from meshgate_cache.semantic.question import Question
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
        key = self._cache.key(tenant_id, namespace, canonical_chat(request.chat))
        question = self._cache.question(tenant_id, namespace, request.chat)
        response = pb.LookupEntryResponse(cache_key=key, question=convert.question_to_proto(question))
        if request.key_only or not self._cache.enabled:
            return response
        found = await self._read(key, question, request, call)
        if found is None:
            self._metrics.miss(self._cache.namespace(namespace))
            return response
        self._metrics.hit(self._cache.namespace(namespace), found)
        response.entry.CopyFrom(found)
        response.ClearField("question")
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
            question=convert.question_from_proto(request),
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

    async def report_hit(self, request: pb.ReportHitRequest, call: Call) -> pb.ReportHitResponse:
        tenant_id = checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX)
        namespace = checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        await self._cache.report(
            tenant_id, namespace, request.cache_key, request.source_key, call.remaining_s()
        )
        self._metrics.reported(self._cache.namespace(namespace))
        return pb.ReportHitResponse()

    async def get_status(self, request: pb.GetStatusRequest, call: Call) -> pb.GetStatusResponse:
        semantic = self._cache.semantic
        response = pb.GetStatusResponse(
            backend=self._cache.backend,
            reachable=await self._cache.reachable(call.remaining_s()),
            hit_count=self._metrics.hit_count,
            miss_count=self._metrics.miss_count,
            enabled=self._cache.enabled,
        )
        for namespace, counts in self._metrics.namespaces.items():
            known = semantic.directory.count_in(namespace) if semantic is not None else 0
            response.namespaces.append(convert.namespace_status(namespace, counts, known))
        if semantic is not None:
            response.semantic.model = semantic.model_name
            response.semantic.question_count = len(semantic.directory)
            response.semantic.similarity_threshold = semantic.similarity_min
            response.semantic.score_threshold = semantic.threshold.value
        return response

    async def _read(
        self, key: str, question: Question | None, request: pb.LookupEntryRequest, call: Call
    ) -> pb.Entry | None:
        """The answer under the key; else one to a question that means the same."""
        max_age_s = convert.max_age_s(request)
        try:
            entry = await self._cache.look_up(key, request.namespace, max_age_s, call.remaining_s())
        except MeshError:
            self._metrics.error()
            raise
        if entry is not None:
            return convert.entry_to_proto(entry)
        if question is None:
            return None
        found = await self._cache.look_up_alike(
            question, key, request.namespace, max_age_s, call.remaining_s()
        )
        return None if found is None else convert.found_to_proto(found)

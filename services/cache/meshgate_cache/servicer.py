"""CacheService over the answer cache: checks and converts, counts, and decides nothing."""

import asyncio
from collections.abc import Sequence

import structlog

from meshgate_cache import convert
from meshgate_cache.answer_cache import Answer, AnswerCache, ToKeep
from meshgate_cache.canonical_chat import canonical_chat
from meshgate_cache.convert import checked_length
from meshgate_cache.embeddings_cache import EmbeddingsCache
from meshgate_cache.flights import Landing, Role
from meshgate_cache.grants import Grants, granting
from meshgate_cache.keys import is_key_of
from meshgate_cache.metrics import CacheMetrics
from meshgate_cache.semantic.question import Question
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceServicer
from meshgate_protos.rpc import Call

log = structlog.get_logger("meshgate.cache")

TENANT_CHARACTERS_MAX = 256
NAMESPACE_CHARACTERS_MAX = 256
VARIANT_CHARACTERS_MAX = 65_536
DEPLOYMENT_CHARACTERS_MAX = 256
DELETE_KEYS_MAX = 10_000
STORES_MAX = 256
LOOKUPS_MAX = 64
CARRIED_MAX = 64  # stores of one lookup
CLAIMS_MAX = 10_000
EMBEDDINGS_MAX = 2_048
TOKEN_CHARACTERS_MAX = 64
ANSWER_S = 0.050  # of the time of a caller who waits, kept for telling what came of it


class CacheServicer(CacheServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(
        self, cache: AnswerCache, embeddings: EmbeddingsCache, metrics: CacheMetrics, clock: Clock
    ) -> None:
        self._cache = cache
        self._embeddings = embeddings
        self._metrics = metrics
        self._clock = clock

    async def lookup_entry(self, request: pb.LookupEntryRequest, call: Call) -> pb.LookupEntryResponse:
        with granting(self._cache.end_flight_soon) as grants:
            response = await self._lookup(request, call, grants)
            grants.checked([response], call.remaining_s())
        return response

    async def _lookup(
        self, request: pb.LookupEntryRequest, call: Call, grants: Grants
    ) -> pb.LookupEntryResponse:
        tenant_id = checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX, required=True)
        namespace = checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        if not request.HasField("chat"):
            raise invalid_field("chat", "is missing")
        kept = await self._keep_carried(request.stores, call) if request.stores else ()
        variant = checked_length("variant", request.variant, VARIANT_CHARACTERS_MAX)
        key = self._cache.key(tenant_id, namespace, canonical_chat(request.chat), variant)
        question = self._cache.question(tenant_id, namespace, request.chat, variant)
        told = convert.question_to_proto(question)
        response = pb.LookupEntryResponse(cache_key=key, question=told, kept=kept)
        if request.key_only or not self._cache.enabled:
            if question is not None and not await self._cache.is_placed(
                question, namespace, call.remaining_s()
            ):
                self._ask_for_vector(question, response.question, comparable=False)
            return response
        found, landing, placed = await self._read(key, question, request, call, grants)
        if found is None:
            if not placed:
                assert question is not None
                self._ask_for_vector(question, response.question, comparable=True)
            waits = landing is not None and landing.role is Role.FOLLOWER
            if not waits and not response.question.comparable:  # else what comes next is counted
                self._metrics.miss(self._cache.namespace(namespace))
            if landing is not None:
                response.flight.CopyFrom(convert.flight_to_proto(landing, self._cache.lease_s))
            return response
        self._metrics.hit(self._cache.namespace(namespace), found)
        response.entry.CopyFrom(found)
        response.ClearField("question")
        return response

    async def lookup_entries(self, request: pb.LookupEntriesRequest, call: Call) -> pb.LookupEntriesResponse:
        if not 1 <= len(request.lookups) <= LOOKUPS_MAX:
            raise invalid_field("lookups", f"has not 1 to {LOOKUPS_MAX} entries")
        with granting(self._cache.end_flight_soon) as grants:
            results = await asyncio.gather(*(self._result(each, call, grants) for each in request.lookups))
            grants.checked([result.response for result in results], call.remaining_s())
        return pb.LookupEntriesResponse(results=results)

    async def _result(
        self, lookup: pb.LookupEntryRequest, call: Call, grants: Grants
    ) -> pb.LookupEntryResult:
        try:
            return pb.LookupEntryResult(response=await self._lookup(lookup, call, grants))
        except MeshError as error:
            told = pb.LookupEntryError(code=error.code.value, reason=error.reason, message=error.message)
            return pb.LookupEntryResult(error=told)

    async def lookup_alike(self, request: pb.LookupAlikeRequest, call: Call) -> pb.LookupAlikeResponse:
        question = self._checked_question(request)
        namespace = self._cache.namespace(request.namespace)
        alike = await self._cache.look_up_alike(
            question, request.cache_key, request.namespace, convert.max_age_s(request), call.remaining_s()
        )
        await self._cache.keep_vector(question, request.namespace, call.remaining_s())
        entry = None if alike.found is None else convert.found_to_proto(alike.found)
        if entry is not None:
            self._metrics.hit(namespace, entry)
        elif not request.waits:
            self._metrics.miss(namespace)
        return pb.LookupAlikeResponse(entry=entry)

    async def learn_question(self, request: pb.LearnQuestionRequest, call: Call) -> pb.LearnQuestionResponse:
        question = self._checked_question(request)
        ttl_s = convert.requested_ttl_s(request)
        await self._cache.learn(question, request.cache_key, request.namespace, ttl_s, call.remaining_s())
        return pb.LearnQuestionResponse()

    async def store_entry(self, request: pb.StoreEntryRequest, call: Call) -> pb.StoreEntryResponse:
        item = self._to_keep(request)
        return (await self._keep([item], call))[0]

    async def store_entries(self, request: pb.StoreEntriesRequest, call: Call) -> pb.StoreEntriesResponse:
        if not 1 <= len(request.stores) <= STORES_MAX:
            raise invalid_field("stores", f"has not 1 to {STORES_MAX} entries")
        return pb.StoreEntriesResponse(results=await self._keep_all(request.stores, call))

    async def await_entry(self, request: pb.AwaitEntryRequest, call: Call) -> pb.AwaitEntryResponse:
        checked_claim(request.tenant_id, request.cache_key, request.namespace)
        wait_s = call.remaining_s() - ANSWER_S
        landing = await self._cache.wait(request.cache_key, request.namespace, wait_s)
        entry = None if landing.entry is None else convert.entry_to_proto(landing.entry)
        if entry is not None:
            self._metrics.hit(self._cache.namespace(request.namespace), entry)
            return pb.AwaitEntryResponse(entry=entry)
        self._metrics.miss(self._cache.namespace(request.namespace))
        self._metrics.waited(landing.role)
        return pb.AwaitEntryResponse(flight=convert.flight_to_proto(landing, self._cache.lease_s))

    async def renew_flights(self, request: pb.RenewFlightsRequest, call: Call) -> pb.RenewFlightsResponse:
        if len(request.claims) > CLAIMS_MAX:
            raise invalid_field("claims", f"has more than {CLAIMS_MAX} entries")
        for claim in request.claims:
            checked_claim(claim.tenant_id, claim.cache_key, claim.namespace, claim.token)
        claims = [(claim.cache_key, claim.namespace, claim.token) for claim in request.claims]
        return pb.RenewFlightsResponse(renewed_count=await self._cache.renew(claims, call.remaining_s()))

    async def end_flight(self, request: pb.EndFlightRequest, call: Call) -> pb.EndFlightResponse:
        claim = request.claim
        checked_claim(claim.tenant_id, claim.cache_key, claim.namespace, claim.token)
        await self._cache.end_flight(
            claim.cache_key, claim.namespace, claim.token, call.remaining_s(), unshared=request.unshared
        )
        return pb.EndFlightResponse()

    async def lookup_embeddings(
        self, request: pb.LookupEmbeddingsRequest, call: Call
    ) -> pb.LookupEmbeddingsResponse:
        tenant_id = checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX, required=True)
        namespace = checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        if not 1 <= len(request.embeddings.inputs) <= EMBEDDINGS_MAX:
            raise invalid_field("embeddings.inputs", f"has not 1 to {EMBEDDINGS_MAX} entries")
        variant = checked_length("variant", request.variant, VARIANT_CHARACTERS_MAX)
        keys = self._embeddings.keys(tenant_id, namespace, request.embeddings, variant)
        if request.key_only or not self._cache.enabled:
            return pb.LookupEmbeddingsResponse(slots=[pb.EmbeddingSlot(cache_key=key) for key in keys])
        try:
            entries = await self._embeddings.look_up(
                keys, namespace, convert.max_age_s(request), call.remaining_s()
            )
        except MeshError:
            self._metrics.error()
            raise
        slots = [convert.embedding_slot(key, entry) for key, entry in zip(keys, entries, strict=True)]
        for slot in slots:
            self._metrics.embedding(self._cache.namespace(namespace), slot)
        return pb.LookupEmbeddingsResponse(slots=slots)

    async def store_embeddings(
        self, request: pb.StoreEmbeddingsRequest, call: Call
    ) -> pb.StoreEmbeddingsResponse:
        tenant_id = checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX, required=True)
        namespace = checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        if len(request.slots) > EMBEDDINGS_MAX:
            raise invalid_field("slots", f"has more than {EMBEDDINGS_MAX} entries")
        now_ns = self._clock.now_ns()
        entries = [
            (slot.cache_key, convert.embedding_from_proto(slot.entry, now_ns)) for slot in request.slots
        ]
        try:
            count = await self._embeddings.keep(
                tenant_id, namespace, entries, convert.requested_ttl_s(request), call.remaining_s()
            )
        except MeshError:
            self._metrics.stored("error", len(entries))
            raise
        self._metrics.stored("stored", count)
        return pb.StoreEmbeddingsResponse(stored_count=count)

    async def delete_entries(self, request: pb.DeleteEntriesRequest, call: Call) -> pb.DeleteEntriesResponse:
        tenant_id = checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX)
        namespace = checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        if len(request.cache_keys) > DELETE_KEYS_MAX:
            raise invalid_field("cache_keys", f"has more than {DELETE_KEYS_MAX} keys")
        if request.all_namespaces:
            if tenant_id or namespace or request.cache_keys:
                raise invalid_field("all_namespaces", "goes with neither tenant, namespace nor keys")
            return pb.DeleteEntriesResponse(deleted_count=await self._cache.delete_all(call.remaining_s()))
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
        entries = await self._cache.count(call.remaining_s()) if request.count_entries else None
        response.entries_counted = entries is not None
        for namespace, counts in self._metrics.told(entries or {}).items():
            known = semantic.directory.count_in(namespace) if semantic is not None else 0
            status = convert.namespace_status(namespace, counts, known)
            status.entry_count = (entries or {}).get(namespace, 0)
            response.namespaces.append(status)
        if semantic is not None:
            response.semantic.model = semantic.model_name
            response.semantic.question_count = len(semantic.directory)
            response.semantic.similarity_threshold = semantic.similarity_min
            response.semantic.score_threshold = semantic.threshold.value
        if request.describe_servers:
            servers = await self._cache.servers(call.remaining_s())
            response.servers.extend(convert.redis_server(server) for server in servers)
        return response

    async def _read(
        self,
        key: str,
        question: Question | None,
        request: pb.LookupEntryRequest,
        call: Call,
        grants: Grants,
    ) -> tuple[pb.Entry | None, Landing | None, bool]:
        """The answer under the key; else one to a question that means the same; else who makes it. And
        whether the question's vector is known, if there is one to compare."""
        max_age_s = convert.max_age_s(request)
        landing = None
        try:
            with self._cache.expecting(question, key):
                if request.claim and max_age_s is None:
                    landing = await self._cache.look_up_or_claim(key, request.namespace, call.remaining_s())
                    entry = landing.entry
                    if landing.role is Role.LEADER:
                        grants.add(key, request.namespace, landing.token)
                else:
                    entry = await self._cache.look_up(key, request.namespace, max_age_s, call.remaining_s())
        except MeshError:
            self._metrics.error()
            raise
        if entry is not None:
            return convert.entry_to_proto(entry), None, True
        if question is None:
            return None, landing, True
        alike = await self._cache.look_up_alike(
            question, key, request.namespace, max_age_s, call.remaining_s()
        )
        if alike.found is None:
            return None, landing, alike.placed
        if landing is not None and landing.role is Role.LEADER:
            self._cache.end_flight_soon(key, request.namespace, landing.token)
        return convert.found_to_proto(alike.found), None, True

    def _ask_for_vector(self, question: Question, told: pb.Question, *, comparable: bool) -> None:
        semantic = self._cache.semantic
        assert semantic is not None, "there is no question without a semantic cache"
        told.embedding_model = semantic.ask_for
        told.comparable = comparable and semantic.comparable(question)

    def _checked_question(self, request: pb.LookupAlikeRequest | pb.LearnQuestionRequest) -> Question:
        """With a vector. Raises INVALID_ARGUMENT/FIELD_INVALID."""
        checked_claim(request.tenant_id, request.cache_key, request.namespace)
        question = convert.question_from_proto(request)
        if question is None or not question.vector or self._cache.semantic is None:
            raise invalid_field("question", "is not one that a lookup gave, with its vector")
        self._cache.check_question(request.tenant_id, question)
        return question

    async def _keep_all(
        self, stores: Sequence[pb.StoreEntryRequest], call: Call
    ) -> list[pb.StoreEntryResponse]:
        """Those that are valid; an outcome for each."""
        results = [pb.StoreEntryResponse(reason="FIELD_INVALID") for _ in stores]
        items: dict[int, ToKeep] = {}
        for at, store in enumerate(stores):
            try:
                items[at] = self._to_keep(store)
            except MeshError:
                self._metrics.stored("field_invalid")
        for at, result in zip(items, await self._keep(list(items.values()), call), strict=True):
            results[at] = result
        return results

    async def _keep_carried(
        self, stores: Sequence[pb.StoreEntryRequest], call: Call
    ) -> list[pb.StoreEntryResponse]:
        """Answers that came with a question: their failure is none of the question's."""
        if len(stores) > CARRIED_MAX:
            raise invalid_field("stores", f"has more than {CARRIED_MAX} entries")
        try:
            return await self._keep_all(stores, call)
        except MeshError as error:
            log.info("answers not kept", count=len(stores), error=error.reason)
            return [pb.StoreEntryResponse(reason=error.reason)] * len(stores)

    def _to_keep(self, request: pb.StoreEntryRequest) -> ToKeep:
        """Raises INVALID_ARGUMENT/FIELD_INVALID."""
        checked_length("tenant_id", request.tenant_id, TENANT_CHARACTERS_MAX, required=True)
        checked_length("namespace", request.namespace, NAMESPACE_CHARACTERS_MAX)
        checked_length("entry.deployment_id", request.entry.deployment_id, DEPLOYMENT_CHARACTERS_MAX)
        checked_length("flight_token", request.flight_token, TOKEN_CHARACTERS_MAX)
        choices = request.entry.response.choices
        answer = Answer(
            entry=convert.entry_from_proto(request.entry, self._clock.now_ns()),
            finish_reasons=[choice.finish_reason for choice in choices],
            empty=convert.says_nothing(choices),
            ttl_s=convert.requested_ttl_s(request),
            question=convert.question_from_proto(request),
        )
        item = ToKeep(request.tenant_id, request.cache_key, request.namespace, answer, request.flight_token)
        self._cache.check(item)
        return item

    async def _keep(self, items: Sequence[ToKeep], call: Call) -> list[pb.StoreEntryResponse]:
        try:
            refusals = await self._cache.keep(items, call.remaining_s())
        except MeshError:
            self._metrics.stored("error", len(items))
            raise
        for refusal in refusals:
            self._metrics.stored("stored" if refusal is None else refusal.lower())
        return [pb.StoreEntryResponse(stored=refusal is None, reason=refusal or "") for refusal in refusals]


def checked_claim(tenant_id: str, cache_key: str, namespace: str, token: str = "") -> None:
    """Raises INVALID_ARGUMENT/FIELD_INVALID."""
    checked_length("tenant_id", tenant_id, TENANT_CHARACTERS_MAX, required=True)
    checked_length("namespace", namespace, NAMESPACE_CHARACTERS_MAX)
    checked_length("token", token, TOKEN_CHARACTERS_MAX)
    if not is_key_of(tenant_id, cache_key):
        raise invalid_field("cache_key", "is not a key that a lookup of this tenant gave")

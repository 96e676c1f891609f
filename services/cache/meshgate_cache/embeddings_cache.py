"""Vectors by input: each input of a batch has a key and an entry of its own.

Invariants: as of AnswerCache; besides, a vector is found only for the same parameters, and under a key that
no conversation has.
"""

from collections.abc import Sequence

from meshgate_cache import keys, policy
from meshgate_cache.answer_cache import CacheRules
from meshgate_cache.canonical_embeddings import canonical_inputs, canonical_parameters
from meshgate_cache.entry import CacheEntry
from meshgate_cache.store import Put, Store
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import invalid_field
from meshgate_protos.embeddings.v1 import embeddings_pb2 as embeddings_pb


class EmbeddingsCache:
    """See the module. Errors of the store leave as they are: UNAVAILABLE/STORE_UNAVAILABLE."""

    def __init__(self, store: Store, rules: CacheRules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    def keys(
        self, tenant_id: str, namespace: str, request: embeddings_pb.EmbeddingsRequest, variant: str = ""
    ) -> list[str]:
        """The cache key of each input."""
        parameters, inputs = canonical_parameters(request), canonical_inputs(request)
        return keys.embedding_keys(tenant_id, self._namespace(namespace), parameters, inputs, variant)

    async def look_up(
        self, found_under: Sequence[str], namespace: str, max_age_s: float | None, remaining_s: float
    ) -> list[CacheEntry | None]:
        """The entry of each key, if there is one younger than `max_age_s`. One round trip."""
        if not self._rules.enabled:
            return [None] * len(found_under)
        places = [keys.store_key(self._namespace(namespace), key) for key in found_under]
        # An input that comes twice is read once.
        each_once = list(dict.fromkeys(places))
        entries = dict(zip(each_once, await self._store.get_many(each_once, remaining_s), strict=True))
        now_ns = self._clock.now_ns()
        return [
            entry if entry is not None and policy.is_fresh(entry.created_ns, now_ns, max_age_s) else None
            for entry in map(entries.get, places)
        ]

    async def keep(
        self,
        tenant_id: str,
        namespace: str,
        entries: Sequence[tuple[str, CacheEntry]],
        ttl_s: float | None,
        remaining_s: float,
    ) -> int:
        """Keeps (key, entry) that are not too large, in one round trip; returns how many.

        Raises INVALID_ARGUMENT/FIELD_INVALID for a key that is not this tenant's.
        """
        for key, _ in entries:
            if not keys.is_key_of(tenant_id, key):
                raise invalid_field("slots", "has a key that no lookup of this tenant gave")
        if not self._rules.enabled:
            return 0
        for_s = policy.ttl_s(ttl_s, self._rules.ttl_s, self._store.backend)
        puts = [
            Put(keys.store_key(self._namespace(namespace), key), entry, for_s)
            for key, entry in entries
            if 0 < len(entry.response) <= self._rules.entry_bytes_max
        ]
        await self._store.put_many(puts, remaining_s)
        return len(puts)

    def _namespace(self, namespace: str) -> str:
        return namespace or self._rules.namespace

"""The cache itself: which answer belongs to a request, whether it is still good, whether one may be kept.

Invariants: an answer is read and written only under a key of the tenant who asks; one that is too old for
the caller is a miss; a cache that is switched off finds and keeps nothing, and still tells keys.
Errors of the store leave as they are: UNAVAILABLE/STORE_UNAVAILABLE.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from meshgate_cache import keys, policy
from meshgate_cache.entry import CacheEntry
from meshgate_cache.policy import Refusal
from meshgate_cache.store import Store
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import invalid_field


@dataclass(frozen=True, slots=True)
class CacheRules:
    """The configured part. `ttl_s` None: the store's default (`policy.ttl_s`)."""

    enabled: bool
    namespace: str = keys.DEFAULT_NAMESPACE
    ttl_s: float | None = None
    entry_bytes_max: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to keep. `finish_reasons`: of each choice; `empty`: a choice says nothing."""

    entry: CacheEntry
    finish_reasons: Sequence[str]
    empty: bool
    ttl_s: float | None


class AnswerCache:
    """See the module. In all methods an empty `namespace` means the configured one."""

    def __init__(self, store: Store, rules: CacheRules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    @property
    def enabled(self) -> bool:
        return self._rules.enabled

    @property
    def backend(self) -> str:
        return self._store.backend

    def key(self, tenant_id: str, namespace: str, canonical_request: bytes) -> str:
        """The cache key of a request (`convert.canonical_chat`)."""
        return keys.cache_key(tenant_id, self._namespace(namespace), canonical_request)

    async def look_up(
        self, key: str, namespace: str, max_age_s: float | None, remaining_s: float
    ) -> CacheEntry | None:
        """The answer under a key that `key` gave, if there is one younger than `max_age_s`."""
        if not self._rules.enabled:
            return None
        entry = await self._store.get(keys.store_key(self._namespace(namespace), key), remaining_s)
        if entry is None or not policy.is_fresh(entry.created_ns, self._clock.now_ns(), max_age_s):
            return None
        return entry

    async def keep(
        self, tenant_id: str, key: str, namespace: str, answer: Answer, remaining_s: float
    ) -> Refusal | None:
        """Keeps an answer; says why when it must not be kept.

        Raises INVALID_ARGUMENT/FIELD_INVALID for a key that is not this tenant's.
        """
        if not keys.is_key_of(tenant_id, key):
            raise invalid_field("cache_key", "is not a key that a lookup of this tenant gave")
        if not self._rules.enabled:
            return Refusal.DISABLED
        refusal = policy.refusal(
            answer.finish_reasons,
            empty=answer.empty,
            size_bytes=len(answer.entry.response),
            size_bytes_max=self._rules.entry_bytes_max,
        )
        if refusal is None:
            ttl_s = policy.ttl_s(answer.ttl_s, self._rules.ttl_s, self._store.backend)
            name = keys.store_key(self._namespace(namespace), key)
            await self._store.put(name, answer.entry, ttl_s, remaining_s)
        return refusal

    async def delete(
        self, tenant_id: str, namespace: str, cache_keys: Sequence[str], remaining_s: float
    ) -> int:
        """Deletes these keys, or all of the namespace; of one tenant, or of all when `tenant_id` is empty.

        Keys that are not the tenant's, or no keys at all, delete nothing. Returns how many entries went.
        """
        namespace = self._namespace(namespace)
        if not cache_keys:
            return await self._store.clear(keys.store_prefix(namespace, tenant_id), remaining_s)
        names = [keys.store_key(namespace, key) for key in cache_keys if keys.is_key_of(tenant_id, key)]
        return await self._store.delete(names, remaining_s)

    async def reachable(self, remaining_s: float) -> bool:
        """Whether the store answers."""
        return await self._store.reachable(remaining_s)

    def _namespace(self, namespace: str) -> str:
        return namespace or self._rules.namespace

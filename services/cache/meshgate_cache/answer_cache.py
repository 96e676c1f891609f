"""The cache itself: which answer belongs to a request, whether it is still good, whether one may be kept.

Invariants: an answer is read and written only under a key of the tenant who asks; one that is too old for
the caller is a miss; a cache that is switched off finds and keeps nothing, and still tells keys.
Errors of the store leave as they are: UNAVAILABLE/STORE_UNAVAILABLE.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from meshgate_cache import keys, policy
from meshgate_cache.entry import CacheEntry
from meshgate_cache.policy import Refusal
from meshgate_cache.semantic.question import Question, is_context_of, question_of
from meshgate_cache.store import Store
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

if TYPE_CHECKING:  # brings numpy, which an exact cache does not need
    from meshgate_cache.semantic.semantic_cache import SemanticCache

log = structlog.get_logger("meshgate.cache.answers")

ANSWER_S: Final = 0.005  # of a caller's time, kept for telling them that it is a miss


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
    question: Question | None = None  # None: only equal requests get this answer


@dataclass(frozen=True, slots=True)
class Found:
    """An answer. `similarity` and `source_key`: set iff it was given to another question."""

    entry: CacheEntry
    similarity: float | None = None
    source_key: str = ""


class AnswerCache:
    """See the module. In all methods an empty `namespace` means the configured one."""

    def __init__(
        self, store: Store, rules: CacheRules, clock: Clock, semantic: "SemanticCache | None" = None
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._semantic = semantic

    @property
    def enabled(self) -> bool:
        return self._rules.enabled

    @property
    def semantic(self) -> "SemanticCache | None":
        """None: only equal requests hit."""
        return self._semantic

    @property
    def backend(self) -> str:
        return self._store.backend

    def key(self, tenant_id: str, namespace: str, canonical_request: bytes) -> str:
        """The cache key of a request (`canonical_chat`)."""
        return keys.cache_key(tenant_id, self.namespace(namespace), canonical_request)

    def question(self, tenant_id: str, namespace: str, chat: chat_pb.ChatRequest) -> Question | None:
        """What to compare of a request by meaning; None when only equal requests may share its answer."""
        if self._semantic is None or not self._rules.enabled:
            return None
        return question_of(tenant_id, self.namespace(namespace), chat)

    async def look_up(
        self, key: str, namespace: str, max_age_s: float | None, remaining_s: float
    ) -> CacheEntry | None:
        """The answer under a key that `key` gave, if there is one younger than `max_age_s`."""
        if not self._rules.enabled:
            return None
        entry = await self._store.get(keys.store_key(self.namespace(namespace), key), remaining_s)
        if entry is None or not policy.is_fresh(entry.created_ns, self._clock.now_ns(), max_age_s):
            return None
        return entry

    async def look_up_alike(
        self, question: Question, key: str, namespace: str, max_age_s: float | None, remaining_s: float
    ) -> Found | None:
        """The answer to a question that means the same. Never an error: a miss instead, in time."""
        assert self._semantic is not None, "there is no question without a semantic cache"
        end_s = self._clock.monotonic_s() + remaining_s - ANSWER_S
        try:
            async with asyncio.timeout(max(0.0, remaining_s - ANSWER_S)):
                for match in await self._semantic.find(question, key):
                    entry = await self.look_up(
                        match.key, namespace, max_age_s, end_s - self._clock.monotonic_s()
                    )
                    if entry is not None:
                        self._semantic.served(match)
                        return Found(entry, match.cosine, match.key)
                    if max_age_s is None:
                        self._semantic.gone(match)
        except TimeoutError:
            log.info("not looked up by meaning", cause="timeout")
        except MeshError as error:
            log.info("not looked up by meaning", cause=error.reason)
        return None

    async def keep(
        self, tenant_id: str, key: str, namespace: str, answer: Answer, remaining_s: float
    ) -> Refusal | None:
        """Keeps an answer; says why when it must not be kept.

        Raises INVALID_ARGUMENT/FIELD_INVALID for a key that is not this tenant's.
        """
        if not keys.is_key_of(tenant_id, key):
            raise invalid_field("cache_key", "is not a key that a lookup of this tenant gave")
        if answer.question is not None and not is_context_of(tenant_id, answer.question.context):
            raise invalid_field("question.context", "is not one that a lookup of this tenant gave")
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
            name = keys.store_key(self.namespace(namespace), key)
            await self._store.put(name, answer.entry, ttl_s, remaining_s)
            if self._semantic is not None and answer.question is not None:
                await self._semantic.learn(
                    answer.question, key, self.namespace(namespace), ttl_s, remaining_s
                )
        return refusal

    async def report(
        self, tenant_id: str, namespace: str, key: str, source_key: str, remaining_s: float
    ) -> None:
        """Marks the answer of `source_key` as wrong for the question of `key`, for ever.

        Raises INVALID_ARGUMENT/FIELD_INVALID for keys that are none, or of different tenants.
        """
        for path, each in (("cache_key", key), ("source_key", source_key)):
            if not keys.is_key_of(tenant_id, each):
                raise invalid_field(path, "is not a key that a lookup gave")
        if key[: keys.TENANT_DIGITS] != source_key[: keys.TENANT_DIGITS]:
            raise invalid_field("source_key", "is not of the tenant of cache_key")
        if self._semantic is not None:
            await self._semantic.report(self.namespace(namespace), key, source_key, remaining_s)

    async def delete(
        self, tenant_id: str, namespace: str, cache_keys: Sequence[str], remaining_s: float
    ) -> int:
        """Deletes these keys, or all of the namespace; of one tenant, or of all when `tenant_id` is empty.

        Keys that are not the tenant's, or no keys at all, delete nothing. Returns how many entries went.
        """
        namespace = self.namespace(namespace)
        if not cache_keys:
            if self._semantic is not None:
                await self._semantic.clear(namespace, tenant_id, remaining_s)
            return await self._store.clear(keys.store_prefix(namespace, tenant_id), remaining_s)
        ours = [key for key in cache_keys if keys.is_key_of(tenant_id, key)]
        if self._semantic is not None and ours:
            await self._semantic.forget(namespace, ours, remaining_s)
        return await self._store.delete([keys.store_key(namespace, key) for key in ours], remaining_s)

    async def reachable(self, remaining_s: float) -> bool:
        """Whether the store answers."""
        return await self._store.reachable(remaining_s)

    def namespace(self, namespace: str) -> str:
        """The namespace in force."""
        return namespace or self._rules.namespace

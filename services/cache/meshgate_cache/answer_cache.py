"""The cache itself: which answer belongs to a request, whether it is still good, whether one may be kept.

Invariants: an answer is read and written only under a key of the tenant who asks; one that is too old for
the caller is a miss; a cache that is switched off finds and keeps nothing, and still tells keys.
Errors of the store leave as they are: UNAVAILABLE/STORE_UNAVAILABLE.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from meshgate_cache import keys, policy
from meshgate_cache.entry import CacheEntry
from meshgate_cache.flights import Flights, Landing
from meshgate_cache.policy import Refusal
from meshgate_cache.semantic.question import Question, is_context_of, question_of
from meshgate_cache.store import Put, ServerState, Store
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
class ToKeep:
    """An answer, where to keep it, and the claim of who made it; empty if nobody waits for it."""

    tenant_id: str
    key: str
    namespace: str
    answer: Answer
    flight_token: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer. `similarity` and `source_key`: set iff it was given to another question."""

    entry: CacheEntry
    similarity: float | None = None
    source_key: str = ""


@dataclass(frozen=True, slots=True)
class Alike:
    """What came of looking by meaning. `placed` False: the question's vector is missing."""

    found: Found | None = None
    placed: bool = True


class AnswerCache:
    """See the module. In all methods an empty `namespace` means the configured one."""

    def __init__(
        self,
        store: Store,
        rules: CacheRules,
        clock: Clock,
        flights: Flights,
        semantic: "SemanticCache | None" = None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._flights = flights
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

    @property
    def lease_s(self) -> float:
        """Of a claim."""
        return self._flights.lease_s

    def key(self, tenant_id: str, namespace: str, canonical_request: bytes, variant: str = "") -> str:
        """The cache key of a request (`canonical_chat`)."""
        return keys.cache_key(tenant_id, self.namespace(namespace), canonical_request, variant)

    def question(
        self, tenant_id: str, namespace: str, chat: chat_pb.ChatRequest, variant: str = ""
    ) -> Question | None:
        """What to compare of a request by meaning; None when only equal requests may share its answer."""
        if self._semantic is None or not self._rules.enabled:
            return None
        return question_of(tenant_id, self.namespace(namespace), chat, variant)

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

    @contextmanager
    def expecting(self, question: Question | None, key: str) -> Iterator[None]:
        """For the block that reads `key`, with `look_up_alike` to follow if nothing is there: the vector of
        the question is computed while the store is asked. Not when it answers, or fails, at once."""
        if question is None or self._semantic is None:
            yield
            return
        begun = asyncio.get_running_loop().call_soon(self._semantic.expect, question, key)
        try:
            yield
        finally:
            begun.cancel()

    async def look_up_alike(
        self, question: Question, key: str, namespace: str, max_age_s: float | None, remaining_s: float
    ) -> Alike:
        """The answer to a question that means the same. Never an error: a miss instead, in time."""
        assert self._semantic is not None, "there is no question without a semantic cache"
        end_s = self._clock.monotonic_s() + remaining_s - ANSWER_S
        try:
            async with asyncio.timeout(max(0.0, remaining_s - ANSWER_S)):
                sought = await self._semantic.find(
                    question, key, self.namespace(namespace), remaining_s - ANSWER_S
                )
                for match in sought.matches:
                    entry = await self.look_up(
                        match.key, namespace, max_age_s, end_s - self._clock.monotonic_s()
                    )
                    if entry is not None:
                        self._semantic.served(match)
                        return Alike(Found(entry, match.cosine, match.key))
                    if max_age_s is None:
                        self._semantic.gone(match)
                return Alike(placed=sought.placed)
        except TimeoutError:
            log.info("not looked up by meaning", cause="timeout")
        except MeshError as error:
            log.info("not looked up by meaning", cause=error.reason)
        return Alike()

    async def is_placed(self, question: Question, namespace: str, remaining_s: float) -> bool:
        """Whether its vector is known here."""
        assert self._semantic is not None, "there is no question without a semantic cache"
        try:
            return await self._semantic.is_placed(question, self.namespace(namespace), remaining_s)
        except MeshError:
            return True  # it is not for the caller to mend

    async def keep_vector(self, question: Question, namespace: str, remaining_s: float) -> None:
        """Remembers the vector of a question. Never an error."""
        if self._semantic is not None:
            await self._semantic.keep_vector(question, self.namespace(namespace), remaining_s)

    async def learn(
        self, question: Question, key: str, namespace: str, ttl_s: float | None, remaining_s: float
    ) -> None:
        """Offers the answer of `key` to questions that mean the same, for a vector that came late."""
        if self._semantic is None or not self._rules.enabled:
            return
        for_s = policy.ttl_s(ttl_s, self._rules.ttl_s, self._store.backend)
        await self._semantic.learn(question, key, self.namespace(namespace), for_s, remaining_s)

    async def look_up_or_claim(self, key: str, namespace: str, remaining_s: float) -> Landing:
        """As `look_up`; when there is no answer, who makes it."""
        return await self._flights.board(keys.store_key(self.namespace(namespace), key), remaining_s)

    async def wait(self, key: str, namespace: str, wait_s: float) -> Landing:
        """The answer that somebody else makes; see `Flights.wait`."""
        return await self._flights.wait(keys.store_key(self.namespace(namespace), key), wait_s)

    async def renew(self, claims: Sequence[tuple[str, str, str]], remaining_s: float) -> int:
        """(key, namespace, token) of leaders at work; returns how many still lead."""
        held = [(keys.store_key(self.namespace(namespace), key), token) for key, namespace, token in claims]
        return await self._flights.renew(held, remaining_s)

    async def end_flight(
        self, key: str, namespace: str, token: str, remaining_s: float, *, unshared: bool = False
    ) -> None:
        """A leader made no answer, or one that is for nobody else (`unshared`)."""
        place = keys.store_key(self.namespace(namespace), key)
        await self._flights.end(place, token, remaining_s, unshared=unshared)

    def end_flight_soon(self, key: str, namespace: str, token: str) -> None:
        """As `end_flight`, without waiting."""
        self._flights.end_soon(keys.store_key(self.namespace(namespace), key), token)

    def check(self, item: ToKeep) -> None:
        """Raises INVALID_ARGUMENT/FIELD_INVALID for a key or a context that is not this tenant's."""
        if not keys.is_key_of(item.tenant_id, item.key):
            raise invalid_field("cache_key", "is not a key that a lookup of this tenant gave")
        self.check_question(item.tenant_id, item.answer.question)

    def check_question(self, tenant_id: str, question: Question | None) -> None:
        """Raises INVALID_ARGUMENT/FIELD_INVALID for a context that is not this tenant's."""
        if question is not None and not is_context_of(tenant_id, question.context):
            raise invalid_field("question.context", "is not one that a lookup of this tenant gave")

    async def keep(self, items: Sequence[ToKeep], remaining_s: float) -> list[Refusal | None]:
        """Keeps answers that passed `check`, in one round trip; says of each why it must not be kept."""
        refusals = [self._refusal(item.answer) for item in items]
        kept = [item for item, refusal in zip(items, refusals, strict=True) if refusal is None]
        await self._store.put_many([self._put(item) for item in kept], remaining_s)
        for item, refusal in zip(items, refusals, strict=True):
            place = keys.store_key(self.namespace(item.namespace), item.key)
            if refusal is None:
                self._flights.happened(place)
            elif item.flight_token:
                await self._flights.end(place, item.flight_token, remaining_s, unshared=True)
        await self._learn(kept, remaining_s)
        return refusals

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

    async def delete_all(self, remaining_s: float) -> int:
        """Deletes all answers of all namespaces; returns how many."""
        if self._semantic is not None:
            await self._semantic.clear_all(remaining_s)
        return await self._store.clear_all(remaining_s)

    async def count(self, remaining_s: float) -> Mapping[str, int] | None:
        """See `Store.count`; None also when the store does not answer."""
        try:
            return await self._store.count(remaining_s)
        except MeshError as error:
            log.info("entries not counted", cause=error.reason)
            return None

    async def reachable(self, remaining_s: float) -> bool:
        """Whether the store answers."""
        return await self._store.reachable(remaining_s)

    async def servers(self, remaining_s: float) -> Sequence[ServerState]:
        """See `Store.servers`. Raises UNAVAILABLE/STORE_UNAVAILABLE."""
        return await self._store.servers(remaining_s)

    def namespace(self, namespace: str) -> str:
        """The namespace in force."""
        return namespace or self._rules.namespace

    def _refusal(self, answer: Answer) -> Refusal | None:
        if not self._rules.enabled:
            return Refusal.DISABLED
        return policy.refusal(
            answer.finish_reasons,
            empty=answer.empty,
            size_bytes=len(answer.entry.response),
            size_bytes_max=self._rules.entry_bytes_max,
        )

    def _put(self, item: ToKeep) -> Put:
        name = keys.store_key(self.namespace(item.namespace), item.key)
        return Put(name, item.answer.entry, self._ttl_s(item.answer))

    def _ttl_s(self, answer: Answer) -> float:
        return policy.ttl_s(answer.ttl_s, self._rules.ttl_s, self._store.backend)

    async def _learn(self, kept: Sequence[ToKeep], remaining_s: float) -> None:
        """Offers them to questions that mean the same."""
        semantic = self._semantic
        if semantic is None:
            return
        outcomes = await asyncio.gather(
            *(
                semantic.learn(
                    item.answer.question,
                    item.key,
                    self.namespace(item.namespace),
                    self._ttl_s(item.answer),
                    remaining_s,
                )
                for item in kept
                if item.answer.question is not None
            ),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if not isinstance(failure, MeshError):
                raise failure
        if failures:  # the answers are kept: equal questions find them
            log.info("answers not offered to other questions", count=len(failures), cause=str(failures[0]))

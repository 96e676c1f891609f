"""Answers in Redis or Valkey, one or a cluster, without modules or scripts: strings, SCAN and PING suffice.

Invariants
- A lookup is one round trip, of many keys as of one, and with a claim as without. Every operation ends within
  its limit and the caller's time left.
- What is under a key and is not our entry for that key is a miss (`entry.decode`): a foreign or damaged
  value, another type, or an answer to another command on a connection gone wrong.
- Redis that does not answer is UNAVAILABLE/STORE_UNAVAILABLE, at once when that is known (`circuit`);
  Redis that refuses (memory full, read-only replica, no permission) is the same, without the circuit.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from meshgate_cache import claims as claim_values
from meshgate_cache.circuit import Circuit, unavailable
from meshgate_cache.claims import NOTHING, UNSHARED_S, Claim, Look
from meshgate_cache.entry import CacheEntry, begins_entry, decode, encode
from meshgate_cache.keys import KEY_DIGITS, is_store_key_under, namespace_of
from meshgate_cache.redis_commands import (
    UNLINK_KEYS_MAX,
    Command,
    RedisCommands,
    Words,
    is_unknown_option,
)
from meshgate_cache.store import Put, ServerState
from meshgate_chassis.clock import Clock
from meshgate_chassis.tasks import TaskOwner

log = structlog.get_logger("meshgate.cache.redis")

TRANSACTIONS_MAX: Final = 50  # at a time
SCAN_COUNT: Final = 1_000  # keys looked at by one step: Redis serves others in between
ANY_KEY: Final = "*:" + "?" * KEY_DIGITS
CLIENTS_MAX: Final = 1_000  # of one server that are told
MAGIC_BYTES: Final = 4  # that every value of ours begins with
GLOB_SPECIAL: Final = re.compile(r"([*?\[\]\\^])")


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """How long one operation may take. `probe_s` also covers making a connection to a distant server."""

    lookup_s: float = 0.040
    lookup_many_s: float = 0.250  # 2,048 vectors are 25 MB
    store_s: float = 0.5
    delete_s: float = 30.0
    count_s: float = 2.0
    describe_s: float = 10.0
    probe_s: float = 1.0


class RedisStore:
    """Implements `store.Store`. The client and the tasks belong to the caller."""

    def __init__(self, client: RedisCommands, limits: RedisLimits, tasks: TaskOwner, clock: Clock) -> None:
        self._client = client
        self._knows_gt = True
        self._limits = limits
        self._clock = clock
        self._circuit = Circuit(self._answers, tasks, clock)
        self._refusals: dict[str, str | None] = {}

    @property
    def backend(self) -> str:
        return "redis"

    @property
    def circuit_closed(self) -> bool:
        """False while Redis is known not to answer."""
        return self._circuit.closed

    async def start(self) -> None:
        """Makes the first connection; without it the service starts all the same, with the circuit open."""
        if await self._answers():
            log.info("Connected to Redis")
        else:
            self._circuit.open("not reachable at start")

    async def get(self, key: str, remaining_s: float) -> CacheEntry | None:
        try:
            value = await self._execute("GET", key, limit_s=self._limits.lookup_s, remaining_s=remaining_s)
        except _RefusedError as refused:
            if refused.is_wrong_type:
                return None
            raise unavailable(refused.kind) from refused
        return decode(value, key) if isinstance(value, bytes) else None

    async def get_many(self, keys: Sequence[str], remaining_s: float) -> list[CacheEntry | None]:
        if not keys:
            return []
        commands = [("GET", key) for key in keys]
        values = await self._execute_all(
            commands, limit_s=self._limits.lookup_many_s, remaining_s=remaining_s
        )
        return [
            decode(value, key) if isinstance(value, bytes) else None
            for key, value in zip(keys, values, strict=True)
        ]

    async def put(self, key: str, entry: CacheEntry, ttl_s: float, remaining_s: float) -> None:
        words = _set(Put(key, entry, ttl_s))
        await self._write(words, limit_s=self._limits.store_s, remaining_s=remaining_s)

    async def put_many(self, puts: Sequence[Put], remaining_s: float) -> None:
        if not puts:
            return
        replies = await self._execute_all(
            [_set(each) for each in puts], limit_s=self._limits.store_s, remaining_s=remaining_s
        )
        refusals = [reply for reply in replies if isinstance(reply, ResponseError)]
        self._note("SET", _RefusedError(refusals[0]).kind if refusals else None)
        if refusals:
            raise unavailable(_RefusedError(refusals[0]).kind)

    async def get_or_claim(self, claim: Claim, remaining_s: float) -> Look:
        lease_ms = max(1, int(claim.lease_s * 1_000))
        commands = [
            ("SET", claim.key, claim_values.encode(claim), "NX", "PX", lease_ms),
            ("GET", claim.key),  # 6.2 knows no SET with both NX and GET
        ]
        _, value = await self._execute_all(commands, limit_s=self._limits.lookup_s, remaining_s=remaining_s)
        if not isinstance(value, bytes):
            return NOTHING  # the claim was refused, or something else is there
        entry = decode(value, claim.key)
        return Look(entry) if entry is not None else Look(holder=claim_values.holder(value))

    async def renew(self, claims: Sequence[Claim], remaining_s: float) -> int:
        ours = await self._held(claims, remaining_s)
        if ours:
            await self._prolong(ours, remaining_s)
        return len(ours)

    async def release(self, claim: Claim, *, unshared: bool, remaining_s: float) -> None:
        if not await self._held([claim], remaining_s):
            return
        words: Words = ("UNLINK", claim.key)
        if unshared:
            words = ("SET", claim.key, claim_values.unshared(), "PX", int(UNSHARED_S * 1_000))
        await self._write(words, limit_s=self._limits.store_s, remaining_s=remaining_s)

    async def delete(self, keys: Sequence[str], remaining_s: float) -> int:
        return await self._unlink(keys, self._clock.monotonic_s() + min(remaining_s, self._limits.delete_s))

    async def clear(self, prefix: str, remaining_s: float) -> int:
        end_s = self._clock.monotonic_s() + min(remaining_s, self._limits.delete_s)
        deleted_count = 0
        async for names in self._scanned(_pattern(prefix), end_s):
            ours = [name for name in names if is_store_key_under(prefix, name.decode(errors="replace"))]
            deleted_count += await self._unlink(ours, end_s)
        return deleted_count

    async def clear_all(self, remaining_s: float) -> int:
        end_s = self._clock.monotonic_s() + min(remaining_s, self._limits.delete_s)
        deleted_count = 0
        async for names in self._scanned(ANY_KEY, end_s):
            ours = await self._with_our_values(
                [name for name in names if _namespace(name) is not None], end_s
            )
            deleted_count += await self._unlink(ours, end_s)
        return deleted_count

    async def count(self, remaining_s: float) -> Mapping[str, int] | None:
        end_s = self._clock.monotonic_s() + min(remaining_s, self._limits.count_s)
        counts: Counter[str] = Counter()
        async for names in self._scanned(ANY_KEY, self._clock.monotonic_s() + remaining_s):
            counts.update(namespace for name in names if (namespace := _namespace(name)) is not None)
            if self._clock.monotonic_s() >= end_s:
                return None
        return counts

    async def reachable(self, remaining_s: float) -> bool:
        return await self._answers(remaining_s)

    async def servers(self, remaining_s: float) -> Sequence[ServerState]:
        end_s = self._clock.monotonic_s() + min(remaining_s, self._limits.describe_s)
        found = []
        for ask in await self._done("INFO", self._client.scans, end_s):
            info = await self._done("INFO", partial(ask, "INFO"), end_s)
            found.append(ServerState(info, await self._clients(ask, end_s)))
        return found

    async def _clients(self, ask: Command, end_s: float) -> Sequence[Mapping[str, Any]] | None:
        """Of one server; managed ones often do not tell."""
        left_s = end_s - self._clock.monotonic_s()
        try:
            found = await self._within(partial(ask, "CLIENT LIST"), limit_s=left_s, remaining_s=left_s)
        except _RefusedError:
            return None
        return list(found[:CLIENTS_MAX])

    async def _held(self, claims: Sequence[Claim], remaining_s: float) -> list[Claim]:
        """Those that are still held by who claimed."""
        if not claims:
            return []
        commands = [("GET", claim.key) for claim in claims]
        values = await self._execute_all(commands, limit_s=self._limits.store_s, remaining_s=remaining_s)
        return [
            claim for claim, value in zip(claims, values, strict=True) if value == claim_values.encode(claim)
        ]

    async def _scanned(self, pattern: str, end_s: float) -> AsyncIterator[Sequence[bytes]]:
        """All names that match, some at a time; one may come twice."""
        left_s = end_s - self._clock.monotonic_s()
        for scan in await self._within(self._client.scans, limit_s=left_s, remaining_s=left_s):
            cursor = None
            while cursor != 0:
                words = ("SCAN", cursor or 0, "MATCH", pattern, "COUNT", SCAN_COUNT)
                cursor, names = await self._done("SCAN", partial(scan, *words), end_s)
                yield names

    async def _with_our_values(self, names: Sequence[bytes], end_s: float) -> list[bytes]:
        """Others may name theirs as we do."""
        if not names:
            return []
        commands = [("GETRANGE", name, 0, MAGIC_BYTES - 1) for name in names]
        starts = await self._done("GETRANGE", partial(self._client.commands, commands), end_s)
        return [name for name, start in zip(names, starts, strict=True) if _is_ours(start)]

    async def _unlink(self, names: Sequence[str | bytes], end_s: float) -> int:
        deleted_count = 0
        for start in range(0, len(names), UNLINK_KEYS_MAX):
            some = names[start : start + UNLINK_KEYS_MAX]
            deleted_count += await self._done("UNLINK", partial(self._client.unlink, some), end_s)
        return deleted_count

    async def _prolong(self, claims: Sequence[Claim], remaining_s: float) -> None:
        """GT: an answer that was stored a moment ago keeps its time. Before 7.0 by a transaction each."""
        if self._knows_gt:
            commands = [("PEXPIRE", claim.key, int(claim.lease_s * 1_000), "GT") for claim in claims]
            replies = await self._execute_all(commands, limit_s=self._limits.store_s, remaining_s=remaining_s)
            if not any(is_unknown_option(reply) for reply in replies):
                return
            self._knows_gt = False
        for start in range(0, len(claims), TRANSACTIONS_MAX):
            some = [
                self._client.prolong(claim.key, claim_values.encode(claim), int(claim.lease_s * 1_000))
                for claim in claims[start : start + TRANSACTIONS_MAX]
            ]
            await self._within(
                partial(asyncio.gather, *some), limit_s=self._limits.store_s, remaining_s=remaining_s
            )

    async def _write(self, words: Words, *, limit_s: float, remaining_s: float) -> Any:
        """As `_execute`; a refusal is an error, logged when it begins and when it ends."""
        work = partial(self._client.command, *words)
        return await self._noted(words[0], self._within(work, limit_s=limit_s, remaining_s=remaining_s))

    async def _done(self, command: str, work: Callable[[], Awaitable[Any]], end_s: float) -> Any:
        """As `_write`, of other work, until `end_s`."""
        left_s = end_s - self._clock.monotonic_s()
        return await self._noted(command, self._within(work, limit_s=left_s, remaining_s=left_s))

    async def _noted(self, command: str, reply: Awaitable[Any]) -> Any:
        try:
            got = await reply
        except _RefusedError as refused:
            self._note(command, refused.kind)
            raise unavailable(refused.kind) from refused
        self._note(command, None)
        return got

    async def _execute(self, command: str, *words: Any, limit_s: float, remaining_s: float) -> Any:
        """One command within both times. Raises STORE_UNAVAILABLE, or _RefusedError for an error reply."""
        return await self._within(
            partial(self._client.command, command, *words), limit_s=limit_s, remaining_s=remaining_s
        )

    async def _execute_all(
        self, commands: Sequence[Words], *, limit_s: float, remaining_s: float
    ) -> list[Any]:
        """All of them in one round trip, as `_execute`; an error reply is among the replies."""

        work = partial(self._client.commands, commands)
        replies: list[Any] = await self._within(work, limit_s=limit_s, remaining_s=remaining_s)
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            await self._client.reconnect()
        return replies

    async def _within(self, work: Callable[[], Awaitable[Any]], *, limit_s: float, remaining_s: float) -> Any:
        self._circuit.admit()
        try:
            async with asyncio.timeout(min(limit_s, remaining_s)):
                reply = await work()
        except ReadOnlyError as error:  # a primary that became a replica: connect anew, by name
            await self._client.reconnect()
            raise _RefusedError(error) from error
        except ResponseError as error:
            self._circuit.succeeded()
            raise _RefusedError(error) from error
        except TimeoutError as error:
            if remaining_s >= limit_s:  # else the caller was in a hurry, which says nothing about Redis
                self._circuit.failed("timeout")
            raise unavailable("timeout") from error
        except (RedisError, OSError) as error:
            self._circuit.failed(type(error).__name__)
            raise unavailable(type(error).__name__) from error
        self._circuit.succeeded()
        return reply

    async def _answers(self, remaining_s: float | None = None) -> bool:
        """One PING, past the circuit."""
        limit_s = self._limits.probe_s
        try:
            async with asyncio.timeout(limit_s if remaining_s is None else min(limit_s, remaining_s)):
                await self._client.ping()
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    def _note(self, command: str, refusal: str | None) -> None:
        if self._refusals.get(command) != refusal:
            self._refusals[command] = refusal
            if refusal is None:
                log.info("Redis accepts the command again", command=command)
            else:
                log.warning("Redis refuses the command", command=command, refusal=refusal)


class _RefusedError(Exception):
    """Redis answered with an error. `kind` names it; its text may quote data and stays here."""

    def __init__(self, error: ResponseError) -> None:
        super().__init__(type(error).__name__)
        self.kind = str(error).split(" ", 1)[0][:32] if type(error) is ResponseError else type(error).__name__
        self.is_wrong_type = str(error).startswith("WRONGTYPE")


def _set(put: Put) -> Words:
    """The command that keeps an entry."""
    return ("SET", put.key, encode(put.entry, put.key), "PX", max(1, int(put.ttl_s * 1_000)))


def _is_ours(start: Any) -> bool:
    """Of the reply to GETRANGE; a refusal is for what is no string."""
    return isinstance(start, bytes) and (begins_entry(start) or claim_values.begins_claim(start))


def _namespace(name: bytes) -> str | None:
    return namespace_of(name.decode(errors="replace"))


def _pattern(prefix: str) -> str:
    """A SCAN pattern for the store keys under a prefix, whatever characters the namespace has."""
    digits_left = KEY_DIGITS - (len(prefix) - prefix.rfind(":") - 1)
    return GLOB_SPECIAL.sub(r"\\\1", prefix) + "?" * digits_left

"""Where events go so that all replicas learn of them: nowhere but here, or through a Redis stream.

Redis is the source of truth: the stream holds the last questions learned, the answers are under their keys.
A replica reads the stream from its beginning before it serves, then follows it. Reports of wrong hits are
kept in a set besides, because a stream forgets its oldest entries; and since a report is for ever, a replica
that knows more of them than the set tells the set: a Redis that was emptied has them again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from redis.exceptions import RedisError

from meshgate_cache.circuit import unavailable
from meshgate_cache.redis_commands import RedisCommands
from meshgate_cache.semantic.events import Cleared, Event, Learned, Reported, decode, encode
from meshgate_chassis.clock import Clock

log = structlog.get_logger("meshgate.cache.journal")

PAGE: Final = 1_000  # stream entries of one reply
BLOCK_MS: Final = 5_000
REPLY_S: Final = 5.0  # how much longer than asked a reply may take
PAUSE_S: Final = 0.5  # after a failure
MEND_S: Final = 5.0  # between two looks at the set of reports
REPORTS_MAX: Final = 100_000  # kept in mind to tell them again
FIELD: Final = b"e"

Apply = Callable[[Event], None]


class Journal(Protocol):
    """Takes events of this replica. Raises UNAVAILABLE/STORE_UNAVAILABLE."""

    async def publish(self, event: Event, remaining_s: float) -> None:
        """Tells all replicas, this one included."""


class LocalJournal:
    """One replica, without Redis."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

    async def publish(self, event: Event, remaining_s: float) -> None:  # noqa: ARG002 - never waits
        self._apply(event)


@dataclass(frozen=True, slots=True)
class JournalRules:
    """`length_max`, `bytes_max`: of the events kept, about, if all are as large as the one that comes;
    `warm_s`: how long a start waits for them."""

    stream: str
    length_max: int
    bytes_max: int = 512 * 1024 * 1024
    write_s: float = 0.5
    warm_s: float = 60.0


class RedisJournal:
    """See the module. The client belongs to the caller, as does the task that runs `follow`."""

    def __init__(self, client: RedisCommands, rules: JournalRules, apply: Apply, clock: Clock) -> None:
        self._command: Callable[..., Awaitable[Any]] = client.command
        self._rules = rules
        self._apply = apply
        self._clock = clock
        self._last_id = b"0-0"
        self._warm = False
        self._failing = False
        self._reports: OrderedDict[bytes, None] = OrderedDict()
        self._mend_s = 0.0

    @property
    def reports_key(self) -> str:
        """The set of reported pairs."""
        return f"{self._rules.stream}:reports"

    async def publish(self, event: Event, remaining_s: float) -> None:
        self._apply(event)
        value = encode(event)
        words = ("XADD", self._rules.stream, *self._trimming(event, len(value)), "*", FIELD, value)
        try:
            async with asyncio.timeout(min(self._rules.write_s, remaining_s)):
                if isinstance(event, Reported):
                    self._keep_report(value)
                    await self._command("SADD", self.reports_key, value)
                await self._command(*words)
        except (RedisError, OSError, TimeoutError) as error:
            raise unavailable(type(error).__name__) from error

    def _trimming(self, event: Event, size_bytes: int) -> tuple[str | int, ...]:
        """Questions bound the stream in bytes: with their vectors they are the large ones. Once all are gone,
        nobody has to hear of them."""
        if isinstance(event, Cleared) and not event.namespace:
            return ("MAXLEN", 1)
        length_max = self._rules.length_max
        if isinstance(event, Learned):
            length_max = max(1, min(length_max, self._rules.bytes_max // size_bytes))
        return ("MAXLEN", "~", length_max)

    async def warm_up(self) -> bool:
        """Reads what there is. False, and no error, when Redis does not tell; `follow` tries again."""
        try:
            async with asyncio.timeout(self._rules.warm_s):
                await self._read_all()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("starts without the questions of others", cause=type(error).__name__)
            return False
        return True

    async def follow(self) -> None:
        """Applies events as they come, for ever; after a failure from where it was."""
        while True:
            try:
                async with asyncio.timeout(BLOCK_MS / 1_000 + REPLY_S):
                    if not self._warm:
                        await self._read_all()
                    await self._read(BLOCK_MS)
                    await self._mend()
            except (RedisError, OSError, TimeoutError) as error:
                self._note(type(error).__name__)
                await self._clock.sleep(PAUSE_S)
            else:
                self._note(None)

    async def _read_all(self) -> None:
        for value in await self._command("SMEMBERS", self.reports_key):
            self._apply_value(value)
        while await self._read(None):
            pass
        self._warm = True

    async def _read(self, block_ms: int | None) -> int:
        blocking = () if block_ms is None else ("BLOCK", block_ms)
        reply = await self._command(
            "XREAD", "COUNT", PAGE, *blocking, "STREAMS", self._rules.stream, self._last_id
        )
        entries = _entries(reply)
        for entry_id, fields in entries:
            self._last_id = entry_id
            for value in fields:
                self._apply_value(value)
        return len(entries)

    def _apply_value(self, value: bytes) -> None:
        event = decode(value)
        if isinstance(event, Reported):
            self._keep_report(value)
        if event is not None:
            self._apply(event)

    def _keep_report(self, value: bytes) -> None:
        self._reports[value] = None
        while len(self._reports) > REPORTS_MAX:
            self._reports.popitem(last=False)

    async def _mend(self) -> None:
        """Tells the set of reports what it has lost."""
        now_s = self._clock.monotonic_s()
        if not self._reports or now_s < self._mend_s:
            return
        self._mend_s = now_s + MEND_S
        if await self._command("SCARD", self.reports_key) >= len(self._reports):
            return
        log.warning("Redis has lost reports of wrong hits: it is told them again", count=len(self._reports))
        known = list(self._reports)
        for start in range(0, len(known), PAGE):
            await self._command("SADD", self.reports_key, *known[start : start + PAGE])

    def _note(self, failure: str | None) -> None:
        if failure is not None and not self._failing:
            log.warning("does not hear of the questions of other replicas", cause=failure)
        elif failure is None and self._failing:
            log.info("hears of the questions of other replicas again")
        self._failing = failure is not None


def _entries(reply: Any) -> list[tuple[bytes, list[bytes]]]:
    """(id, values of FIELD) of the one stream in a reply to XREAD, in either protocol and form."""
    streams = list(reply.values()) if isinstance(reply, dict) else [part[1] for part in reply or ()]
    found: list[tuple[bytes, list[bytes]]] = []
    for entries in streams:
        for entry_id, fields in _flat(entries):
            pairs = (
                fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
            )
            found.append((entry_id, [value for name, value in pairs if name == FIELD]))
    return found


def _flat(entries: Any) -> list[Any]:
    """redis-py wraps the entries of a stream once more in its newest protocol."""
    return entries[0] if len(entries) == 1 and isinstance(entries[0], list) else entries

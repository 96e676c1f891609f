"""Tells who remembers keys and accounts that they have changed, within moments and on every replica.

One connection of its own listens to PostgreSQL (migrations/0009_watch.sql). While it is broken notices are
lost, so the first thing that everybody hears when it is back is `all`. A listener that is too slow to be told
everything is told `all` instead.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import asyncpg
import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_ledger.database import AWAY_ERRORS

CHANNEL: Final = "meshgate_accounts"  # migrations/0009_watch.sql
CREDENTIALS: Final = "credentials"  # notice that the table of credentials has changed
WAITING_MAX: Final = 1_000  # account ids that wait for one listener; more become `all`
LISTENERS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Changed:
    """`everything`: notices may have been lost."""

    account_ids: frozenset[str] = frozenset()
    everything: bool = False


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """`ping_interval_s`: a connection whose other end is gone without a word is noticed by it."""

    connect_timeout_s: float = 2.0
    retry_delay_s: float = 0.25
    ping_interval_s: float = 5.0


class Listener:
    """What one listener has not yet been told."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()
        self._everything = False
        self._closed = False
        self._wake = asyncio.Event()

    def tell(self, changed: Changed) -> None:
        """Never waits."""
        self._waiting |= changed.account_ids
        if changed.everything or len(self._waiting) > WAITING_MAX:
            self._everything = True
            self._waiting.clear()
        self._wake.set()

    def close(self) -> None:
        """Ends `changes`."""
        self._closed = True
        self._wake.set()

    async def changes(self) -> AsyncGenerator[Changed, None]:
        """Whatever has changed since the last one, until the watch ends."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._closed:
                return
            changed = Changed(frozenset(self._waiting), self._everything)
            self._waiting.clear()
            self._everything = False
            yield changed


class AccountWatch:
    """Listens while entered. `on_credentials` is awaited when credentials changed, or may have."""

    def __init__(
        self, dsn: str, clock: Clock, on_credentials: Callable[[], Awaitable[None]], options: WatchOptions
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._on_credentials = on_credentials
        self._options = options
        self._listeners: set[Listener] = set()
        self._tasks = TaskOwner("ledger-watch", count_max=1)
        self._credentials_changed = False
        self._listening = False
        self._wake = asyncio.Event()
        self._log = structlog.get_logger("meshgate.ledger")

    async def __aenter__(self) -> Self:
        self._tasks.start(self._run(), "watch")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.drain(0.0)
        for listener in self._listeners:
            listener.close()

    async def follow(self) -> AsyncGenerator[Changed, None]:
        """First an empty change: from then on everything is told. Ends with the watch.

        Raises RESOURCE_EXHAUSTED/QUEUE_FULL when too many listen.
        """
        if len(self._listeners) >= LISTENERS_MAX:
            raise MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", f"{LISTENERS_MAX} listen already")
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield Changed(everything=not self._listening)
            async with aclosing(listener.changes()) as changes:
                async for changed in changes:
                    yield changed
        finally:
            self._listeners.discard(listener)

    async def _run(self) -> None:
        was_listening = True
        while True:
            try:
                await self._listen()
            except (*AWAY_ERRORS, asyncpg.PostgresError) as error:  # whatever it is: it has to be heard again
                if was_listening:
                    self._log.warning("changes are not heard of", error=type(error).__name__)
                was_listening = False
            else:
                was_listening = True
            await self._clock.sleep(self._options.retry_delay_s)

    async def _listen(self) -> None:
        """Until the connection breaks. Raises AWAY_ERRORS when there is none."""
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self._options.connect_timeout_s,
            server_settings={"application_name": "meshgate-ledger-watch"},
        )
        broken = asyncio.Event()

        def lost(_connection: object) -> None:
            broken.set()
            self._wake.set()

        try:
            connection.add_termination_listener(lost)
            async with asyncio.timeout(self._options.connect_timeout_s):
                await connection.add_listener(CHANNEL, self._noticed)
            self._listening = True
            self._tell(Changed(everything=True))
            self._credentials_changed = True
            self._wake.set()
            while not broken.is_set():
                await self._attend(connection)
        finally:
            self._listening = False
            connection.terminate()

    async def _attend(self, connection: asyncpg.Connection) -> None:
        """Waits for a notice or for the next ping, and does what has to be done."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.ping_interval_s):
                await self._wake.wait()
        if self._wake.is_set():
            self._wake.clear()
        elif not connection.is_closed():
            await connection.execute("SELECT 1", timeout=self._options.connect_timeout_s)
        if not self._credentials_changed:
            return
        self._credentials_changed = False
        try:
            await self._on_credentials()
        except (MeshError, asyncpg.PostgresError):  # that it is away the store says itself
            self._credentials_changed = True
            await self._clock.sleep(self._options.retry_delay_s)
            self._wake.set()

    def _noticed(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        if payload == CREDENTIALS:
            self._credentials_changed = True
            self._wake.set()
        else:
            self._tell(Changed(frozenset({str(payload)})))

    def _tell(self, changed: Changed) -> None:
        for listener in self._listeners:
            listener.tell(changed)

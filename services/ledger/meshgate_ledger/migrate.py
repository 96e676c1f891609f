"""Brings a database to the schema that this code knows, forward only.

Migrations are the files `migrations/NNNN_name.sql`, applied in order, each once. A file never changes after
it was applied anywhere: its checksum is kept. All that is missing is applied in one transaction under an
advisory lock, so any number of replicas may start at once and a failure leaves the database as it was.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import asyncpg
import structlog

from meshgate_chassis.errors import Code, MeshError

FILE_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
ADVISORY_LOCK = 0x6D657368_6C656467  # "meshledg": one for all replicas
LOCK_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text, hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def bundled_migrations() -> tuple[Migration, ...]:
    """The migrations of this package, in order, numbered from 1 without a gap."""
    found = []
    for path in files("meshgate_ledger").joinpath("migrations").iterdir():
        match = FILE_NAME.match(path.name)
        if match:
            found.append(Migration(int(match[1]), path.name, path.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    assert [each.version for each in found] == list(range(1, len(found) + 1)), "a gap in the migrations"
    return tuple(found)


async def migrate(
    connection: asyncpg.Connection, migrations: Sequence[Migration] | None = None
) -> tuple[str, ...]:
    """Applies what is missing and returns its names.

    Raises FAILED_PRECONDITION/MIGRATION_CHANGED or /MIGRATION_UNKNOWN when the database was migrated by
    other files than ours, or by a newer version of this service.
    """
    known = bundled_migrations() if migrations is None else migrations
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute("CREATE SCHEMA IF NOT EXISTS ledger")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS ledger.migrations (version int PRIMARY KEY, name text NOT NULL, "
            "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {
            row["version"]: (row["name"], row["checksum"])
            for row in await connection.fetch("SELECT version, name, checksum FROM ledger.migrations")
        }
        missing = missing_migrations(known, applied)
        for migration in missing:
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO ledger.migrations (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    names = tuple(migration.name for migration in missing)
    if names:
        structlog.get_logger("meshgate.ledger").info("migrated", migrations=names)
    return names


def missing_migrations(
    known: Sequence[Migration], applied: dict[int, tuple[str, str]]
) -> tuple[Migration, ...]:
    """What is still to be applied. `applied`: version -> name and checksum. Raises as `migrate` does."""
    newer = sorted(set(applied) - {migration.version for migration in known})
    if newer:
        name = applied[newer[0]][0]
        raise MeshError(
            Code.FAILED_PRECONDITION,
            "MIGRATION_UNKNOWN",
            f"the database has the migration {name}, which this version does not know: "
            "start a version that does",
        )
    for migration in known:
        name, checksum = applied.get(migration.version, (migration.name, migration.checksum))
        if (name, checksum) != (migration.name, migration.checksum):
            raise MeshError(
                Code.FAILED_PRECONDITION,
                "MIGRATION_CHANGED",
                f"the migration {migration.name} is not the one that the database has as {name}",
            )
    return tuple(migration for migration in known if migration.version not in applied)

"""Where the ledger finds its database."""

import pytest

from meshgate_chassis.config.model import Secret
from meshgate_chassis.errors import MeshError
from meshgate_ledger.settings import LedgerSettings, database_dsn, plain_dsn

SECRET = {"MESHGATE_MESH_SECRET": "a secret for the tests"}


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        (
            "postgresql://u:p%40@h/d?schema=public&connection_limit=5&pool_timeout=60",
            "postgresql://u:p%40@h/d",
        ),
        ("postgres://u@h/d?sslmode=require&pgbouncer=true", "postgres://u@h/d?sslmode=require"),
        ("postgresql+asyncpg://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:p@/d?host=%2Ftmp%2Fx", "postgresql://u:p@/d?host=%2Ftmp%2Fx"),
    ],
)
def test_urls_of_other_clients_are_understood(url: str, dsn: str) -> None:
    """LiteLLM's own DATABASE_URL works as it is."""
    assert dsn == plain_dsn(url)


def test_the_environment_comes_before_the_file() -> None:
    """And without both the service says what it needs."""
    both = LedgerSettings(DATABASE_URL="postgresql://e/d", **SECRET)  # type: ignore[arg-type]
    none = LedgerSettings(**SECRET)  # type: ignore[arg-type]

    assert "postgresql://e/d" == database_dsn(both, Secret("postgresql://f/d"))
    assert "postgresql://f/d" == database_dsn(none, Secret("postgresql://f/d"))
    with pytest.raises(MeshError, match="DATABASE_URL"):
        database_dsn(none, None)


def test_the_database_url_is_never_shown() -> None:
    """It has a password in it."""
    settings = LedgerSettings(DATABASE_URL="postgresql://u:hunter2@h/d", **SECRET)  # type: ignore[arg-type]

    assert "hunter2" not in repr(settings)

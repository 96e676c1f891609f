"""Real PostgreSQL for the tests of the ledger."""

from tests.support.postgres import own_postgres_server, postgres_dsn, postgres_server

__all__ = ["own_postgres_server", "postgres_dsn", "postgres_server"]

"""Real PostgreSQL for the tests of reports."""

from tests.support.postgres import own_postgres_server, postgres_dsn, postgres_server

__all__ = ["own_postgres_server", "postgres_dsn", "postgres_server"]

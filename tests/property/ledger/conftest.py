"""Real PostgreSQL for the properties of the ledger."""

from tests.support.postgres import postgres_server

__all__ = ["postgres_server"]

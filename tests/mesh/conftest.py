"""A mesh in process, in front of the demo provider, for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.mesh.subject import CONFIG, Subject, subject_with
from tests.support.postgres import own_postgres_server, postgres_dsn, postgres_server

__all__ = ["own_postgres_server", "postgres_dsn", "postgres_server"]


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    """The mesh, its provider and a way to ask."""
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made

"""A mesh in process, in front of the demo provider, for each test."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.mesh.subject import CONFIG, Subject
from tests.support.demo_provider import demo_provider
from tests.support.mesh_in_process import mesh_in_process
from tests.support.postgres import own_postgres_server, postgres_dsn, postgres_server

__all__ = ["own_postgres_server", "postgres_dsn", "postgres_server"]


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    """The mesh, its provider and a way to ask."""
    folder = Path(tempfile.mkdtemp(prefix="mg"))  # short: socket paths are limited
    try:
        async with demo_provider() as provider:
            config = CONFIG.format(url=provider.url)
            async with mesh_in_process(config, folder, postgres_dsn) as mesh:
                async with aiohttp.ClientSession() as session:
                    yield Subject(mesh, provider, session)
    finally:
        shutil.rmtree(folder)

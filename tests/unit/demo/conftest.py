"""A demo provider and a client for every test that asks."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.demo_provider import DemoProvider, demo_provider


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with demo_provider() as running:
        yield running


@pytest.fixture
async def client(provider: DemoProvider) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(provider.url, timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session

"""The HTTP rim for the tests of the edge."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.edge.rim import Rim, serving


@pytest.fixture
async def rim() -> AsyncIterator[Rim]:
    """A served rim with a master key; its pipeline answers "Hi"."""
    async with serving(Rim()) as served:
        yield served
        await served.no_tasks_left()

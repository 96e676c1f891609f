"""What the tests of servers on our own transport begin with."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.chassis.native.public_service import Echo, serving


@pytest.fixture
def listen(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a socket is short."""
    return f"unix:{tmp_path_factory.mktemp('n')}/s"


@pytest.fixture
async def echo(listen: str) -> AsyncIterator[Echo]:
    """Served there."""
    async with serving(listen) as echo:
        yield echo

"""What every test shares."""

from collections.abc import Iterator

import pytest

from tests.support.running_mesh import RunningMesh, running_mesh


@pytest.fixture(scope="session")
def started_mesh() -> Iterator[RunningMesh]:
    """`meshgate up` without any configuration, for the tests that only use it."""
    with running_mesh() as mesh:
        yield mesh

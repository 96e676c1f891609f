"""What every test shares."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.running_mesh import RunningMesh, running_mesh

# A slow machine is no wrong answer: examples have no time limit, neither to make nor to try.
settings.register_profile("meshgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("meshgate")


@pytest.fixture(scope="session")
def started_mesh() -> Iterator[RunningMesh]:
    """`meshgate up` without any configuration, for the tests that only use it."""
    # On a busy machine the 50 ms that a call waits for the cache are over soon, and a hit is a miss.
    with running_mesh(environment={"MESHGATE_EDGE_LOOKUP_TIMEOUT_S": "1"}) as mesh:
        yield mesh

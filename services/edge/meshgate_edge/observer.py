"""Who wants to know how calls ended: metrics, logs. Called by the pipeline once for each call."""

from typing import Protocol

from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo


class CallObserver(Protocol):
    """Must not raise and must not wait."""

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        """`error` is None for a success, a cache hit and a cancelled call."""

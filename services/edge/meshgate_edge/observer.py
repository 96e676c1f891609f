"""Who wants to know how calls ended: metrics, logs. Called by the pipeline once for each call."""

import asyncio
from typing import Protocol

from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo


class CallObserver(Protocol):
    """Must not raise and must not wait."""

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        """`error` is None for a success, a cache hit and a cancelled call."""


class BehindTheAnswer:
    """A CallObserver that tells others in the event loop's next turn: the answer of the call leaves in this
    one, and does not wait for its log line."""

    def __init__(self, *observers: CallObserver) -> None:
        self._observers = observers

    def finished(self, info: CallInfo, error: MeshError | None) -> None:
        """See CallObserver."""
        asyncio.get_running_loop().call_soon(self._tell, info, error)

    def _tell(self, info: CallInfo, error: MeshError | None) -> None:
        for observer in self._observers:
            observer.finished(info, error)

"""Ends the work for a client that has gone.

The block runs in the request's own task, so that everything it enters it also leaves there; a second, owned
task waits for the client's disconnect and cancels the block.
"""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner


class UntilDisconnect:
    """`async with`: a disconnect cancels the block, and ends with it; see `disconnected` afterwards.

    The body must have been read to its end, and the answer must not be completed inside the block: a server
    reports a completed answer as a disconnect, too.
    """

    def __init__(self, receive: Receive, tasks: TaskOwner) -> None:
        self._receive = receive
        self._tasks = tasks
        self.disconnected = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None, "used outside of a task"
        self._block = task
        self._watcher = self._tasks.start(self._watch(), "disconnect")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._watcher.cancel()
        del self._watcher  # its traceback leads back here: the request would stay until a collection
        if not self.disconnected:
            return False
        # The cancellation was ours: undo it, unless the server cancelled the request as well.
        if self._block.uncancel() > 0:
            return False
        return isinstance(error, asyncio.CancelledError | MeshError)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.disconnected = True
        self._block.cancel()

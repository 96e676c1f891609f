"""Owned background tasks: every task has an owner, a limit and an end.

Invariant: after `drain` no task of this owner runs.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from meshgate_chassis.errors import Code, MeshError


class TaskOwner:
    """Starts tasks and waits for them at drain. A task that fails is logged, once, with its name."""

    def __init__(self, name: str, count_max: int) -> None:
        self._name = name
        self._count_max = count_max
        self._tasks: set[asyncio.Task[Any]] = set()
        self._log = structlog.get_logger(f"meshgate.tasks.{name}")

    @property
    def count(self) -> int:
        """Tasks under way."""
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Raises RESOURCE_EXHAUSTED/TASK_LIMIT when the owner has its maximum under way."""
        if len(self._tasks) >= self._count_max:
            work.close()
            raise MeshError(
                Code.RESOURCE_EXHAUSTED, "TASK_LIMIT", f"{self._name} has {self._count_max} tasks"
            )
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("task failed", task=task.get_name(), error=repr(error))

    async def drain(self, grace_s: float) -> int:
        """Waits up to `grace_s` for the tasks to end, cancels the rest; returns how many it cancelled."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return len(late)

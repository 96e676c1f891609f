"""Texts to vectors beside the event loop: one thread, batches of what waits, a cache by text.

Invariants: the event loop never computes a vector; no more than `waiting_max` texts wait, further ones are
refused at once; a text that waits already, or was done lately, is not computed again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from meshgate_cache.semantic.model import EmbeddingModel, TextVectors
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class EmbeddingLimits:
    """Texts: in one batch, waiting, and kept with their vectors (8 kB each)."""

    batch_max: int = 16
    waiting_max: int = 256
    kept_max: int = 1_024


class Embedding:
    """See the module. Its task belongs to the caller's owner; `close` ends the thread."""

    def __init__(self, model: EmbeddingModel, limits: EmbeddingLimits, tasks: TaskOwner) -> None:
        self._model = model
        self._limits = limits
        self._tasks = tasks
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._kept: OrderedDict[str, TextVectors] = OrderedDict()
        self._waiting: OrderedDict[str, asyncio.Future[TextVectors]] = OrderedDict()
        self._running = False

    @property
    def model_name(self) -> str:
        """Vectors of one name can be compared."""
        return self._model.name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._model.dimensions

    async def of(self, text: str) -> TextVectors:
        """The vectors. Raises RESOURCE_EXHAUSTED/EMBEDDING_QUEUE_FULL, or TASK_LIMIT while draining."""
        kept = self._kept.get(text)
        if kept is not None:
            self._kept.move_to_end(text)
            return kept
        waiting = self._waiting.get(text)
        if waiting is None:
            waiting = self._enqueue(text)
        return await asyncio.shield(waiting)  # others may wait for the same

    def close(self) -> None:
        """Ends the thread after its batch."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _enqueue(self, text: str) -> asyncio.Future[TextVectors]:
        if len(self._waiting) >= self._limits.waiting_max:
            raise MeshError(Code.RESOURCE_EXHAUSTED, "EMBEDDING_QUEUE_FULL", "too many texts wait")
        if not self._running:
            self._tasks.start(self._run(), "embed")
            self._running = True
        future: asyncio.Future[TextVectors] = asyncio.get_running_loop().create_future()
        self._waiting[text] = future
        return future

    async def _run(self) -> None:
        """Computes batches until nothing waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                texts = list(self._waiting)[: self._limits.batch_max]
                vectors = await loop.run_in_executor(self._thread, self._model.embed, texts)
                self._done(texts, vectors)
        finally:
            self._running = False
            for future in self._waiting.values():
                future.cancel()  # only when this task was cancelled or failed
            self._waiting.clear()

    def _done(self, texts: Sequence[str], vectors: Sequence[TextVectors]) -> None:
        for text, vector in zip(texts, vectors, strict=True):
            self._kept[text] = vector
            future = self._waiting.pop(text)
            if not future.done():
                future.set_result(vector)
        while len(self._kept) > self._limits.kept_max:
            self._kept.popitem(last=False)

"""Texts to vectors beside the event loop: one thread, batches of what waits, a cache by text.

Invariants: the event loop never computes a vector; no more than `waiting_max` texts wait, further ones are
refused at once; a text that waits already, or was done lately, is not computed again; what somebody waits for
comes before what is only expected.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from meshgate_cache.semantic.model import EmbeddingModel, TextVectors
from meshgate_chassis.errors import Code, MeshError


@dataclass(frozen=True, slots=True)
class EmbeddingLimits:
    """Texts in one batch, and waiting; bytes of the vectors (6 kB for ten words) that are kept: of what was
    asked, and of the known questions that it was compared with, which are the fewer and come again."""

    batch_max: int = 16
    waiting_max: int = 256
    kept_bytes_max: int = 6 * 1024 * 1024
    known_bytes_max: int = 6 * 1024 * 1024


class _Kept:
    """Vectors by text, bounded in bytes; what was not used longest goes first."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._vectors: OrderedDict[str, TextVectors] = OrderedDict()

    def get(self, text: str) -> TextVectors | None:
        vectors = self._vectors.get(text)
        if vectors is not None:
            self._vectors.move_to_end(text)
        return vectors

    def put(self, text: str, vectors: TextVectors) -> None:
        if text in self._vectors:
            return
        self._vectors[text] = vectors
        self._bytes += vectors.size_bytes
        while self._bytes > self._bytes_max:
            self._bytes -= self._vectors.popitem(last=False)[1].size_bytes


class Embedding:
    """See the module. `close` ends the thread."""

    def __init__(self, model: EmbeddingModel, limits: EmbeddingLimits) -> None:
        self._model = model
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._kept = _Kept(limits.kept_bytes_max)
        self._known = _Kept(limits.known_bytes_max)
        self._waiting: dict[str, asyncio.Future[TextVectors]] = {}  # being computed, or not yet
        self._wanted: OrderedDict[str, None] = OrderedDict()  # not yet; somebody waits
        self._expected: OrderedDict[str, None] = OrderedDict()  # not yet; nobody waits
        self._running = self._closed = False

    @property
    def model_name(self) -> str:
        """Vectors of one name can be compared."""
        return self._model.name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._model.dimensions

    async def of(self, text: str) -> TextVectors:
        """The vectors of what is asked. Raises RESOURCE_EXHAUSTED/EMBEDDING_QUEUE_FULL."""
        kept = self._kept.get(text)
        return await self._computed(text) if kept is None else kept

    async def of_known(self, text: str) -> TextVectors:
        """As `of`, for a text that others are compared with: it is kept longer."""
        vectors = self._known.get(text)
        if vectors is None:
            vectors = await self.of(text)
            self._known.put(text, vectors)
        return vectors

    def expect(self, text: str) -> None:
        """Its vectors will be asked for soon: they are computed if there is room."""
        if self._kept.get(text) is None and text not in self._waiting and not self._is_full():
            self._enqueue(text, self._expected)

    def close(self) -> None:
        """Ends the thread after its batch; who still waits is cancelled."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        for future in self._waiting.values():
            future.cancel()

    async def _computed(self, text: str) -> TextVectors:
        waiting = self._waiting.get(text)
        if waiting is None:
            if self._is_full() and not self._gave_up_one():
                raise MeshError(Code.RESOURCE_EXHAUSTED, "EMBEDDING_QUEUE_FULL", "too many texts wait")
            waiting = self._enqueue(text, self._wanted)
        elif text in self._expected:
            del self._expected[text]
            self._wanted[text] = None
        return await asyncio.shield(waiting)  # others may wait for the same

    def _is_full(self) -> bool:
        return self._closed or len(self._waiting) >= self._limits.waiting_max

    def _gave_up_one(self) -> bool:
        """What somebody waits for may take the place of what nobody does."""
        if self._closed or not self._expected:
            return False
        text, _ = self._expected.popitem()
        del self._waiting[text]
        return True

    def _enqueue(self, text: str, queue: OrderedDict[str, None]) -> asyncio.Future[TextVectors]:
        future = self._waiting[text] = asyncio.get_running_loop().create_future()
        queue[text] = None
        if not self._running:
            self._start()
        return future

    def _start(self) -> None:
        """The next batch, if any. Of what is only expected one at a time: somebody may come who waits."""
        queue, most = (self._wanted, self._limits.batch_max) if self._wanted else (self._expected, 1)
        texts = [queue.popitem(last=False)[0] for _ in range(min(most, len(queue)))]
        self._running = bool(texts) and not self._closed
        if self._running:
            done = asyncio.get_running_loop().run_in_executor(self._thread, self._model.embed, texts)
            done.add_done_callback(partial(self._done, texts))

    def _done(self, texts: Sequence[str], done: "asyncio.Future[Sequence[TextVectors]]") -> None:
        futures = [self._waiting.pop(text) for text in texts]
        error = None if done.cancelled() else done.exception()
        for at, future in enumerate(futures):
            if future.done():  # it was closed
                continue
            if done.cancelled():
                future.cancel()
            elif error is not None:
                future.set_exception(error)
                future.exception()  # who waits is told; if nobody does, it is no news
            else:
                future.set_result(done.result()[at])
                self._kept.put(texts[at], done.result()[at])
        self._start()

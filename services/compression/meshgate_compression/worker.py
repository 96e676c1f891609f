"""Workers: CPU-bound work in processes of their own, off the event loop and on all cores.

Threads would not do: the work is Python and holds the interpreter's lock. Invariants: at most
`queue_max` jobs wait; a caller waits no longer than he says; a worker that dies or hangs costs the
one job it was at, and is replaced.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import msgspec
import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_compression.conversation import Outcome
from meshgate_compression.jobs import LENGTH_BYTES, Job

log = structlog.get_logger("meshgate.compression.worker")

T = TypeVar("T")

RESTART_DELAY_S = 0.2  # Before a worker that could not start is tried again.


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`job_s_max`: a worker that takes longer is taken to hang. `start_s_max`: the same at its start."""

    workers: int = 1
    queue_max: int = 64
    job_s_max: float = 5.0
    start_s_max: float = 30.0


class WorkerLostError(Exception):
    """The worker process ended, or does not answer."""


@dataclass(slots=True)
class _Request:
    frame: bytes
    answer: asyncio.Future[Outcome]


class WorkerPool:
    """Worker processes; an async context manager. Entering it waits until they are ready.

    `arguments`: of the worker's command line. `when_wanted`: they start with the first job instead, which
    waits for them as long as its caller does.
    """

    def __init__(
        self, limits: PoolLimits, clock: Clock, arguments: Sequence[str] = (), *, when_wanted: bool = False
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._arguments = arguments
        self._when_wanted = when_wanted
        self._wanted = asyncio.Event()
        self._queue: asyncio.Queue[_Request] = asyncio.Queue(limits.queue_max)
        self._lanes = TaskOwner("compression-workers", limits.workers)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Outcome)

    async def __aenter__(self) -> Self:
        workers: Sequence[WorkerProcess | None] = [None] * self._limits.workers
        if not self._when_wanted:
            workers = await asyncio.gather(*(self._started() for _ in range(self._limits.workers)))
        for number, worker in enumerate(workers):
            self._lanes.start(self._lane(worker), f"lane-{number}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lanes.drain(0.0)

    @property
    def waiting(self) -> int:
        """Jobs that no worker has taken yet."""
        return self._queue.qsize()

    async def run(self, job: Job, timeout_s: float) -> Outcome:
        """Compresses one conversation.

        Errors: RESOURCE_EXHAUSTED/QUEUE_FULL, DEADLINE_EXCEEDED/TOO_LATE, UNAVAILABLE/WORKER_LOST.
        """
        self._wanted.set()
        request = _Request(self._encoder.encode(job), asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(request)
        except asyncio.QueueFull:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "too many prompts wait for compression"
            ) from None
        try:
            return await asyncio.wait_for(request.answer, timeout_s)
        except TimeoutError:
            raise MeshError(
                Code.DEADLINE_EXCEEDED, "TOO_LATE", "the prompt was not compressed in time"
            ) from None
        except WorkerLostError as error:
            raise MeshError(Code.UNAVAILABLE, "WORKER_LOST", str(error)) from error

    async def _lane(self, worker: "WorkerProcess | None") -> None:
        """One worker after the other, each until it is lost. None: the first is not wanted yet."""
        while True:
            if worker is None:
                await self._wanted.wait()
                worker = await self._restarted()
            try:
                await self._serve(worker)
            except WorkerLostError as error:
                log.warning("worker lost", pid=worker.pid, error=str(error))
            finally:
                await worker.end()
            worker = await self._restarted()

    async def _serve(self, worker: "WorkerProcess") -> None:
        """Gives the worker the waiting jobs; those nobody waits for any more are skipped."""
        while True:
            request = await self._queue.get()
            if request.answer.done():
                continue
            try:
                frame = await worker.ask(request.frame, self._limits.job_s_max)
            except WorkerLostError as error:
                if not request.answer.done():
                    request.answer.set_exception(error)
                raise
            if not request.answer.done():
                request.answer.set_result(self._decoder.decode(frame))

    async def _started(self) -> "WorkerProcess":
        worker = await WorkerProcess.start(self._arguments)
        try:
            await worker.ready(self._limits.start_s_max)
        except BaseException:
            await worker.end()
            raise
        return worker

    async def _restarted(self) -> "WorkerProcess":
        while True:
            try:
                return await self._started()
            except (WorkerLostError, OSError) as error:
                log.warning("worker does not start", error=str(error))
                await self._clock.sleep(RESTART_DELAY_S)


class WorkerProcess:
    """One child process that runs `worker_process`; one question at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None, "both are pipes"
        self._process = process
        self._questions = process.stdin
        self._answers = process.stdout

    @classmethod
    async def start(cls, arguments: Sequence[str] = ()) -> "WorkerProcess":
        """Starts the process with nothing of our environment but where the code is."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "meshgate_compression.worker_process",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={"PYTHONPATH": os.pathsep.join(sys.path)},
            )
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def ready(self, timeout_s: float) -> None:
        """Waits for the frame that says so. Raises WorkerLostError."""
        await self._within(self._frame(), timeout_s)

    async def ask(self, frame: bytes, timeout_s: float) -> bytes:
        """The answer to one frame. Raises WorkerLostError; the process is of no use after that."""
        return await self._within(self._exchange(frame), timeout_s)

    async def end(self) -> None:
        """Kills the process and waits for its end: there is nothing in it to save."""
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                log.debug("worker was gone already", pid=self.pid)
        self._questions.close()
        await self._process.wait()

    async def _exchange(self, frame: bytes) -> bytes:
        self._questions.write(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)
        await self._questions.drain()
        return await self._frame()

    async def _frame(self) -> bytes:
        length = int.from_bytes(await self._answers.readexactly(LENGTH_BYTES), "big")
        return await self._answers.readexactly(length)

    @staticmethod
    async def _within(work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                return await work
        except TimeoutError as error:
            raise WorkerLostError(f"no answer within {timeout_s} s") from error
        except (asyncio.IncompleteReadError, OSError) as error:
            raise WorkerLostError("the process ended") from error

"""What the ledger could not be told, kept on disk until it can: nothing is lost when this process dies.

Two kinds of records: the *intent* of a call that was let through without a hold, written before its provider
is asked, and the *closing* of a call. An intent whose call never came to a closing is one: whoever takes over
the file bills it as estimated. Posting twice is harmless (request_id), so a record may be replayed after a
crash; a file is emptied when everything in it has been posted.

Invariants: what `keep` and `intend` return from is on the disk; the size is bounded; every intended call has
room for its closing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

import structlog
from google.protobuf.json_format import MessageToDict

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.money.spool_file import Kind, Record, SpoolFile, framed, orphans, records_in
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

log = structlog.get_logger("meshgate.edge.spool")

CLOSING_BYTES: Final = 32_768  # kept free for the closing of each intended call
REFUSED_FILE: Final = "refused.jsonl"


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """`size_bytes_max`: of this process's file; what is in it is in memory, too."""

    size_bytes_max: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Write:
    data: bytes
    apply: Callable[[], None]  # once it is on the disk
    done: "asyncio.Future[None]"


class Spool:
    """Of one process. Enter it before use; it then takes over what dead ones left in the folder."""

    def __init__(self, folder: Path, limits: SpoolLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._file: SpoolFile | None = None
        self._owed: OrderedDict[str, bytes] = OrderedDict()  # request_id -> closing
        self._intents: dict[str, bytes] = {}  # of calls under way
        self._size_bytes = 0
        self._writes: list[_Write] = []
        self._writing = False
        self._writer = TaskOwner("spool", 2)  # one that ends, one that begins

    async def __aenter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = await asyncio.to_thread(SpoolFile.create, self._folder)
        except OSError as error:
            message = f"the spool's folder {self._folder} cannot be written: {error.strerror}"
            raise MeshError(Code.FAILED_PRECONDITION, "SPOOL_FAILED", message) from error
        await self.adopt()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writer.drain(5.0)
        assert self._file is not None
        if self._owed or self._intents:
            log.warning("calls stay in the spool", count=self.count)
            self._file.close()
        else:
            self._file.remove()

    @property
    def count(self) -> int:
        """Records that wait."""
        return len(self._owed) + len(self._intents)

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return self._size_bytes

    def intended(self, request_id: str) -> bool:
        """Whether this call was let through without a hold, and is under way."""
        return request_id in self._intents

    async def intend(self, estimate: pb.SettleSpendRequest) -> None:
        """Before a provider is asked without a hold: what the call is billed if nobody says more.

        Raises RESOURCE_EXHAUSTED/SPOOL_FULL and UNAVAILABLE/SPOOL_FAILED.
        """
        payload = pb.CloseSpend(settle=estimate).SerializeToString()
        await self._write(
            [Record(Kind.INTENT, payload)],
            lambda: self._intents.__setitem__(estimate.request_id, payload),
            room_bytes=(len(self._intents) + 1) * CLOSING_BYTES,
        )

    async def keep(self, items: Sequence[pb.CloseSpend]) -> None:
        """Closings to be posted later. Raises as `intend`."""
        closings: dict[str, bytes] = {}
        room_bytes = len(self._intents) * CLOSING_BYTES
        for item in items:
            request_id = item.settle.request_id or item.void.request_id
            if self.intended(request_id):
                room_bytes = 0  # theirs is kept free
                if item.HasField("settle"):
                    item.settle.offline = True
            closings[request_id] = item.SerializeToString()

        def apply() -> None:
            for request_id, payload in closings.items():
                self._intents.pop(request_id, None)
                self._owed[request_id] = payload

        records = [Record(Kind.CLOSING, payload) for payload in closings.values()]
        await self._write(records, apply, room_bytes)

    def owed(self, count_max: int) -> list[tuple[str, pb.CloseSpend]]:
        """The oldest closings."""
        first = islice(self._owed.items(), count_max)
        return [(request_id, pb.CloseSpend.FromString(payload)) for request_id, payload in first]

    async def posted(self, request_ids: Sequence[str]) -> None:
        """These have been posted; the file is emptied when nothing else is in it."""
        for request_id in request_ids:
            self._owed.pop(request_id, None)
        if self.count == 0 and not self._writing and self._size_bytes:
            assert self._file is not None
            self._size_bytes = 0
            self._file.clear()

    async def refuse(self, item: pb.CloseSpend, error: pb.CloseSpendError) -> None:
        """Sets aside what the ledger will never take, for a person to look at."""
        line = dumps({"error": f"{error.reason}: {error.message}", "item": MessageToDict(item)}) + b"\n"
        await asyncio.to_thread(_append_line, self._folder / REFUSED_FILE, line)

    async def adopt(self) -> int:
        """Takes over what dead processes left; returns how many records it took."""
        assert self._file is not None
        taken = 0
        for path in await asyncio.to_thread(orphans, self._folder, self._file.path):
            orphan = None
            try:
                orphan = await asyncio.to_thread(SpoolFile.adopt, path)
                if orphan is not None:
                    taken += await self._take_over(orphan)
            except (MeshError, OSError) as error:  # one file is no reason not to start
                log.error("a spool cannot be taken over", file=path.name, error=str(error))
                if orphan is not None:
                    orphan.close()
        return taken

    async def _take_over(self, orphan: SpoolFile) -> int:
        records, lost_bytes = records_in(await asyncio.to_thread(orphan.read))
        if lost_bytes:
            log.warning("a spool has a torn or damaged record", file=orphan.path.name, bytes=lost_bytes)
        last: dict[str, bytes] = {}
        closed: set[str] = set()
        for record in records:
            item = pb.CloseSpend.FromString(record.payload)
            request_id = item.settle.request_id or item.void.request_id
            if record.kind is Kind.CLOSING:
                closed.add(request_id)
            elif request_id in closed:
                continue
            last[request_id] = record.payload
        if last:
            taken = [Record(Kind.CLOSING, payload) for payload in last.values()]
            await self._write(taken, lambda: self._owed.update(last))
            log.info("a spool is taken over", file=orphan.path.name, count=len(last))
        await asyncio.to_thread(orphan.remove)
        return len(last)

    async def _write(self, records: Sequence[Record], apply: Callable[[], None], room_bytes: int = 0) -> None:
        """Goes with whatever waits while one write is under way: one fsync for all of them."""
        data = b"".join(framed(record) for record in records)
        if self._size_bytes + len(data) + room_bytes > self._limits.size_bytes_max:
            raise MeshError(
                Code.RESOURCE_EXHAUSTED,
                "SPOOL_FULL",
                f"{self._limits.size_bytes_max} bytes of calls wait for the ledger already",
            )
        write = _Write(data, apply, asyncio.get_running_loop().create_future())
        self._writes.append(write)
        self._size_bytes += len(data)
        if not self._writing:
            self._writing = True
            self._writer.start(self._write_all(), "writer")
        await asyncio.shield(write.done)

    async def _write_all(self) -> None:
        assert self._file is not None
        while self._writes:
            batch, self._writes = self._writes, []
            try:
                await asyncio.to_thread(self._file.append, b"".join(write.data for write in batch))
            except OSError as error:
                self._size_bytes -= sum(len(write.data) for write in batch)
                log.error("the spool cannot be written", error=error.strerror)
                for write in batch:
                    failure = MeshError(Code.UNAVAILABLE, "SPOOL_FAILED", "the spool cannot be written")
                    write.done.set_exception(failure)
                    write.done.exception()  # whoever waited for it may be gone
                continue
            for write in batch:
                write.apply()
                write.done.set_result(None)
        self._writing = False


def _append_line(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)

"""The spool: what is kept is on disk, survives its writer, and is posted exactly once in effect."""

import asyncio
import errno
import random
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.money.spool import CLOSING_BYTES, REFUSED_FILE, Spool, SpoolLimits
from meshgate_edge.money.spool_file import Kind, Record, SpoolFile, framed, records_in
from meshgate_edge.money.spool_replay import ADOPT_ROUNDS, SpoolReplay
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.unit.edge.closing_stand_in import ClosingStandIn, away


def settle(request_id: str, completion_tokens: int = 1) -> pb.CloseSpend:
    tokens = pb.TokenCounts(prompt_tokens=1, completion_tokens=completion_tokens)
    return pb.CloseSpend(settle=pb.SettleSpendRequest(request_id=request_id, tokens=tokens))


def intent(request_id: str) -> pb.SettleSpendRequest:
    return pb.SettleSpendRequest(request_id=request_id, estimated=True, offline=True)


def spool_in(folder: Path, size_bytes_max: int = 10 * CLOSING_BYTES) -> Spool:
    return Spool(folder, SpoolLimits(size_bytes_max))


def replay_of(spool: Spool, ledger: ClosingStandIn) -> SpoolReplay:
    ledger.gate.set()
    return SpoolReplay(spool, LedgerServiceClient(ledger), ManualClock(), CollectorRegistry())


async def died(folder: Path, *steps: pb.CloseSpend | pb.SettleSpendRequest) -> None:
    """A process that did this and died: its lock is gone, its file is there."""
    spool = spool_in(folder)
    await spool.__aenter__()
    for step in steps:
        if isinstance(step, pb.CloseSpend):
            await spool.keep([step])
        else:
            await spool.intend(step)
    assert spool._file is not None
    spool._file.close()


async def test_what_a_dead_process_kept_is_posted_by_the_next(tmp_path: Path) -> None:
    """Closings as they were; a call that never came to one as it was intended. Then the folder is empty."""
    await died(tmp_path, settle("a", 7), intent("b"), intent("c"), settle("c", 9))
    ledger = ClosingStandIn()
    async with spool_in(tmp_path) as spool:
        owed = dict(spool.owed(10))
        assert {"a", "b", "c"} == set(owed)
        assert 9 == owed["c"].settle.tokens.completion_tokens
        assert owed["c"].settle.offline
        assert owed["b"].settle.estimated
        assert 3 == await replay_of(spool, ledger).replay()
        assert (0, 0) == (spool.count, spool.size_bytes)
    assert ["a", "b", "c"] == sorted(ledger.closed)
    assert [] == list(tmp_path.iterdir())


async def test_while_the_ledger_is_away_everything_stays(tmp_path: Path) -> None:
    """And is posted in order afterwards; what has to come again comes again."""
    ledger = ClosingStandIn(errors=[away()])
    ledger.refused["b"] = [MeshError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "no")]
    async with spool_in(tmp_path) as spool:
        await spool.keep([settle("a"), settle("b")])
        replay = replay_of(spool, ledger)
        with pytest.raises(MeshError, match="SERVICE_UNREACHABLE"):
            await replay.replay()
        assert 2 == spool.count
        assert 1 == await replay.replay()
        assert ["b"] == [request_id for request_id, _ in spool.owed(10)]
        assert 1 == await replay.replay()
    assert ["a", "b"] == ledger.closed


async def test_a_call_under_way_is_not_posted_yet(tmp_path: Path) -> None:
    """Its intent waits for its closing, and a sibling does not take a living process's file."""
    async with spool_in(tmp_path) as spool, spool_in(tmp_path) as sibling:
        await spool.intend(intent("a"))
        assert spool.intended("a")
        assert [] == spool.owed(10)
        assert 0 == await sibling.adopt()
        await spool.keep([settle("a")])
        assert not spool.intended("a")
        assert ["a"] == [request_id for request_id, _ in spool.owed(10)]
        await spool.posted(["a"])


async def test_what_the_ledger_never_takes_is_set_aside(tmp_path: Path) -> None:
    """It does not stand in the way of the others, and a person can read it."""
    ledger = ClosingStandIn()
    ledger.refused["bad"] = [MeshError(Code.FAILED_PRECONDITION, "ALREADY_VOIDED", "no")]
    async with spool_in(tmp_path) as spool:
        await spool.keep([settle("bad"), settle("good")])
        await replay_of(spool, ledger).replay()
        assert 0 == spool.count
    assert ["good"] == ledger.closed
    assert "ALREADY_VOIDED" in (tmp_path / REFUSED_FILE).read_text()


async def test_the_spool_is_bounded_and_keeps_room_for_what_it_let_through(tmp_path: Path) -> None:
    """A full spool lets nobody through, and the closings of those inside still fit."""
    async with spool_in(tmp_path, 3 * CLOSING_BYTES) as spool:
        await spool.intend(intent("a"))
        await spool.intend(intent("b"))
        with pytest.raises(MeshError, match="SPOOL_FULL"):
            await spool.intend(intent("c"))
        long = settle("a")
        long.settle.tags.extend(["x" * 256] * 64)
        await spool.keep([long])
        await spool.keep([settle("b")])
        await spool.posted(["a", "b"])
        await spool.intend(intent("c"))
        await spool.keep([settle("c")])
        await spool.posted(["c"])


async def test_a_disk_that_fails_is_told_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is refused, and counts for nothing."""
    async with spool_in(tmp_path) as spool:
        real = SpoolFile.append

        def full(_file: SpoolFile, _data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(SpoolFile, "append", full)
        with pytest.raises(MeshError, match="SPOOL_FAILED"):
            await spool.intend(intent("a"))
        monkeypatch.setattr(SpoolFile, "append", real)
        assert (0, 0) == (spool.count, spool.size_bytes)
        await spool.intend(intent("a"))
        await spool.keep([settle("a")])
        await spool.posted(["a"])


async def test_many_at_a_time_share_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fsync for whatever waits."""
    writes: list[int] = []
    real = SpoolFile.append

    def counted(file: SpoolFile, data: bytes) -> None:
        writes.append(len(data))
        real(file, data)

    monkeypatch.setattr(SpoolFile, "append", counted)
    async with spool_in(tmp_path, 1_000 * CLOSING_BYTES) as spool:
        await asyncio.gather(*(spool.keep([settle(f"r{number}")]) for number in range(200)))
        assert 200 == spool.count
        assert len(writes) <= 3
        await spool.posted([f"r{number}" for number in range(200)])


@pytest.mark.parametrize("seed", range(40))
def test_a_torn_or_damaged_file_loses_only_what_was_hit(seed: int) -> None:
    """A cut loses the last record, a damaged byte one record; everything else is read."""
    dice = random.Random(seed)
    records = [
        Record(dice.choice(list(Kind)), bytes(dice.randrange(256) for _ in range(dice.randrange(60))))
        for _ in range(10)
    ]
    frames = [framed(record) for record in records]
    data = b"".join(frames)
    assert (records, 0) == records_in(data)

    cut = dice.randrange(len(data))
    whole, lost = records_in(data[:cut])
    assert records[: len(whole)] == whole
    assert sum(len(frame) for frame in frames[: len(whole)]) + lost == cut
    assert len(frames[len(whole)]) > lost

    at = dice.randrange(len(data))
    damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
    found, lost = records_in(damaged)
    assert 9 == len(found)
    assert all(record in records for record in found)
    assert lost in {len(frame) for frame in frames}


async def test_a_torn_tail_is_tolerated(tmp_path: Path) -> None:
    """A process that died while it wrote."""
    await died(tmp_path, settle("a"))
    file = next(tmp_path.glob("*.spool"))
    file.write_bytes(file.read_bytes() + framed(Record(Kind.CLOSING, b"x" * 50))[:-7])
    async with spool_in(tmp_path) as spool:
        assert ["a"] == [request_id for request_id, _ in spool.owed(10)]
        await spool.posted(["a"])


async def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """With the folder's name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(MeshError, match=r"SPOOL_FAILED.*file/spool"):
        await spool_in(tmp_path / "file" / "spool").__aenter__()


async def test_a_file_that_cannot_be_taken_over_stops_nothing(tmp_path: Path) -> None:
    """Neither the start nor the posting of all else: one that a sibling removed meanwhile, one that cannot
    be opened."""
    await died(tmp_path, settle("a"))
    (tmp_path / "gone.spool").symlink_to(tmp_path / "nowhere")
    (tmp_path / "unreadable.spool").mkdir()
    ledger, clock = ClosingStandIn(), ManualClock()
    ledger.gate.set()
    async with spool_in(tmp_path) as spool:
        replay = SpoolReplay(spool, LedgerServiceClient(ledger), clock, CollectorRegistry())
        running = asyncio.create_task(replay.run())
        await eventually(lambda: running.done() or len(clock.slept_s) > 3 * ADOPT_ROUNDS, "siblings' files")
        await spool.keep([settle("b")])
        await eventually(lambda: running.done() or spool.count == 0, "everything is posted")
        assert not running.done()
        running.cancel()
        await asyncio.wait([running])
    assert ["a", "b"] == ledger.closed

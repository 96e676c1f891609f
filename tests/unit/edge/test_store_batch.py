"""Answers on their way to the cache: with a lookup when one comes, on their own when none does."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache.store_batch import CARRIED_BYTES_MAX, CARRIED_MAX, StoreBatch
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.rpc import StreamCall, StreamMethod, UnaryCall, UnaryMethod
from tests.support.eventually import eventually


class Cache:
    """Implements rpc.Channel: notes the batches that come by themselves."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.hangs = False

    def unary(self, method: UnaryMethod[Any, Any]) -> UnaryCall[Any, Any]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            self.batches.append([each.cache_key for each in request.stores])
            if self.hangs:
                await asyncio.Event().wait()
            return pb.StoreEntriesResponse(results=[pb.StoreEntryResponse(stored=True)] * len(request.stores))

        return call

    def stream(self, method: StreamMethod[Any, Any]) -> StreamCall[Any, Any]:
        raise NotImplementedError


class Subject:
    """A batch, its cache, and what it said of each store."""

    def __init__(self) -> None:
        self.cache, self.tasks = Cache(), TaskOwner("stores", 10)
        self.told: list[tuple[str, bool]] = []
        self.batch = StoreBatch(CacheServiceClient(self.cache), self.tasks, timeout_s=1.0, waiting_max=100)

    def add(self, key: str, text: str = "x", question: pb.Question | None = None) -> None:
        message = chat.Message(text=text)
        entry = pb.Entry(response=chat.ChatResponse(choices=[chat.Choice(message=message)]))
        request = pb.StoreEntryRequest(cache_key=key, entry=entry, question=question)
        self.batch.add(request, lambda stored: self.told.append((key, stored)))

    def carry(self, *stored: bool) -> list[str]:
        """A lookup, and what the cache says of what it took along."""
        with self.batch.carried() as carried:
            carried.results = [pb.StoreEntryResponse(stored=each) for each in stored]
            return [each.cache_key for each in carried.requests]

    async def drained(self) -> list[list[str]]:
        assert 0 == await self.tasks.drain(5.0)
        return self.cache.batches


async def test_a_lookup_takes_along_what_waits() -> None:
    """In order, once; and who stored it hears what became of it."""
    subject = Subject()
    for key in ("a", "b"):
        subject.add(key)

    assert ["a", "b"] == subject.carry(True, False)
    assert [] == subject.carry()
    assert [("a", True), ("b", False)] == subject.told
    assert [] == await subject.drained()


async def test_what_no_lookup_takes_goes_out_together() -> None:
    """After a moment."""
    subject = Subject()
    for key in ("a", "b"):
        subject.add(key)

    assert [["a", "b"]] == await subject.drained()
    assert [("a", True), ("b", True)] == subject.told


async def test_a_lookup_takes_little() -> None:
    """Few answers, small ones, and none that has to be learned by its meaning."""
    subject = Subject()
    for number in range(CARRIED_MAX + 2):
        subject.add(f"{number}")
    subject.add("large", "x" * CARRIED_BYTES_MAX)
    subject.add("question", question=pb.Question(text="?"))

    assert CARRIED_MAX == len(subject.carry(*[True] * CARRIED_MAX))
    assert ["16", "17"] == subject.carry(True, True)
    assert [] == subject.carry()
    assert [["large", "question"]] == await subject.drained()


async def test_what_a_lost_lookup_took_goes_out_by_itself() -> None:
    """And with no further lookup: that one may be lost as well."""
    subject = Subject()
    subject.add("a")
    with pytest.raises(MeshError), subject.batch.carried() as carried:
        assert 1 == len(carried.requests)
        raise MeshError(Code.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED", "late")
    subject.add("b")

    assert [] == subject.carry()
    assert [["a", "b"]] == await subject.drained()
    assert [("a", True), ("b", True)] == subject.told


async def test_who_waits_hurries_it() -> None:
    """Then it goes out at once: no timer has to end for it."""
    subject = Subject()
    subject.add("a")
    subject.batch.hurry()
    for _ in range(5):
        await asyncio.sleep(0)

    assert [["a"]] == subject.cache.batches


async def test_whoever_waits_is_told_also_when_the_edge_ends() -> None:
    """What was under way is not known to be stored."""
    subject = Subject()
    subject.cache.hangs = True
    subject.add("a")
    subject.batch.hurry()
    await eventually(lambda: subject.cache.batches == [["a"]], "the batch is under way")
    await subject.tasks.drain(0.0)

    assert [("a", False)] == subject.told

"""Lookups leave alone while it is quiet, and together when others are under way."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_edge.cache.lookups import LOOKUPS_MAX, Lookups
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.cache.v1.cache_service_mesh import CacheServiceClient
from meshgate_protos.rpc import StreamCall, StreamMethod, UnaryCall, UnaryMethod


class Cache:
    """Implements rpc.Channel: answers when it is told to; the tenant "bad" gets an error."""

    def __init__(self) -> None:
        self.rpcs: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.batch_may_answer = asyncio.Event()
        self.batch_may_answer.set()
        self.lost = False

    def unary(self, method: UnaryMethod[Any, Any]) -> UnaryCall[Any, Any]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            if isinstance(request, pb.LookupEntryRequest):
                self.rpcs.append([request.tenant_id])
                await self.may_answer.wait()
                return pb.LookupEntryResponse(cache_key=request.tenant_id)
            self.rpcs.append([each.tenant_id for each in request.lookups])
            await self.batch_may_answer.wait()
            if self.lost:
                raise MeshError(Code.UNAVAILABLE, "CONNECTION_LOST", "")
            return pb.LookupEntriesResponse(results=map(result_of, request.lookups))

        return call

    def stream(self, method: StreamMethod[Any, Any]) -> StreamCall[Any, Any]:
        raise NotImplementedError


def result_of(lookup: pb.LookupEntryRequest) -> pb.LookupEntryResult:
    if lookup.tenant_id == "bad":
        return pb.LookupEntryResult(error=pb.LookupEntryError(code=3, reason="FIELD_INVALID"))
    return pb.LookupEntryResult(response=pb.LookupEntryResponse(cache_key=lookup.tenant_id))


class Subject:
    """Lookups, their cache, and what came too late."""

    def __init__(self, timeout_s: float = 5.0) -> None:
        self.cache, self.tasks, self.late = Cache(), TaskOwner("lookups", 100), list[str]()
        self.lookups = Lookups(
            CacheServiceClient(self.cache),
            self.tasks,
            timeout_s,
            lambda lookup, answer: self.late.append(f"{lookup.tenant_id} {answer.cache_key}"),
        )

    async def ask(self, *tenants: str) -> list[str]:
        """All at once; the key of each answer, or the reason of the error."""
        lookups = (self.lookups.look_up(pb.LookupEntryRequest(tenant_id=tenant)) for tenant in tenants)
        results = await asyncio.gather(*lookups, return_exceptions=True)
        return [
            each.reason if isinstance(each, MeshError) else each.cache_key  # type: ignore[union-attr]
            for each in results
        ]


async def asked(subject: Subject, *tenants: str) -> "asyncio.Task[list[str]]":
    """The question is under way."""
    task = asyncio.ensure_future(subject.ask(*tenants))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_a_quiet_cache_is_asked_one_by_one() -> None:
    """Nothing waits."""
    subject = Subject()
    subject.cache.may_answer.set()

    assert ["a"] == await subject.ask("a")
    assert ["b", "c"] == await subject.ask("b", "c")
    assert [["a"], ["b"], ["c"]] == subject.cache.rpcs


async def test_what_finds_others_under_way_leaves_together() -> None:
    """In one RPC when one returns; each gets its own answer, or its own error."""
    subject = Subject()
    task = await asked(subject, "a", "b", "c", "bad", "e")
    assert [["a"], ["b"]] == subject.cache.rpcs
    subject.cache.may_answer.set()

    assert ["a", "b", "c", "FIELD_INVALID", "e"] == await task
    assert [["a"], ["b"], ["c", "bad", "e"]] == subject.cache.rpcs


async def test_a_batch_is_bounded() -> None:
    """The rest leaves in another one."""
    subject = Subject()
    names = [f"{number}" for number in range(2 + LOOKUPS_MAX + 3)]
    task = await asked(subject, *names)
    subject.cache.may_answer.set()

    assert names == await task
    assert [1, 1, LOOKUPS_MAX, 3] == [len(each) for each in subject.cache.rpcs]


async def test_a_lost_batch_is_an_error_to_all_of_it_and_to_nobody_else() -> None:
    """And the next ones leave as ever."""
    subject = Subject()
    subject.cache.lost = True
    task = await asked(subject, "a", "b", "c", "d")
    subject.cache.may_answer.set()

    assert ["a", "b", "CONNECTION_LOST", "CONNECTION_LOST"] == await task
    assert ["e"] == await subject.ask("e")


async def test_an_answer_that_nobody_waits_for_is_told() -> None:
    """It may hold a claim, which has to be given back."""
    subject = Subject()
    subject.cache.batch_may_answer.clear()
    first = await asked(subject, "a", "b")
    leaving = await asked(subject, "c")
    staying = await asked(subject, "d")
    subject.cache.may_answer.set()
    await first
    await asked(subject)
    assert ["c", "d"] == subject.cache.rpcs[-1]
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    subject.cache.batch_may_answer.set()

    assert ["d"] == await staying
    await subject.tasks.drain(5.0)
    assert ["c c"] == subject.late


async def test_who_waits_too_long_has_a_miss() -> None:
    """In its own time, whatever the others do."""
    subject = Subject(timeout_s=0.05)
    first = await asked(subject, "a", "b")

    assert ["RPC_DEADLINE_EXCEEDED"] == await subject.ask("c")
    subject.cache.may_answer.set()
    await first

"""Reservations: alone while it is quiet, together when it is not, each with a fate of its own."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from meshgate_chassis.deadline import deadline_scope, remaining_s
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.money.reservations import ReservationLimits, Reservations
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod
from tests.support.eventually import eventually

TIMEOUT_S = 20.0


@dataclass
class Ledger:
    """Implements meshgate_protos.rpc.Channel. `gate`: RPCs wait until it is set. `errors`: of whole RPCs, the
    next first. `refused`: request_id -> the error of its decision. `old`: knows no batches."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    errors: list[MeshError] = field(default_factory=list)
    refused: dict[str, MeshError] = field(default_factory=dict)
    old: bool = False
    asked: list[list[str]] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    left_s: list[float | None] = field(default_factory=list)
    traces: list[trace.SpanContext] = field(default_factory=list)

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        answer: Any = getattr(self, f"_{method.path.rpartition('/')[2]}", None)

        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            assert timeout_s is not None
            self.left_s.append(remaining_s())
            self.traces.append(trace.get_current_span().get_span_context())
            return await answer(request)

        return call

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]:
        def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> AsyncGenerator[Any, None]:
            raise NotImplementedError

        return call

    async def _ReserveSpend(self, request: pb.ReserveSpendRequest) -> pb.ReserveSpendResponse:
        await self._arrive([request.request_id])
        if request.request_id in self.refused:
            raise self.refused[request.request_id]
        return self._decide(request)

    async def _ReserveSpends(self, request: pb.ReserveSpendsRequest) -> pb.ReserveSpendsResponse:
        await self._arrive([item.request_id for item in request.items])
        if self.old:
            raise MeshError(Code.UNIMPLEMENTED, "RPC_UNIMPLEMENTED", "unknown method")
        return pb.ReserveSpendsResponse(results=[self._result(item) for item in request.items])

    async def _arrive(self, request_ids: list[str]) -> None:
        self.asked.append(request_ids)
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)

    def _result(self, item: pb.ReserveSpendRequest) -> pb.ReserveSpendResult:
        error = self.refused.get(item.request_id)
        if error is None:
            return pb.ReserveSpendResult(decided=self._decide(item))
        told = pb.ReserveSpendError(
            code=error.code.value, reason=error.reason, message=error.message, fields=error.fields
        )
        return pb.ReserveSpendResult(error=told)

    def _decide(self, request: pb.ReserveSpendRequest) -> pb.ReserveSpendResponse:
        self.decided.append(request.request_id)
        return pb.ReserveSpendResponse(decision=pb.DECISION_GRANTED, resolved_model=request.request_id)


def subject(ledger: Ledger, *, wait_s_max: float = 3_600.0, **limits: int) -> Reservations:
    return Reservations(LedgerServiceClient(ledger), ReservationLimits(wait_s_max=wait_s_max, **limits))


async def ask(reservations: Reservations, name: str, timeout_s: float = TIMEOUT_S) -> str:
    """The name as it comes back."""
    answer = await reservations.reserve(pb.ReserveSpendRequest(request_id=name), timeout_s)
    return answer.resolved_model


async def start(reservations: Reservations, *names: str) -> list["asyncio.Task[str]"]:
    """Each has asked, or waits."""
    tasks = [asyncio.create_task(ask(reservations, name)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_nothing_waits_for_company() -> None:
    """As many as there are free RPCs leave alone, within their own call's deadline."""
    ledger = Ledger()
    reservations = subject(ledger, rpcs_free=2)
    with deadline_scope(7.0):
        tasks = await start(reservations, "a", "b")
        await eventually(lambda: len(ledger.asked) == 2, "both have left")
    ledger.gate.set()

    assert ["a", "b"] == await asyncio.gather(*tasks)
    assert [["a"], ["b"]] == ledger.asked
    assert all(left_s is not None and left_s <= 7.0 for left_s in ledger.left_s)


async def test_what_waits_goes_together() -> None:
    """In the order in which it came, at most `items_max` at a time; everybody gets their own answer."""
    ledger = Ledger()
    reservations = subject(ledger, rpcs_free=2, items_max=10)
    names = [f"r{number}" for number in range(27)]
    with deadline_scope(7.0):
        tasks = await start(reservations, *names)
    before = [*ledger.asked]
    ledger.gate.set()

    assert names == await asyncio.gather(*tasks)
    assert [["r0"], ["r1"]] == before
    assert [names[2:12], names[12:22], names[22:]] == ledger.asked[2:]
    assert [None] * 3 == ledger.left_s[2:], "a batch has nobody's deadline around it"
    assert names == sorted(ledger.decided, key=names.index)


async def test_a_refused_one_harms_nobody() -> None:
    """Its error is as it would be from an RPC of its own."""
    bad = MeshError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "no", fields={"tags": "no"})
    ledger = Ledger(refused={"bad": bad})
    reservations = subject(ledger)
    tasks = await start(reservations, "a", "b", "c", "bad", "d")
    ledger.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    error = results.pop(3)
    assert ["a", "b", "c", "d"] == results
    assert isinstance(error, MeshError)
    assert (Code.INVALID_ARGUMENT, "FIELD_INVALID", {"tags": "no"}, "ledger.meshgate") == (
        error.code,
        error.reason,
        error.fields,
        error.domain,
    )


async def test_a_lost_batch_is_lost_for_each_of_it() -> None:
    """Each has an error of its own to raise; those that come later are not touched."""
    ledger = Ledger()
    reservations = subject(ledger, rpcs_free=1)
    tasks = await start(reservations, "a", "b", "c")
    ledger.gate.set()
    ledger.errors = [MeshError(Code.UNAVAILABLE, "CONNECTION_LOST", "lost")] * 2
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert ["CONNECTION_LOST"] * 3 == [isinstance(each, MeshError) and each.reason for each in results]
    assert 3 == len({id(each) for each in results})
    assert "later" == await ask(reservations, "later")


async def test_who_goes_away_leaves_the_others_alone() -> None:
    """While it waits it is not sent at all; once it is sent only its own answer is dropped."""
    ledger = Ledger()
    reservations = subject(ledger, rpcs_free=1)
    first, waits, gone, stays = await start(reservations, "first", "waits", "gone", "stays")
    waits.cancel()
    gate_of_first, ledger.gate = ledger.gate, asyncio.Event()
    gate_of_first.set()
    await eventually(lambda: len(ledger.asked) == 2, "the next RPC is under way")
    gone.cancel()
    await asyncio.sleep(0)
    ledger.gate.set()

    assert ("first", "stays") == (await first, await stays)
    assert [["first"], ["gone", "stays"]] == ledger.asked
    assert gone.cancelled()
    assert waits.cancelled()


async def test_a_ledger_that_hangs_holds_nobody_up() -> None:
    """What waits leaves after a while even if nothing returns; each gives up at its own deadline."""
    ledger = Ledger()
    reservations = subject(ledger, wait_s_max=0.01, rpcs_free=1, rpcs_max=2)
    await start(reservations, "hangs")
    late = asyncio.create_task(ask(reservations, "late", timeout_s=0.2))
    tasks = await start(reservations, "b", "c")
    await eventually(lambda: len(ledger.asked) == 2, "the others have left without waiting for it")
    unsent = asyncio.create_task(ask(reservations, "unsent", timeout_s=0.05))
    errors = await asyncio.gather(late, unsent, return_exceptions=True)
    ledger.gate.set()

    assert [["hangs"], ["late", "b", "c"]] == ledger.asked[:2]
    assert ["b", "c"] == await asyncio.gather(*tasks)
    assert ["RPC_DEADLINE_EXCEEDED", "SERVICE_UNREACHABLE"] == [
        isinstance(error, MeshError) and error.reason for error in errors
    ], "what may have arrived is told apart from what was certainly not sent"
    assert "unsent" not in ledger.decided


async def test_what_waits_is_bounded() -> None:
    """RESOURCE_EXHAUSTED/QUEUE_FULL, at once."""
    ledger = Ledger()
    reservations = subject(ledger, rpcs_free=1, waiting_max=2)
    tasks = await start(reservations, "a", "b", "c")
    with pytest.raises(MeshError) as caught:
        await ask(reservations, "d")
    ledger.gate.set()

    assert "QUEUE_FULL" == caught.value.reason
    assert ["a", "b", "c"] == await asyncio.gather(*tasks)


async def test_traced_calls_share_an_rpc() -> None:
    """It is in the trace of the first that is sampled; the other sampled ones have a link to that."""
    ledger, tracer = Ledger(), TracerProvider().get_tracer("test")
    reservations = subject(ledger, rpcs_free=1)
    tasks = await start(reservations, "a", "b")
    first, second = tracer.start_span("first"), tracer.start_span("second")
    unsampled = trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=True))
    for name, span in (("first", first), ("second", second), ("unsampled", unsampled)):
        with trace.use_span(span):
            tasks += await start(reservations, name)
    ledger.gate.set()

    assert ["a", "b", "first", "second", "unsampled"] == await asyncio.gather(*tasks)
    assert [["a"], ["b", "first", "second", "unsampled"]] == ledger.asked
    assert [trace.INVALID_SPAN.get_span_context(), first.get_span_context()] == ledger.traces
    assert [[], [first.get_span_context()]] == [links_of(span) for span in (first, second)]


def links_of(span: trace.Span) -> list[trace.SpanContext]:
    assert isinstance(span, ReadableSpan)
    return [link.context for link in span.links]


async def test_an_older_ledger_is_asked_one_by_one() -> None:
    """While a release is rolled out."""
    ledger = Ledger(old=True, refused={"c": MeshError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "no")})
    reservations = subject(ledger, rpcs_free=1)
    tasks = await start(reservations, "a", "b", "c")
    ledger.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert ["a", "b"] == results[:2]
    assert isinstance(results[2], MeshError)
    assert "FIELD_INVALID" == results[2].reason

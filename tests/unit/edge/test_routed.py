"""The router's stream at the edge: what came in one message counts as if it had come in several."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import Chunks, Started
from meshgate_edge.money.continuation import broken_leg
from meshgate_edge.money.top_up import TopUps
from meshgate_edge.routed import RoutedStream
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.router.v1 import router_service_pb2 as pb
from tests.unit.edge.test_top_up import COUNTER, Stream, chunks, granted

SERVED_BY = pb.ServedBy(deployment_id="d", model_group="gpt", provider="openai", upstream_model="gpt-4o")


def whole_answer(count: int) -> pb.StreamChatResponse:
    """All of it in one message: Started, `count` chunks of a token each, and the end."""
    usage = chat_pb.Usage(prompt_tokens=10, completion_tokens=77)
    finished = pb.Finished(usage=usage, finish_reason="stop")
    return pb.StreamChatResponse(
        started=pb.Started(served_by=SERVED_BY, chunks=chunks(count), finished=finished)
    )


def routed(stream: Stream, *messages: pb.StreamChatResponse) -> AsyncGenerator[Started | Chunks, None]:
    stream.run.chunks = ChunkAccumulator()
    top_ups = TopUps(LedgerServiceClient(stream.ledger), stream.tasks, stream.clock, 1.0)

    async def of_router() -> AsyncGenerator[pb.StreamChatResponse, None]:
        for message in messages:
            yield message

    return RoutedStream(stream.run, top_ups, COUNTER, stream.clock).events(of_router())


def broken_leg_of(stream: Stream, text: str) -> pb.Leg:
    """The call until now, after it sent `text`."""
    stream.run.chunks = ChunkAccumulator()
    delta = chat_pb.ChoiceDelta(delta=chat_pb.MessageDelta(content=text))
    stream.run.chunks.add(chat_pb.ChatChunk(choices=[delta]))
    return broken_leg(stream.run)


def received(stream: Stream) -> int:
    """Words that are kept for the bill."""
    assert stream.run.chunks is not None
    response = stream.run.chunks.response()
    return len(response.choices[0].message.text.split()) if response.choices else 0


async def test_one_message_is_a_whole_answer() -> None:
    """Started, its chunks, and the provider's usage for the bill."""
    stream = Stream(covered=100, max_tokens=100)
    events = [event async for event in routed(stream, whole_answer(3))]

    assert [Started, Chunks] == [type(event) for event in events]
    assert 3 == received(stream)
    assert stream.run.usage is not None
    assert 77 == stream.run.usage.completion_tokens


@pytest.mark.parametrize("leaves_at", [Started, Chunks])
async def test_who_leaves_pays_for_what_has_arrived(leaves_at: type) -> None:
    """Also for what it was not shown, because its provider has sent it."""
    stream = Stream(covered=100, max_tokens=100)
    async with aclosing(routed(stream, whole_answer(3))) as events:
        async for event in events:
            if isinstance(event, leaves_at):
                break

    assert 3 == received(stream)
    assert stream.run.usage is not None


async def test_no_end_is_believed_beyond_what_is_paid_for() -> None:
    """The money ends within the message: what it pays for is shown and billed, not what came behind it."""
    stream = Stream(covered=5)
    stream.ledger.granted = [granted(5, all_of_it=False)]
    events = routed(stream, whole_answer(9))
    assert isinstance(await anext(events), Started)
    shown = await anext(events)
    with pytest.raises(MeshError) as caught:
        await anext(events)
    await stream.tasks.drain(1.0)

    assert isinstance(shown, Chunks)
    assert (Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED") == (caught.value.code, caught.value.reason)
    assert 0 < received(stream) == len(shown.chunks) < 9
    assert stream.run.usage is None


async def test_an_answer_that_goes_on_starts_once() -> None:
    """Another call went on with it; the hold is raised for its prompt, which has what was sent."""
    stream = Stream(covered=5, max_tokens=20)
    leg = broken_leg_of(stream, " word word word")
    stream.run.first_token_ns = 1
    stream.run.breaks_off(leg)
    events = [event async for event in routed(stream, whole_answer(9))]
    await stream.tasks.drain(1.0)
    (request, *_) = stream.ledger.top_ups

    assert [Chunks] == [type(event) for event in events]
    assert stream.run.broken is None
    assert [leg] == list(stream.run.legs)
    assert (13, 17, 3) == (
        request.prompt_tokens,
        request.output_tokens,
        request.legs[0].tokens.completion_tokens,
    )


async def test_without_its_end_an_answer_is_broken() -> None:
    """Chunks that came with Started are no whole answer."""
    message = whole_answer(3)
    message.started.ClearField("finished")
    with pytest.raises(MeshError) as caught:
        _ = [event async for event in routed(Stream(covered=100, max_tokens=100), message)]

    assert "PROVIDER_STREAM_BROKEN" == caught.value.reason

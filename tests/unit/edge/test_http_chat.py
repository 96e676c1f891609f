"""Chat completions over a real socket: JSON, server-sent events, errors, and clients that go away."""

import asyncio
import json
from typing import Any

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.protocol import HttpLimits
from tests.support.eventually import eventually
from tests.support.raw_http import connect, request_bytes
from tests.unit.edge.rim import BEARER, CHAT, QUESTION, RESPONSE, Rim, ScriptedPipeline, chunk_json, serving

COST = {"input_cost": 0.000025, "output_cost": 0.0002, "total_cost": 0.000225}
STREAMED = QUESTION | {"stream": True}
BROKEN = MeshError(Code.UNAVAILABLE, "PROVIDER_STREAM_BROKEN", "the provider hung up")


def events(body: bytes) -> list[Any]:
    """The data of server-sent events; [DONE] as that text."""
    texts = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


@pytest.mark.parametrize("path", [CHAT, "/chat/completions"])
async def test_an_answer_is_openais_with_its_cost(rim: Rim, path: str) -> None:
    """The provider's answer as it was, and what it cost."""
    answer = await rim.ask("POST", path, QUESTION)

    assert 200 == answer.status
    assert RESPONSE | {"cost": COST} == answer.json()
    assert "application/json" == answer.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    ["/engines/vendor/model-1/chat/completions", "/openai/deployments/vendor/model-1/chat/completions"],
)
async def test_a_model_in_the_path_counts(rim: Rim, path: str) -> None:
    """Azure's way to name a model; ids may hold slashes."""
    await rim.ask("POST", path, {"messages": QUESTION["messages"]})

    assert ["vendor/model-1"] == [call.request.model for call in rim.pipeline.calls]


async def test_headers_tell_what_happened(rim: Rim) -> None:
    """LiteLLM's names."""
    headers = (await rim.ask("POST", CHAT, QUESTION)).headers

    told = {name: value for name, value in headers.items() if name.startswith("x-")}
    assert {
        "x-litellm-call-id": "call-1",
        "x-litellm-version": "0.0.1",
        "x-litellm-model-id": "deployment-1",
        "x-litellm-model-group": "gpt",
        "x-litellm-model-name": "openai/gpt-4o",
        "x-litellm-attempted-retries": "0",
        "x-litellm-attempted-fallbacks": "0",
        "x-cache-status": "MISS",
        "x-litellm-response-cost": "0.000225",
        "x-litellm-response-cost-input": "2.5e-05",
        "x-litellm-response-cost-output": "0.0002",
    } == told


async def test_gateway_members_do_not_reach_the_provider(rim: Rim) -> None:
    """They become options; members that nobody knows stay."""
    await rim.ask("POST", CHAT, QUESTION | {"num_retries": 1, "metadata": {"tags": ["a"]}, "new_member": 7})

    call = rim.pipeline.calls[0]
    assert (1, ("a",)) == (call.options.num_retries, call.options.tags)
    assert {"new_member": 7} == json.loads(call.request.extra_json)


async def test_a_call_has_a_deadline(rim: Rim) -> None:
    """So that everything below it has one, too."""
    await rim.ask("POST", CHAT, QUESTION)

    (deadline_s,) = rim.pipeline.deadlines_s
    assert deadline_s is not None
    assert 590 < deadline_s <= 600


async def test_a_stream_is_written_event_by_event(rim: Rim) -> None:
    """What is ready is sent, before the next is."""
    more = asyncio.Event()
    rim.pipeline.script = ("one|two", more, "three")

    async with connect(rim.port) as connection:
        await connection.send(request_bytes("POST", CHAT, STREAMED, BEARER))
        status, headers = await connection.head()
        pieces = connection.chunks()
        first = events(await anext(pieces))
        more.set()
        rest = events(b"".join([piece async for piece in pieces]))

    assert (200, "text/event-stream; charset=utf-8") == (status, headers["content-type"])
    assert ("no-cache", "no") == (headers["cache-control"], headers["x-accel-buffering"])
    assert [chunk_json("one"), chunk_json("two")] == first
    assert [chunk_json("three"), "[DONE]"] == rest


async def test_usage_comes_last_for_those_who_ask(rim: Rim) -> None:
    """One chunk without choices, as OpenAI sends it, with the cost in it."""
    body = STREAMED | {"stream_options": {"include_usage": True}}
    told = events((await rim.ask("POST", CHAT, body)).body)

    usage = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [],
        "usage": RESPONSE["usage"],
        "cost": COST,
    }
    assert [chunk_json("Hi"), usage, "[DONE]"] == told


async def test_usage_is_not_told_to_those_who_do_not_ask(rim: Rim) -> None:
    """A client that does not know the chunk would stumble over its empty choices."""
    body = STREAMED | {"stream_options": {"include_usage": False}}

    assert [chunk_json("Hi"), "[DONE]"] == events((await rim.ask("POST", CHAT, body)).body)


@pytest.mark.parametrize("body", [QUESTION, STREAMED], ids=["whole", "stream"])
async def test_an_error_before_the_first_event_has_its_status(rim: Rim, body: object) -> None:
    """A stream that never began is an ordinary error."""
    rim.pipeline.script = (MeshError(Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", "key over budget"),)
    answer = await rim.ask("POST", CHAT, body)

    assert 429 == answer.status
    assert "budget_exceeded" == answer.error["type"]
    assert "false" == answer.headers["x-should-retry"]
    assert "call-1" == answer.headers["x-litellm-call-id"]


async def test_an_error_inside_a_stream_ends_it_without_done(rim: Rim) -> None:
    """A cut answer never looks whole."""
    rim.pipeline.script = ("Hi", BROKEN)
    answer = await rim.ask("POST", CHAT, STREAMED)
    first, last = events(answer.body)

    assert (200, chunk_json("Hi")) == (answer.status, first)
    assert "502" == last["error"]["code"]


async def test_a_stream_that_just_stops_is_an_error(rim: Rim) -> None:
    """Whatever the pipeline forgets to say."""
    rim.pipeline.ends = False
    told = events((await rim.ask("POST", CHAT, STREAMED)).body)

    assert [chunk_json("Hi")] == told[:1]
    assert "error" in told[1]
    assert 2 == len(told)


@pytest.mark.parametrize("body", [QUESTION, STREAMED], ids=["whole", "stream"])
async def test_a_client_that_leaves_cancels_the_call(rim: Rim, body: object) -> None:
    """At once, in the task that began it, and nothing is left behind."""
    rim.pipeline.script = ("Hi", asyncio.Event())
    async with connect(rim.port) as connection:
        await connection.send(request_bytes("POST", CHAT, body, BEARER))
        await eventually(lambda: rim.pipeline.calls, "the call begins")

    await eventually(lambda: rim.pipeline.cancelled == 1, "the call is cancelled")
    assert 1 == len(rim.pipeline.tasks)


async def test_a_client_that_stops_reading_is_cut_off() -> None:
    """A stalled reader holds a call for a limited time only."""
    pipeline = ScriptedPipeline(script=(*["x" * 1_000_000] * 64, asyncio.Event()))
    async with serving(Rim(pipeline=pipeline, limits=HttpLimits(write_stall_s=0.2))) as rim:
        async with connect(rim.port) as connection:
            connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await connection.send(request_bytes("POST", CHAT, STREAMED, BEARER))
            await eventually(lambda: pipeline.cancelled == 1, "the call is cancelled")
        await rim.no_tasks_left()


async def test_a_connection_serves_many_requests(rim: Rim) -> None:
    """Whole answers, streams and errors alike leave it usable."""
    async with connect(rim.port) as connection:
        statuses = [
            (await connection.request("POST", CHAT, body, BEARER)).status
            for body in (QUESTION, STREAMED, {"model": 1}, STREAMED, QUESTION)
        ]

    assert [200, 200, 400, 200, 200] == statuses


async def test_requests_are_counted_while_they_run(rim: Rim) -> None:
    """The gauge goes up and down again, however the request ends."""
    wait = asyncio.Event()
    rim.pipeline.script = (wait,)

    def under_way() -> float | None:
        return rim.registry.get_sample_value("litellm_in_flight_requests")

    asked = asyncio.ensure_future(rim.ask("POST", CHAT, QUESTION))
    await eventually(lambda: under_way() == 1, "it is counted")
    wait.set()
    await asked
    await rim.ask("POST", CHAT, {})

    assert 0 == under_way()


@pytest.mark.parametrize("body", [QUESTION, STREAMED], ids=["whole", "stream"])
async def test_a_defect_is_a_500_without_detail(rim: Rim, body: object) -> None:
    """What went wrong is for the log."""
    rim.pipeline.script = (ZeroDivisionError("a secret"),)
    answer = await rim.ask("POST", CHAT, body)

    assert (500, "internal_server_error") == (answer.status, answer.error["type"])
    assert b"secret" not in answer.body


async def test_a_defect_inside_a_stream_cuts_it(rim: Rim) -> None:
    """The client sees that the answer has no end."""
    rim.pipeline.script = ("Hi", ZeroDivisionError("a secret"))

    async with connect(rim.port) as connection:
        await connection.send(request_bytes("POST", CHAT, STREAMED, BEARER))
        await connection.head()
        with pytest.raises(asyncio.IncompleteReadError):
            async for _ in connection.chunks():
                pass

"""Each fault as a client meets it, over a real socket."""

import asyncio
import json
import time

import aiohttp
import pytest

from tests.support.demo_provider import DemoProvider
from tests.support.eventually import eventually
from tests.unit.demo.support import CHAT, MESSAGES, chat, data_of, served

BRIEF_S = 0.15  # how long a test listens to a silence


def failing(fault: str, **more: object) -> dict[str, object]:
    return chat(f"Hello demo:fail={fault}", max_tokens=100, **more)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500, 503, 529])
async def test_statuses(client: aiohttp.ClientSession, path: str, status: int) -> None:
    """The status with an error body; Retry-After for 429, and for others when it is asked."""
    async with client.post(path, json=failing(str(status))) as answer:
        body = await answer.json()
    async with client.post(path, json=failing(f"{status}:7")) as later:
        retry_after = later.headers.get("retry-after")

    assert answer.status == status
    assert body["error"]["message"]
    assert ("retry-after" in answer.headers) is (status == 429)
    assert retry_after == "7"


@pytest.mark.parametrize("stream", [False, True])
async def test_hang_before_headers(client: aiohttp.ClientSession, stream: bool) -> None:
    """No byte comes; when the caller leaves, the record says so."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(BRIEF_S):
            await client.post(CHAT, json=failing("hang_before_headers", stream=stream))

    record = (await eventually(lambda: _ended(client), "the disconnect is noticed"))[0]
    assert (record["outcome"], record["status"], record["chunks_sent"]) == ("disconnected", None, 0)


@pytest.mark.parametrize(
    ("fault", "chunks"), [("hang_before_first_chunk", 0), ("stall_mid_stream", 3), ("stall_mid_stream:5", 5)]
)
async def test_stalls(client: aiohttp.ClientSession, fault: str, chunks: int) -> None:
    """Headers and so many chunks, then silence."""
    async with client.post(CHAT, json=failing(fault, stream=True)) as answer:
        received = await _read_for(answer, BRIEF_S)
        assert answer.status == 200
        assert len(data_of(received)) == chunks

    record = (await eventually(lambda: _ended(client), "the disconnect is noticed"))[0]
    assert (record["outcome"], record["chunks_sent"]) == ("disconnected", chunks)


@pytest.mark.parametrize("stream", [False, True])
async def test_cut_mid_stream(client: aiohttp.ClientSession, stream: bool) -> None:
    """What was sent arrives, then the connection ends without the end mark of HTTP."""
    async with client.post(CHAT, json=failing("cut_mid_stream", stream=stream)) as answer:
        received = bytearray()
        with pytest.raises(aiohttp.ClientPayloadError):
            async for data in answer.content.iter_any():
                received += data

    assert answer.status == 200
    assert (len(data_of(bytes(received))) == 3) if stream else (b'"id"' in received)
    assert [one["outcome"] for one in await served(client)] == ["faulted"]


async def test_error_mid_stream(client: aiohttp.ClientSession) -> None:
    """Three chunks, then an error event, then a clean end without [DONE]."""
    async with client.post(CHAT, json=failing("error_mid_stream", stream=True)) as answer:
        chunks = data_of(await answer.read())

    assert ["error" in chunk for chunk in chunks] == [False, False, False, True]


async def test_end_without_finish(client: aiohttp.ClientSession) -> None:
    """HTTP ends well, but nobody said that the answer is complete."""
    async with client.post(CHAT, json=failing("end_without_finish", stream=True)) as answer:
        chunks = data_of(await answer.read())

    assert len(chunks) == 3
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
async def test_malformed_chunk(client: aiohttp.ClientSession, stream: bool) -> None:
    """HTTP is right, the JSON is not; a stream goes on after the broken event."""
    async with client.post(CHAT, json=failing("malformed_chunk:2", stream=stream)) as answer:
        received = await answer.read()

    assert answer.status == 200
    if not stream:
        with pytest.raises(json.JSONDecodeError):
            json.loads(received)
        return
    payloads = [line[6:] for line in received.split(b"\n") if line.startswith(b"data: ")]
    with pytest.raises(json.JSONDecodeError):
        json.loads(payloads[2])
    assert payloads[-1] == b"[DONE]"


async def test_wrong_content_type(client: aiohttp.ClientSession) -> None:
    """200 with a page, as a proxy in between would send it."""
    async with client.post(CHAT, json=failing("wrong_content_type", stream=True)) as answer:
        text = await answer.text()

    assert (answer.status, answer.content_type) == (200, "text/html")
    assert text.startswith("<!doctype html>")


async def test_slow_drip(client: aiohttp.ClientSession) -> None:
    """Every event comes in two halves with a pause between, and is whole in the end."""
    started = time.monotonic()
    async with client.post(
        CHAT, json=failing("slow_drip:0.02", max_completion_tokens=3, stream=True)
    ) as answer:
        chunks = data_of(await answer.read())

    assert chunks[-1] == "[DONE]"
    assert time.monotonic() - started >= 0.02 * len(chunks)


@pytest.mark.parametrize("stream", [False, True])
async def test_huge_answer(client: aiohttp.ClientSession, stream: bool) -> None:
    """As many tokens as asked for, all counted."""
    ask = chat("demo:fail=huge_answer:5000", stream=stream)
    async with client.post(CHAT, json=ask) as answer:
        await answer.read()

    assert [one["tokens_sent"] for one in await served(client)] == [5000]


async def test_close_connection(client: aiohttp.ClientSession) -> None:
    """The connection ends instead of an answer."""
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.post(CHAT, json=failing("close_connection"))

    assert [one["outcome"] for one in await served(client)] == ["faulted"]


async def test_the_header_asks_for_a_fault(client: aiohttp.ClientSession) -> None:
    """x-demo-fault means the same as the directive."""
    async with client.post(CHAT, json=chat(), headers={"x-demo-fault": "503:4"}) as answer:
        assert (answer.status, answer.headers["retry-after"]) == (503, "4")


async def test_planned_faults_are_used_up_in_order(client: aiohttp.ClientSession) -> None:
    """Each as often as its count says, for its model only; then all is well again."""
    planned = {
        "faults": [{"fault": 500, "count": 2}, {"fault": "429", "count": 1}, {"fault": "503@other"}],
    }
    async with client.put("/demo/faults", json=planned) as answer:
        assert answer.status == 200
    statuses = []
    for _ in range(5):
        async with client.post(CHAT, json=chat()) as answer:
            statuses.append(answer.status)
    async with client.post(CHAT, json=chat() | {"model": "other"}) as answer:
        statuses.append(answer.status)
    async with client.delete("/demo/faults") as answer:
        left = await answer.json()

    assert statuses == [500, 500, 429, 200, 200, 503]
    assert left == {"faults": []}


@pytest.mark.parametrize("body", ["{", "[]", '{"fault": "nonsense"}', '{"fault": "429", "count": 0}'])
async def test_a_wrong_fault_is_refused(client: aiohttp.ClientSession, body: str) -> None:
    """A misspelt fault is an error, never a request that quietly succeeds."""
    async with client.put("/demo/faults", data=body) as answer:
        assert answer.status == 400
    async with client.post(CHAT, json=chat("demo:fail=nonsense")) as answer:
        assert "stall_mid_stream" in (await answer.json())["error"]["message"]


async def test_the_record_of_a_disconnect(client: aiohttp.ClientSession, provider: DemoProvider) -> None:
    """How many tokens had left, and when the caller closed: within moments, on the shared clock."""
    ask = chat("demo:tokens=1000 demo:delay=0.02", stream=True)
    before = await served(client)
    async with client.post(CHAT, json=ask, headers={"x-client-request-id": "r-1"}) as answer:
        await answer.content.readline()
        answer.close()
        closed_s = time.monotonic()
    record = (await eventually(lambda: _ended(client), "the disconnect is noticed"))[0]

    assert before == []
    assert record["request_id"] == "r-1"
    assert record["disconnected_s"] == pytest.approx(closed_s, abs=1.0)
    assert record["received_s"] < record["disconnected_s"] <= record["finished_s"]
    assert record["tokens_sent"] < 1000 == record["completion_tokens"]
    assert record["body"]["messages"] == ask["messages"]


async def test_credentials_are_masked(client: aiohttp.ClientSession) -> None:
    """The record shows which key came, never the key."""
    headers = {"authorization": "Bearer sk-very-secret-9876"}
    async with client.post(CHAT, json=chat(), headers=headers) as answer:
        assert answer.status == 200

    record = (await served(client))[0]
    assert record["headers"]["authorization"] == "***9876"


async def _ended(client: aiohttp.ClientSession) -> list[dict[str, object]]:
    return [one for one in await served(client) if one["finished_s"] is not None]


async def _read_for(answer: aiohttp.ClientResponse, duration_s: float) -> bytes:
    received = bytearray()
    try:
        async with asyncio.timeout(duration_s):
            async for data in answer.content.iter_any():
                received += data
    except TimeoutError:
        return bytes(received)
    raise AssertionError("the stream ended instead of stalling")

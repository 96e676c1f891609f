"""Heads of answers leave with what follows them, and never wait for it."""

import asyncio
import socket

import pytest

from tests.support.raw_http import READ_TIMEOUT_S, connect, request_bytes
from tests.unit.edge.rim import BEARER, CHAT, QUESTION, Rim

STREAMED = QUESTION | {"stream": True}
READ_BYTES = 65_536


async def first_read(rim: Rim, body: object) -> bytes:
    """What a client has of an answer when it is woken for the first time."""
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", rim.port)) as client:
        client.setblocking(False)
        await loop.sock_sendall(client, request_bytes("POST", CHAT, body, BEARER))
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await loop.sock_recv(client, READ_BYTES)


async def test_an_answer_is_one_write(rim: Rim) -> None:
    """Head and body together: a client is woken once."""
    head, _, body = (await first_read(rim, QUESTION)).partition(b"\r\n\r\n")

    assert b"content-length: %d" % len(body) in head


async def test_a_stream_begins_with_its_first_chunks(rim: Rim) -> None:
    """They are in the write of the head."""
    rim.pipeline.script = ("first|second", asyncio.Event())
    begun = await first_read(rim, STREAMED)

    assert [True, True] == [text in begun for text in (b'"first"', b'"second"')]


async def test_a_head_does_not_wait_for_a_chunk(rim: Rim) -> None:
    """Who streams knows that it is answered before there is anything to read; then chunks come as usual."""
    goes_on = asyncio.Event()
    rim.pipeline.script = (goes_on, "Hi")
    async with connect(rim.port) as connection:
        await connection.send(request_bytes("POST", CHAT, STREAMED, BEARER))
        status, _ = await connection.head()
        goes_on.set()
        events = b"".join([chunk async for chunk in connection.chunks()])

    assert (200, True) == (status, events.endswith(b"data: [DONE]\n\n"))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_answers_on_one_connection_keep_their_order(rim: Rim, method: str) -> None:
    """Also of requests that were sent together, and of heads that have no body."""
    async with connect(rim.port) as connection:
        together = request_bytes(method, "/health/liveliness") + request_bytes("POST", CHAT, QUESTION, BEARER)
        await connection.send(together)
        first = await connection.answer(head_only=method == "HEAD")
        second = await connection.answer()

    assert ([200, 200], "chat.completion") == ([first.status, second.status], second.json()["object"])


async def test_a_connection_that_closes_has_its_answer(rim: Rim) -> None:
    """The head is not lost with the connection."""
    async with connect(rim.port) as connection:
        answer = await connection.request("POST", CHAT, QUESTION, BEARER | {"connection": "close"})
        closed = await connection.closed()

    assert (200, True) == (answer.status, closed)

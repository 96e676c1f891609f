"""The server inside a loop: addresses, the end of its life, and what it leaves behind."""

import asyncio

import pytest

from meshgate_chassis.clock import SystemClock
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.server import HttpServerOptions, serve_http
from tests.support.eventually import eventually
from tests.support.raw_http import Answer, connect, request_bytes
from tests.unit.edge.rim import BEARER, CHAT, QUESTION, Rim, serving

STREAMED = QUESTION | {"stream": True}


async def stopped(rim: Rim, stop: asyncio.Event) -> None:
    """Serves until told."""
    async with serving(rim):
        await stop.wait()


async def under_way(rim: Rim, body: object) -> "asyncio.Task[Answer]":
    """A request that the pipeline has begun to answer."""
    asked = asyncio.ensure_future(rim.ask("POST", CHAT, body))
    await eventually(lambda: rim.pipeline.calls, "the call begins")
    return asked


async def test_a_taken_port_is_told_by_its_number(rim: Rim) -> None:
    """With what to do about it."""
    options = HttpServerOptions("127.0.0.1", rim.port, 1.0)
    with pytest.raises(MeshError, match=f"127.0.0.1:{rim.port}: the port is taken") as caught:
        async with serve_http(None, options, SystemClock()):  # type: ignore[arg-type]  # it never serves
            pass

    assert (Code.FAILED_PRECONDITION, "ADDRESS_IN_USE") == (caught.value.code, caught.value.reason)


async def test_an_address_of_another_machine_is_refused() -> None:
    """In the system's words."""
    options = HttpServerOptions("192.0.2.1", 0, 1.0)
    with pytest.raises(MeshError, match=r"cannot listen on 192\.0\.2\.1:0") as caught:
        async with serve_http(None, options, SystemClock()):  # type: ignore[arg-type]  # it never serves
            pass

    assert "ADDRESS_INVALID" == caught.value.reason


@pytest.mark.parametrize("body", [QUESTION, STREAMED], ids=["whole", "stream"])
async def test_requests_under_way_finish_within_the_grace(body: object) -> None:
    """A deploy costs no answer; new connections are not taken meanwhile."""
    finish, stop, rim = asyncio.Event(), asyncio.Event(), Rim()
    rim.pipeline.script = ("Hi", finish, "there")
    server = asyncio.ensure_future(stopped(rim, stop))
    await eventually(lambda: rim.port, "it listens")
    asked = await under_way(rim, body)
    stop.set()

    async def refused() -> bool:
        try:
            async with connect(rim.port):
                return False
        except ConnectionError:
            return True

    await eventually(refused, "it takes no connections any more")
    assert not server.done()
    finish.set()
    answer = await asked
    await server

    assert 200 == answer.status
    assert 0 == rim.pipeline.cancelled


@pytest.mark.parametrize("body", [QUESTION, STREAMED], ids=["whole", "stream"])
async def test_requests_beyond_the_grace_are_cancelled(body: object) -> None:
    """And the client sees that its answer has no end."""
    stop, rim = asyncio.Event(), Rim(grace_s=0.05)
    rim.pipeline.script = ("Hi", asyncio.Event())
    server = asyncio.ensure_future(stopped(rim, stop))
    await eventually(lambda: rim.port, "it listens")
    async with connect(rim.port) as connection:
        await connection.send(request_bytes("POST", CHAT, body, BEARER))
        await eventually(lambda: rim.pipeline.calls, "the call begins")
        stop.set()
        await server

        assert 1 == rim.pipeline.cancelled
        assert await connection.closed()
    await rim.no_tasks_left()


async def test_idle_connections_end_with_the_server() -> None:
    """They do not hold up its end."""
    async with serving(Rim()) as rim:
        async with connect(rim.port) as connection:
            await connection.request("GET", "/health/liveliness")
            idle = connection
    async with asyncio.timeout(20):
        assert b"" == await idle.reader.read()


async def test_answers_carry_a_date(rim: Rim) -> None:
    """As every server with a clock owes."""
    assert (await rim.ask("GET", "/")).headers["date"].endswith("GMT")

"""Whatever a client sends: 4xx in OpenAI's format, naming the field, and never a 500."""

import json

import pytest

from meshgate_edge.http.body import BodyLimits
from meshgate_edge.http.protocol import HttpLimits
from tests.support.eventually import eventually
from tests.support.raw_http import connect, request_bytes
from tests.unit.edge.rim import BEARER, CHAT, QUESTION, Rim, serving

MESSAGES = QUESTION["messages"]

BODIES = {
    "empty": (b"", "request_body"),
    "no json": (b"hello", "request_body"),
    "cut json": (b'{"model": "gpt", "messages": [', "request_body"),
    "a list": (b"[]", "request_body"),
    "null": (b"null", "request_body"),
    "a number": (b"1e999", "request_body"),
    "nan": (b'{"model": NaN}', "request_body"),
    "invalid UTF-8": (b'{"model": "\xff\xfe"}', "request_body"),
    "lone surrogate": (b'{"model": "\\ud800", "messages": []}', None),
    "deep": (b'{"model":' + b"[" * 100_000, "request_body"),
    "deep and closed": (b'{"model":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "request_body"),
    "no model": (json.dumps({"messages": MESSAGES}).encode(), "model"),
    "model null": (json.dumps({"model": None, "messages": MESSAGES}).encode(), "model"),
    "model number": (json.dumps({"model": 3, "messages": MESSAGES}).encode(), "model"),
    "model too long": (json.dumps({"model": "x" * 300, "messages": MESSAGES}).encode(), "model"),
    "no messages": (b'{"model": "gpt"}', "messages"),
    "messages empty": (b'{"model": "gpt", "messages": []}', "messages"),
    "messages text": (b'{"model": "gpt", "messages": "hi"}', "messages"),
    "message null": (b'{"model": "gpt", "messages": [null]}', "messages[0]"),
    "no role": (b'{"model": "gpt", "messages": [{"content": "hi"}]}', "messages[0].role"),
    "stream text": (json.dumps(QUESTION | {"stream": "yes"}).encode(), "stream"),
    "temperature text": (json.dumps(QUESTION | {"temperature": "hot"}).encode(), "temperature"),
    "tools object": (json.dumps(QUESTION | {"tools": {}}).encode(), "tools"),
    "max_tokens float": (json.dumps(QUESTION | {"max_tokens": 1.5}).encode(), "max_tokens"),
    "timeout text": (json.dumps(QUESTION | {"timeout": "long"}).encode(), "timeout"),
    "cache text": (json.dumps(QUESTION | {"cache": "no"}).encode(), "cache"),
    "an api_key": (json.dumps(QUESTION | {"api_key": "sk-mine"}).encode(), "api_key"),
}


@pytest.mark.parametrize(("body", "param"), BODIES.values(), ids=BODIES.keys())
async def test_a_bad_body_is_refused_by_its_field(rim: Rim, body: bytes, param: str | None) -> None:
    """400, and the pipeline never hears of it."""
    answer = await rim.ask("POST", CHAT, body)

    assert 400 == answer.status
    assert {"message", "type", "param", "code"} == set(answer.error)
    assert ("invalid_request_error", "400") == (answer.error["type"], answer.error["code"])
    if param is not None:
        assert param == answer.error["param"]
    assert [] == rim.pipeline.calls


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_another_content_type_is_refused(rim: Rim, kind: str) -> None:
    """A browser can send these to any site without asking."""
    answer = await rim.ask("POST", CHAT, QUESTION, BEARER | {"content-type": kind})

    assert (415, "content-type") == (answer.status, answer.error["param"])


@pytest.mark.parametrize(
    "kind", ["", "application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
async def test_json_and_no_content_type_are_taken(rim: Rim, kind: str) -> None:
    """Also what is written in another way."""
    assert 200 == (await rim.ask("POST", CHAT, QUESTION, BEARER | {"content-type": kind})).status


async def test_a_body_that_is_too_large_is_413(rim: Rim) -> None:
    """10 MB, announced: the client sees the answer although it goes on sending, and may ask again."""
    async with connect(rim.port) as connection:
        large = await connection.request("POST", CHAT, b" " * 10_000_000, BEARER)
        next_one = await connection.request("POST", CHAT, QUESTION, BEARER)

    assert (413, "request_body", 200) == (large.status, large.error["param"], next_one.status)


async def test_a_chunked_body_that_is_too_large_is_413(rim: Rim) -> None:
    """Nothing announces it."""
    async with connect(rim.port) as connection:
        head = BEARER | {
            "content-length": "",
            "transfer-encoding": "chunked",
            "content-type": "application/json",
        }
        await connection.send(request_bytes("POST", CHAT, b"", head))
        for _ in range(20):
            await connection.send(b"20000\r\n" + b" " * 0x20000 + b"\r\n")
        answer = await connection.answer()

    assert (413, "request_body") == (answer.status, answer.error["param"])


async def test_a_body_that_does_not_come_is_408() -> None:
    """A slow sender is not waited for without end."""
    async with (
        serving(Rim(body_limits=BodyLimits(1_000, timeout_s=0.1))) as rim,
        connect(rim.port) as connection,
    ):
        await connection.send(request_bytes("POST", CHAT, b"", BEARER | {"content-length": "10"}))
        answer = await connection.answer()

    assert (408, "request_body") == (answer.status, answer.error["param"])


HEADS = {
    "many headers": (b"".join(b"x-%d: 1\r\n" % number for number in range(200)), 431, "headers"),
    "long headers": (b"x: " + b"a" * 40_000 + b"\r\ny: " + b"a" * 40_000 + b"\r\n", 431, "headers"),
    "a header without end": (b"x: " + b"a" * 2_000_000, 431, "headers"),
    "no header": (b"hello\r\n", 400, "request_head"),
    "two lengths": (b"content-length: 1\r\ncontent-length: 2\r\n", 400, "request_head"),
    "length and chunks": (b"content-length: 1\r\ntransfer-encoding: chunked\r\n", 400, "request_head"),
}


@pytest.mark.parametrize(("lines", "status", "param"), HEADS.values(), ids=HEADS.keys())
async def test_a_bad_head_is_refused_and_the_connection_closed(
    rim: Rim, lines: bytes, status: int, param: str
) -> None:
    """Header bombs and smuggling; with JSON although no application saw the request."""
    async with connect(rim.port) as connection:
        await connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n")
        answer = await connection.answer()

        assert (status, param) == (answer.status, answer.error["param"])
        assert "close" == answer.headers["connection"]
        assert b"" == await connection.reader.read()  # an end, not a reset that would lose the answer


async def test_a_client_that_goes_on_sending_after_a_refusal_is_cut_off() -> None:
    """It is listened to for a while, so that it can see the answer, and not longer."""
    async with serving(Rim(limits=HttpLimits(linger_s=0.1))) as rim, connect(rim.port) as connection:
        await connection.send(b"hello\r\n\r\n")
        assert 400 == (await connection.answer()).status

        async def cut_off() -> bool:
            await connection.send(b"more" * 1_000)
            return connection.writer.transport.is_closing()

        await eventually(cut_off, "the server hangs up")


async def test_a_long_url_is_414(rim: Rim) -> None:
    """Also one that never ends."""
    async with connect(rim.port) as connection:
        await connection.send(b"GET /" + b"a" * 100_000)
        answer = await connection.answer()

    assert (414, "url") == (answer.status, answer.error["param"])


async def test_what_is_no_http_is_400(rim: Rim) -> None:
    """TLS to a plain port, for example."""
    async with connect(rim.port) as connection:
        await connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        answer = await connection.answer()

    assert (400, "request_head") == (answer.status, answer.error["param"])


@pytest.mark.parametrize(
    "start", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\nhost"], ids=["nothing", "line ends", "half"]
)
async def test_a_head_that_does_not_come_ends_the_connection(start: bytes) -> None:
    """A slow loris holds a connection for a limited time."""
    async with serving(Rim(limits=HttpLimits(head_timeout_s=0.1))) as rim, connect(rim.port) as connection:
        await connection.send(start)

        assert await connection.closed()


async def test_a_late_head_after_an_answer_ends_the_connection() -> None:
    """The limit holds for every request of a connection."""
    async with serving(Rim(limits=HttpLimits(head_timeout_s=0.1))) as rim, connect(rim.port) as connection:
        await connection.request("GET", "/health/liveliness")
        await connection.send(b"GET / HT")

        assert 408 == (await connection.answer()).status
        assert await connection.closed()


async def test_one_connection_too_many_is_503() -> None:
    """In the same format."""
    async with serving(Rim(limits=HttpLimits(connections_max=1))) as rim, connect(rim.port):
        async with connect(rim.port) as second:
            answer = await second.answer()

    assert (503, "service_unavailable") == (answer.status, answer.error["type"])


async def test_an_upgrade_is_not_taken(rim: Rim) -> None:
    """The request is answered as it is (curl --http2 asks so)."""
    headers = BEARER | {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": "h2c",
        "http2-settings": "AAMAAABk",
    }

    assert 200 == (await rim.ask("POST", CHAT, QUESTION, headers)).status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", CHAT, 405), ("POST", "/nowhere", 404), ("DELETE", "/v1/models", 405), ("GET", "/../etc", 404)],
)
async def test_framework_errors_keep_their_format(rim: Rim, method: str, path: str, status: int) -> None:
    """As LiteLLM's do; and OpenAI's, whose clients show what stands there."""
    answer = await rim.ask(method, path)

    assert status == answer.status
    told = answer.json()
    assert {405: "Method Not Allowed", 404: "Not Found"}[status] == told["detail"]
    assert f"There is no {method} {path} here" in told["error"]["message"]
    assert ("not_found_error", str(status)) == (told["error"]["type"], told["error"]["code"])

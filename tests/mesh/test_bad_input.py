"""Bad input: always 4xx in OpenAI's format naming the field, never a 500, nothing leaked, no call made."""

import asyncio
import json
from typing import Any

import pytest

from tests.mesh.subject import Answer, Subject

HELLO = [{"role": "user", "content": "Hi"}]


def request(**members: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": HELLO, **members}


WRONG = {
    "no model": ({"messages": HELLO}, "model"),
    "model null": (request(model=None), "model"),
    "model number": (request(model=7), "model"),
    "model empty": (request(model=""), "model"),
    "model too long": (request(model="m" * 300), "model"),
    "no messages": ({"model": "demo"}, "messages"),
    "messages empty": (request(messages=[]), "messages"),
    "messages object": (request(messages={}), "messages"),
    "message string": (request(messages=["hi"]), "messages[0]"),
    "role missing": (request(messages=[{"content": "x"}]), "messages[0].role"),
    "content number": (request(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
    "part string": (request(messages=[{"role": "user", "content": ["x"]}]), "messages[0].content[0]"),
    "temperature": (request(temperature="hot"), "temperature"),
    "n string": (request(n="2"), "n"),
    "max_tokens float": (request(max_tokens=1.5), "max_tokens"),
    "stream string": (request(stream="yes"), "stream"),
    "tools object": (request(tools={}), "tools"),
    "tool string": (request(tools=["x"]), "tools[0]"),
    "tool nameless": (request(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
    "cache string": (request(cache="no"), "cache"),
    "cache ttl": (request(cache={"ttl": "long"}), "cache.ttl"),
    "timeout": (request(timeout="soon"), "timeout"),
    "num_retries": (request(num_retries=-1), "num_retries"),
    "fallbacks": (request(fallbacks="demo"), "fallbacks"),
    "compression": (request(compression={"target_ratio": 7}), "compression.target_ratio"),
}


def assert_refused(answer: Answer, param: str | None = None) -> None:
    assert 400 <= answer.status < 500, answer.body
    error = answer.json["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert isinstance(error["code"], str)
    if param is not None:
        assert param == error["param"], error
    for leak in ("Traceback", "sk-provider-secret", "meshgate_", "grpc", '.py"'):
        assert leak not in answer.body.decode()


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_member_is_named(subject: Subject, name: str) -> None:
    """The param is the path of what is wrong."""
    body, param = WRONG[name]

    assert_refused(await subject.post("/v1/chat/completions", body), param)
    assert [] == await subject.served()


BODIES = {
    "empty": b"",
    "malformed": b'{"model": "demo", "messages": [',
    "a list": b"[]",
    "a string": b'"hello"',
    "null": b"null",
    "invalid UTF-8": b'{"model": "\xff\xfe"}',
    "lone surrogate": b'{"model": "demo", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "NaN": b'{"model": "demo", "temperature": NaN}',
    "infinite": b'{"model": "demo", "temperature": 1e999}',
    "deep": b'{"model": "demo", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("name", BODIES)
async def test_what_is_no_json_object_is_refused(subject: Subject, name: str) -> None:
    """With a message a person can use."""
    assert_refused(await subject.post("/v1/chat/completions", BODIES[name]))


async def test_a_body_of_ten_megabytes_is_too_large(subject: Subject) -> None:
    """413, in OpenAI's format."""
    body = request(messages=[{"role": "user", "content": "x" * 10_000_000}])

    answer = await subject.post("/v1/chat/completions", body)

    assert 413 == answer.status
    assert_refused(answer)


async def test_an_unknown_model_is_told(subject: Subject) -> None:
    """With the phrases LiteLLM's and the deployments' clients look for."""
    answer = await subject.ask("Hi", model="no-such-model")

    assert_refused(answer, "model")
    assert 400 == answer.status
    assert "Invalid model name passed in model=no-such-model" in answer.json["error"]["message"]
    assert "Model not found" in answer.json["error"]["message"]
    assert [] == [entry for entry in await subject.entries() if entry["amount_nanos"]]


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer sk-wrong"}, {"authorization": "Bearer wrong"}, {"authorization": "x"}],
)
async def test_a_wrong_credential_is_refused(subject: Subject, headers: dict[str, str]) -> None:
    """401, and the key is not repeated."""
    async with subject.session.post(
        f"{subject.mesh.url}/v1/chat/completions", json=request(), headers=headers
    ) as raw:
        answer = Answer(raw.status, raw.headers, await raw.read())

    assert 401 == answer.status
    assert_refused(answer)
    assert "sk-wrong" not in answer.body.decode()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"x-bomb: " + b"y" * 1_000_000 + b"\r\n", b"431"),
        (b"".join(b"x-%d: y\r\n" % number for number in range(5_000)), b"431"),
    ],
)
async def test_a_header_bomb_is_refused(subject: Subject, head: bytes, status: bytes) -> None:
    """431 as JSON, and the connection ends."""
    host, port = subject.mesh.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + head + b"\r\n"
        )
        received = await reader.read()
    except ConnectionResetError:
        received = b""
    finally:
        writer.close()

    assert received.startswith(b"HTTP/1.1 " + status)
    assert "error" in json.loads(received.split(b"\r\n\r\n", 1)[1])


async def test_the_mesh_still_answers_afterwards(subject: Subject) -> None:
    """Nothing of the above leaves a mark."""
    for body in BODIES.values():
        await subject.post("/v1/chat/completions", body)

    assert 200 == (await subject.ask("Hi")).status

"""The HTTP client's manners, seen from the other side of the socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from meshgate_chassis.config.model import RouterConfig
from meshgate_chassis.errors import MeshError
from meshgate_chassis.telemetry import Telemetry
from meshgate_router.stream import Delta
from meshgate_router.transport import TransportLimits
from tests.support.eventually import eventually
from tests.unit.router.support import SECRET, chat, deployment, router

NO_RETRY = RouterConfig(num_retries=0)
JSON_ANSWER = (
    b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
)
CHUNK = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
LAST_CHUNK = b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'

Script = Callable[["Upstream", asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """A provider that answers each request as its script says, and notes what it sees."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.heads: list[str] = []
        self.answered = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.gone_s: list[float] = []  # when each connection ended, on the loop's clock
        self.port = 0

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.ensure_future(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._requests(reader, writer)
        finally:
            self.gone_s.append(asyncio.get_running_loop().time())
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = next(
                    line for line in head.lower().split("\r\n") if line.startswith("content-length")
                )
                await reader.readexactly(int(length.split(":")[1]))
                await self._script(self, writer)
                self.answered += 1

    @property
    def deployment(self) -> Any:
        return deployment(api_base=f"http://127.0.0.1:{self.port}")


@contextlib.asynccontextmanager
async def upstream(script: Script) -> AsyncIterator[Upstream]:
    subject = Upstream(script)
    server = await asyncio.start_server(subject.connected, "127.0.0.1", 0)
    subject.port = server.sockets[0].getsockname()[1]
    try:
        yield subject
    finally:
        server.close()
        for task in subject.tasks:
            task.cancel()
        await asyncio.gather(*subject.tasks, return_exceptions=True)


def answer(body: bytes = JSON_ANSWER, status: str = "200 OK", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stream_head() -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def piece(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def replies(*parts: bytes) -> Script:
    async def script(seen: Upstream, writer: asyncio.StreamWriter) -> None:
        writer.writelines(parts)
        await writer.drain()

    return script


async def test_redirects_are_not_followed() -> None:
    """A redirect could carry the credential anywhere."""
    async with upstream(replies(answer(b"", "307 Temporary Redirect", "location: /elsewhere"))) as seen:
        async with router([seen.deployment], config=NO_RETRY) as subject:
            with pytest.raises(MeshError) as caught:
                await subject.create(chat())

    assert 1 == len(seen.heads)
    assert ("PROVIDER_ERROR", "502") == (caught.value.reason, caught.value.metadata["http_status"])


async def test_cookies_are_neither_kept_nor_told() -> None:
    """What one client's call sets must not go with another's."""
    async with upstream(replies(answer(JSON_ANSWER, "200 OK", "set-cookie: a=b", "X-Told: yes"))) as seen:
        async with router([seen.deployment], config=NO_RETRY) as subject:
            served = await subject.served(chat())
            await subject.create(chat())

    assert "yes" == served.value.headers["x-told"]
    assert "set-cookie" not in served.value.headers
    assert "cookie" not in seen.heads[1].lower()


async def test_told_headers_are_bounded() -> None:
    """In number and in length."""
    many = [f"x-{number}: {'v' * 2_000}" for number in range(100)]
    async with upstream(replies(answer(JSON_ANSWER, "200 OK", *many))) as seen:
        async with router([seen.deployment], config=NO_RETRY) as subject:
            headers = (await subject.served(chat())).value.headers

    assert 64 == len(headers)
    assert 1_024 == max(map(len, headers.values()))


async def test_connections_are_used_again() -> None:
    """After whole answers, errors and streams, even when a stream's last bytes come late."""

    async def script(seen: Upstream, writer: asyncio.StreamWriter) -> None:
        number = len(seen.heads)
        if number == 1:
            writer.write(answer())
        elif number == 2:
            writer.write(answer(b'{"error":{"message":"no"}}', "400 Bad Request"))
        else:
            writer.write(stream_head() + piece(CHUNK) + piece(LAST_CHUNK) + piece(b"data: [DONE]\n\n"))
            await writer.drain()
            await asyncio.sleep(0.005)
            writer.write(b"0\r\n\r\n")

    async with upstream(script) as seen, router([seen.deployment], config=NO_RETRY) as subject:
        await subject.create(chat())
        with pytest.raises(MeshError):
            await subject.create(chat())
        for _ in range(3):
            assert (await subject.stream(chat())).finished

    assert (5, 1) == (len(seen.heads), len(seen.tasks))


async def test_a_server_that_forgets_to_end_does_not_hold_the_answer() -> None:
    """After [DONE] nothing more is waited for; the connection is closed, for it cannot be used again."""
    script = replies(stream_head(), piece(CHUNK), piece(LAST_CHUNK), piece(b"data: [DONE]\n\n"))
    async with upstream(script) as seen, router([seen.deployment], config=NO_RETRY) as subject:
        assert (await subject.stream(chat())).finished
        await eventually(lambda: seen.gone_s, "the connection is closed")


async def test_chunks_that_come_together_leave_together() -> None:
    """At most 64 in one Delta, in their order; the first one waits for nobody."""
    rest = asyncio.Event()
    numbered = [CHUNK.replace(b"hi", b"%d," % number) for number in range(1, 200)]

    async def script(seen: Upstream, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + piece(CHUNK.replace(b"hi", b"0,")))
        await rest.wait()
        writer.write(
            piece(b"".join(numbered)) + piece(LAST_CHUNK) + piece(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        )

    sizes = []
    text = ""
    async with upstream(script) as seen, router([seen.deployment], config=NO_RETRY) as subject:
        async with contextlib.aclosing(subject.events(chat())) as events:
            async for event in events:
                if isinstance(event, Delta):
                    rest.set()
                    sizes.append(len(event.chunks))
                    text += "".join(chunk.choices[0].delta.content for chunk in event.chunks)

    assert [1, 64, 64, 64, 8] == sizes
    assert "".join(f"{number}," for number in range(200)) == text


async def test_comments_are_no_first_chunk() -> None:
    """A provider that only keeps the connection alive has not answered: the limit is for the first chunk."""

    async def script(seen: Upstream, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        while not writer.is_closing():
            writer.write(piece(b": still thinking\n\n"))
            await writer.drain()
            await asyncio.sleep(0.02)

    async with upstream(script) as seen, router([seen.deployment], config=NO_RETRY) as subject:
        with pytest.raises(MeshError) as caught:
            await subject.stream(chat(), timeout_s=0.3)

    assert ("PROVIDER_TIMEOUT", "1") == (caught.value.reason, caught.value.metadata["upstream_calls"])
    assert "first token did not come within 0.3 s" in caught.value.metadata["provider_message"]


async def test_no_free_connection_is_not_paid_for() -> None:
    """Waiting for a connection until the limit is a timeout of a call that was never sent."""

    async def script(seen: Upstream, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with upstream(script) as seen:
        limits = TransportLimits(connections_max=1)
        async with router([seen.deployment], config=NO_RETRY, limits=limits) as subject:
            holding = asyncio.ensure_future(subject.create(chat()))
            await eventually(lambda: seen.heads, "the first request is there")
            with pytest.raises(MeshError) as caught:
                await subject.create(chat(), timeout_s=0.3)
            holding.cancel()

    assert ("PROVIDER_TIMEOUT", "0") == (caught.value.reason, caught.value.metadata["upstream_calls"])
    assert 1 == len(seen.heads)


@pytest.mark.parametrize("phase", ["headers", "whole", "stream"])
async def test_cancelling_ends_the_provider_s_call(phase: str, record_property: Any) -> None:
    """Whatever the call waits for: the provider sees the connection end at once."""

    async def script(seen: Upstream, writer: asyncio.StreamWriter) -> None:
        if phase == "whole":
            writer.write(answer()[:-20])
        elif phase == "stream":
            writer.write(stream_head() + piece(CHUNK))

    async with upstream(script) as seen, router([seen.deployment], config=NO_RETRY) as subject:
        call = subject.stream(chat()) if phase == "stream" else subject.create(chat())
        task = asyncio.ensure_future(call)
        await eventually(lambda: seen.answered, "the provider has said what it will say")
        start_s = asyncio.get_running_loop().time()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await eventually(lambda: seen.gone_s, "the provider sees the end")

    record_property("cancel_ms", round((seen.gone_s[0] - start_s) * 1_000, 2))
    print(f"cancelled while waiting for {phase}: {(seen.gone_s[0] - start_s) * 1_000:.2f} ms")


async def test_the_trace_goes_on_at_the_provider() -> None:
    """The call has a span of its own, with GenAI's attributes, and the provider gets its id."""
    exporter = InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(tracing)
    body = JSON_ANSWER[:-1] + b',"usage":{"prompt_tokens":3,"completion_tokens":4}}'
    async with upstream(replies(answer(body))) as seen:
        async with router([seen.deployment], config=NO_RETRY, telemetry=telemetry) as subject:
            with telemetry.span("caller"):
                await subject.create(chat())
    spans = {span.name: span for span in exporter.get_finished_spans()}
    call = spans["chat gpt-upstream"]
    traceparent = f"00-{call.context.trace_id:032x}-{call.context.span_id:016x}-"

    assert f"traceparent: {traceparent}" in seen.heads[0].lower()
    assert call.parent is not None
    assert spans["caller"].context.span_id == call.parent.span_id
    assert call.attributes is not None
    assert ("chat", "openai", "gpt-upstream", 3, 4, ("stop",)) == tuple(
        call.attributes[f"gen_ai.{name}"]
        for name in (
            "operation.name",
            "provider.name",
            "request.model",
            "usage.input_tokens",
            "usage.output_tokens",
            "response.finish_reasons",
        )
    )
    assert SECRET not in str(dict(call.attributes))


async def test_a_stream_s_span_lasts_until_its_end() -> None:
    """Also when the stream breaks, which the span then says."""
    for parts, reason in (((LAST_CHUNK, b"data: [DONE]\n\n"), None), ((), "PROVIDER_UNAVAILABLE")):
        exporter = InMemorySpanExporter()
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(exporter))
        script = replies(stream_head(), piece(CHUNK), *map(piece, parts), b"0\r\n\r\n")
        async with upstream(script) as seen:
            async with router([seen.deployment], config=NO_RETRY, telemetry=Telemetry(tracing)) as subject:
                with contextlib.suppress(MeshError):
                    await subject.stream(chat())
        (span,) = exporter.get_finished_spans()

        assert span.attributes is not None
        assert reason == span.attributes.get("meshgate.error_reason")
        assert (reason is None) == ("gen_ai.response.finish_reasons" in span.attributes)

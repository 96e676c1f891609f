"""What grpcio puts on the wire is read, and what is written grpcio reads: real sockets, no server of ours."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from meshgate_chassis.rpc.http2 import frames, values
from meshgate_chassis.rpc.http2.frames import Frame, FrameReader
from meshgate_chassis.rpc.http2.headers import Field, HeaderDecoder, block
from meshgate_chassis.rpc.http2.messages import MessageReader, wrap

METHOD = "/meshgate.test.v1.Test/Do"
LIST_BYTES_MAX = 64 * 1024
MESSAGE_BYTES_MAX = 1_000_000
TEXT = "Budget überschritten: 100 % 你\n"
DETAILS = bytes(range(256))
METADATA = (("x-request-id", "r-1"), ("x-long", "v" * 5_000), ("x-empty", ""), ("x-raw-bin", DETAILS))
TIMEOUT_S = 30.0
CALLS = 4  # the first fills the table of a connection, the others use it

Answer = Callable[[int, bytes], bytes]  # stream id and request to the frames of the answer


class Wire:
    """One connection, taken apart: the lists of headers and the messages in the order they came."""

    def __init__(self) -> None:
        self.header_lists: list[list[Field]] = []
        self.blocks: list[bytes] = []
        self.messages: list[bytes] = []
        self._frames = FrameReader(frames.FRAME_BYTES_MAX_LEAST)
        self._headers = HeaderDecoder(LIST_BYTES_MAX)
        self._block = b""

    def take(self, data: bytes) -> list[Frame]:
        """Reads on; the frames that came."""
        found = self._frames.feed(data)
        for kind, flags, _, payload in found:
            if kind == frames.DATA:
                self.messages += MessageReader(MESSAGE_BYTES_MAX).feed(frames.unpadded(flags, payload))
            elif kind == frames.HEADERS:
                self._block = frames.without_priority(flags, frames.unpadded(flags, payload))
            elif kind == frames.CONTINUATION:
                self._block += payload
            if kind in (frames.HEADERS, frames.CONTINUATION) and flags & frames.END_HEADERS:
                self.blocks.append(self._block)
                self.header_lists.append(self._headers.decode(self._block))
        return found


@asynccontextmanager
async def plain_server(wire: Wire, answer: Answer) -> AsyncIterator[str]:
    """A socket that speaks no more HTTP/2 than settings, pings and one answer to each request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        writers.append(writer)
        assert await reader.readexactly(len(frames.CLIENT_PREFACE)) == frames.CLIENT_PREFACE
        writer.write(frames.settings({frames.SETTINGS_MAX_CONCURRENT_STREAMS: 10}))
        while data := await reader.read(65_536):
            for kind, flags, stream_id, payload in wire.take(data):
                if kind == frames.SETTINGS and not flags & frames.ACK:
                    assert frames.parse_settings(payload)
                    writer.write(frames.SETTINGS_ACK)
                elif kind == frames.PING and not flags & frames.ACK:
                    writer.write(frames.ping(payload, ack=True))
                elif kind == frames.DATA and flags & frames.END_STREAM:
                    writer.write(answer(stream_id, wire.messages[-1]))

    served: list[asyncio.Task[None] | None] = []
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        await asyncio.gather(
            *filter(None, served)
        )  # until the client has closed; what failed there, fails here


def headers(stream_id: int, fields: list[Field], end_stream: bool = False) -> bytes:
    """One list of headers as frames so small that it goes on in others."""
    return frames.headers(stream_id, block(fields), end_stream=end_stream, frame_bytes_max=20)


def echo(stream_id: int, request: bytes) -> bytes:
    """The request, and OK."""
    return b"".join(
        (
            headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")]),
            frames.data(stream_id, wrap(request), end_stream=False),
            headers(stream_id, [("grpc-status", "0"), ("x-raw-bin", values.encode_binary(DETAILS))], True),
        )
    )


def refusal(stream_id: int, request: bytes) -> bytes:
    """Trailers only: a status with its text and details."""
    fields = [
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("grpc-status", "8"),
        ("grpc-message", values.encode_text(TEXT)),
        ("grpc-status-details-bin", values.encode_binary(DETAILS)),
    ]
    return headers(stream_id, fields, True)


async def test_what_a_client_of_grpcio_sends_is_read() -> None:
    """Headers of several calls on one connection, metadata of every kind, time limit and message."""
    wire = Wire()
    async with plain_server(wire, echo) as target, grpc.aio.insecure_channel(target) as channel:
        for number in range(CALLS):
            request = b"request %d" % number
            call = channel.unary_unary(METHOD)(request, timeout=TIMEOUT_S, metadata=METADATA)
            assert await call == request
            assert list(await call.trailing_metadata()) == [("x-raw-bin", DETAILS)]
    assert wire.messages == [b"request %d" % number for number in range(CALLS)]
    assert len(wire.header_lists) == CALLS
    assert len(wire.blocks[1]) < len(wire.blocks[0])  # so the table was used
    for fields in wire.header_lists:
        found = dict(fields)
        assert (found[":method"], found[":scheme"], found[":path"]) == ("POST", "http", METHOD)
        assert (found[":authority"], found["te"]) == (target, "trailers")
        assert found["content-type"] == "application/grpc"
        assert found["user-agent"].startswith("grpc-python-asyncio/")
        assert TIMEOUT_S / 2 < values.decode_timeout(found["grpc-timeout"]) <= TIMEOUT_S + 1
        assert (found["x-request-id"], found["x-long"], found["x-empty"]) == ("r-1", "v" * 5_000, "")
        assert values.decode_binary(found["x-raw-bin"]) == DETAILS


async def test_a_client_of_grpcio_reads_a_status() -> None:
    """Code, text of any characters and binary details arrive as they were given."""
    async with plain_server(Wire(), refusal) as target, grpc.aio.insecure_channel(target) as channel:
        for _ in range(CALLS):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(METHOD)(b"", timeout=TIMEOUT_S)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert caught.value.details() == TEXT
            assert list(caught.value.trailing_metadata()) == [("grpc-status-details-bin", DETAILS)]


async def test_what_a_server_of_grpcio_sends_is_read() -> None:
    """Headers, message and trailers of several calls on one connection; and it reads what is written."""

    async def do(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        seen.append((dict(context.invocation_metadata()), context.time_remaining()))
        if request == b"fail":
            context.set_trailing_metadata((("x-raw-bin", DETAILS),))
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, TEXT)
        return request

    seen: list[tuple[dict[str, object], float]] = []
    handler = grpc.unary_unary_rpc_method_handler(do)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("meshgate.test.v1.Test", {"Do": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    wire = Wire()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(frames.CLIENT_PREFACE + frames.settings({frames.SETTINGS_ENABLE_PUSH: 0}))
        for number in range(CALLS):
            stream_id = 2 * number + 1
            writer.write(request_headers(stream_id))
            writer.write(frames.data(stream_id, wrap(b"fail" if number % 2 else b"fine"), end_stream=True))
            ended = False
            while not ended:
                for kind, flags, of_stream, _ in wire.take(await reader.read(65_536)):
                    if kind == frames.SETTINGS and not flags & frames.ACK:
                        writer.write(frames.SETTINGS_ACK)
                    ended = ended or (of_stream == stream_id and bool(flags & frames.END_STREAM) and kind < 2)
    finally:
        writer.close()
        await writer.wait_closed()
        await server.stop(None)
    answers = [dict(fields) for fields in wire.header_lists]
    assert wire.messages == [b"fine", b"fine"]
    statuses = [found for found in answers if "grpc-status" in found]
    assert [found["grpc-status"] for found in statuses] == ["0", "8", "0", "8"]
    assert {values.decode_text(found.get("grpc-message", "")) for found in statuses} == {"", TEXT}
    assert [values.decode_binary(found["x-raw-bin"]) for found in statuses[1::2]] == [DETAILS] * 2
    for metadata, remaining_s in seen:
        assert (metadata["x-request-id"], metadata["x-long"], metadata["x-empty"]) == ("r-1", "v" * 5_000, "")
        assert metadata["x-raw-bin"] == DETAILS
        assert 0 < remaining_s <= TIMEOUT_S


def request_headers(stream_id: int) -> bytes:
    """What a client sends, in several frames."""
    metadata = [
        (name, value if isinstance(value, str) else values.encode_binary(value)) for name, value in METADATA
    ]
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD),
        (":authority", "test"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", values.encode_timeout(TIMEOUT_S)),
        *metadata,
    ]
    return frames.headers(stream_id, block(fields), end_stream=False, frame_bytes_max=1_000)

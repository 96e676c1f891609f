"""The client to providers speaks HTTP/1.1 as it is spoken: framing, compression, limits, connections."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from meshgate_router.http_pool import address_of
from meshgate_router.providers.base import ErrorKind, ProviderError, UpstreamRequest
from meshgate_router.transport import CallTimeouts, Transport, TransportLimits
from tests.support.eventually import eventually

TIMEOUTS = CallTimeouts(connect_s=5, first_byte_s=5, between_reads_s=5, total_s=20)
LIMITS = TransportLimits()
OK = b"HTTP/1.1 200 OK\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(
    serve: Serve, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Its port."""
    tasks: list[asyncio.Task[None]] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(served(reader, writer)))

    listening = await asyncio.start_server(connected, host, 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def transport(limits: TransportLimits = LIMITS) -> AsyncIterator[Transport]:
    subject = Transport(limits)
    try:
        yield subject
    finally:
        await subject.close()


async def asked(reader: asyncio.StreamReader) -> bytes:
    """The next request's head; its body is read."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0"
    )
    await reader.readexactly(int(length.split(b":")[1]))
    return head


def says(*parts: bytes, ends: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await asked(reader)
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
            if ends:
                return

    return serve


def post(port: int, body: bytes = b"{}", **headers: str) -> UpstreamRequest:
    return UpstreamRequest("POST", f"http://127.0.0.1:{port}/v1/x?y=%20", headers, body)


async def answer_of(subject: Transport, port: int) -> bytes:
    response = await subject.open(post(port), TIMEOUTS)
    try:
        return await response.read_all()
    finally:
        response.close()


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
BODIES = {
    "by length": OK + b"content-length: 5\r\n\r\nhello",
    "chunked": OK + b"transfer-encoding: chunked\r\n\r\n" + chunked(b"he", b"llo"),
    "after a word in between": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    + OK
    + b"content-length: 5\r\n\r\nhello",
    "gzip": OK
    + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(gzip.compress(b"hello"))
    + gzip.compress(b"hello"),
    "deflate": OK
    + b"content-encoding: deflate\r\ntransfer-encoding: chunked\r\n\r\n"
    + chunked(zlib.compress(b"hello")),
    "deflate without its frame": OK
    + b"content-encoding: deflate\r\ntransfer-encoding: chunked\r\n\r\n"
    + chunked(RAW_DEFLATE.compress(b"hello") + RAW_DEFLATE.flush()),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("cut", [0, 1, 7])
async def test_a_body_is_read_as_it_is_framed_and_its_connection_is_used_again(name: str, cut: int) -> None:
    """However the bytes are cut into pieces."""
    text = BODIES[name]
    pieces = [text] if not cut else [text[at : at + cut] for at in range(0, len(text), cut)]
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await asked(reader)
            for each in pieces:
                writer.write(each)
                await asyncio.sleep(0)

    async with server(serve) as port, transport() as subject:
        assert [b"hello"] * 3 == [await answer_of(subject, port) for _ in range(3)]
    assert 1 == connections


async def test_a_body_may_end_with_its_connection() -> None:
    """Without a length: HTTP/1.0 servers and some proxies."""
    async with server(says(OK + b"\r\nhel", b"lo", ends=True)) as port, transport() as subject:
        assert b"hello" == await answer_of(subject, port)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (OK + b"content-length: 50\r\n\r\nhello", ErrorKind.UNAVAILABLE),
        (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", ErrorKind.UNAVAILABLE),
        (OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello", ErrorKind.OTHER),
        (OK + b"content-encoding: br\r\ncontent-length: 5\r\n\r\nhello", ErrorKind.OTHER),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ErrorKind.OTHER),
        (OK + b"x: y\r\n" * 300 + b"\r\n", ErrorKind.OTHER),
        (OK + b"x: " + b"y" * 70_000 + b"\r\n\r\n", ErrorKind.OTHER),
        (OK + b"x: " + b"y" * 700_000, ErrorKind.OTHER),
        (b"", ErrorKind.UNAVAILABLE),
    ],
)
async def test_what_is_not_whole_or_not_http_is_an_error(said: bytes, kind: ErrorKind) -> None:
    """A partial answer never looks whole, and nothing grows without bounds."""
    async with server(says(said, ends=True)) as port, transport() as subject:
        with pytest.raises(ProviderError) as caught:
            await answer_of(subject, port)

    assert (kind, True) == (caught.value.kind, caught.value.sent)


async def test_a_small_body_may_not_unpack_to_a_huge_one() -> None:
    """It is unpacked in pieces, up to the limit."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    limits = replace(LIMITS, response_bytes_max=2_000_000)
    async with server(says(head + bomb)) as port, transport(limits) as subject:
        with pytest.raises(ProviderError, match="exceeds 2000000 bytes"):
            await answer_of(subject, port)


async def test_a_reader_that_waits_stops_the_provider() -> None:
    """What is not read is not received without bounds."""
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await asked(reader)
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with server(serve) as port, transport() as subject:
        response = await subject.open(post(port), TIMEOUTS)
        seen = -1
        while seen != sent:
            seen = sent
            await asyncio.sleep(0.2)
        assert sent < 30_000_000  # the system's own buffers
        assert await response.read_some()
        await eventually(lambda: sent > seen, "it goes on")
        response.close()


async def test_bytes_after_an_answer_end_its_connection() -> None:
    """Nobody's answer begins with what was left of another."""
    async with server(says(OK + b"content-length: 5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n")) as port:
        async with transport() as subject:
            for _ in range(3):
                assert b"hello" == await answer_of(subject, port)
                await asyncio.sleep(0.05)


async def test_an_idle_connection_ends_in_time() -> None:
    """And one that the provider ended is not used."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(OK + b"content-length: 5\r\n\r\nhello")
        assert b"" == await reader.read()
        ended.set()

    async with server(serve) as port, transport(replace(LIMITS, idle_s=0.05)) as subject:
        assert b"hello" == await answer_of(subject, port)
        async with asyncio.timeout(10):
            await ended.wait()
        assert b"hello" == await answer_of(subject, port)


async def test_connections_are_limited_and_their_number_comes_back() -> None:
    """More than the limit wait, and are told so in time; errors give their place back."""
    async with server(says(OK + b"content-length: 5\r\n\r\nhello")) as port:
        async with transport(replace(LIMITS, connections_max=2)) as subject:
            held = [await subject.open(post(port), TIMEOUTS) for _ in range(2)]
            with pytest.raises(ProviderError) as caught:
                await subject.open(post(port), replace(TIMEOUTS, connect_s=0.1))
            assert (ErrorKind.TIMEOUT, False) == (caught.value.kind, caught.value.sent)
            for each in held:
                each.close()
            assert [b"hello"] * 4 == [await answer_of(subject, port) for _ in range(4)]


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:1/a b", {}),
        ("http://127.0.0.1:1/\r\nx: y", {}),
        ("ftp://127.0.0.1/", {}),
        ("http:///v1", {}),
        ("http://127.0.0.1:99999/", {}),
        ("http://127.0.0.1:1/", {"x": "a\r\nb: c"}),
        ("http://127.0.0.1:1/", {"x\nb": "a"}),
    ],
)
async def test_nothing_smuggles_lines_into_a_request(url: str, headers: dict[str, str]) -> None:
    """Refused before anything is sent."""
    async with transport() as subject:
        with pytest.raises(ProviderError) as caught:
            await subject.open(UpstreamRequest("POST", url, headers, b""), TIMEOUTS)

    assert (ErrorKind.OTHER, False) == (caught.value.kind, caught.value.sent)


async def test_a_request_says_what_http_wants() -> None:
    """Host, length, what may come; the request's own headers count."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await asked(reader))
            writer.write(OK + b"content-length: 0\r\n\r\n")

    async with server(serve) as port, transport() as subject:
        (await subject.open(post(port, b"12345", accept="text/plain"), TIMEOUTS)).close()
        request = UpstreamRequest("GET", f"http://me:pass%20word@localhost:{port}", {}, b"")
        (await subject.open(request, TIMEOUTS)).close()

    lines = heads[0].decode().split("\r\n")
    assert "POST /v1/x?y=%20 HTTP/1.1" == lines[0]
    assert {f"host: 127.0.0.1:{port}", "content-length: 5", "accept: text/plain"} <= set(lines)
    assert 1 == sum(line.startswith("accept:") for line in lines)
    lines = heads[1].decode().split("\r\n")
    assert "GET / HTTP/1.1" == lines[0]
    assert {f"host: localhost:{port}", "authorization: Basic bWU6cGFzcyB3b3Jk"} <= set(lines)
    assert not any(line.startswith("content-length") for line in lines)


def test_an_address_is_taken_apart() -> None:
    """Ports that a scheme has anyway are not named; IPv6 has its brackets; names may be international."""
    assert "example.com" == address_of("https://example.com:443/v1").host_header
    assert "[::1]:8000" == address_of("http://[::1]:8000/v1").host_header
    assert "xn--bcher-kva.example" == address_of("https://bücher.example/v1").origin.host


async def test_tls_is_spoken_and_certificates_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system's authorities, and by the name that was asked for."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with server(says(OK + b"content-length: 5\r\n\r\nhello"), "127.0.0.1", context) as port:
        url = f"https://localhost:{port}/"
        async with transport() as subject:
            with pytest.raises(ProviderError, match=r"no connection .*SSLCertVerificationError"):
                await subject.open(UpstreamRequest("POST", url, {}, b"{}"), TIMEOUTS)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with transport() as subject:
            response = await subject.open(UpstreamRequest("POST", url, {}, b"{}"), TIMEOUTS)
            assert b"hello" == await response.read_all()
            response.close()
            with pytest.raises(ProviderError, match="SSLCertVerificationError"):
                await subject.open(UpstreamRequest("POST", f"https://127.0.0.1:{port}/", {}, b"{}"), TIMEOUTS)

"""SseDecoder: events as the standard says, within a limit that does not depend on the split."""

import pytest

from meshgate_chassis.chat.sse import DONE_DATA, DONE_EVENT, SseDecoder, SseEvent, encode_event
from meshgate_chassis.errors import Code, MeshError


def decode(*pieces: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def test_events_as_providers_send_them() -> None:
    """Names, comments, several data lines, missing spaces and every line end."""
    stream = (
        b": OPENROUTER PROCESSING\n\n"
        b'data: {"a":1}\n\n'
        b"event: message_start\r\ndata: one\r\ndata:two\r\nid: 7\r\nretry: 1\r\n\r\n"
        b"event: without data\n\n"
        b"data\n\n"
        b"data: last\r\r"
    )
    assert [
        SseEvent("", b'{"a":1}'),
        SseEvent("message_start", b"one\ntwo"),
        SseEvent("", b""),
        SseEvent("", b"last"),
    ] == decode(stream)


def test_an_event_is_given_at_once() -> None:
    """A \\r ends the line without waiting to see whether a \\n follows."""
    decoder = SseDecoder()
    assert [SseEvent("", b"x")] == decoder.feed(b"data: x\r\r")
    assert [SseEvent("", b"y")] == decoder.feed(b"\ndata: y\n\n")


def test_the_end_of_the_bytes() -> None:
    """An event that only lacks its closing empty line, or its line end, is given by finish."""
    for stream in (b"data: x", b"data: x\n", b"data: x\r"):
        decoder = SseDecoder()
        assert [] == decoder.feed(stream)
        assert [SseEvent("", b"x")] == decoder.finish()
    assert [] == SseDecoder().finish()


@pytest.mark.parametrize("piece_size_bytes", [1, 7, 1000])
@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 100, b"data: xxxxxxxxx\n" * 10, b": " + b"x" * 100, b"data\n" * 99]
)
def test_an_event_too_large(stream: bytes, piece_size_bytes: int) -> None:
    """However it arrives, an event beyond the limit is an error; one below it is none."""
    decoder = SseDecoder(event_bytes_max=50)
    small = b"data: " + b"x" * 30 + b"\n\n"
    for _ in range(10):
        assert [] == decoder.feed(small[:20])
        assert 1 == len(decoder.feed(small[20:]))
    with pytest.raises(MeshError) as caught:
        for start in range(0, len(stream), piece_size_bytes):
            decoder.feed(stream[start : start + piece_size_bytes])
        decoder.finish()
    assert (Code.RESOURCE_EXHAUSTED, "EVENT_TOO_LARGE") == (caught.value.code, caught.value.reason)


def test_encoding() -> None:
    """One line for JSON, one per line for anything else; the end marker is an event."""
    assert b'data: {"a":1}\n\n' == encode_event(b'{"a":1}')
    assert b"event: ping\ndata: a\ndata: b\n\n" == encode_event(b"a\nb", "ping")
    assert DONE_EVENT == encode_event(DONE_DATA)
    assert [SseEvent("", DONE_DATA)] == decode(DONE_EVENT)

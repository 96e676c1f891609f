"""HTTP/2 frames: the bytes of RFC 9113, however a socket cuts them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.rpc.http2 import frames
from meshgate_chassis.rpc.http2.frames import Frame, FrameError, FrameReader
from tests.unit.chassis.http2.pieces import CUTS, pieces_of

FRAME_BYTES_MAX = 300
FRAMES = st.lists(
    st.tuples(
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, frames.STREAM_ID_MAX),
        st.binary(max_size=FRAME_BYTES_MAX),
    ),
    max_size=8,
)


def read(data: bytes, lengths: list[int]) -> list[Frame]:
    """What a reader makes of `data` that comes in these pieces."""
    reader = FrameReader(FRAME_BYTES_MAX)
    return [found for piece in pieces_of(data, lengths) for found in reader.feed(piece)]


def written(parts: list[Frame]) -> bytes:
    """These frames by the letter of RFC 9113, 4.1."""
    return b"".join(
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload
        for kind, flags, stream_id, payload in parts
    )


@given(FRAMES)
def test_frames_are_written_as_the_rfc_says(parts: list[Frame]) -> None:
    """Length, kind, flags, stream and payload stand where RFC 9113 puts them."""
    assert b"".join(frames.frame(*part) for part in parts) == written(parts)


@given(FRAMES, CUTS)
def test_frames_are_read_however_they_are_cut(parts: list[Frame], lengths: list[int]) -> None:
    """The same frames come out for any pieces, each as soon as it is whole."""
    assert read(written(parts), lengths) == parts


@given(FRAMES)
def test_a_frame_comes_with_its_last_byte(parts: list[Frame]) -> None:
    """Byte by byte, no frame is held back and none comes early."""
    reader = FrameReader(FRAME_BYTES_MAX)
    ends, end = [], 0
    for part in parts:
        end += frames.FRAME_HEADER_BYTES + len(part[3])
        ends.append(end)
    data = written(parts)
    seen = [at + 1 for at in range(len(data)) for _ in reader.feed(data[at : at + 1])]
    assert seen == ends


@given(st.binary(max_size=2_000), CUTS)
def test_garbage_is_frames_or_an_error(garbage: bytes, lengths: list[int]) -> None:
    """Any bytes are cut into frames that make them up again, or end with FRAME_SIZE_ERROR."""
    try:
        found = read(garbage, lengths)
    except FrameError as error:
        assert error.error_code == frames.FRAME_SIZE_ERROR
        return
    # The reserved bit of a stream id is the only one that is not kept.
    again, at = written(found), 0
    for _, _, _, payload in found:
        reserved = garbage[at + 5] & 0x80
        again = again[: at + 5] + bytes([again[at + 5] | reserved]) + again[at + 6 :]
        at += frames.FRAME_HEADER_BYTES + len(payload)
    assert garbage.startswith(again)
    assert len(garbage) - len(again) < frames.FRAME_HEADER_BYTES + FRAME_BYTES_MAX


@given(FRAMES, CUTS)
def test_a_frame_above_the_limit_is_refused_by_its_header(parts: list[Frame], lengths: list[int]) -> None:
    """Nothing of a frame that is too long is waited for; one of exactly the limit is taken."""
    limit = frames.frame(frames.DATA, 0, 1, bytes(FRAME_BYTES_MAX))
    assert read(written(parts) + limit, lengths)[-1] == (frames.DATA, 0, 1, bytes(FRAME_BYTES_MAX))
    above = frames.frame(frames.DATA, 0, 1, bytes(FRAME_BYTES_MAX + 1))[: frames.FRAME_HEADER_BYTES]
    with pytest.raises(FrameError) as caught:
        read(written(parts) + above, lengths)
    assert caught.value.error_code == frames.FRAME_SIZE_ERROR


def test_the_reserved_bit_is_ignored() -> None:
    """RFC 9113, 4.1: the bit before a stream id means nothing."""
    data = bytearray(frames.frame(frames.DATA, 0, 5, b"x"))
    data[5] |= 0x80
    assert read(bytes(data), []) == [(frames.DATA, 0, 5, b"x")]


def test_frames_of_each_kind() -> None:
    """Golden bytes, written by hand from RFC 9113, section 6."""
    expected = {
        "000000 04 01 00000000": frames.SETTINGS_ACK,
        "00000c 04 00 00000000 0003 00000064 0004 0000ffff": frames.settings({3: 100, 4: 65_535}),
        "000004 08 00 00000000 00010000": frames.window_update(0, 65_536),
        "000004 03 00 00000007 00000008": frames.rst_stream(7, frames.CANCEL),
        "000008 06 00 00000000 0102030405060708": frames.ping(bytes(range(1, 9))),
        "000008 06 01 00000000 0102030405060708": frames.ping(bytes(range(1, 9)), ack=True),
        "00000a 07 00 00000000 00000005 0000000b 6f68": frames.goaway(5, frames.ENHANCE_YOUR_CALM, b"oh"),
        "000002 00 00 00000001 6869": frames.data(1, b"hi", end_stream=False),
        "000001 00 01 00000001 69": frames.data(1, memoryview(b"hi")[1:], end_stream=True),
        "000002 01 04 00000003 8286": frames.headers(3, b"\x82\x86", end_stream=False, frame_bytes_max=2),
    }
    assert {bytes.fromhex(text): text for text in expected} == {data: text for text, data in expected.items()}


@given(st.binary(max_size=200), st.integers(1, 50), st.booleans())
def test_a_long_block_goes_on_in_continuations(block: bytes, frame_bytes_max: int, end_stream: bool) -> None:
    """HEADERS carries END_STREAM, the last frame alone END_HEADERS, and no frame is too long."""
    data = frames.headers(9, block, end_stream=end_stream, frame_bytes_max=frame_bytes_max)
    found = FrameReader(frame_bytes_max).feed(data)
    assert b"".join(payload for *_, payload in found) == block
    assert [kind for kind, *_ in found] == [frames.HEADERS] + [frames.CONTINUATION] * (len(found) - 1)
    assert [bool(flags & frames.END_HEADERS) for _, flags, *_ in found] == [
        at == len(found) - 1 for at in range(len(found))
    ]
    assert [flags & frames.END_STREAM for _, flags, *_ in found] == [int(end_stream)] + [0] * (len(found) - 1)
    assert {stream_id for _, _, stream_id, _ in found} == {9}
    assert len(found) == max(1, -(-len(block) // frame_bytes_max))


@given(st.binary(max_size=100), st.integers(0, 255))
def test_padding_is_taken_off(payload: bytes, pad: int) -> None:
    """What is left is the payload; without the flag, all of it."""
    padded = bytes([pad]) + payload + bytes(pad)
    assert frames.unpadded(frames.PADDED, padded) == payload
    assert frames.unpadded(0, padded) == padded


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x03ab", b"\xff" + bytes(254)])
def test_padding_longer_than_its_frame_is_an_error(payload: bytes) -> None:
    """RFC 9113, 6.1: a connection error of type PROTOCOL_ERROR."""
    with pytest.raises(FrameError) as caught:
        frames.unpadded(frames.PADDED, payload)
    assert caught.value.error_code == frames.PROTOCOL_ERROR


def test_priority_is_taken_off() -> None:
    """Five bytes in front of the block, when the flag says so; fewer are an error."""
    assert frames.without_priority(frames.PRIORITY_FLAG, b"\x80\0\0\1\xffblock") == b"block"
    assert frames.without_priority(frames.END_HEADERS, b"block") == b"block"
    with pytest.raises(FrameError) as caught:
        frames.without_priority(frames.PRIORITY_FLAG, b"\x80\0\0\1")
    assert caught.value.error_code == frames.FRAME_SIZE_ERROR


def test_settings_are_read_in_their_order() -> None:
    """Unknown settings are handed on, for their reader to ignore; repeated ones stay."""
    payload = bytes.fromhex("0004 00000001 00ff 00000002 0004 7fffffff 0005 00004000 0002 00000001")
    assert frames.parse_settings(payload) == [(4, 1), (255, 2), (4, 2**31 - 1), (5, 16_384), (2, 1)]
    assert frames.parse_settings(b"") == []


@pytest.mark.parametrize(
    ("payload", "error_code"),
    [
        ("0004 000000", frames.FRAME_SIZE_ERROR),
        ("0004 00000001 00", frames.FRAME_SIZE_ERROR),
        ("0002 00000002", frames.PROTOCOL_ERROR),
        ("0004 80000000", frames.FLOW_CONTROL_ERROR),
        ("0005 00003fff", frames.PROTOCOL_ERROR),
        ("0005 01000000", frames.PROTOCOL_ERROR),
    ],
)
def test_settings_that_are_not_allowed(payload: str, error_code: int) -> None:
    """RFC 9113, 6.5.2: each wrong value has its error."""
    with pytest.raises(FrameError) as caught:
        frames.parse_settings(bytes.fromhex(payload))
    assert caught.value.error_code == error_code


def test_a_frame_in_tiny_pieces_costs_no_more_than_its_size() -> None:
    """Pieces of one byte are put together once: the reader never holds more than the frame."""
    reader = FrameReader(frames.FRAME_BYTES_MAX_LEAST)
    data = frames.frame(frames.DATA, 0, 1, bytes(frames.FRAME_BYTES_MAX_LEAST))
    held = []
    for at in range(len(data) - 1):
        assert reader.feed(data[at : at + 1]) == []
        held.append(len(reader._partial))
    assert all(after == before + 1 for before, after in pairwise(held))
    assert reader.feed(data[-1:]) == [(frames.DATA, 0, 1, bytes(frames.FRAME_BYTES_MAX_LEAST))]
    assert len(reader._partial) == 0

"""gRPC messages: length-prefixed, not compressed, however the data is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.rpc.http2.messages import (
    INTERNAL,
    RESOURCE_EXHAUSTED,
    UNIMPLEMENTED,
    MessageError,
    MessageReader,
    wrap,
)
from tests.unit.chassis.http2.pieces import CUTS, pieces_of

MESSAGE_BYTES_MAX = 300
MESSAGES = st.lists(st.binary(max_size=MESSAGE_BYTES_MAX), max_size=8)


@given(st.binary())
def test_a_message_has_five_bytes_in_front(message: bytes) -> None:
    """Not compressed, and its length as four bytes."""
    assert wrap(message) == b"\0" + len(message).to_bytes(4, "big") + message


@given(MESSAGES, CUTS)
def test_messages_are_read_however_they_are_cut(messages: list[bytes], lengths: list[int]) -> None:
    """The same messages come out for any pieces."""
    reader = MessageReader(MESSAGE_BYTES_MAX)
    data = b"".join(map(wrap, messages))
    assert [found for piece in pieces_of(data, lengths) for found in reader.feed(piece)] == messages
    assert reader.partial is False


@given(MESSAGES)
def test_partial_tells_whether_a_stream_may_end(messages: list[bytes]) -> None:
    """Byte by byte: True inside of a message and of its prefix, False between two."""
    reader = MessageReader(MESSAGE_BYTES_MAX)
    assert reader.partial is False
    for message in messages:
        data = wrap(message)
        for at in range(len(data) - 1):
            assert reader.feed(data[at : at + 1]) == []
            assert reader.partial is True
        assert reader.feed(data[-1:]) == [message]
        assert reader.partial is False


@given(MESSAGES, CUTS)
def test_a_message_above_the_limit_is_refused_by_its_prefix(
    messages: list[bytes], lengths: list[int]
) -> None:
    """RESOURCE_EXHAUSTED before any of its bytes came; exactly the limit is taken."""
    before = b"".join(map(wrap, messages))
    reader = MessageReader(MESSAGE_BYTES_MAX)
    found = [
        message for piece in pieces_of(before + wrap(bytes(300)), lengths) for message in reader.feed(piece)
    ]
    assert found[-1] == bytes(MESSAGE_BYTES_MAX)
    reader = MessageReader(MESSAGE_BYTES_MAX)
    with pytest.raises(MessageError) as caught:
        for piece in pieces_of(before + b"\0" + (MESSAGE_BYTES_MAX + 1).to_bytes(4, "big"), lengths):
            reader.feed(piece)
    assert caught.value.code == RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("announced", "code"), [(False, INTERNAL), (True, UNIMPLEMENTED)])
@pytest.mark.parametrize("flag", [1, 255])
def test_a_compressed_message_is_refused(announced: bool, code: int, flag: int) -> None:
    """INTERNAL when no compression was announced, as gRPC says; UNIMPLEMENTED when one was."""
    reader = MessageReader(MESSAGE_BYTES_MAX, announced)
    with pytest.raises(MessageError) as caught:
        reader.feed(bytes([flag]) + wrap(b"x")[1:])
    assert caught.value.code == code


@given(st.binary(max_size=2_000), CUTS)
def test_garbage_is_messages_or_an_error(garbage: bytes, lengths: list[int]) -> None:
    """Any bytes are cut into messages that make them up again, or end the call."""
    reader = MessageReader(MESSAGE_BYTES_MAX)
    found: list[bytes] = []
    try:
        for piece in pieces_of(garbage, lengths):
            found += reader.feed(piece)
    except MessageError as error:
        assert error.code in (INTERNAL, RESOURCE_EXHAUSTED)
        return
    again = b"".join(map(wrap, found))
    assert garbage.startswith(again)
    assert reader.partial is (len(again) < len(garbage))


def test_a_message_of_megabytes_in_small_frames() -> None:
    """A large message is put together of the frames that carry it."""
    message = bytes(range(256)) * 16_384
    reader = MessageReader(len(message))
    data = wrap(message) + wrap(b"next")
    found = [part for at in range(0, len(data), 1_000) for part in reader.feed(data[at : at + 1_000])]
    assert found == [message, b"next"]

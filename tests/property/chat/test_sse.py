"""The events of a stream do not depend on how its bytes were split."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.chat.sse import SseDecoder, SseEvent, encode_event

line_ends = st.sampled_from(["\n", "\r\n", "\r"])
lines = st.sampled_from(
    [
        "",
        "",
        "",
        "data: x",
        "data:y",
        "data:  z",
        "data",
        'data: {"a": "é"}',
        "data: [DONE]",
        "event: ping",
        "event:",
        ": comment",
        ":",
        "id: 1",
        "retry: 5",
        "nonsense",
        "dat",
    ]
)
streams = st.lists(st.tuples(lines, line_ends), max_size=12).map(
    lambda pairs: "".join(line + end for line, end in pairs).encode()
)


def decode(pieces: list[bytes]) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()


@given(stream=streams, tail=lines, mark=st.booleans(), cuts=st.lists(st.integers(0, 200)))
def test_any_split_gives_the_same_events(stream: bytes, tail: str, mark: bool, cuts: list[int]) -> None:
    """Cuts may fall inside characters, names and line ends; the last line may have no end."""
    whole = (b"\xef\xbb\xbf" if mark else b"") + stream + tail.encode()
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    expected = decode([stream + tail.encode()])
    assert expected == decode([whole])
    assert expected == decode([whole[a:b] for a, b in pairwise(edges)])
    bytes_and_nothings = [whole[i // 2 : i // 2 + i % 2] for i in range(2 * len(whole))]
    assert expected == decode(bytes_and_nothings)


@given(stream=streams)
def test_line_ends_do_not_matter(stream: bytes) -> None:
    """\\r\\n, \\r and \\n mean the same."""
    plain = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert decode([plain]) == decode([stream])
    assert decode([plain]) == decode([plain.replace(b"\n", b"\r")])
    assert decode([plain]) == decode([plain.replace(b"\n", b"\r\n")])


names = st.text(alphabet="abc_.", max_size=5)
datas = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")).map(str.encode)


@given(events=st.lists(st.tuples(names, datas)))
def test_encoded_events_decode(events: list[tuple[str, bytes]]) -> None:
    """encode_event is the inverse of the decoder, data of several lines included."""
    stream = b"".join(encode_event(data, event) for event, data in events)
    assert [SseEvent(event, data) for event, data in events] == decode([stream])

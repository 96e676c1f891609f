"""Streams as bytes: lines of NDJSON in any split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.errors import MeshError
from meshgate_router.framing import LineDecoder, framer
from meshgate_router.providers.base import Framing

LINES = b'{"a":1}\n\n{"b":"x"}\r\n   \n{"c":2}'


@given(st.lists(st.integers(0, len(LINES)), max_size=6))
def test_the_split_of_the_bytes_does_not_matter(cuts: list[int]) -> None:
    """Blank lines are none, and the last line needs no end."""
    places = sorted({0, *cuts, len(LINES)})
    decoder = LineDecoder(100)
    events = []
    for start, end in pairwise(places):
        events += decoder.feed(LINES[start:end])
    events += decoder.finish()

    assert [b'{"a":1}', b'{"b":"x"}', b'{"c":2}'] == [event.data for event in events]
    assert [] == decoder.finish()


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"x" * 11 + b"\n"]])
def test_a_line_has_a_limit(pieces: list[bytes]) -> None:
    """Whether its end was seen or not."""
    decoder = framer(Framing.LINES, 10)
    with pytest.raises(MeshError) as caught:
        for piece in pieces:
            decoder.feed(piece)
    assert "EVENT_TOO_LARGE" == caught.value.reason

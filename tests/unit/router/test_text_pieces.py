"""An event that is recognised by its bytes amounts to what parsing it would tell."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.chat.chunk_json import chunk_from_json, chunk_to_json
from meshgate_chassis.chat.json import loads_object
from meshgate_chassis.chat.sse import SseEvent
from meshgate_protos.chat.v1 import chat_pb2 as pb
from meshgate_router.providers.base import ProviderError
from meshgate_router.providers.openai_answer import OpenAIStreamDecoder
from meshgate_router.providers.text_pieces import LEARNED_MAX, TextPieces
from tests.property.chat import strategies

LAYOUTS = ((",", ":"), (", ", ": "), (" , ", " : "))
TEMPTING = ('"content":"x"', '\\"content\\":\\"', "content", '"', "\\", '"}', "?", "\u2028é😀\x00")
texts = strategies.texts | st.sampled_from(TEMPTING)
bodies = strategies.chunks | st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"delta": strategies.deltas}), min_size=1, max_size=1)},
    optional={"id": texts, "content": texts, "error": st.sampled_from([None, "", "broken"])},
)


def with_text(body: Any, text: str) -> Any:
    """The same event with other text, where it has some."""
    told = json.loads(json.dumps(body))
    choices = told.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        delta = choices[0].get("delta")
        if isinstance(delta, dict):
            delta["content"] = text
    return told


def fed(decoder: OpenAIStreamDecoder, data: bytes) -> Sequence[pb.ChatChunk] | str:
    """What an event comes to, an error included."""
    try:
        return decoder.feed(SseEvent("", data))
    except ProviderError as error:
        return str(error)


@given(
    st.lists(bodies, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), texts), max_size=12),
    st.sampled_from(LAYOUTS),
    st.booleans(),
)
def test_events_are_read_as_if_each_were_the_first(
    kinds: list[Any], order: list[tuple[int, str]], layout: tuple[str, str], escaped: bool
) -> None:
    """Whatever is alike in them, and however their JSON is laid out."""
    decoder = OpenAIStreamDecoder()
    for kind, text in order:
        body = with_text(kinds[kind % len(kinds)], text)
        data = json.dumps(body, separators=layout, ensure_ascii=escaped).encode()
        was_whole = decoder.whole
        expected = fed(OpenAIStreamDecoder(), data)
        found = fed(decoder, data)
        if not was_whole:  # later an error does not matter
            assert expected == found


def learned(data: bytes) -> TextPieces:
    pieces = TextPieces()
    body = loads_object(data)
    pieces.learn(data, body, chunk_from_json(body))
    return pieces


EVENT = b'{"id":"x","choices":[{"index":0,"delta":{"content":"one"},"finish_reason":null}],"extra":[1]}'


def test_the_next_piece_is_recognised() -> None:
    """Else all of this would be for nothing."""
    data = EVENT.replace(b"one", rb"\u0074wo \"x\"")
    chunk = learned(EVENT).read(data)

    assert chunk is not None
    assert loads_object(data) == chunk_to_json(chunk)


@pytest.mark.parametrize(
    "data",
    [
        EVENT.replace(b'"x"', b'"y"'),
        EVENT.replace(b"null", b'"stop"'),
        EVENT.replace(b'"one"', b"null"),
        EVENT.replace(b'"one"', b"1"),
        EVENT.replace(b'"one"', b'"one","refusal":"no"'),
        EVENT.replace(b"one", b"\xff"),
        EVENT.replace(b"one", rb"\ud800"),
        EVENT[:60],
        EVENT[:-1],
    ],
)
def test_what_differs_in_more_is_not_recognised(data: bytes) -> None:
    """It is parsed, and judged, as ever."""
    assert learned(EVENT).read(data) is None


@pytest.mark.parametrize(
    "data",
    [
        EVENT.replace(b"null", b'"stop"'),
        b'{"content":"a","choices":[{"delta":{"content":"b"}}]}',
        b'{"choices":[{"delta":{"content":"a","content":"b"}}]}',
        b'{"choices":[{"delta":{"x\\"content":"a","content":"b"}}]}',
        b'{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}',
    ],
)
def test_only_the_text_of_an_answer_is_learned(data: bytes) -> None:
    """Not an end, not another member of that name, not one of several choices."""
    assert learned(data).read(data) is None


def test_learning_has_a_limit() -> None:
    """Of a stream in which every event differs in more than its text."""
    pieces = TextPieces()
    for number in range(LEARNED_MAX + 1):
        data = EVENT.replace(b'"x"', b'"%d"' % number)
        body = loads_object(data)
        pieces.learn(data, body, chunk_from_json(body))

    assert pieces.read(data) is None

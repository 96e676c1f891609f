"""A chunk that is told as text alone comes to the same answer, events and count as the whole chunk."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rs_bpe.bpe import openai as vocabularies

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.chunk_json import chunk_from_json
from meshgate_edge.call import Chunks
from meshgate_edge.http.sse import ChunkEvents
from meshgate_edge.text_pieces import LEARNED_MAX, TextPieces
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.chat.v1 import chat_pb2 as pb
from tests.property.chat import strategies

COUNTER = TokenCounter(vocabularies.o200k_base())
LOGPROBS: dict[str, Any] = {"content": [{"token": "a", "logprob": -0.5}], "refusal": None}
texts = strategies.texts | st.sampled_from(["", '"content":"', "\\", "\u2028é😀\x00"])
plain = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries(
                {"delta": st.fixed_dictionaries({"content": texts}, optional={"role": texts})},
                optional={"index": st.integers(0, 2), "logprobs": st.none() | st.just(LOGPROBS)},
            ),
            min_size=1,
            max_size=1,
        )
    },
    optional={"id": texts, "created": st.integers(0, 9), "model": texts, "object": texts},
)
bodies = plain | strategies.chunks


def with_text(body: Any, text: str) -> pb.ChatChunk:
    """The same chunk with other text, where it has some."""
    told = json.loads(json.dumps(body))
    choices = told.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        delta = choices[0].get("delta")
        if isinstance(delta, dict) and "content" in delta:
            delta["content"] = text
    return chunk_from_json(told)


@given(st.lists(bodies, min_size=1, max_size=2), st.lists(st.tuples(st.integers(0, 1), texts), max_size=12))
def test_nothing_is_lost_of_a_chunk_that_is_told_as_text(
    kinds: list[Any], order: list[tuple[int, str]]
) -> None:
    """Whatever the chunks around it say: what is kept for the bill, what the client sees, what is counted."""
    chunks = [with_text(kinds[kind % len(kinds)], text) for kind, text in order]
    pieces, kept, whole, events = TextPieces(), ChunkAccumulator(), ChunkAccumulator(), ChunkEvents()
    for chunk in chunks:
        text = pieces.text_of(chunk)
        whole.add(chunk)
        if text is None:
            kept.add(chunk)
        else:
            kept.add_text(chunk, text)
            assert COUNTER.chunk_permilles(chunk) == COUNTER.text_permilles(text)

        assert ChunkEvents().of(Chunks([chunk])) == events.of(Chunks([chunk], [text]))
    assert whole.response() == kept.response()


def chunk(text: str, **members: Any) -> pb.ChatChunk:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return chunk_from_json({"id": "x", "choices": [choice], **members})


def test_the_usual_stream_is_told_as_text() -> None:
    """Else all of this would be for nothing; its end is told whole."""
    end = chunk_from_json({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    pieces = TextPieces()

    assert [None, "b", "c", None] == [pieces.text_of(each) for each in (*map(chunk, "abc"), end)]


def test_learning_has_a_limit() -> None:
    """Of a stream in which each chunk differs in more than its text."""
    pieces = TextPieces()
    for number in range(LEARNED_MAX):
        pieces.text_of(chunk("a", obfuscation=str(number)))
    pieces.text_of(chunk("a"))

    assert pieces.text_of(chunk("b")) is None

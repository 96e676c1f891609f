"""A stream and the whole answer are two forms of one thing."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.chunk_json import chunk_from_json, chunk_to_json
from meshgate_chassis.chat.replay import chunks_of
from meshgate_chassis.chat.response_json import response_from_json, response_to_json
from tests.property.chat.same_json import same_json
from tests.property.chat.strategies import chunks, usual_responses


@given(body=usual_responses, text_characters_max=st.integers(1, 8))
def test_accumulating_a_replay_gives_the_response_back(
    body: dict[str, Any], text_characters_max: int
) -> None:
    """accumulate(replay(response)) == response."""
    accumulator = ChunkAccumulator()
    for chunk in chunks_of(response_from_json(body), text_characters_max):
        accumulator.add(chunk)
    assert same_json(body, response_to_json(accumulator.response()))


@given(bodies=st.lists(chunks, max_size=4))
def test_no_stream_of_chunks_is_refused(bodies: list[dict[str, Any]]) -> None:
    """However odd the chunks, their sum is a response that has every finish reason and usage."""
    accumulator = ChunkAccumulator()
    usage = None
    for body in bodies:
        chunk = chunk_from_json(body)
        accumulator.add(chunk)
        usage = chunk_to_json(chunk)["usage"] if chunk.HasField("usage") else usage
    response = response_to_json(accumulator.response())
    assert same_json(usage, response.get("usage"))
    for choice in response["choices"] if accumulator.response().choices else []:
        assert "finish_reason" in choice
        assert "content" in choice["message"]

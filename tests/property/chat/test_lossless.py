"""JSON -> proto -> bytes -> proto -> JSON loses nothing, whatever the JSON object is."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshgate_chassis.chat.chunk_json import chunk_from_json, chunk_to_json
from meshgate_chassis.chat.json import dumps, loads
from meshgate_chassis.chat.message_json import message_from_json, message_to_json
from meshgate_chassis.chat.request_json import request_from_json, request_to_json
from meshgate_chassis.chat.response_json import (
    response_from_json,
    response_to_json,
    usage_from_json,
    usage_to_json,
)
from tests.property.chat import strategies
from tests.property.chat.same_json import integers_kept, same_json

CODECS = {
    "request": (request_from_json, request_to_json, strategies.requests),
    "message": (message_from_json, message_to_json, strategies.messages),
    "response": (response_from_json, response_to_json, strategies.responses),
    "usage": (usage_from_json, usage_to_json, strategies.usages),
    "chunk": (chunk_from_json, chunk_to_json, strategies.chunks),
}
FLOATS = frozenset({"temperature", "top_p"})


def check(body: Any, from_json: Callable[..., Any], to_json: Callable[..., Any]) -> None:
    message = from_json(body)
    again = to_json(type(message).FromString(message.SerializeToString()))
    assert same_json(body, again)
    assert integers_kept(body, again, FLOATS)


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_nearly_valid_objects_survive(name: str, data: st.DataObject) -> None:
    """Known members of right and wrong types, and unknown members, survive at every level."""
    from_json, to_json, bodies = CODECS[name]
    check(data.draw(bodies), from_json, to_json)


@pytest.mark.parametrize("name", CODECS)
@given(body=strategies.extras)
def test_arbitrary_objects_survive(name: str, body: dict[str, Any]) -> None:
    """An object that has nothing to do with a chat survives as well."""
    from_json, to_json, _ = CODECS[name]
    check(body, from_json, to_json)


@given(value=strategies.values)
def test_json_text_survives(value: Any) -> None:
    """dumps and loads are inverses, integers of any size included."""
    again = loads(dumps(value))
    assert same_json(value, again)
    assert integers_kept(value, again, frozenset())

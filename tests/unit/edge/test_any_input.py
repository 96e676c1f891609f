"""Arbitrary JSON never meets a defect: it becomes a call, or an error that a client can read."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.chat.request_json import request_from_json
from meshgate_chassis.chat.validate import validate_request
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.errors import render_error
from meshgate_edge.http.options import split_options

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
MEMBERS = st.sampled_from(
    [
        *("model", "messages", "stream", "stream_options", "stop", "tools", "tool_choice", "max_tokens", "n"),
        *("cache", "caching", "compression", "num_retries", "max_retries", "timeout", "fallbacks", "tags"),
        *("metadata", "extra_body", "user", "seed", "temperature", "response_format", "litellm_x", "other"),
    ]
)
NESTED = st.sampled_from(
    ["ttl", "no-cache", "namespace", "target_ratio", "min_tokens", "role", "content", "type"]
)
BODIES = st.dictionaries(MEMBERS, VALUES | st.dictionaries(NESTED, VALUES, max_size=3), max_size=6)
GOOD = {"model": "gpt", "messages": [{"role": "user", "content": "Hello?"}]}
HEADERS = st.dictionaries(
    st.sampled_from(
        ["x-litellm-timeout", "x-litellm-num-retries", "x-litellm-tags", "x-litellm-stream-timeout"]
    ),
    st.text(max_size=8),
    max_size=2,
)


@settings(max_examples=400, deadline=None)
@given(BODIES, HEADERS, st.booleans())
def test_any_body_is_a_call_or_a_clients_error(
    members: dict[str, Any], headers: dict[str, str], begun: bool
) -> None:
    """Also one that is right except for some members."""
    body = GOOD | members if begun else members
    try:
        chat, _ = split_options(body, headers)
        validate_request(chat)
        request_from_json(chat)
    except MeshError as error:
        rendered = render_error(error)
        assert Code.INVALID_ARGUMENT is error.code
        assert 400 == rendered.status
        assert dumps(rendered.body)

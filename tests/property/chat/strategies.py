"""Hypothesis strategies: JSON objects that are nearly, but not quite, what OpenAI specifies."""

from typing import Any

from hypothesis import strategies as st

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.integers() | st.sampled_from([0, 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30])
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

# Names that mean something elsewhere: a codec that mixes up levels or takes the name of a protobuf
# field for the name of a member loses them.
_tempting_names = st.sampled_from(
    [
        "extra_json",
        "raw_json",
        "response_format_json",
        "parameters_json",
        "parts",
        "text",
        "content",
        "type",
        "function",
        "url",
        "name",
        "index",
        "role",
        "usage",
        "id",
        "object",
        "arguments",
    ]
)
extras = st.dictionaries(texts | _tempting_names, values, max_size=2)


@st.composite
def objects(draw: st.DrawFn, **members: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Some of the members, each now and then of a wrong type, and some unknown ones."""
    body = draw(extras)
    for name, member in members.items():
        fate = draw(st.integers(0, 7))
        if fate == 0:
            body[name] = draw(values)
        elif fate < 5:
            body[name] = draw(member)
    return body


def lists(item: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(item, max_size=3) | st.lists(item | values, max_size=3)


function_calls = objects(name=texts, arguments=texts)
tool_calls = objects(id=texts, type=texts, function=function_calls)
text_parts = objects(type=st.just("text"), text=texts)
image_parts = objects(type=st.just("image_url"), image_url=objects(url=texts, detail=texts))
contents = texts | lists(text_parts | image_parts)
messages = objects(
    role=texts,
    content=contents,
    tool_calls=lists(tool_calls),
    tool_call_id=texts,
    name=texts,
    reasoning_content=texts,
    refusal=texts,
)
functions = objects(name=texts, description=texts, parameters=extras, strict=st.booleans())
tools = objects(type=st.just("function"), function=functions)
tool_choices = texts | objects(type=st.just("function"), function=objects(name=texts))
requests = objects(
    model=texts,
    messages=lists(messages),
    tools=lists(tools),
    tool_choice=tool_choices,
    parallel_tool_calls=st.booleans(),
    max_tokens=integers,
    max_completion_tokens=integers,
    temperature=floats | integers,
    top_p=floats | integers,
    n=integers,
    seed=integers,
    stop=texts | lists(texts),
    user=texts,
    reasoning_effort=texts,
    response_format=extras,
    stream_options=extras,
    stream=st.booleans(),
)
usages = objects(
    prompt_tokens=integers,
    completion_tokens=integers,
    total_tokens=integers,
    prompt_tokens_details=objects(cached_tokens=integers, cache_creation_tokens=integers),
    completion_tokens_details=objects(reasoning_tokens=integers),
)
responses = objects(
    id=texts,
    created=integers,
    model=texts,
    choices=lists(objects(index=integers, message=messages, finish_reason=texts)),
    usage=usages,
)
deltas = objects(
    role=texts,
    content=texts,
    reasoning_content=texts,
    refusal=texts,
    tool_calls=lists(objects(index=integers, id=texts, type=texts, function=function_calls)),
)
chunks = objects(
    id=texts,
    created=integers,
    model=texts,
    choices=lists(objects(index=integers, delta=deltas, finish_reason=texts)),
    usage=usages,
)

# Responses of the usual shape, which a stream can bring in full.
_usual_calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": texts.filter(bool),
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": texts.filter(bool), "arguments": texts}),
        }
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda call: call["id"],
)
_usual_content = (
    st.none()
    | texts
    | st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "thinking"]), "text": texts}))
    .filter(bool)
)  # fmt: skip
_usual_messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": _usual_content},
    optional={
        "tool_calls": _usual_calls,
        "reasoning_content": texts,
        "refusal": st.none() | texts,
        "annotations": st.just([]) | st.just([{"type": "url_citation", "url": "x"}]),
        "audio": st.none() | st.just({"id": "a", "data": "AAAA", "expires_at": 1}),
        "function_call": st.fixed_dictionaries({"name": texts, "arguments": texts}),
    },
)
_logprobs = st.none() | st.just(
    {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": None}
)
_usual_choices = st.fixed_dictionaries(
    {"message": _usual_messages, "finish_reason": st.none() | texts.filter(bool)},
    optional={"logprobs": _logprobs, "content_filter_results": st.just({"hate": {"filtered": False}})},
)
usual_responses = st.fixed_dictionaries(
    {
        "object": st.just("chat.completion"),
        "choices": st.lists(_usual_choices, min_size=1, max_size=3).map(
            lambda choices: [{"index": i, **choice} for i, choice in enumerate(choices)]
        ),
    },
    optional={
        "id": texts,
        "created": st.integers(0, 2**40),
        "model": texts,
        "system_fingerprint": st.none() | texts,
        "service_tier": st.none() | texts,
        "provider": texts,
    },
)

"""Cache keys over arbitrary requests: the same for the same meaning, different for everything else."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_cache.canonical_chat import canonical_chat
from meshgate_cache.keys import cache_key
from meshgate_chassis.chat.json import dumps
from meshgate_chassis.chat.request_json import request_from_json

CASES = 10_000
JsonObject = dict[str, object]

TEXTS = st.text(max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1.0, -2.5]) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
PARTS = st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}) | st.dictionaries(
    TEXTS, VALUES, max_size=3
)
MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool"]),
        "content": TEXTS | st.lists(PARTS, max_size=2),
    },
    optional={"name": TEXTS, "tool_call_id": TEXTS, "anything": VALUES},
)
TOOLS = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": TEXTS},
            optional={"description": TEXTS, "parameters": st.dictionaries(TEXTS, VALUES, max_size=3)},
        ),
    }
)
REQUESTS = st.fixed_dictionaries(
    {"model": st.sampled_from(["a", "b"]), "messages": st.lists(MESSAGES, min_size=1, max_size=3)},
    optional={
        "tools": st.lists(TOOLS, max_size=2),
        "tool_choice": st.sampled_from(["auto", "none", {"type": "function", "function": {"name": "f"}}]),
        "temperature": st.sampled_from([0, 0.5, 1]),
        "n": st.integers(1, 3),
        "stop": TEXTS | st.lists(TEXTS, max_size=2),
        "user": TEXTS,
        "response_format": st.dictionaries(TEXTS, VALUES, max_size=3),
        "top_k": VALUES,
        "provider": st.dictionaries(TEXTS, VALUES, max_size=3),
    },
)


def key(body: JsonObject, tenant: str = "t", namespace: str = "n") -> str:
    return cache_key(tenant, namespace, canonical_chat(request_from_json(body)))


def shuffled(value: object, order: random.Random) -> object:
    """The same JSON value with the members of every object in another order."""
    if isinstance(value, dict):
        members = [(name, shuffled(member, order)) for name, member in value.items()]
        order.shuffle(members)
        return dict(members)
    if isinstance(value, list):
        return [shuffled(item, order) for item in value]
    return value


def meaning(value: object) -> object:
    """A hashable form that is equal exactly for equal JSON values; the keys' own code has no part in it."""
    if isinstance(value, dict):
        return ("object", frozenset((name, meaning(member)) for name, member in value.items()))
    if isinstance(value, list):
        return ("list", tuple(meaning(item) for item in value))
    return (type(value).__name__, repr(value))


@given(body=REQUESTS, order=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_the_order_of_members_never_matters(body: JsonObject, order: random.Random) -> None:
    """At no depth of the request."""
    other = shuffled(body, order)
    assert isinstance(other, dict)

    assert key(body) == key(other)


@given(body=REQUESTS, stream=st.sampled_from([True, False, None]))
@settings(max_examples=100, deadline=None)
def test_how_the_answer_is_delivered_never_matters(body: JsonObject, stream: bool | None) -> None:
    """Streamed and unstreamed share one entry, and so do requests that steer the cache."""
    delivery = {"stream": stream, "stream_options": {"include_usage": True}, "cache": {"no-cache": True}}

    assert key(body) == key({**body, **delivery, "metadata": {"trace": "1"}})


@given(body=REQUESTS, tenants=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
@settings(max_examples=200, deadline=None)
def test_no_two_tenants_and_no_two_namespaces_share_a_key(body: JsonObject, tenants: list[str]) -> None:
    """Whatever their names are."""
    first, second = tenants

    assert key(body, tenant=first) != key(body, tenant=second)
    assert key(body, namespace=first) != key(body, namespace=second)
    assert key(body, tenant=first, namespace=second) != key(body, tenant=second, namespace=first)


@given(body=REQUESTS, name=st.sampled_from(["temperature", "top_k", "seed", "x"]), value=VALUES)
@settings(max_examples=300, deadline=None)
def test_a_changed_member_changes_the_key(body: JsonObject, name: str, value: object) -> None:
    """Known and unknown members alike, unless the change is none."""
    number = (
        name in ("temperature", "seed") and isinstance(value, int | float) and not isinstance(value, bool)
    )
    before = body.get(name, "absent")
    same = name in body and (meaning(before) == meaning(value) or (number and before == value))

    assert same == (key(body) == key({**body, name: value}))


def test_random_requests_never_collide() -> None:
    """10,000 small requests, many of them nearly alike: equal keys exactly for equal meaning."""
    seeded = random.Random(20_261_121)
    by_key: dict[str, object] = {}
    meanings = set()
    for _ in range(CASES):
        body = random_request(seeded)
        by_key.setdefault(key(body), meaning(body))
        assert meaning(body) == by_key[key(body)]
        meanings.add(meaning(body))

    assert CASES / 2 < len(meanings) == len(by_key)


def random_request(seeded: random.Random) -> JsonObject:
    """From a small vocabulary, so that neighbours differ in one place."""
    words = ["a", "b", "ab", "", "1", "null"]

    def value(depth: int = 0) -> object:
        kind = seeded.randrange(7 if depth < 2 else 5)
        if kind == 5:
            return [value(depth + 1) for _ in range(seeded.randrange(3))]
        if kind == 6:
            return {seeded.choice(words): value(depth + 1) for _ in range(seeded.randrange(3))}
        return (None, True, seeded.randrange(3), 1.5, seeded.choice(words))[kind]

    messages: list[JsonObject] = [
        {"role": seeded.choice(["user", "system"]), "content": seeded.choice(words), "extra": value()}
        for _ in range(seeded.randrange(1, 4))
    ]
    body: JsonObject = {"model": seeded.choice(["m", "n"]), "messages": messages}
    for name in ("top_k", "provider", "response_format"):
        if seeded.random() < 0.3:
            body[name] = {"v": value()}
    if seeded.random() < 0.3:
        body["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {"v": value()}}}]
    assert dumps(body)
    return body

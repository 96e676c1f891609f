"""The numbers that the exact cache promises: 10,000 random cases each, none of which may share an answer."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_cache.canonical_chat import canonical_chat
from meshgate_cache.canonical_embeddings import canonical_inputs, canonical_parameters
from meshgate_cache.keys import cache_key, embedding_keys, is_key_of, tenant_digest
from meshgate_chassis.chat.request_json import request_from_json
from meshgate_edge.cache.embedding_step import shares
from meshgate_protos.embeddings.v1 import embeddings_pb2 as pb

CASES = 10_000
WORDS = ("alpha", "beta", "gamma", "delta", "", " ", "é", "0")
LAST = {"role": "user", "content": "And the capital?"}


def history(chance: random.Random) -> list[dict[str, str]]:
    return [
        {"role": chance.choice(("user", "assistant")), "content": " ".join(chance.choices(WORDS, k=3))}
        for _ in range(chance.randint(0, 4))
    ]


def chat_key(messages: list[dict[str, str]], tenant: str = "t") -> str:
    body: dict[str, object] = {"model": "m", "messages": messages}
    return cache_key(tenant, "n", canonical_chat(request_from_json(body)))


def embed_keys(inputs: list[str], tenant: str = "t", namespace: str = "n", **members: object) -> list[str]:
    request = pb.EmbeddingsRequest(
        **{"model": "m", **members}, inputs=[pb.EmbeddingInput(text=text) for text in inputs]
    )
    return embedding_keys(tenant, namespace, canonical_parameters(request), canonical_inputs(request))


def test_the_same_last_message_after_another_history_is_never_a_hit() -> None:
    """10,000 pairs of conversations: equal keys exactly for equal histories."""
    chance = random.Random(7)
    different = 0
    for _ in range(CASES):
        one, two = history(chance), history(chance)
        assert (one == two) == (chat_key([*one, LAST]) == chat_key([*two, LAST]))
        different += one != two
    assert different > 0.9 * CASES


def test_two_tenants_never_share_an_answer() -> None:
    """10,000 pairs of names that look alike, for chats and for vectors; and no key passes for another's."""
    chance = random.Random(8)
    different = 0
    for _ in range(CASES):
        one, two = ("".join(chance.choices("ab:/", k=chance.randint(1, 4))) for _ in "12")
        same = one == two
        assert same == (chat_key([LAST], one) == chat_key([LAST], two))
        assert same == (embed_keys(["x"], one) == embed_keys(["x"], two))
        assert same == is_key_of(two, chat_key([LAST], one)) == (tenant_digest(one) == tenant_digest(two))
        different += not same
    assert different > 0.9 * CASES


MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["m", "m2"]),
        "dimensions": st.integers(1, 3),
        "user": st.sampled_from(["", "a", "b"]),
        "extra_json": st.sampled_from([b"", b'{"a":1}', b'{"a":2}', b'{"a":1,"b":2}']),
        "namespace": st.sampled_from(["n", "nn"]),
        "tenant": st.sampled_from(["t", "tt"]),
    },
)


@given(one=MEMBERS, two=MEMBERS, texts=st.lists(st.text(max_size=3), min_size=2, max_size=2))
@settings(max_examples=2_000, deadline=None)
def test_any_changed_parameter_is_another_vector(
    one: dict[str, object], two: dict[str, object], texts: list[str]
) -> None:
    """Of the request, or of the input."""
    full = {"model": "m", "dimensions": None, "user": "", "extra_json": b"", "namespace": "n", "tenant": "t"}
    same = full | one == full | two and texts[0] == texts[1]

    assert same == (embed_keys(texts[:1], **one) == embed_keys(texts[1:], **two))


@given(inputs=st.lists(st.text(max_size=3), min_size=1, max_size=6), order=st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_an_input_has_the_same_key_in_every_batch(inputs: list[str], order: random.Random) -> None:
    """Wherever it stands, and whatever stands beside it; a text is never taken for tokens, or for a chat."""
    mixed = order.sample(inputs, len(inputs))
    keys = dict(zip(inputs, embed_keys(inputs), strict=True))

    assert [keys[text] for text in mixed] == embed_keys(mixed)
    assert len(set(inputs)) == len(set(keys.values()))
    request = pb.EmbeddingsRequest(model="m", inputs=[pb.EmbeddingInput(tokens=pb.TokenIds(ids=[1]))])
    assert not set(keys.values()) & set(
        embedding_keys("t", "n", canonical_parameters(request), canonical_inputs(request))
    )
    assert chat_key([{"role": "user", "content": inputs[0]}]) not in keys.values()


@given(total=st.integers(0, 10**15), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
@settings(max_examples=500, deadline=None)
def test_shares_add_up(total: int, weights: list[int]) -> None:
    """To the last nano-dollar, and each is within one of its exact part."""
    parts = shares(total, weights)

    assert total == sum(parts)
    whole = sum(weights)
    if whole:
        exact = [total * weight / whole for weight in weights]
        assert all(abs(part - right) <= 1 + right * 1e-12 for part, right in zip(parts, exact, strict=True))

"""Vectors from the cache beside new ones: never of two models, and every call that was made is paid."""

from meshgate_edge.cache.embedding_step import Looked, looked
from meshgate_edge.embeddings_pipeline import assembled
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.embeddings.v1 import embeddings_pb2 as embeddings_pb


def slot(number: int, model: str = "m", age_s: int = 0) -> pb.EmbeddingSlot:
    entry = pb.EmbeddingEntry(
        embedding=embeddings_pb.Embedding(values=[number]), model=model, prompt_tokens=3, cost_usd_nanos=7
    )
    entry.create_time.FromSeconds(1_000 - age_s)
    return pb.EmbeddingSlot(cache_key=f"key{number}", entry=entry)


def test_only_vectors_of_the_newest_model_count() -> None:
    """A provider that gave its model a new version: the old vectors are missing."""
    found = looked([slot(0, "old", 9), slot(1, "new"), pb.EmbeddingSlot(cache_key="key2"), slot(3, "old", 5)])

    assert ([0, 2, 3], "new", 1) == (found.missing, found.model, len(found.found))
    assert (3, 7) == (found.prompt_tokens, found.saved_usd_nanos)
    assert [0, 1, 2, 3] == found.nothing_found().missing


def test_new_vectors_go_where_they_are_missing() -> None:
    """In order, with the usage of all."""
    found = looked([pb.EmbeddingSlot(cache_key="key0"), slot(1), pb.EmbeddingSlot(cache_key="key2"), slot(3)])
    fresh = embeddings_pb.EmbeddingsResponse(
        model="m", embeddings=[embeddings_pb.Embedding(values=[number]) for number in (0, 2)]
    )
    fresh.usage.prompt_tokens = fresh.usage.total_tokens = 10
    response = assembled(found, fresh)

    assert [[0], [1], [2], [3]] == [list(each.values) for each in response.embeddings]
    assert 16 == response.usage.prompt_tokens == response.usage.total_tokens
    assert fresh is assembled(Looked([None, None]), fresh)

"""Vectors beside the event loop: batches, a bounded queue, and nothing done twice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from meshgate_cache.semantic.embedding import Embedding, EmbeddingLimits
from meshgate_cache.semantic.hashed_model import HashedModel
from meshgate_cache.semantic.model import TextVectors, files_in, load_onnx_model, packaged_files
from meshgate_cache.semantic.onnx_file import prepared
from meshgate_chassis.errors import MeshError


class SlowModel(HashedModel):
    """Waits until it may go on; notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_go_on = threading.Event()

    def embed(self, texts: Sequence[str]) -> Sequence[TextVectors]:
        self.batches.append(list(texts))
        assert self.may_go_on.wait(20)
        return super().embed(texts)


@pytest.fixture
async def slow() -> AsyncIterator[tuple[SlowModel, Embedding]]:
    model = SlowModel()
    embedding = Embedding(model, EmbeddingLimits(batch_max=2, waiting_max=5))
    yield model, embedding
    model.may_go_on.set()
    embedding.close()


async def test_what_waits_is_done_together_and_once(slow: tuple[SlowModel, Embedding]) -> None:
    """The first alone, the others in batches; equal texts share one computation and the memory of it."""
    model, embedding = slow
    asked = [asyncio.create_task(embedding.of(text)) for text in ("a", "b", "a", "c", "d", "b")]
    await asyncio.sleep(0)
    model.may_go_on.set()
    vectors = await asyncio.gather(*asked)

    assert sorted("abcd") == sorted(text for batch in model.batches for text in batch)
    assert max(map(len, model.batches)) == 2
    assert np.array_equal(vectors[0].whole, vectors[2].whole)
    assert vectors[0] is await embedding.of("a")
    assert 4 == sum(map(len, model.batches))


async def test_the_queue_is_bounded(slow: tuple[SlowModel, Embedding]) -> None:
    """Refused at once; those that wait are not harmed, nor by one that gives up."""
    model, embedding = slow
    asked = [asyncio.create_task(embedding.of(text)) for text in "abcde"]
    await asyncio.sleep(0)
    with pytest.raises(MeshError) as refused:
        await embedding.of("f")
    asked[1].cancel()
    model.may_go_on.set()
    done = await asyncio.gather(*asked, return_exceptions=True)

    assert "EMBEDDING_QUEUE_FULL" == refused.value.reason
    assert [False, True, False, False, False] == [isinstance(each, BaseException) for each in done]


async def test_who_waits_comes_before_what_is_expected(slow: tuple[SlowModel, Embedding]) -> None:
    """What is expected is computed once, alone, gives way when the queue is full, and is not refused."""
    model, embedding = slow
    for text in "abcdef":
        embedding.expect(text)  # the last finds no room
    asked = [asyncio.create_task(embedding.of(text)) for text in ("g", "c", "a")]
    await asyncio.sleep(0)
    model.may_go_on.set()
    await asyncio.gather(*asked)
    await embedding.of("d")

    assert [["a"], ["g", "c"]] == model.batches[:2] or [["a"], ["c", "g"]] == model.batches[:2]
    assert {"a", "b", "c", "d", "g"} == {text for batch in model.batches for text in batch}
    assert 5 == sum(map(len, model.batches))


async def test_what_is_kept_is_bounded_in_bytes() -> None:
    """The least lately used goes first; a known question's stays when many others are asked."""
    model = SlowModel()
    model.may_go_on.set()
    size = model.embed(["a"])[0].size_bytes
    embedding = Embedding(model, EmbeddingLimits(kept_bytes_max=2 * size, known_bytes_max=size))
    known = await embedding.of_known("a")
    for text in ("b", "c", "b", "d", "b", "c"):
        await embedding.of(text)

    assert known is await embedding.of_known("a")
    assert [["a"], ["a"], ["b"], ["c"], ["d"], ["c"]] == model.batches
    embedding.close()


async def test_a_model_that_fails_harms_nobody_else() -> None:
    """Who waits is told; the next text is computed."""

    class Failing(HashedModel):
        def embed(self, texts: Sequence[str]) -> Sequence[TextVectors]:
            if "a" in texts:
                raise ValueError("a")
            return super().embed(texts)

    embedding = Embedding(Failing(), EmbeddingLimits())
    outcomes = await asyncio.gather(embedding.of("a"), embedding.of("b"), return_exceptions=True)

    assert isinstance(outcomes[0], ValueError) and isinstance(outcomes[1], TextVectors)
    embedding.close()


@pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")
def test_the_packaged_model() -> None:
    """Near for the same question, far for another; of length 1; alone or in a batch."""
    files = packaged_files()
    assert files is not None
    model = load_onnx_model(files)
    texts = ["What is the capital of France?", "What is the capital city of France?", "How do I boil eggs?"]
    vectors = np.array([each.whole for each in model.embed(texts)])

    assert (3, model.dimensions) == vectors.shape
    assert np.allclose(1, np.linalg.norm(vectors, axis=1), atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.9 > 0.3 > vectors[0] @ vectors[2]
    assert np.array_equal(vectors[0], model.embed(texts[:1])[0].whole), "whatever the company"
    graph = prepared(files.model).graph
    assert (36, 6, 6) == tuple(map(graph.count, (b"MatMulInteger", b"MultiHeadAttention", b"Gelu")))
    assert len(graph) < 1_000_000, "the weights stay in their file"


@pytest.mark.skipif(packaged_files() is None, reason="needs the packaged model")
def test_a_folder_of_the_operators(tmp_path: Path) -> None:
    """Its files may be links to elsewhere; what is no model is told as such."""
    files = packaged_files()
    assert files is not None
    for name, target in (("model.onnx", files.model), ("tokenizer.json", files.tokenizer)):
        (tmp_path / name).symlink_to(target)
    assert 384 == load_onnx_model(files_in(tmp_path)).dimensions

    (tmp_path / "model.onnx").unlink()
    for content in (b"", b"no model", files.model.read_bytes()[:100_000]):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(MeshError) as refused:
            load_onnx_model(files_in(tmp_path))
        assert "MODEL_INVALID" == refused.value.reason

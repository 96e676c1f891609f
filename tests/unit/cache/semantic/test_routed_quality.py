"""A model of the configuration may be as bad as it likes: traps do not hit, whatever it finds near."""

import pytest

from meshgate_cache.semantic.build import CALIBRATED_FROM
from meshgate_cache.semantic.model import OnnxModel, load_onnx_model, packaged_files
from meshgate_cache.semantic.reading import read
from meshgate_cache.semantic.score import threshold_for
from meshgate_cache.semantic.verifier import compare
from tools.bench_cache_quality import scored_pair
from tools.semantic_pairs import blind, blind_2, blind_3, blind_4, blind_languages, held_out
from tools.semantic_pairs.generate import Pair

RATE_MAX = 0.01
SOURCES = (held_out, blind, blind_2, blind_3, blind_4)


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    """The packaged one."""
    files = packaged_files()
    if files is None:
        pytest.skip("needs the packaged model")
    return load_onnx_model(files)


def hits(pairs: list[Pair], model: OnnxModel, cosine_min: float) -> int:
    """How many would share an answer if all of them were found near."""
    threshold, count = threshold_for(RATE_MAX), 0
    for pair in pairs:
        a, b = read(pair.a), read(pair.b)
        if compare(a, b).refused:
            continue  # whatever the vectors say
        (first,), (second,) = model.embed([pair.a]), model.embed([pair.b])
        if first.whole @ second.whole >= cosine_min:
            count += scored_pair(a, b, first, second) >= threshold
    return count


def test_a_model_that_finds_everything_near_makes_no_trap_hit(model: OnnxModel) -> None:
    """All cosines 1: what is left is what the score lets through from where it was calibrated."""
    traps = [pair for source in (*SOURCES, blind_languages) for pair in source.traps()]
    traps += held_out.random_traffic()

    assert len(traps) > 1_500
    assert 0 == hits(traps, model, CALIBRATED_FROM)


def test_a_good_model_finds_more_than_the_local_one(model: OnnxModel) -> None:
    """Of paraphrases: those whose local cosine is below the threshold, but within the calibration."""
    pairs = [pair for source in SOURCES for pair in source.paraphrases()]

    assert hits(pairs, model, CALIBRATED_FROM) > hits(pairs, model, 0.8)

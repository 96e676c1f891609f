"""Quality of the semantic decision, with intervals, beside plain cosine with the same vectors.

Recorded pairs come from ../shared/data; a fixed sample of them is used.
"""

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from meshgate_cache.semantic.alignment import aligned
from meshgate_cache.semantic.model import EmbeddingModel, TextVectors
from meshgate_cache.semantic.reading import Facts, read
from meshgate_cache.semantic.score import score, threshold_for
from meshgate_cache.semantic.verifier import compare
from tools.fit_semantic import embedded, fitting_pairs
from tools.semantic_pairs import (
    blind,
    blind_2,
    blind_3,
    blind_4,
    blind_5,
    blind_6,
    blind_7,
    blind_8,
    blind_9,
    blind_10,
    blind_11,
    blind_12,
    blind_languages,
    held_out,
)
from tools.semantic_pairs.generate import Pair

Floats = npt.NDArray[np.float64]

SHARED: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
COSINES: Final = (0.8, 0.85, 0.9, 0.95)
RATES: Final = (0.01, 0.02, 0.05)
HIT_RATES: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
FLOOR: Final = 0.8
SAMPLE: Final = 6_000
Z: Final = 1.959964  # two-sided 95 %
SEED: Final = 11
BLIND: Final[Mapping[str, ModuleType]] = {
    "blind": blind,
    "blind 2": blind_2,
    "blind 3": blind_3,
    "blind 4": blind_4,
    "blind 5": blind_5,
    "blind 6": blind_6,
    "blind 7": blind_7,
    "blind 8": blind_8,
    "blind 9": blind_9,
    "blind 10": blind_10,
    "blind 11": blind_11,
    "blind 12": blind_12,
    "other languages": blind_languages,
}
# Traps that hit when a set was first measured, at max_false_hit_rate 0.01; then they became rules.
AT_FIRST: Final = {
    "blind and blind 2": "4 of 343",
    "blind 3": "10 of 164",
    "blind 4": "2 of 144",
    "blind 5": "18 of 348, before what differs had to be explained",
    "blind 6": "1 of 350",
    "blind 7": "2 of 148",
    "blind 8": "6 of 116",
    "blind 9 and 10": "0 of 363 (and 108 of 232 paraphrases)",
    "blind 11": "0 of 119",
    "blind 12": "1 of 80",
    "other languages": "3 of 53",
}


@dataclass(frozen=True, slots=True)
class Scored:
    """Of each pair: cosine, score, and whether the two deserve the same answer."""

    cosine: Floats
    score: Floats
    same: npt.NDArray[np.bool_]


def interval(count: int, total: int) -> tuple[float, float]:
    """Wilson's, 95 %."""
    share, z2 = count / total, Z * Z / total
    half = Z * (share * (1 - share) / total + z2 / (4 * total)) ** 0.5
    return max(0.0, (share + z2 / 2 - half) / (1 + z2)), min(1.0, (share + z2 / 2 + half) / (1 + z2))


def recorded(name: str, sample: int) -> list[Pair]:
    """A fixed sample of a shared data file; empty when it is not at hand."""
    path = SHARED / "paraphrase" / f"{name}.jsonl.gz"
    if not path.exists():
        return []
    with gzip.open(path) as lines:
        rows = [json.loads(line) for line in lines]
    rows = random.Random(SEED).sample(rows, min(sample, len(rows)))  # noqa: S311 - a sample
    return [Pair(row["a"], row["b"], bool(row["same"]), name) for row in rows]


def scored_pair(a: Facts, b: Facts, first: TextVectors, second: TextVectors) -> float:
    """The score alone, without the floor of the cosine."""
    alignment = aligned(first.words, second.words)
    return score(a, b, compare(a, b), float(first.whole @ second.whole), alignment)


def scored(pairs: Sequence[Pair], model: EmbeddingModel) -> Scored:
    """Cosine and score of each pair, as the service would see them."""
    vectors = embedded(pairs, model)
    cosines, scores = [], []
    for pair in pairs:
        first, second = vectors[pair.a], vectors[pair.b]
        cosines.append(float(first.whole @ second.whole))
        scores.append(scored_pair(read(pair.a), read(pair.b), first, second) if cosines[-1] >= 0.5 else 0.0)
    return Scored(np.array(cosines), np.array(scores), np.array([pair.same for pair in pairs]))


def rates(hit: npt.NDArray[np.bool_], same: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Hit rate among pairs that are the same, false-hit rate among the others."""
    told: dict[str, Any] = {}
    for name, group in (("hit", hit[same]), ("false_hit", hit[~same])):
        if len(group):
            low, high = interval(int(group.sum()), len(group))
            told[name] = {
                "count": int(group.sum()),
                "of": len(group),
                "rate": round(float(group.mean()), 4),
                "interval_95": [round(low, 4), round(high, 4)],
            }
    return told


def operating_points(data: Scored) -> dict[str, Any]:
    """Ours at each allowed rate, and plain cosine at each threshold."""
    ours = {
        f"max_false_hit_rate {rate}": (data.score >= threshold_for(rate)) & (data.cosine >= FLOOR)
        for rate in RATES
    }
    plain = {f"cosine {at}": data.cosine >= at for at in COSINES}
    return {name: rates(hit, data.same) for name, hit in (ours | plain).items()}


def at_equal_hit_rates(data: Scored) -> list[dict[str, float | None]]:
    """False-hit rates of both where each lets the same share of true pairs hit; None: out of our reach."""
    table: list[dict[str, float | None]] = []
    for wanted in HIT_RATES:
        row: dict[str, float | None] = {"hit_rate": wanted}
        for name, values in (("cosine", data.cosine), ("ours", data.score)):
            at = np.sort(values[data.same])[::-1][int(wanted * data.same.sum())]
            row[name] = round(float((values[~data.same] >= at).mean()), 4) if at > 0 else None
        table.append(row)
    return table


def quality(model: EmbeddingModel, sample: int) -> dict[str, Any]:
    """All tables; of recorded pairs, so many of each kind."""
    fitted_on = scored(fitting_pairs(), model)
    traps = list(held_out.traps())
    told: dict[str, Any] = {
        "written pairs, held out": operating_points(scored([*traps, *held_out.paraphrases()], model)),
        "written pairs, fitted on": operating_points(fitted_on),
        "random traffic": operating_points(scored(list(held_out.random_traffic()), model)),
    }
    for name, source in BLIND.items():
        pairs = [*source.traps(), *source.paraphrases()]
        told[f"written pairs, {name}"] = operating_points(scored(pairs, model))
    told["traps that hit when first measured"] = AT_FIRST
    held = scored(traps, model)
    hit = (held.score >= threshold_for(RATES[0])) & (held.cosine >= FLOOR)
    told["held-out traps by kind"] = {
        kind: rates(hit[at], held.same[at])["false_hit"]
        for kind in sorted({pair.kind for pair in traps})
        for at in [np.array([pair.kind == kind for pair in traps])]
    }
    for name in ("qqp_dev", "msr_dev"):
        pairs = recorded(name, sample)
        if pairs:
            data = scored(pairs, model)
            told[name] = operating_points(data) | {"at equal hit rates": at_equal_hit_rates(data)}
    return told

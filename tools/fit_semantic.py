"""Fits the score of the semantic cache and calibrates its threshold: writes semantic/coefficients.py.

    python -m tools.fit_semantic           # needs the packaged model; takes half a minute

Data: tools/semantic_pairs/fit.py, written for this project; nothing else. Logistic regression in which only
nearness and equal wording may speak for a pair, and everything else only against it. The calibration scores
each kind of trap by a fit without that kind, and counts only traps that look alike (cosine of NEAR at least),
so that easy ones do not dilute the rate. No count of our own traps says what a kind does that nobody thought
of; so the strictest rates take none but explained pairs, of which no trap was one, at thresholds of caution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from meshgate_cache.semantic.alignment import PERFECT, aligned
from meshgate_cache.semantic.features import FEATURES, features
from meshgate_cache.semantic.model import EmbeddingModel, TextVectors, load_onnx_model, packaged_files
from meshgate_cache.semantic.reading import read
from meshgate_cache.semantic.score import EXPLAINED
from meshgate_cache.semantic.verifier import compare
from tools.semantic_pairs import desks, fit
from tools.semantic_pairs.generate import Pair

Floats = npt.NDArray[np.float64]

TARGET: Final = Path(__file__).parents[1] / "services/cache/meshgate_cache/semantic/coefficients.py"
BATCH: Final = 16
STEPS: Final = 8_000
RATE: Final = 0.5
RIDGE: Final = 0.002
TRAP_WEIGHT: Final = 3.0
FALSE_RATES: Final = (0.05, 0.1, 0.2)
CAUTION: Final = ((0.005, 0.9), (0.01, 0.75), (0.02, EXPLAINED))  # of explained pairs only
FOR: Final = frozenset({"cosine", "same wording", "least aligned"})
CONFIDENCE: Final = 0.95
NEAR: Final = 0.7
MARGIN: Final = 4.0  # traps of others hit this much more often: seen at first sight on new blind sets


@dataclass(frozen=True, slots=True)
class Undecided:
    """The pairs that a score decides: features, 1 for the same question, whether explained, kind.

    `refused_count`: traps that look alike, and that a fact decided.
    """

    x: Floats
    y: Floats
    explained: Floats
    kinds: npt.NDArray[np.str_]
    refused_count: int = 0

    def without(self, left_out: npt.NDArray[np.bool_]) -> "Undecided":
        """The others."""
        kept = ~left_out
        return Undecided(self.x[kept], self.y[kept], self.explained[kept], self.kinds[kept])

    def tiered(self, likely: Floats) -> Floats:
        """As `score` does: explained pairs above all others."""
        return np.where(self.explained == 1, EXPLAINED + (1 - EXPLAINED) * likely, EXPLAINED * likely)


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the features, and the intercept."""

    of: Floats
    intercept: float

    def scores(self, x: Floats) -> Floats:
        """Probabilities."""
        return np.asarray(1 / (1 + np.exp(-(x @ self.of + self.intercept))))


def fitting_pairs() -> list[Pair]:
    """All that a fit may see."""
    return [*fit.traps(), *desks.traps(), *fit.paraphrases(), *desks.paraphrases()]


def embedded(pairs: Sequence[Pair], model: EmbeddingModel) -> dict[str, TextVectors]:
    """Each text once, in batches of similar length."""
    texts = sorted({text for pair in pairs for text in (pair.a, pair.b)}, key=len)
    vectors: dict[str, TextVectors] = {}
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        vectors.update(zip(part, model.embed(part), strict=True))
    return vectors


def undecided(pairs: Sequence[Pair], model: EmbeddingModel) -> Undecided:
    """Without the pairs that a fact refuses."""
    rows, labels, explained, kinds, refused_count = [], [], [], [], 0
    vectors = embedded(pairs, model)
    for pair in pairs:
        a, b = read(pair.a), read(pair.b)
        verdict = compare(a, b)
        first, second = vectors[pair.a], vectors[pair.b]
        cosine = float(first.whole @ second.whole)
        if not verdict.refused:
            alignment = PERFECT if verdict.same else aligned(first.words, second.words)
            rows.append(features(a, b, verdict, cosine, alignment))
            labels.append(float(pair.same))
            explained.append(float(verdict.explained))
            kinds.append(pair.kind)
        elif not pair.same and cosine >= NEAR:
            refused_count += 1
    return Undecided(np.array(rows), np.array(labels), np.array(explained), np.array(kinds), refused_count)


def fitted(data: Undecided) -> Weights:
    """Projected gradient descent on the logistic loss."""
    mean, scale = data.x.mean(axis=0), data.x.std(axis=0) + 1e-9
    z = (data.x - mean) / scale
    weight = np.where(data.y == 1, 1.0, TRAP_WEIGHT)
    signs = np.array([1.0 if name in FOR else -1.0 for name in FEATURES])
    b, intercept = np.zeros(len(FEATURES)), 0.0
    for _ in range(STEPS):
        error = weight * (1 / (1 + np.exp(-(z @ b + intercept))) - data.y) / len(data.y)
        b -= RATE * (z.T @ error + RIDGE * b)
        b = np.where(b * signs > 0, b, 0.0)
        intercept -= RATE * float(error.sum())
    of = b / scale
    return Weights(of, intercept - float(of @ mean))


def held_out_scores(data: Undecided) -> Floats:
    """Of each trap by weights that never saw its kind; of paraphrases, by weights of everything."""
    likely = fitted(data).scores(data.x)
    traps = data.y == 0
    for kind in sorted(set(data.kinds[traps])):
        of_kind = traps & (data.kinds == kind)
        likely[of_kind] = fitted(data.without(of_kind)).scores(data.x[of_kind])
    return data.tiered(likely)


def false_count_max(traps: int, rate: float) -> int:
    """The most false hits among the traps for which the upper bound of their rate is no more than `rate`.

    Exact binomial (Clopper-Pearson), one-sided; -1 when there are too few traps to say.
    """
    count, below = -1, 0.0
    while True:
        below += comb(traps, count + 1) * rate ** (count + 1) * (1 - rate) ** (traps - count - 1)
        if below > 1 - CONFIDENCE:
            return count
        count += 1


def thresholds(scores: Floats, data: Undecided) -> list[tuple[float, float]]:
    """(rate of false hits, threshold that keeps its upper bound) for the rates of CAUTION and FALSE_RATES."""
    near = (data.y == 0) & (data.x[:, 0] >= NEAR)
    traps = np.sort(scores[near])[::-1]
    assert not (data.explained[data.y == 0]).any(), "a trap is explained: find out why"
    table = list(CAUTION)
    for rate in FALSE_RATES:
        count = false_count_max(len(traps) + data.refused_count, rate / MARGIN)
        if 0 <= count < len(traps):
            table.append((rate, float(np.ceil((traps[count] + 1e-4) * 1e4) / 1e4)))
    return table


def written(weights: Weights, table: Sequence[tuple[float, float]], traps: int) -> str:
    """The module."""
    lines = "\n".join(f'    "{name}": {value:.4f},' for name, value in zip(FEATURES, weights.of, strict=True))
    rows = "\n".join(f"    ({rate}, {threshold})," for rate, threshold in table)
    return f'''"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {{
{lines}
}}
INTERCEPT: Final = {weights.intercept:.4f}

# (upper bound of the rate of false hits, threshold), from {traps} traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
{rows}
)
'''


def main() -> None:
    files = packaged_files()
    assert files is not None, "the packaged model is not installed"
    data = undecided(fitting_pairs(), load_onnx_model(files))
    weights = fitted(data)
    near = int(((data.y == 0) & (data.x[:, 0] >= NEAR)).sum()) + data.refused_count
    TARGET.write_text(written(weights, thresholds(held_out_scores(data), data), near))
    print(TARGET.read_text())


if __name__ == "__main__":
    main()

"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "cosine": 5.6694,
    "same wording": 0.1430,
    "words added": -0.0814,
    "words replaced": -0.0327,
    "one place changed": 0.0000,
    "question": -2.1846,
    "least aligned": 7.7949,
    "unaligned more": -2.7890,
    "unaligned fewer": -2.7503,
}
INTERCEPT: Final = -4.9361

# (upper bound of the rate of false hits, threshold), from 981 traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
    (0.01, 0.8482),
    (0.02, 0.8148),
    (0.05, 0.6067),
    (0.1, 0.3383),
    (0.2, 0.1318),
)

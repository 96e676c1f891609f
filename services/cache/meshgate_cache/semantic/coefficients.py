"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "cosine": 5.7123,
    "same wording": 0.1375,
    "words added": -0.0899,
    "words replaced": -0.0757,
    "one place changed": 0.0000,
    "question": -2.2022,
    "least aligned": 7.7725,
    "unaligned more": -2.8514,
    "unaligned fewer": -2.5115,
}
INTERCEPT: Final = -4.9160

# (upper bound of the rate of false hits, threshold), from 977 traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
    (0.01, 0.864),
    (0.02, 0.8149),
    (0.05, 0.5836),
    (0.1, 0.3343),
    (0.2, 0.1389),
)

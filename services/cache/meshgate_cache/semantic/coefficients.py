"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "cosine": 5.5586,
    "same wording": 0.1657,
    "words added": 0.0000,
    "words replaced": -0.2088,
    "one place changed": -0.8634,
    "question": -1.3037,
    "least aligned": 8.9341,
    "unaligned more": -1.7783,
    "unaligned fewer": -2.8735,
}
INTERCEPT: Final = -6.1251

# (upper bound of the rate of false hits, threshold), from 982 traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
    (0.01, 0.8953),
    (0.02, 0.7804),
    (0.05, 0.5895),
    (0.1, 0.3981),
    (0.2, 0.2445),
)

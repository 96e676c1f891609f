"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "cosine": 5.3998,
    "same wording": 0.1337,
    "words added": 0.0000,
    "words replaced": -0.2399,
    "one place changed": 0.0000,
    "question": -1.9917,
    "least aligned": 8.0664,
    "unaligned more": -2.7774,
    "unaligned fewer": -2.4472,
}
INTERCEPT: Final = -4.8885

# (upper bound of the rate of false hits, threshold), from 981 traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
    (0.01, 0.8393),
    (0.02, 0.7857),
    (0.05, 0.5876),
    (0.1, 0.373),
    (0.2, 0.1798),
)

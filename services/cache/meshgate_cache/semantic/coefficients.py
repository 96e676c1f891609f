"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "cosine": 6.2864,
    "same wording": 0.0934,
    "words added": -0.3595,
    "words replaced": 0.0000,
    "one place changed": 0.0000,
    "question": -1.7984,
    "least aligned": 7.7732,
    "unaligned more": -2.8365,
    "unaligned fewer": -3.1835,
}
INTERCEPT: Final = -4.9799

# (upper bound of the rate of false hits, threshold), from 985 traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
    (0.005, 0.9),
    (0.01, 0.75),
    (0.02, 0.5),
    (0.05, 0.4291),
    (0.1, 0.3778),
    (0.2, 0.2812),
)

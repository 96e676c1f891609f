"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "cosine": 5.5198,
    "same wording": 0.1432,
    "words added": -0.0639,
    "words replaced": -0.2438,
    "one place changed": 0.0000,
    "question": -2.0485,
    "least aligned": 7.7270,
    "unaligned more": -2.7499,
    "unaligned fewer": -2.6292,
}
INTERCEPT: Final = -4.7331

# (upper bound of the rate of false hits, threshold), from 982 traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
    (0.01, 0.8484),
    (0.02, 0.7495),
    (0.05, 0.571),
    (0.1, 0.3517),
    (0.2, 0.1945),
)

"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "cosine": 15.8951,
    "same wording": 3.8185,
    "words added": -1.0568,
    "words replaced": -0.7236,
    "reordered": 0.0000,
    "one place changed": -1.3343,
    "one place added": -2.6633,
    "links": -0.0519,
    "modals": 0.0000,
    "persons": 0.0000,
    "units": 0.0000,
}
INTERCEPT: Final = -11.6433

# (upper bound of the rate of false hits, threshold), from 640 traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
    (0.01, 0.9665),
    (0.02, 0.7458),
    (0.05, 0.5222),
    (0.1, 0.2293),
    (0.2, 0.1023),
)

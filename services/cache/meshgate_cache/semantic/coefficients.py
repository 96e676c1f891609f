"""Made by tools/fit_semantic.py from pairs written for this project; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Final

WEIGHTS: Final[Mapping[str, float]] = {
    "cosine": 15.9222,
    "same wording": 3.8162,
    "words added": -1.1049,
    "words replaced": -0.7267,
    "reordered": 0.0000,
    "one place changed": -1.3440,
    "one place added": -2.6822,
    "links": -0.0424,
    "modals": 0.0000,
    "persons": 0.0000,
    "units": 0.0000,
}
INTERCEPT: Final = -11.6487

# (upper bound of the rate of false hits, threshold), from 640 traps that look alike.
THRESHOLDS: Final[Sequence[tuple[float, float]]] = (
    (0.01, 0.9673),
    (0.02, 0.7381),
    (0.05, 0.5149),
    (0.1, 0.2289),
    (0.2, 0.1048),
)

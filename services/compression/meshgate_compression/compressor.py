"""Compressors, and the one table that names them.

A compressor shortens one passage; what may be touched, and how far, is decided before it is asked.
"""

from collections.abc import Mapping
from typing import Protocol

from meshgate_compression.candidates import Count
from meshgate_compression.extractive import extract
from meshgate_compression.messages import Passage

EXTRACTIVE = "extractive"
NONE = "none"


class Compressor(Protocol):
    """Shortens the texts of a passage; as many come back, in order, none longer."""

    def __call__(self, passage: Passage, count: Count) -> list[str]: ...


def extractive(passage: Passage, count: Count) -> list[str]:
    """Keeps what is worth most, word for word; see `extractive.py`."""
    return extract(passage.sections, passage.ratio, passage.question, count)


COMPRESSORS: Mapping[str, Compressor | None] = {
    EXTRACTIVE: extractive,
    NONE: None,  # Leaves every prompt alone.
}

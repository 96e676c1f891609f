"""No gateway at all: what is added by one is told beside it."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.session import DIRECT
from bench.subject import Place, Subject, same_for_all


@contextmanager
def direct(place: Place) -> Iterator[Subject]:
    """The provider itself."""
    yield same_for_all(DIRECT, place.provider.port, place.provider, place.provider.kind, {})

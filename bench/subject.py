"""What is measured: a gateway (or none) that runs, and how each kind of load reaches it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.prompts import Target
from bench.provider import Answer, Provider

PLAIN = Answer()
PACED = Answer(delay_us=5_000, gap_us=10_000)
MODELS = {"bench": PLAIN, "bench-paced": PACED}  # the name a client asks for -> how the provider answers
REDIS = "redis"
ALL_LOADS = frozenset({"rate50", "rate200", "hit", "streams", "sweep"})


@dataclass(frozen=True, slots=True)
class Subject:
    """`roots`: name -> process id, as they are now. `loads`: what is asked of it besides saturation.

    `lookups`: how often its cache has been asked so far, as the cache's store counts; None: not known.
    """

    name: str
    plain: Target
    paced: Target
    roots: Callable[[], Mapping[str, int]]
    version: str
    loads: frozenset[str] = ALL_LOADS
    has_cache: bool = False
    lookups: Callable[[], int] | None = None
    start_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """`folder`: for this run alone, empty. `tools`: the venvs of what is only installed to be measured."""

    folder: Path
    tools: Path
    provider: Provider


def same_for_all(name: str, port: int, provider: Provider, version: str, roots: Mapping[str, int]) -> Subject:
    """A subject that hands paths on as they are: the provider itself, or a plain reverse proxy."""
    return Subject(
        name,
        Target(port, provider.path(PLAIN)),
        Target(port, provider.path(PACED)),
        lambda: roots,
        version,
    )

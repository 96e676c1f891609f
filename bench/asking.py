"""Kinds of load for meshes that are asked at the same time, and when each of them has its turn. Pure."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

ORDER_STRIDE = 5  # has no divisor in common with 2, 6 or 24, the numbers of orders of 2, 3 or 4 meshes


@dataclass(frozen=True, slots=True)
class Asking:
    """One kind of load; each mesh has it. `per_second` 0: `clients` in a closed loop.

    `chunks`: of a stream; 0: whole answers. `each`: what costs are divided by.
    """

    name: str
    title: str
    per_second: float = 0.0
    clients: int = 0
    chunks: int = 0
    paced: bool = False
    cached: bool = True
    same: bool = False  # one prompt again and again: cache hits but for the first

    @property
    def each(self) -> str:
        return "chunk" if self.chunks else "request"


AT_A_RATE = Asking("together_rate", "10/s each", per_second=10)
CLOSED = Asking("together_closed", "12 clients each, no cache", clients=12, cached=False)
FASTER = Asking("together_faster", "25/s each", per_second=25)
HITS = Asking("together_hits", "exact cache hits, 25/s each", per_second=25, same=True)
BURSTS = Asking("together_bursts", "50 chunks as fast as they come, 4 clients each", clients=4, chunks=50)
PACED_STREAMS = Asking(
    "together_paced", "50 chunks, 10 ms apart, 4/s each", per_second=4, chunks=50, paced=True
)


@dataclass(frozen=True, slots=True)
class Slices:
    """How many of each load, and how long each is."""

    count: int
    seconds: float
    warm_up_s: float = 2.0


def order(slice_number: int, count: int) -> tuple[int, ...]:
    """In which the meshes have their turn in this slice: one of all orders there are, another each time."""
    orders = list(itertools.permutations(range(count)))
    return orders[slice_number * ORDER_STRIDE % len(orders)]


def offsets_ns(position: int, count: int, asking: Asking, seconds: float) -> Iterator[int]:
    """When the mesh at `position` of `count` is asked, counted from the beginning of a slice.

    Each is asked evenly: where the gaps of one differ, what shares a way with the next request (stores,
    settlements) differs too, and a mesh would be cheaper for its place alone.
    """
    for number in range(int(asking.per_second * seconds)):
        yield int((number + position / count) * 1e9 / asking.per_second)

"""The claims that one RPC hands out, given back when its caller may never hear of them.

A claim that nobody knows of holds up all who ask the same until its lease is over.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from meshgate_protos.cache.v1 import cache_service_pb2 as pb

ON_THE_WAY_S: Final = 0.005  # with less time left, the answer may be too late for who waits for it

GiveBack = Callable[[str, str, str], None]  # key, namespace, token


class Grants:
    """Of one RPC."""

    def __init__(self, give_back: GiveBack) -> None:
        self._give_back = give_back
        self._granted: list[tuple[str, str, str]] = []

    def add(self, key: str, namespace: str, token: str) -> None:
        """The caller will lead."""
        self._granted.append((key, namespace, token))

    def give_back(self) -> None:
        """None of them is the caller's."""
        for each in self._granted:
            self._give_back(*each)
        self._granted.clear()

    def checked(self, responses: Iterable[pb.LookupEntryResponse], remaining_s: float) -> None:
        """Nobody leads by an answer that comes too late."""
        if remaining_s >= ON_THE_WAY_S or not self._granted:
            return
        self.give_back()
        for response in responses:
            if response.flight.role == pb.FLIGHT_ROLE_LEADER:
                response.flight.CopyFrom(pb.Flight(role=pb.FLIGHT_ROLE_ALONE))


@contextmanager
def granting(give_back: GiveBack) -> Iterator[Grants]:
    """For the block of an RPC: one that is cancelled or fails leaves no claim behind."""
    grants = Grants(give_back)
    try:
        yield grants
    except BaseException:
        grants.give_back()
        raise

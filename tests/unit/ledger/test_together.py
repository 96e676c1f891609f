"""Many requests together: each has its own result, whatever becomes of the others."""

import asyncio

import pytest

from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.together import Begun, Way, together
from tests.support.eventually import eventually

WRONG = MeshError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "no")


class Work:
    """Words end as they are in capitals: all that begin together when the gate is open; those with a "?" need
    their whole way from the start, those with a "~" turn out to, "!" is wrong at once, "-" is wrong then."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.futures: dict[str, asyncio.Future[str]] = {}
        self.whole: list[str] = []

    @property
    def way(self) -> Way[str, str]:
        return Way(self._begin, self._whole)

    def open(self) -> None:
        self.gate.set()
        for word, future in self.futures.items():
            if not future.done():
                future.set_exception(WRONG) if "-" in word else future.set_result(word.upper())

    def _begin(self, word: str) -> Begun | None:
        if "!" in word:
            raise WRONG
        if "?" in word:
            return None
        future = self.futures[word] = asyncio.get_running_loop().create_future()
        return Begun(future, lambda result: None if "~" in word else result)

    async def _whole(self, word: str) -> str:
        self.whole.append(word)
        await self.gate.wait()
        if "-" in word:
            raise WRONG
        return word.upper()


async def test_each_has_its_own_result_in_their_order() -> None:
    """However it comes to it."""
    work = Work()
    words = ["a", "b!", "c?", "d-", "e~", "f?-", "g~?", "h"]
    running = asyncio.create_task(together(work.way, words))
    await eventually(lambda: len(work.whole) == 3, "what needs its whole way is under way beside the rest")
    work.open()

    assert ["A", WRONG, "C?", WRONG, "E~", WRONG, "G~?", "H"] == await running
    assert {"c?", "f?-", "g~?"} == set(work.whole[:3])
    assert ["e~"] == work.whole[3:]


async def test_nothing_and_all_alike() -> None:
    """No commands; only such that need their whole way."""
    work = Work()
    work.open()

    assert [] == await together(work.way, [])
    assert ["A?", "B?"] == await together(work.way, ["a?", "b?"])


async def test_who_goes_away_takes_all_of_it_along() -> None:
    """Nothing waits for somebody who is gone."""
    work = Work()
    running = asyncio.create_task(together(work.way, ["a", "b", "c?"]))
    await eventually(lambda: work.whole, "all is under way")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert [True, True] == [future.cancelled() for future in work.futures.values()]

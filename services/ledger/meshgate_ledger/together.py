"""Many requests of one RPC, each with a result of its own, without a task for each: that is half of what one
of them costs here.

Nearly all of them need nothing but their turn in a batch: they are begun one after another and awaited one
after another, and as they share a batch the first wait is the only one. The few that need more go their whole
way, in tasks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from meshgate_chassis.errors import MeshError

Command = TypeVar("Command")
Result = TypeVar("Result")


class Begun(NamedTuple):
    """What waits in a batch. `end`: the result from what `future` brings; None: it needs the whole way."""

    future: "asyncio.Future[Any]"
    end: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Way(Generic[Command, Result]):
    """`begin`: None when the command needs more than a batch; `whole`: all of it. Both raise MeshError."""

    begin: Callable[[Command], Begun | None]
    whole: Callable[[Command], Awaitable[Result]]


async def together(way: Way[Command, Result], commands: Sequence[Command]) -> list[Result | MeshError]:
    """One result for each, in their order; an error is nobody else's. A cancellation is everybody's."""
    begun = [_begin(way, command) for command in commands]
    others = _whole(way, [command for command, each in zip(commands, begun, strict=True) if each is None])
    try:
        ended = [await _end(each) if isinstance(each, Begun) else each for each in begun]
        whole = iter(await others)
        results: list[Any] = [next(whole) if each is None else ended[i] for i, each in enumerate(begun)]
        late = [i for i, each in enumerate(results) if each is None]  # as it turned out
        for i, result in zip(late, await _whole(way, [commands[i] for i in late]), strict=True):
            results[i] = result
    finally:
        others.cancel()
        for each in begun:
            if isinstance(each, Begun):
                each.future.cancel()
    return results


def _begin(way: Way[Command, Result], command: Command) -> Begun | MeshError | None:
    try:
        return way.begin(command)
    except MeshError as error:
        return error


async def _end(begun: Begun) -> Any:
    """The result, its error, or None."""
    try:
        return begun.end(await begun.future)
    except MeshError as error:
        return error


def _whole(way: Way[Command, Result], commands: Sequence[Command]) -> "asyncio.Future[list[Any]]":
    async def one(command: Command) -> Result | MeshError:
        try:
            return await way.whole(command)
        except MeshError as error:
            return error

    if not commands:
        nothing: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        nothing.set_result([])
        return nothing
    return asyncio.gather(*(one(command) for command in commands))

"""One timer for many reads: it ends the read that is late, and no other."""

import asyncio

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from meshgate_router.read_alarm import ReadAlarm
from tests.support.eventually import eventually

LIMIT_S = 0.02
LONG_S = 60.0


def content() -> aiohttp.StreamReader:
    """What a provider sends, by hand."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    return aiohttp.StreamReader(protocol, 1024, loop=loop)


async def passed(at_s: float) -> None:
    loop = asyncio.get_running_loop()
    await eventually(lambda: loop.time() > at_s + LIMIT_S, "the time has passed")


async def test_a_read_that_is_late_ends() -> None:
    """Also when an earlier read had more time."""
    reader, loop = content(), asyncio.get_running_loop()
    alarm = ReadAlarm(reader)
    alarm.set(loop.time() + LONG_S)
    alarm.pause()
    alarm.set(loop.time() + LIMIT_S)
    with pytest.raises(TimeoutError):
        await reader.readany()

    assert alarm.rang


async def test_time_between_reads_is_not_counted() -> None:
    """A reader that is slow itself is not the provider's silence; the next read has its own limit."""
    reader, loop = content(), asyncio.get_running_loop()
    alarm = ReadAlarm(reader)
    first_s = loop.time() + LIMIT_S
    alarm.set(first_s)
    alarm.pause()
    await passed(first_s)
    alarm.set(loop.time() + LONG_S)
    reader.feed_data(b"token")

    assert (b"token", False) == (await reader.readany(), alarm.rang)
    alarm.switch_off()


async def test_a_limit_that_moves_on_is_kept() -> None:
    """The timer of the first read rings in the second one, which has more time, and then ends the second."""
    reader, loop = content(), asyncio.get_running_loop()
    alarm = ReadAlarm(reader)
    alarm.set(loop.time() + LIMIT_S / 2)
    alarm.pause()
    second_s = loop.time() + 2 * LIMIT_S
    alarm.set(second_s)
    with pytest.raises(TimeoutError):
        await reader.readany()

    assert loop.time() >= second_s


async def test_an_alarm_that_is_off_never_rings() -> None:
    """Whatever was set."""
    reader, loop = content(), asyncio.get_running_loop()
    alarm = ReadAlarm(reader)
    at_s = loop.time() + LIMIT_S
    alarm.set(at_s)
    alarm.switch_off()
    await passed(at_s)

    assert not alarm.rang

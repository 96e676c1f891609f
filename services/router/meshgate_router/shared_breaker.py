"""Cooldowns that all replicas keep: what one breaker learns, the others know within half a second.

Never in the way of a request, except for one question before a trial. In Redis: a hash of the circuits that
are not closed (until when, in ms of Redis' clock, and whether a trial follows), a counter of failures for
each minute, and a lock for each trial. While Redis is away each process has its own cooldowns.
"""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from typing import Final

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_router.breaker import Breaker
from meshgate_router.deployment_state import Key
from meshgate_router.redis_link import RedisLink, Script
from meshgate_router.shared_limits import PREFIX

POLL_S: Final = 0.5
CALL_S: Final = 1.0  # in nobody's way
TRIAL_QUESTION_S: Final = 0.1  # in the way of one request after a cooldown
FORGOTTEN_MS: Final = 3_600_000  # a half-open circuit that nobody tries any more
CIRCUITS: Final = f"{PREFIX}circuits"

NOW: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
"""
OPEN: Final = (
    NOW
    + """
local until_ms = string.format('%d', now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], ARGV[1], until_ms .. ':' .. ARGV[3])
redis.call('DEL', KEYS[2], KEYS[3])
return 1
"""
)
CLOSE: Final = "redis.call('HDEL', KEYS[1], ARGV[1]); redis.call('DEL', KEYS[2]); return 1"
COUNT: Final = (
    NOW
    + """
local minute = math.floor(now / 60000)
local field = string.format('%d', minute)
if redis.call('HGET', KEYS[1], 'minute') ~= field then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'minute', field)
end
redis.call('PEXPIRE', KEYS[1], 120000)
return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
"""
)
TRY: Final = "if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 1 else return 0 end"
READ: Final = (
    NOW
    + """
local found, all = {}, redis.call('HGETALL', KEYS[1])
for position = 1, #all, 2 do
  local until_ms, trial = string.match(all[position + 1], '^(%d+):(%d)$')
  local left = until_ms and (tonumber(until_ms) - now) or -tonumber(ARGV[1]) - 1
  if left < -tonumber(ARGV[1]) or (left <= 0 and trial == '0') then
    redis.call('HDEL', KEYS[1], all[position])
  else
    found[#found + 1] = {all[position], string.format('%d', left), trial}
  end
end
return found
"""
)

log = structlog.get_logger("meshgate.router")


class SharedBreaker:
    """Implements breaker.Replicas; `run` is to be a task of its own."""

    def __init__(self, breaker: Breaker, link: RedisLink, tasks: TaskOwner, clock: Clock) -> None:
        self._breaker = breaker
        self._link = link
        self._tasks = tasks
        self._clock = clock
        self._scripts = {name: Script(text) for name, text in SCRIPTS.items()}

    def opened(self, key: Key, duration_s: float, *, on_trial: bool) -> None:
        self._start(self._tell_open(key, duration_s, on_trial=on_trial))

    def closed(self, key: Key) -> None:
        self._start(self._tell_closed(key))

    def counted(self, key: Key, name: str, allowed: int, duration_s: float) -> None:
        self._start(self._count(key, name, allowed, duration_s))

    async def may_try(self, key: Key, duration_s: float) -> bool:
        words = (str(int(duration_s * 1_000)),)
        answer = await self._link.run(self._scripts["try"], (_trial(key),), words, TRIAL_QUESTION_S)
        return answer is None or int(answer) == 1

    async def run(self) -> None:
        """Reads what the others know, for ever."""
        while True:
            await self.read()
            await asyncio.sleep(POLL_S)

    async def read(self) -> None:
        """Once."""
        asked_s = self._clock.monotonic_s()
        rows = await self._link.run(self._scripts["read"], (CIRCUITS,), (str(FORGOTTEN_MS),), CALL_S)
        if rows is not None:
            states = {_key_of(row[0]): (int(row[1]) / 1_000, row[2] == "1") for row in rows}
            self._breaker.learn(states, asked_s)

    async def _tell_open(self, key: Key, duration_s: float, *, on_trial: bool) -> None:
        words = (_name_of(key), str(max(1, int(duration_s * 1_000))), "1" if on_trial else "0")
        keys = (CIRCUITS, _counter(key), _trial(key))
        if await self._link.run(self._scripts["open"], keys, words, CALL_S) is not None:
            self._breaker.known(key)

    async def _tell_closed(self, key: Key) -> None:
        await self._link.run(self._scripts["close"], (CIRCUITS, _trial(key)), (_name_of(key),), CALL_S)

    async def _count(self, key: Key, name: str, allowed: int, duration_s: float) -> None:
        answer = await self._link.run(self._scripts["count"], (_counter(key),), (name,), CALL_S)
        if answer is not None and int(answer) > allowed and duration_s > 0:
            self._breaker.open_for(key, duration_s)
            log.warning("deployment cools down", deployment_id=key[0], reason="failures of all replicas")
            await self._tell_open(key, duration_s, on_trial=True)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        with contextlib.suppress(MeshError):  # Too many are under way: the others will find out themselves.
            self._tasks.start(work, "breaker")


SCRIPTS: Final = {"open": OPEN, "close": CLOSE, "count": COUNT, "try": TRY, "read": READ}


def _name_of(key: Key) -> str:
    return json.dumps(key)


def _key_of(name: str) -> Key:
    account, model = json.loads(name)
    return account, model


def _counter(key: Key) -> str:
    return f"{PREFIX}failures:{_name_of(key)}"


def _trial(key: Key) -> str:
    return f"{PREFIX}trial:{_name_of(key)}"

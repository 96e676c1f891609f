"""Limits that are exact over all replicas: one Lua script for each pick, on Redis' own clock.

While Redis is away the limits are this process's own (each replica allows all of them). Whatever is taken in
Redis is counted here as well, so that this process at least remembers its own use then.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_router.deployment_limits import Full, LocalLimits, Taken
from meshgate_router.limit_rules import Ask
from meshgate_router.redis_link import RedisLink, Script

TAKE_S: Final = 0.1  # in the way of a request
SETTLE_S: Final = 2.0  # in nobody's way
PREFIX: Final = "meshgate:{router}:"  # one hash slot, so that a script may see several deployments

# KEYS: for each ask the hash of its windows ("rpm" -> used, "rpm:window" -> which) and the sorted set of its
# calls under way. Returns {position, indexes as JSON}, or {0, wait in seconds as text; -1: calls under way}.
TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local asks = cjson.decode(ARGV[1])
local lease, hold = ARGV[2], tonumber(ARGV[3])
local soonest, busy = nil, false
for position, ask in ipairs(asks) do
  local key, under_way = KEYS[2 * position - 1], KEYS[2 * position]
  local wait, indexes, amounts = 0, {}, {}
  for _, window in ipairs(ask.windows) do
    local index = string.format('%d', math.floor((now + window.offset_s) / window.seconds))
    local kept = redis.call('HMGET', key, window.name .. ':window', window.name)
    local used = 0
    if kept[1] == index then used = tonumber(kept[2]) end
    local fits = used + window.amount <= window.limit
    if not fits and not window.exact and used == 0 and window.limit > 0 then fits = true end
    if not fits then
      wait = math.max(wait, (tonumber(index) + 1) * window.seconds - window.offset_s - now)
    end
    indexes[window.name] = tonumber(index)
    amounts[#amounts + 1] = window.name .. ':window'
    amounts[#amounts + 1] = index
    amounts[#amounts + 1] = window.name
    amounts[#amounts + 1] = string.format('%d', used + window.amount)
  end
  if wait > 0 then
    if soonest == nil or wait < soonest then soonest = wait end
  else
    local room = true
    if ask.parallel_max >= 0 then
      redis.call('ZREMRANGEBYSCORE', under_way, '-inf', now)
      room = redis.call('ZCARD', under_way) < ask.parallel_max
    end
    if room then
      if #amounts > 0 then
        redis.call('HSET', key, unpack(amounts))
        redis.call('EXPIRE', key, 172800)
      end
      if ask.parallel_max >= 0 then
        redis.call('ZADD', under_way, now + hold, lease)
        redis.call('EXPIRE', under_way, 172800)
      end
      return {position, cjson.encode(indexes)}
    end
    busy = true
  end
end
if busy or soonest == nil then return {0, '-1'} end
return {0, tostring(soonest)}
"""

# KEYS: as above, of one deployment. Adds to the windows that are still the same ones.
SETTLE: Final = """
local changes = cjson.decode(ARGV[1])
for _, change in ipairs(changes) do
  if redis.call('HGET', KEYS[1], change.name .. ':window') == string.format('%d', change.index) then
    if redis.call('HINCRBY', KEYS[1], change.name, change.amount) < 0 then
      redis.call('HSET', KEYS[1], change.name, 0)
    end
  end
end
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
"""


class SharedLimits:
    """Implements deployment_limits.Limits."""

    def __init__(self, link: RedisLink, local: LocalLimits, tasks: TaskOwner) -> None:
        self._link = link
        self._local = local
        self._tasks = tasks
        self._take = Script(TAKE)
        self._settle = Script(SETTLE)

    async def take(self, asks: Sequence[Ask], lease_id: str, hold_s: float) -> Taken | Full:
        keys = [key for ask in asks for key in _keys(ask)]
        words = (json.dumps([_words(ask) for ask in asks]), lease_id, f"{hold_s:.3f}")
        answer = await self._link.run(self._take, keys, words, TAKE_S)
        if answer is None:
            return await self._local.take(asks, lease_id, hold_s)
        position, told = int(answer[0]), str(answer[1])
        if position == 0:
            wait_s = float(told)
            return Full(None if wait_s < 0 else wait_s)
        ask = asks[position - 1]
        self._local.note(Taken(position - 1, ask, {}, lease_id), hold_s)
        indexes = {name: int(index) for name, index in json.loads(told).items()} if ask.windows else {}
        return Taken(position - 1, ask, indexes, lease_id, shared=True)

    def settle(self, taken: Taken, corrections: Mapping[str, int]) -> None:
        self._local.settle(taken, corrections)
        changes = [
            {"name": name, "index": index, "amount": corrections[name]}
            for name, index in taken.indexes.items()
            if corrections.get(name)
        ]
        if not taken.shared or (not changes and taken.ask.parallel_max is None):
            return
        work = self._link.run(self._settle, _keys(taken.ask), (json.dumps(changes), taken.lease_id), SETTLE_S)
        # With too many under way the estimate stands, and the call counts until its deadline.
        with contextlib.suppress(MeshError):
            self._tasks.start(work, "settle")


def _keys(ask: Ask) -> tuple[str, str]:
    return f"{PREFIX}limits:{ask.account}", f"{PREFIX}calls:{ask.account}"


def _words(ask: Ask) -> dict[str, object]:
    windows = [
        {
            "name": each.name,
            "seconds": each.seconds,
            "offset_s": each.offset_s,
            "limit": each.limit,
            "amount": each.amount,
            "exact": each.exact,
        }
        for each in ask.windows
    ]
    return {"windows": windows, "parallel_max": -1 if ask.parallel_max is None else ask.parallel_max}

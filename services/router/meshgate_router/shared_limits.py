"""Limits that are exact over all replicas: one Lua script for each pick, on Redis' own clock.

While Redis is away the limits are this process's own (each replica allows all of them). Whatever is taken in
Redis is counted here as well, so that this process at least remembers its own use then.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshgate_chassis.errors import MeshError
from meshgate_chassis.tasks import TaskOwner
from meshgate_router.deployment_limits import Full, LocalLimits, Taken
from meshgate_router.limit_rules import Ask
from meshgate_router.redis_link import RedisLink, Script

TAKE_S: Final = 0.25  # in the way of requests
SETTLE_S: Final = 2.0  # in nobody's way
BATCH_MAX: Final = 64  # requests that one script decides
PREFIX: Final = "meshgate:{router}:"  # one hash slot, so that a script may see several deployments

# KEYS: for each ask of each request the hash of its windows ("rpm" -> used, "rpm:window" -> which) and the
# sorted set of its calls under way. Returns for each request {position, indexes as JSON}, or {0, seconds to
# wait as text; -1: calls under way}.
TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local answers, first = {}, 0
local function decide(request)
  local soonest, busy = nil, false
  for position, ask in ipairs(request.asks) do
    local key, under_way = KEYS[first + 2 * position - 1], KEYS[first + 2 * position]
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
          redis.call('ZADD', under_way, now + request.hold_s, request.lease)
          redis.call('EXPIRE', under_way, 172800)
        end
        return {position, cjson.encode(indexes)}
      end
      busy = true
    end
  end
  if busy or soonest == nil then return {0, '-1'} end
  return {0, tostring(soonest)}
end
for number, request in ipairs(cjson.decode(ARGV[1])) do
  answers[number] = decide(request)
  first = first + 2 * #request.asks
end
return answers
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


@dataclass(frozen=True, slots=True)
class _Request:
    """One pick that waits for its answer."""

    asks: Sequence[Ask]
    lease_id: str
    hold_s: float
    answer: "asyncio.Future[Taken | Full]"


class SharedLimits:
    """Implements deployment_limits.Limits. What comes while Redis is asked is asked together next."""

    def __init__(self, link: RedisLink, local: LocalLimits, tasks: TaskOwner) -> None:
        self._link = link
        self._local = local
        self._tasks = tasks
        self._take = Script(TAKE)
        self._settle = Script(SETTLE)
        self._waiting: deque[_Request] = deque()
        self._asking = False

    async def take(self, asks: Sequence[Ask], lease_id: str, hold_s: float) -> Taken | Full:
        if self._link.away:
            return await self._local.take(asks, lease_id, hold_s)
        request = _Request(asks, lease_id, hold_s, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if not self._asking:
            try:
                self._tasks.start(self._ask_for_all(), "limits")
                self._asking = True
            except MeshError:  # Too much is under way.
                self._waiting.remove(request)
                return await self._local.take(asks, lease_id, hold_s)
        return await request.answer

    async def _ask_for_all(self) -> None:
        try:
            while self._waiting:
                count = min(BATCH_MAX, len(self._waiting))
                await self._ask([self._waiting.popleft() for _ in range(count)])
        finally:
            self._asking = False
            for request in self._waiting:  # Only when the process ends.
                request.answer.cancel()
            self._waiting.clear()

    async def _ask(self, requests: Sequence[_Request]) -> None:
        keys = [key for request in requests for ask in request.asks for key in _keys(ask)]
        words = [
            {"lease": each.lease_id, "hold_s": each.hold_s, "asks": [_words(ask) for ask in each.asks]}
            for each in requests
        ]
        answers = None
        try:
            answers = await self._link.run(self._take, keys, (json.dumps(words),), TAKE_S)
        finally:
            if answers is None:
                answers = [None] * len(requests)
            for request, answer in zip(requests, answers, strict=True):
                await self._tell(request, answer)

    async def _tell(self, request: _Request, answer: Sequence[object] | None) -> None:
        if answer is None:
            found = await self._local.take(request.asks, request.lease_id, request.hold_s)
        else:
            found = self._understood(request, int(str(answer[0])), str(answer[1]))
        if not request.answer.done():
            request.answer.set_result(found)
        elif isinstance(found, Taken):  # The request was cancelled meanwhile.
            used = {window.name: -window.amount for window in found.ask.windows}
            self.settle(found, used)

    def _understood(self, request: _Request, position: int, told: str) -> Taken | Full:
        if position == 0:
            wait_s = float(told)
            return Full(None if wait_s < 0 else wait_s)
        ask = request.asks[position - 1]
        self._local.note(Taken(position - 1, ask, {}, request.lease_id), request.hold_s)
        indexes = {name: int(index) for name, index in json.loads(told).items()} if ask.windows else {}
        return Taken(position - 1, ask, indexes, request.lease_id, shared=True)

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

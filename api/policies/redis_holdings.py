"""Reservations and rate counters that several workers share in Redis.

    gateledger:taken:<counter>      reservation → amount, and "" → their sum, for as long as any of them holds
    gateledger:ends:<counter>       the reservations by when they end
    gateledger:rate:<counter>       how much of a window is taken, until it is over
    gateledger:reserved:<id>        its claims and ticks
    gateledger:awaiting             reservation → organisation and log id, of those whose logs are awaited

One script checks and takes, so that no two requests get the same room. What comes while Redis is being asked is asked
together afterwards: the way there costs more than the question. While Redis does not answer each worker keeps count
for itself, and says so.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import redis
from starlette.concurrency import run_in_threadpool

from api.policies.holdings import Actual, LocalHoldings, Refusal, Settled, Taking

logger = logging.getLogger("api.policies")

_PREFIX = "gateledger:"
_AWAITING = _PREFIX + "awaiting"
_LARGEST = (1 << 53) - 1
"""Of a number in a script."""
_TIMEOUT_S = 0.5
_AT_ONCE = 64
"""Questions in one: Redis does nothing else meanwhile."""

_HOLD = """
local function sum(taken, ends, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now)) do
    redis.call('HINCRBY', taken, '', 0 - tonumber(redis.call('HGET', taken, id) or '0'))
    redis.call('HDEL', taken, id)
    redis.call('ZREM', ends, id)
  end
  return tonumber(redis.call('HGET', taken, '') or '0')
end
local function lives(key, now, ends_at)
  if redis.call('PTTL', key) < ends_at - now then redis.call('PEXPIREAT', key, ends_at) end
end
local function hold(taken, ends, id, amount, now, ends_at)
  local before = tonumber(redis.call('HGET', taken, id) or '0')
  redis.call('HSET', taken, id, amount)
  redis.call('HINCRBY', taken, '', amount - before)
  redis.call('ZADD', ends, ends_at, id)
  lives(taken, now, ends_at)
  lives(ends, now, ends_at)
end
"""
_TAKE = (
    _HOLD
    + """
local function refusal(one, at)
  for place, claim in ipairs(one.claims) do
    local held = sum(KEYS[at], KEYS[at + 1], one.now)
    if held + claim[2] > claim[1] or held >= claim[1] then return {place - 1, held} end
    at = at + 2
  end
  for place, tick in ipairs(one.ticks) do
    local count = tonumber(redis.call('GET', KEYS[at]) or '0')
    if count + tick[2] > tick[1] or count >= tick[1] then return {#one.claims + place - 1, count} end
    at = at + 1
  end
  return nil
end
local function take(one, at)
  for _, claim in ipairs(one.claims) do
    if one.id ~= '' then hold(KEYS[at], KEYS[at + 1], one.id, claim[2], one.now, one.ends) end
    at = at + 2
  end
  for _, tick in ipairs(one.ticks) do
    redis.call('INCRBY', KEYS[at], tick[2])
    redis.call('PEXPIREAT', KEYS[at], tick[3])
    at = at + 1
  end
  if one.id ~= '' then redis.call('SET', KEYS[at], one.entry, 'PXAT', one.ends) end
  if one.awaited ~= '' then redis.call('HSET', KEYS[1], one.id, one.awaited) end
end
local answers, at = {}, 2
for _, one in ipairs(cjson.decode(ARGV[1])) do
  local refused = refusal(one, at)
  if not refused and not one.trial then take(one, at) end
  answers[#answers + 1] = refused or {-1, 0}
  at = at + 2 * #one.claims + #one.ticks + (one.id ~= '' and 1 or 0)
end
return answers
"""
)
_CHANGE = (
    _HOLD
    + """
for place = 1, #ARGV - 3 do
  hold(KEYS[2 * place - 1], KEYS[2 * place], ARGV[1], tonumber(ARGV[place + 3]), tonumber(ARGV[2]), tonumber(ARGV[3]))
end
"""
)
_CORRECT = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('INCRBY', KEYS[1], ARGV[1]) end
"""


class _Entry(msgspec.Struct, array_like=True):
    """A reservation."""

    organisation_id: str
    claims: list[tuple[str, int, str]]
    ticks: list[tuple[str, int, str]]
    log_id: str
    is_settled: bool = False


class _Asked(msgspec.Struct):
    """A request as the script reads it."""

    now: int
    claims: list[tuple[int, int]]
    ticks: list[tuple[int, int, int]]
    id: str
    ends: int
    trial: bool
    entry: str
    awaited: str


_encoded = msgspec.json.Encoder().encode
_entry_in = msgspec.json.Decoder(_Entry).decode
_settled_in = msgspec.json.Decoder(Settled).decode


class RedisHoldings:
    """In Redis; in the memory of this process while Redis is away."""

    def __init__(self, url: str) -> None:
        timeouts: dict[str, Any] = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        self._client: Any = redis.Redis.from_url(url, **timeouts)
        self._take: Any = self._client.register_script(_TAKE)
        self._change: Any = self._client.register_script(_CHANGE)
        self._correct: Any = self._client.register_script(_CORRECT)
        self._waiting: list[tuple[Taking, asyncio.Future[Refusal | None]]] = []
        self._asking: asyncio.Task[None] | None = None
        self._alone = LocalHoldings()
        self._is_down = False

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    async def take(self, taking: Taking) -> Refusal | None:
        """See `Holdings.take`."""
        if not taking.claims and not taking.ticks and taking.reservation is None:
            return None
        answer: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((taking, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def settle(self, organisation_id: str, reservation: str, actual: Actual) -> bool:
        """See `Holdings.settle`."""
        try:
            known = await run_in_threadpool(self._settled, organisation_id, reservation, actual)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            known = None
        return await self._alone.settle(organisation_id, reservation, actual) if known is None else known

    def awaited(self) -> list[Settled]:
        """See `Holdings.awaited`."""
        found = self._alone.awaited()
        try:
            entries = cast("dict[bytes, bytes]", self._client.hgetall(_AWAITING))
            known = [_settled_in(content) for content in entries.values()]
            with self._client.pipeline(transaction=False) as pipe:
                for one in known:
                    pipe.exists(_reserved(one.reservation))
                for one, is_there in zip(known, pipe.execute(), strict=True):
                    if is_there:
                        found.append(one)
                    else:
                        self._client.hdel(_AWAITING, one.reservation)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
        return found

    def end(self, reservation: str, at_ms: int) -> None:
        """See `Holdings.end`."""
        self._alone.end(reservation, at_ms)
        try:
            content = self._client.get(_reserved(reservation))
            if content is None:
                return
            self._hold(reservation, _entry_in(content), at_ms, at_ms)
            with self._client.pipeline(transaction=True) as pipe:
                pipe.pexpireat(_reserved(reservation), at_ms)
                pipe.hdel(_AWAITING, reservation)
                pipe.execute()
        except (redis.RedisError, OSError) as error:
            self._failed(error)

    async def _ask(self) -> None:
        """Ask for everybody who waits, until nobody does."""
        while self._waiting:
            some, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            takings = [taking for taking, _ in some]
            try:
                found = await self._taken_by_any(takings)
            except Exception as error:  # noqa: BLE001 - everybody who waits is told, whatever it is
                for _, answer in some:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), refusal in zip(some, found, strict=True):
                    if not answer.done():  # who asked may have gone
                        answer.set_result(refusal)

    async def _taken_by_any(self, takings: Sequence[Taking]) -> list[Refusal | None]:
        try:
            found = await run_in_threadpool(self._taken, takings)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return [await self._alone.take(taking) for taking in takings]
        self._is_down = False
        return found

    def _taken(self, takings: Sequence[Taking]) -> list[Refusal | None]:
        keys = [_AWAITING]
        for taking in takings:
            for claim in taking.claims:
                keys += (_taken_key(claim.counter), _ends(claim.counter))
            keys += [_rate(tick.counter) for tick in taking.ticks]
            if taking.reservation is not None:
                keys.append(_reserved(taking.reservation))
        answers = self._take(keys=keys, args=[_encoded([_asked(taking) for taking in takings])])
        return [None if place < 0 else Refusal(int(place), int(held)) for place, held in answers]

    def _settled(self, organisation_id: str, id_: str, actual: Actual) -> bool | None:
        """Whether it is of this organisation; None when Redis does not know it."""
        content = self._client.get(_reserved(id_))
        if content is None:
            return None
        entry = _entry_in(content)
        if entry.organisation_id != organisation_id:
            return False
        if not entry.is_settled:
            for counter, amount, measure in entry.ticks:
                if extra := actual.of(measure, amount) - amount:
                    self._correct(keys=[_rate(counter)], args=[extra])
        entry.claims = [(counter, actual.of(measure, amount), measure) for counter, amount, measure in entry.claims]
        entry.is_settled, entry.log_id = True, actual.log_id or entry.log_id
        self._hold(id_, entry, actual.now_ms, actual.expires_ms)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.set(_reserved(id_), _encoded(entry), pxat=actual.expires_ms)
            if entry.log_id:
                pipe.hset(_AWAITING, id_, _encoded(_awaited(id_, entry)))
            pipe.execute()
        return True

    def _hold(self, id_: str, entry: _Entry, now_ms: int, ends_ms: int) -> None:
        """The reservation holds its amounts until then."""
        keys = [key for counter, _, _ in entry.claims for key in (_taken_key(counter), _ends(counter))]
        amounts = [min(amount, _LARGEST) for _, amount, _ in entry.claims]
        self._change(keys=keys, args=[id_, now_ms, ends_ms, *amounts])

    def _failed(self, error: Exception) -> None:
        if not self._is_down:
            told = f"{type(error).__name__}: {error}"
            logger.warning("Redis does not answer (%s): each worker counts rates and reservations for itself", told)
        self._is_down = True


def _asked(taking: Taking) -> _Asked:
    id_ = taking.reservation or ""
    entry = awaited = b""
    if id_:
        claims = [(one.counter, one.amount, one.measure) for one in taking.claims]
        ticks = [(one.counter, one.amount, one.measure) for one in taking.ticks]
        reserved = _Entry(taking.organisation_id, claims, ticks, taking.log_id)
        entry, awaited = _encoded(reserved), _encoded(_awaited(id_, reserved)) if taking.log_id else b""
    return _Asked(
        now=taking.now_ms,
        claims=[(min(one.room, _LARGEST), min(one.amount, _LARGEST)) for one in taking.claims],
        ticks=[(min(one.most, _LARGEST), min(one.amount, _LARGEST), one.ends_ms) for one in taking.ticks],
        id=id_,
        ends=taking.expires_ms,
        trial=taking.is_trial,
        entry=entry.decode(),
        awaited=awaited.decode(),
    )


def _awaited(id_: str, entry: _Entry) -> Settled:
    return Settled(id_, entry.organisation_id, entry.log_id, tuple(counter for counter, _, _ in entry.claims))


def _taken_key(counter: str) -> str:
    return f"{_PREFIX}taken:{counter}"


def _ends(counter: str) -> str:
    return f"{_PREFIX}ends:{counter}"


def _rate(counter: str) -> str:
    return f"{_PREFIX}rate:{counter}"


def _reserved(id_: str) -> str:
    return f"{_PREFIX}reserved:{id_}"

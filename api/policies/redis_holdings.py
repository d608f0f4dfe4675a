"""Reservations and rate counters that several workers share in Redis.

    gateledger:held:<counter>       reservation → "amount:expires", for as long as any of them holds
    gateledger:rate:<counter>       how much of a window is taken, until it is over
    gateledger:reservation:<id>     its claims and ticks
    gateledger:awaited              reservation → organisation and log id

One script checks and takes, so that no two requests get the same room. While Redis does not answer each worker keeps
count for itself, and says so.
"""

import logging
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import redis
from starlette.concurrency import run_in_threadpool

from api.policies.holdings import Actual, LocalHoldings, Refusal, Settled, Taking

logger = logging.getLogger("api.policies")

_PREFIX = "gateledger:"
_AWAITED = _PREFIX + "awaited"
_LARGEST = (1 << 53) - 1
"""Of a number in a script."""
_TIMEOUT_S = 0.5

_TAKE = """
local now, trial, id, expires = tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3], ARGV[4]
local claims, ticks = tonumber(ARGV[5]), tonumber(ARGV[6])
local at = 7
for place = 1, claims do
  local room, amount, held = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), 0
  at = at + 2
  local entries = redis.call('HGETALL', KEYS[place])
  for index = 1, #entries, 2 do
    local cut = string.find(entries[index + 1], ':', 1, true)
    if tonumber(string.sub(entries[index + 1], cut + 1)) <= now then
      redis.call('HDEL', KEYS[place], entries[index])
    else
      held = held + tonumber(string.sub(entries[index + 1], 1, cut - 1))
    end
  end
  if held + amount > room or held >= room then return {place - 1, held} end
end
for place = claims + 1, claims + ticks do
  local most, amount = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 3
  local count = tonumber(redis.call('GET', KEYS[place]) or '0')
  if count + amount > most or count >= most then return {place - 1, count} end
end
if trial then return {-1, 0} end
at = 7
for place = 1, claims do
  if id ~= '' then
    redis.call('HSET', KEYS[place], id, ARGV[at + 1] .. ':' .. expires)
    if redis.call('PTTL', KEYS[place]) < tonumber(expires) - now then redis.call('PEXPIREAT', KEYS[place], expires) end
  end
  at = at + 2
end
for place = claims + 1, claims + ticks do
  redis.call('INCRBY', KEYS[place], ARGV[at + 1])
  redis.call('PEXPIREAT', KEYS[place], ARGV[at + 2])
  at = at + 3
end
return {-1, 0}
"""
_CORRECT = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('INCRBY', KEYS[1], ARGV[1]) end
"""


class _Entry(msgspec.Struct, array_like=True):
    organisation_id: str
    claims: list[tuple[str, int, str]]
    ticks: list[tuple[str, int, str]]
    log_id: str
    is_settled: bool = False


class RedisHoldings:
    """In Redis; in the memory of this process while Redis is away."""

    def __init__(self, url: str) -> None:
        timeouts: dict[str, Any] = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        self._client: Any = redis.Redis.from_url(url, **timeouts)
        self._take: Any = self._client.register_script(_TAKE)
        self._correct: Any = self._client.register_script(_CORRECT)
        self._alone = LocalHoldings()
        self._is_down = False

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    async def take(self, taking: Taking) -> Refusal | None:
        """See `Holdings.take`."""
        if not taking.claims and not taking.ticks and taking.reservation is None:
            return None
        try:
            place, held = await run_in_threadpool(self._taken, taking)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return await self._alone.take(taking)
        self._is_down = False
        return None if place < 0 else Refusal(place, held)

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
            entries = cast("dict[bytes, bytes]", self._client.hgetall(_AWAITED))
            for id_, content in entries.items():
                settled = msgspec.msgpack.decode(content, type=Settled)
                if self._client.exists(_reservation(settled.reservation)):
                    found.append(settled)
                else:
                    self._client.hdel(_AWAITED, id_)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
        return found

    def end(self, reservation: str, at_ms: int) -> None:
        """See `Holdings.end`."""
        self._alone.end(reservation, at_ms)
        try:
            content = self._client.get(_reservation(reservation))
            if content is None:
                return
            entry = msgspec.msgpack.decode(content, type=_Entry)
            with self._client.pipeline(transaction=True) as pipe:
                for counter, amount, _ in entry.claims:
                    pipe.hset(_held(counter), reservation, f"{amount}:{at_ms}")
                pipe.pexpireat(_reservation(reservation), at_ms)
                pipe.hdel(_AWAITED, reservation)
                pipe.execute()
        except (redis.RedisError, OSError) as error:
            self._failed(error)

    def _taken(self, taking: Taking) -> tuple[int, int]:
        """The place that there is no room for and what is held of it; −1 when everything is taken."""
        keys = [_held(one.counter) for one in taking.claims] + [_rate(one.counter) for one in taking.ticks]
        arguments: list[Any] = [taking.now_ms, int(taking.is_trial), taking.reservation or "", taking.expires_ms]
        arguments += [len(taking.claims), len(taking.ticks)]
        for claim in taking.claims:
            arguments += [min(claim.room, _LARGEST), min(claim.amount, _LARGEST)]
        for tick in taking.ticks:
            arguments += [min(tick.most, _LARGEST), min(tick.amount, _LARGEST), tick.ends_ms]
        place, held = self._take(keys=keys, args=arguments)
        if int(place) < 0 and taking.reservation is not None and not taking.is_trial:
            entry = _Entry(
                taking.organisation_id,
                [(one.counter, one.amount, one.measure) for one in taking.claims],
                [(one.counter, one.amount, one.measure) for one in taking.ticks],
                taking.log_id,
            )
            self._keep(taking.reservation, entry, taking.expires_ms)
        return int(place), int(held)

    def _settled(self, organisation_id: str, id_: str, actual: Actual) -> bool | None:
        """Whether it is of this organisation; None when Redis does not know it."""
        content = self._client.get(_reservation(id_))
        if content is None:
            return None
        entry = msgspec.msgpack.decode(content, type=_Entry)
        if entry.organisation_id != organisation_id:
            return False
        if not entry.is_settled:
            for counter, amount, measure in entry.ticks:
                if extra := actual.of(measure, amount) - amount:
                    self._correct(keys=[_rate(counter)], args=[extra])
        entry.claims = [(counter, actual.of(measure, amount), measure) for counter, amount, measure in entry.claims]
        entry.is_settled, entry.log_id = True, actual.log_id or entry.log_id
        with self._client.pipeline(transaction=True) as pipe:
            for counter, amount, _ in entry.claims:
                pipe.hset(_held(counter), id_, f"{amount}:{actual.expires_ms}")
                pipe.pexpireat(_held(counter), actual.expires_ms, gt=True)
            pipe.execute()
        self._keep(id_, entry, actual.expires_ms)
        return True

    def _keep(self, id_: str, entry: _Entry, expires_ms: int) -> None:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.set(_reservation(id_), msgspec.msgpack.encode(entry), pxat=expires_ms)
            if entry.log_id:
                counters: Sequence[str] = [counter for counter, _, _ in entry.claims]
                awaited = Settled(id_, entry.organisation_id, entry.log_id, tuple(counters))
                pipe.hset(_AWAITED, id_, msgspec.msgpack.encode(awaited))
            pipe.execute()

    def _failed(self, error: Exception) -> None:
        if not self._is_down:
            logger.warning(
                "Redis does not answer (%s): each worker counts rates and reservations for itself",
                type(error).__name__,
            )
        self._is_down = True


def _held(counter: str) -> str:
    return f"{_PREFIX}held:{counter}"


def _rate(counter: str) -> str:
    return f"{_PREFIX}rate:{counter}"


def _reservation(id_: str) -> str:
    return f"{_PREFIX}reservation:{id_}"

"""Reservations and rate counters that several workers share in Redis.

    gateledger:taken:<counter>      what reservations hold of a budget together
    gateledger:rate:<counter>       how much of a window is taken, until it is over
    gateledger:reserved:<id>        a reservation: its claims and ticks
    gateledger:ends                 all reservations by when they end
    gateledger:awaiting             reservation → organisation and log id, of those whose logs are awaited

One script checks and takes, so that no two requests get the same room; before that it gives back what is over. What
comes while Redis is being asked is asked together afterwards: the way there costs more than the question. The scripts
make names of keys themselves, which one Redis allows and a cluster does not. While Redis does not answer each worker
keeps count for itself, and says so.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, cast

import msgspec
import redis
from starlette.concurrency import run_in_threadpool

from api.policies.holdings import Actual, LocalHoldings, Refusal, Settled, Taking

logger = logging.getLogger("api.policies")

_ENDS, _AWAITING, _RATE = "gateledger:ends", "gateledger:awaiting", "gateledger:rate:"
_LARGEST = (1 << 53) - 1
"""Of a number in a script."""
_TIMEOUT_S = 0.5
_AWAY_S = 1.0
"""So long nobody waits for Redis once it did not answer."""
_AT_ONCE = 64
"""Questions in one: Redis does nothing else meanwhile."""

_NAMES = """
local ENDS, AWAITING = 'gateledger:ends', 'gateledger:awaiting'
local function taken(counter) return 'gateledger:taken:' .. counter end
local function rate(counter) return 'gateledger:rate:' .. counter end
local function reserved(id) return 'gateledger:reserved:' .. id end
local function more(counter, amount)
  if redis.call('INCRBY', taken(counter), amount) <= 0 then redis.call('DEL', taken(counter)) end
end
"""
_SWEEP = (
    _NAMES
    + """
local function sweep(now)
  local ended = redis.call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, 100)
  for _, id in ipairs(ended) do
    local content = redis.call('GET', reserved(id))
    if content then
      for _, claim in ipairs(cjson.decode(content).claims) do more(claim[1], 0 - claim[2]) end
    end
    redis.call('DEL', reserved(id))
    redis.call('ZREM', ENDS, id)
    redis.call('HDEL', AWAITING, id)
  end
end
"""
)
_TAKE = (
    _SWEEP
    + """
local function refusal(one)
  local names = {}
  for _, claim in ipairs(one.claims) do names[#names + 1] = taken(claim[1]) end
  for _, tick in ipairs(one.ticks) do names[#names + 1] = rate(tick[1]) end
  if #names == 0 then return nil end
  local found = redis.call('MGET', unpack(names))
  for place, claim in ipairs(one.claims) do
    local held = tonumber(found[place] or '0')
    if held + claim[3] > claim[2] or held >= claim[2] then return {place - 1, held} end
  end
  for place, tick in ipairs(one.ticks) do
    local count = tonumber(found[#one.claims + place] or '0')
    if count + tick[3] > tick[2] or count >= tick[2] then return {#one.claims + place - 1, count} end
  end
  return nil
end
local function take(one)
  for _, tick in ipairs(one.ticks) do
    redis.call('INCRBY', rate(tick[1]), tick[3])
    redis.call('PEXPIREAT', rate(tick[1]), tick[4])
  end
  if one.id == '' then return end
  for _, claim in ipairs(one.claims) do more(claim[1], claim[3]) end
  redis.call('SET', reserved(one.id), one.entry)
  redis.call('ZADD', ENDS, one.ends, one.id)
  if one.awaited ~= '' then redis.call('HSET', AWAITING, one.id, one.awaited) end
end
local answers = {}
for _, one in ipairs(cjson.decode(ARGV[1])) do
  sweep(one.now)
  local refused = refusal(one)
  if not refused and not one.trial then take(one) end
  answers[#answers + 1] = refused and string.format('[%d,%.0f]', refused[1], refused[2]) or 'null'
end
return '[' .. table.concat(answers, ',') .. ']'
"""
)
_CHANGE = (
    _NAMES
    + """
local id, before, after, ends, awaited = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('GET', reserved(id)) ~= before then return 0 end
local old, new = cjson.decode(before), cjson.decode(after)
for place, claim in ipairs(new.claims) do more(claim[1], claim[2] - old.claims[place][2]) end
for place, tick in ipairs(new.ticks) do
  local extra = tick[2] - old.ticks[place][2]
  if redis.call('EXISTS', rate(tick[1])) == 1 then redis.call('INCRBY', rate(tick[1]), extra) end
end
redis.call('SET', reserved(id), after)
redis.call('ZADD', ENDS, ends, id)
if awaited ~= '' then redis.call('HSET', AWAITING, id, awaited) end
return 1
"""
)


class _Entry(msgspec.Struct):
    """A reservation; of claims and ticks the counter, the amount, and what it is measured in."""

    organisation_id: str
    claims: list[tuple[str, int, str]]
    ticks: list[tuple[str, int, str]]
    log_id: str
    is_settled: bool = False


class _Asked(msgspec.Struct):
    """A request as the script reads it."""

    now: int
    claims: list[tuple[str, int, int]]
    ticks: list[tuple[str, int, int, int]]
    id: str
    ends: int
    trial: bool
    entry: str
    awaited: str


_encoded = msgspec.json.Encoder().encode
_entry_in = msgspec.json.Decoder(_Entry).decode
_settled_in = msgspec.json.Decoder(Settled).decode
_answers_in = msgspec.json.Decoder(list[tuple[int, int] | None]).decode


@dataclass(frozen=True, slots=True)
class _Question:
    taking: Taking
    answer: asyncio.Future[Refusal | None]


class RedisHoldings:
    """In Redis; in the memory of this process while Redis is away."""

    def __init__(self, url: str, timer: Callable[[], float] = time.monotonic) -> None:
        timeouts: dict[str, Any] = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        self._client: Any = redis.Redis.from_url(url, **timeouts)
        self._take: Any = self._client.register_script(_TAKE)
        self._change: Any = self._client.register_script(_CHANGE)
        self._sweep: Any = self._client.register_script(_SWEEP + "sweep(ARGV[1])")
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        self._asking = Thread(target=self._ask, name="asking Redis", daemon=True)
        self._asking.start()
        self._alone, self._timer = LocalHoldings(), timer
        self._is_down, self._away_until_s = False, timer()

    def close(self) -> None:
        """Stop asking, and give the connections back."""
        self._questions.put(None)
        self._asking.join()
        self._client.close()

    async def take(self, taking: Taking) -> Refusal | None:
        """See `Holdings.take`."""
        if not taking.claims and not taking.ticks and taking.reservation is None:
            return None
        if self._timer() < self._away_until_s:
            return await self._alone.take(taking)
        question = _Question(taking, asyncio.get_running_loop().create_future())
        self._questions.put(question)
        try:
            refusal = await question.answer
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return await self._alone.take(taking)
        self._is_down = False
        return refusal

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
            # Where nobody asks for a while, nobody else gives back what is over.
            seconds, micro = cast("tuple[int, int]", self._client.time())
            self._sweep(args=[seconds * 1000 + micro // 1000])
            entries = cast("dict[bytes, bytes]", self._client.hgetall(_AWAITING))
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return found
        return found + [_settled_in(content) for content in entries.values()]

    def end(self, reservation: str, at_ms: int) -> None:
        """See `Holdings.end`."""
        self._alone.end(reservation, at_ms)
        try:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.zadd(_ENDS, {reservation: at_ms}, xx=True, lt=True)
                pipe.hdel(_AWAITING, reservation)
                pipe.execute()
        except (redis.RedisError, OSError) as error:
            self._failed(error)

    def counts(self, beginning: str) -> dict[str, int]:
        """See `Holdings.counts`. Redis has no list of them: it looks at all its names, some at a time."""
        found = self._alone.counts(beginning)
        try:
            # A name may be told twice.
            names = sorted(set(self._client.scan_iter(match=_RATE + _literally(beginning) + "*", count=_AT_ONCE * 16)))
            for start in range(0, len(names), _AT_ONCE * 16):
                some = names[start : start + _AT_ONCE * 16]
                taken = zip(some, cast("list[bytes | None]", self._client.mget(some)), strict=True)
                for name, count in ((name.decode().removeprefix(_RATE), count) for name, count in taken):
                    found[name] = found.get(name, 0) + int(count or 0)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
        return found

    def clear(self, counter: str) -> None:
        """See `Holdings.clear`."""
        self._alone.clear(counter)
        try:
            self._client.delete(_RATE + counter)
        except (redis.RedisError, OSError) as error:
            self._failed(error)

    def _ask(self) -> None:
        """Ask for all who wait, again and again: one thread of its own, whose way is shorter than that to a pool."""
        while (first := self._questions.get()) is not None:
            some = [first]
            while len(some) < _AT_ONCE and not self._questions.empty():
                # Nobody else takes from the queue; what ends it is put back to be found in its turn.
                one = self._questions.get()
                if one is None:
                    self._questions.put(None)
                    break
                some.append(one)
            found: list[Refusal | None] | Exception
            try:
                found = self._taken([one.taking for one in some])
            except Exception as error:  # noqa: BLE001 - everybody who waits is told, whatever it is
                found = error
            loop = some[0].answer.get_loop()  # a worker has one
            with suppress(RuntimeError):  # nobody waits on a loop that is closed
                loop.call_soon_threadsafe(_tell, some, found)

    def _taken(self, takings: Sequence[Taking]) -> list[Refusal | None]:
        answers = _answers_in(self._take(args=[_encoded([_asked(taking) for taking in takings])]))
        return [None if one is None else Refusal(*one) for one in answers]

    def _settled(self, organisation_id: str, id_: str, actual: Actual) -> bool | None:
        """Whether it is of this organisation; None when Redis does not know it, or not any longer."""
        is_changed = False
        while not is_changed:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.get(f"gateledger:reserved:{id_}")
                pipe.zscore(_ENDS, id_)
                content, ends_ms = cast("tuple[bytes | None, float | None]", pipe.execute())
            if content is None or ends_ms is None or ends_ms <= actual.now_ms:
                return None
            entry = _entry_in(content)
            if entry.organisation_id != organisation_id:
                return False
            settled = _as_settled(entry, actual)
            awaited = _encoded(_awaited(id_, settled)) if settled.log_id else ""
            # Somebody else may settle it at the same moment: whoever comes second begins anew.
            is_changed = self._change(args=[id_, content, _encoded(settled), actual.expires_ms, awaited]) == 1
        return True

    def _failed(self, error: Exception) -> None:
        if not self._is_down:
            told = f"{type(error).__name__}: {error}"
            logger.warning("Redis does not answer (%s): each worker counts rates and reservations for itself", told)
        self._is_down, self._away_until_s = True, self._timer() + _AWAY_S


def _tell(asked: Sequence[_Question], found: Sequence[Refusal | None] | Exception) -> None:
    """Give everybody the answer, on the loop that they wait on; who asked may have gone."""
    for place, one in enumerate(asked):
        if one.answer.done():
            continue
        if isinstance(found, Exception):
            one.answer.set_exception(found)
        else:
            one.answer.set_result(found[place])


def _asked(taking: Taking) -> _Asked:
    id_ = taking.reservation or ""
    entry = awaited = b""
    if id_:
        claims = [(one.counter, _bounded(one.amount), one.measure) for one in taking.claims]
        ticks = [(one.counter, _bounded(one.amount), one.measure) for one in taking.ticks]
        reserved = _Entry(taking.organisation_id, claims, ticks, taking.log_id)
        entry, awaited = _encoded(reserved), _encoded(_awaited(id_, reserved)) if taking.log_id else b""
    return _Asked(
        now=taking.now_ms,
        claims=[(one.counter, _bounded(one.room), _bounded(one.amount)) for one in taking.claims],
        ticks=[(one.counter, _bounded(one.most), _bounded(one.amount), one.ends_ms) for one in taking.ticks],
        id=id_,
        ends=taking.expires_ms,
        trial=taking.is_trial,
        entry=entry.decode(),
        awaited=awaited.decode(),
    )


def _as_settled(entry: _Entry, actual: Actual) -> _Entry:
    """The reservation with what was really used; a window is corrected once."""
    claims = [(counter, _bounded(actual.of(measure, amount)), measure) for counter, amount, measure in entry.claims]
    ticks = entry.ticks
    if not entry.is_settled:
        ticks = [(counter, _bounded(actual.of(measure, amount)), measure) for counter, amount, measure in ticks]
    return _Entry(entry.organisation_id, claims, ticks, actual.log_id or entry.log_id, is_settled=True)


def _awaited(id_: str, entry: _Entry) -> Settled:
    return Settled(id_, entry.organisation_id, entry.log_id, tuple(counter for counter, _, _ in entry.claims))


def _literally(text: str) -> str:
    """A text as a pattern that only it fits."""
    return re.sub(r"([\\*?\[\]^-])", r"\\\1", text)


def _bounded(number: int) -> int:
    return min(number, _LARGEST)

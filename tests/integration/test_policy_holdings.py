"""Reservations and rate counters in memory and in a real Redis: the same answers, never more than there is room."""

import asyncio
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from api.policies.holdings import Actual, Claim, Holdings, LocalHoldings, Refusal, Taking, Tick
from api.policies.redis_holdings import RedisHoldings
from tests.factories.parts import needed
from tests.factories.private_redis import redis_server
from tests.factories.private_servers import alone

NOW_MS = 4_000_000_000_000
"""Ahead of the clock of any server, so that nothing ends by itself."""
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with needed(alone(redis_server())) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def taking(counter: str, amount: int, room: int = 100, *, id_: str | None = None, **fields: Any) -> Taking:
    claims = [Claim(counter, room, amount, "cost")]
    settings: Any = {"claims": claims, "ticks": [], "now_ms": NOW_MS, "expires_ms": NOW_MS + MINUTE_MS, **fields}
    return Taking(reservation=id_, organisation_id="org", **settings)


def actual(cost: int | None, now_ms: int = NOW_MS, **fields: object) -> Actual:
    settings = {"tokens": None, "log_id": "", "expires_ms": NOW_MS + MINUTE_MS, "now_ms": now_ms, **fields}
    return Actual(cost=cost, **settings)  # type: ignore[arg-type]


def holdings_of(kind: str, request: pytest.FixtureRequest) -> LocalHoldings | RedisHoldings:
    if kind == "memory":
        return LocalHoldings()
    made = RedisHoldings(request.getfixturevalue("url"))
    request.addfinalizer(made.close)
    return made


def test_what_is_taken_settled_and_over(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    holdings: Holdings = holdings_of(kind, request)
    name = f"{kind}-{tmp_path.name}"

    async def steps() -> None:
        assert await holdings.take(taking(name, 60, id_=f"{name}-1")) is None
        assert await holdings.take(taking(name, 41, id_=f"{name}-2")) == Refusal(0, 60)
        assert await holdings.take(taking(name, 40)) is None  # only looked
        assert await holdings.settle("org", f"{name}-1", actual(25, log_id="log-1"))
        assert not await holdings.settle("other", f"{name}-1", actual(0))
        assert not await holdings.settle("org", "nothing", actual(0))
        assert await holdings.take(taking(name, 76)) == Refusal(0, 25)
        assert await holdings.take(taking(name, 75, id_=f"{name}-3", is_trial=True)) is None
        assert await holdings.take(taking(name, 75, id_=f"{name}-3")) is None
        assert await holdings.take(taking(name, 0)) == Refusal(0, 100)
        [awaited] = [one for one in holdings.awaited() if one.reservation.startswith(name)]
        assert (awaited.organisation_id, awaited.log_id, awaited.counters) == ("org", "log-1", (name,))
        holdings.end(f"{name}-1", NOW_MS + 10)
        later: Any = {"now_ms": NOW_MS + 10, "expires_ms": NOW_MS + MINUTE_MS}
        assert await holdings.take(taking(name, 25, **later)) is None
        over: Any = {"now_ms": NOW_MS + MINUTE_MS, "expires_ms": NOW_MS + 2 * MINUTE_MS}
        assert await holdings.take(taking(name, 100, **over)) is None

    asyncio.run(steps())


def test_windows_of_rates(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    holdings: Holdings = holdings_of(kind, request)
    name = f"rate-{kind}-{tmp_path.name}"

    def tick(amount: int, id_: str | None = None) -> Taking:
        ticks = [Tick(name, 10, amount, "tokens", NOW_MS + MINUTE_MS)]
        return Taking([], ticks, NOW_MS, id_, NOW_MS + MINUTE_MS, "org")

    async def steps() -> None:
        assert await holdings.take(tick(6, f"{name}-1")) is None
        assert await holdings.take(tick(5)) == Refusal(0, 6)
        assert await holdings.settle("org", f"{name}-1", actual(None, tokens=2))
        assert await holdings.take(tick(8)) is None
        assert await holdings.take(tick(0)) == Refusal(0, 10)

    asyncio.run(steps())


def test_counters_of_rates_are_listed_by_their_beginning_and_cleared(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    holdings: Holdings = holdings_of(kind, request)
    name = f"*[{kind}]?{tmp_path.name}"
    names = [f"{name}\x1f{value}" for value in ("ann", "böb", "*")]

    async def steps() -> None:
        for place, counter in enumerate([*names, f"x{name}"], start=1):
            ticks = [Tick(counter, 10, place, "tokens", NOW_MS + MINUTE_MS)]
            assert await holdings.take(Taking([], ticks, NOW_MS)) is None
        assert holdings.counts(f"{name}\x1f") == dict(zip(names, (1, 2, 3), strict=True))
        holdings.clear(names[1])
        assert holdings.counts(f"{name}\x1f") == {names[0]: 1, names[2]: 3}
        assert await holdings.take(Taking([], [Tick(names[1], 10, 10, "tokens", NOW_MS + MINUTE_MS)], NOW_MS)) is None
        assert holdings.counts("nothing") == {}

    asyncio.run(steps())


def test_many_at_once_get_no_more_than_there_is(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Two workers, 64 requests of each at once, room for 30."""
    name = f"many-{kind}-{tmp_path.name}"
    first = holdings_of(kind, request)
    second = first if kind == "memory" else holdings_of(kind, request)

    async def steps() -> list[Refusal | None]:
        wanted = [one.take(taking(name, 3, 90, id_=f"{name}-{index}-{id(one)}-{turn}"))
                  for index in range(64) for turn, one in enumerate((first, second))]  # fmt: skip
        return list(await asyncio.gather(*wanted))

    assert asyncio.run(steps()).count(None) == 30


def test_without_redis_each_worker_counts_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    clock_s = [0.0]
    with closing(RedisHoldings("redis://127.0.0.1:1/0", lambda: clock_s[0])) as holdings:

        async def steps() -> None:
            assert await holdings.take(taking("alone", 60, id_="alone-1")) is None
            assert await holdings.take(taking("alone", 60, id_="alone-2")) == Refusal(0, 60)
            assert await holdings.settle("org", "alone-1", actual(10))
            clock_s[0] += 2  # Redis is tried again
            assert await holdings.take(taking("alone", 60, id_="alone-2")) is None

        asyncio.run(steps())
    assert caplog.text.count("Redis does not answer") == 1


def test_redis_and_memory_answer_alike_whatever_happens(url: str, tmp_path: Path) -> None:
    """Three budgets and two rates, asked at random while reservations are settled and end."""
    random, name = Random(6), tmp_path.name
    ends_ms: dict[str, int] = {}

    def wanted(number: int, now_ms: int) -> Taking:
        window = now_ms // MINUTE_MS
        ends = (window + 1) * MINUTE_MS
        return Taking(
            claims=[Claim(f"{name}-{one}", 100, random.randrange(40), "cost") for one in range(3)],
            ticks=[Tick(f"{name}-{one}-{window}", 60, random.randrange(20), "tokens", ends) for one in range(2)],
            now_ms=now_ms,
            reservation=random.choice([None, f"{name}-{number}", f"{name}-{number}"]),
            expires_ms=now_ms + random.randrange(1, 60_000),
            organisation_id="org",
            log_id=random.choice(["", f"log-{number}"]),
            is_trial=random.random() < 0.1,
        )

    async def step(number: int, now_ms: int) -> tuple[object, ...]:
        # The clock of Redis does not follow: what is over by ours is not asked about.
        alive = [id_ for id_, at_ms in ends_ms.items() if at_ms > now_ms]
        what, id_ = random.choice(["take", "take", "take", "settle", "end"]), random.choice([*alive, f"{name}-nothing"])
        if what == "take":
            asked = wanted(number, now_ms)
            answers = [await one.take(asked) for one in both]
            if answers[0] is None and asked.reservation is not None and not asked.is_trial:
                ends_ms[asked.reservation] = asked.expires_ms
        elif what == "settle":
            told = actual(random.randrange(60), now_ms, tokens=random.randrange(30), expires_ms=now_ms + 30_000)
            owner = random.choice(["org", "org", "org", "other"])
            answers = [await one.settle(owner, id_, told) for one in both]
            ends_ms.update({id_: told.expires_ms} if answers[0] else {})
        else:
            for one in both:
                one.end(id_, now_ms)
            ends_ms.pop(id_, None)
            rest = set(alive) - {id_}
            answers = [sorted(each.reservation for each in one.awaited() if each.reservation in rest) for one in both]
        assert answers[0] == answers[1], (number, what)
        return what, type(answers[0]) if what == "take" else bool(answers[0])

    async def steps() -> set[tuple[object, ...]]:
        now_ms, seen = NOW_MS, set[tuple[object, ...]]()
        for number in range(200):
            now_ms += random.choice([0, 0, 1, 500, 20_000])
            seen.add(await step(number, now_ms))
        return seen

    with closing(RedisHoldings(url)) as shared:
        both: list[Holdings] = [LocalHoldings(), shared]
        seen = asyncio.run(steps())
    assert {("take", Refusal), ("take", type(None)), ("settle", True), ("settle", False), ("end", True)} <= seen


def test_nothing_is_left_of_what_is_over() -> None:
    holdings = LocalHoldings()

    async def steps() -> None:
        for number in range(100):
            expires_ms = NOW_MS + number
            assert await holdings.take(taking(f"c{number % 7}", 1, id_=f"r{number}", expires_ms=expires_ms)) is None
        assert await holdings.settle("org", "r50", actual(2, expires_ms=NOW_MS + 500))
        for counter in range(7):
            last = taking(f"c{counter}", 100, now_ms=NOW_MS + 499)
            assert await holdings.take(last) == (Refusal(0, 2) if counter == 50 % 7 else None)
        assert await holdings.take(taking("c1", 100, now_ms=NOW_MS + 500)) is None

    asyncio.run(steps())
    assert not any(vars(holdings)[name] for name in ("_held", "_counts", "_reservations", "_ends"))

"""Reservations and rate counters in memory and in a real Redis: the same answers, never more than there is room."""

import asyncio
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

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


def taking(counter: str, amount: int, room: int = 100, *, id_: str | None = None, **fields: object) -> Taking:
    claims = [Claim(counter, room, amount, "cost")]
    settings = {"claims": claims, "ticks": [], "now_ms": NOW_MS, "expires_ms": NOW_MS + MINUTE_MS, **fields}
    return Taking(reservation=id_, organisation_id="org", **settings)  # type: ignore[arg-type]


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
        later = {"now_ms": NOW_MS + 10, "expires_ms": NOW_MS + MINUTE_MS}
        assert await holdings.take(taking(name, 25, **later)) is None
        over = {"now_ms": NOW_MS + MINUTE_MS, "expires_ms": NOW_MS + 2 * MINUTE_MS}
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
    with closing(RedisHoldings("redis://127.0.0.1:1/0")) as holdings:

        async def steps() -> None:
            assert await holdings.take(taking("alone", 60, id_="alone-1")) is None
            assert await holdings.take(taking("alone", 60, id_="alone-2")) == Refusal(0, 60)
            assert await holdings.settle("org", "alone-1", actual(10))
            assert await holdings.take(taking("alone", 60, id_="alone-2")) is None

        asyncio.run(steps())
    assert caplog.text.count("Redis does not answer") == 1

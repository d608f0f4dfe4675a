"""When limits are counted: soon after rows came in, now and then without, and never all the time."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.db import Database
from api.limits.upkeep import REST, LimitUpkeep
from tests.factories.engines import lake_engine

TOOK_S, LONGEST_S = 2.0, 60.0


class _Watched(LimitUpkeep):
    """Notes when it was asked to count, and takes its time."""

    def __init__(self, database: Database, engine: object, clock_s: Callable[[], float]) -> None:
        super().__init__(database, engine, Path("lock"), lambda: datetime.now(UTC), LONGEST_S, clock_s)  # type: ignore[arg-type]
        self.runs = 0
        self.is_mine = True
        self.fails = False

    def once(self) -> bool:
        self.runs += 1
        if self.fails:
            raise ConnectionError
        return self.is_mine


@pytest.fixture
def times() -> list[float]:
    return [100.0]


@pytest.fixture
def upkeep(tmp_path: Path, times: list[float]) -> _Watched:
    with lake_engine(tmp_path, created=False) as engine:
        return _Watched(Database(f"sqlite:///{tmp_path / 'x.db'}"), engine, lambda: times[0])


def test_at_the_start_and_then_only_with_news_or_after_a_while(upkeep: _Watched, times: list[float]) -> None:
    upkeep.look()
    upkeep.look()
    assert upkeep.runs == 1
    upkeep.note()
    upkeep.look()
    upkeep.look()
    assert upkeep.runs == 2
    times[0] += LONGEST_S
    upkeep.look()
    assert upkeep.runs == 3


def test_what_another_worker_is_at_or_what_failed_is_not_forgotten(upkeep: _Watched) -> None:
    upkeep.look()
    upkeep.note()
    upkeep.is_mine = False
    upkeep.look()
    upkeep.is_mine, upkeep.fails = True, True
    with pytest.raises(ConnectionError):
        upkeep.look()
    upkeep.fails = False
    upkeep.look()
    upkeep.look()
    assert upkeep.runs == 4


def test_it_rests_as_long_as_it_took_several_times(upkeep: _Watched, times: list[float]) -> None:
    def slowly() -> bool:
        times[0] += TOOK_S
        upkeep.runs += 1
        return True

    upkeep.once = slowly  # type: ignore[method-assign]
    upkeep.look()
    upkeep.note()
    times[0] += REST * TOOK_S - 0.1
    upkeep.look()
    assert upkeep.runs == 1
    times[0] += 0.2
    upkeep.look()
    assert upkeep.runs == 2

"""The server's own maintenance: small files become few, one worker at a time, and no row is lost."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlglot import exp

from api.maintenance import Maintenance
from tests.factories import rows
from tests.factories.engines import lake_engine
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine, scan
from warehouse.storage.disk import lease

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BATCHES, ROWS = 12, 20


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with lake_engine(tmp_path) as engine:
        for number in range(BATCHES):
            batch = rows.generations(number, ROWS, prefix=f"b{number}-")
            engine.append(GENERATIONS, batch, Batch(id=str(number)))
        yield engine


def ids(engine: Engine) -> list[str]:
    return sorted(engine.query(exp.select("id").from_(scan("generations"))).column("id").to_pylist())


def test_small_files_become_few_and_every_row_stays(engine: Engine, tmp_path: Path) -> None:
    before, known = engine.version("generations"), ids(engine)
    assert len(known) == BATCHES * ROWS
    said = engine.maintain(NOW)
    assert any("generations" in line for line in said)
    assert ids(engine) == known
    Maintenance(engine, tmp_path / "lock", lambda: NOW).once()
    assert ids(engine) == known
    assert engine.version("generations") == before, "tidying changes no answer"


def test_one_worker_at_a_time(engine: Engine, tmp_path: Path) -> None:
    called: list[datetime] = []

    def clock() -> datetime:
        called.append(NOW)
        return NOW

    maintenance = Maintenance(engine, tmp_path / "lock", clock)
    with lease(tmp_path / "lock") as is_mine:
        assert is_mine
        maintenance.once()
        assert called == []
    maintenance.once()
    assert called == [NOW]


def test_it_runs_by_itself(engine: Engine, tmp_path: Path) -> None:
    ran = threading.Event()

    def clock() -> datetime:
        ran.set()
        return NOW

    with Maintenance(engine, tmp_path / "lock", clock).every(0.05) as running:
        assert ran.wait(60)
        assert running.is_running

"""Rows are stored exactly once in ClickHouse: replays, overlaps, conflicts, races, and loaders and servers that die.

Over the wire to chDB behind HTTP (tests/factories/clickhouse_http.py); a real server could not be installed here.
"""

import json
import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.factories.engines import OPENERS, ClickHouseServer, clickhouse_wire_engine, shared_server, start_server
from tests.factories.rows import as_generations
from tests.integration import clickhouse_worker as worker
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines import clickhouse_append
from warehouse.engines.base import Appended, Batch, Engine
from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.errors import InvalidInput, WarehouseBusy

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.integration.clickhouse_worker", "tests.integration.lake_worker"])


@pytest.fixture(params=("clickhouse", "chdb"))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with OPENERS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(params=OPENERS)
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with OPENERS[request.param](tmp_path) as opened:
        yield opened


@contextmanager
def own_server(folder: Path) -> Iterator[ClickHouseServer]:
    server = start_server(folder)
    try:
        yield server
    finally:
        server.stop()


def start(*arguments: Any, **named: Any) -> BaseProcess:
    process = FORK.Process(target=worker.load, args=arguments, kwargs=named, daemon=True)
    process.start()
    return process


def total(engine: Engine) -> dict[str, Any]:
    [row] = engine.query(worker.totals()).to_pylist()
    return row


def append(engine: Engine, numbers: list[int], batch: str = "batch") -> Appended:
    return engine.append(GENERATIONS, worker.rows_of(numbers, batch), Batch(batch))


def test_a_batch_is_stored_once(any_engine: Engine) -> None:
    numbers = list(range(200))
    assert append(any_engine, numbers) == Appended(stored=200, duplicates=0)
    before = any_engine.version("generations")
    assert append(any_engine, numbers) == Appended(stored=0, duplicates=200, replayed=True)
    assert any_engine.version("generations") == before
    assert append(any_engine, list(range(150, 260)), "other") == Appended(stored=60, duplicates=50)
    assert any_engine.version("generations") != before
    assert total(any_engine)["n"] == total(any_engine)["ids"] == 260


def test_an_id_twice_in_a_batch_is_stored_once(any_engine: Engine) -> None:
    assert append(any_engine, [1, 2, 1, 3, 2]) == Appended(stored=3, duplicates=2)
    assert total(any_engine)["n"] == 3


def test_an_id_at_another_time_is_a_conflict_and_not_stored(any_engine: Engine) -> None:
    append(any_engine, [1, 2])
    [row] = worker.rows_of([1]).to_pylist()
    later = {**row, "created_at": row["created_at"] + timedelta(milliseconds=1)}
    fresh = {**row, "id": "new"}
    changed = as_generations([later, fresh, {**fresh, "created_at": later["created_at"]}])
    assert any_engine.append(GENERATIONS, changed, Batch("later")) == Appended(
        stored=1, duplicates=0, conflicts=(row["id"], "new")
    )
    assert total(any_engine)["n"] == 3


def test_no_rows_are_no_work(any_engine: Engine) -> None:
    assert append(any_engine, []) == Appended(stored=0, duplicates=0)


def test_rows_of_another_shape_are_refused(engine: Engine) -> None:
    rows = worker.rows_of([1])
    with pytest.raises(InvalidInput, match="missing: cost"):
        engine.append(GENERATIONS, rows.drop_columns(["cost"]), Batch("b"))
    with pytest.raises(InvalidInput, match="1 rows of generations have no id"):
        engine.append(GENERATIONS, as_generations([{"created_at": worker.FIRST_DAY}]), Batch("b"))
    assert total(engine)["n"] == 0


def test_loaders_in_threads_share_an_engine(engine: Engine) -> None:
    done: list[Appended] = []
    loaders = [
        Thread(target=lambda n=n: done.append(append(engine, list(range(n * 20, n * 20 + 60)), f"b{n}")))
        for n in range(6)
    ]
    for loader in loaders:
        loader.start()
    for loader in loaders:
        loader.join()
    assert sum(each.stored for each in done) == 160
    assert all(each.stored + each.duplicates == 60 for each in done)
    assert total(engine)["n"] == total(engine)["ids"] == 160


def test_loaders_in_processes_with_the_same_rows(tmp_path: Path) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        url = shared_server().url(engine.address.database)
        said = [tmp_path / f"said-{n}" for n in range(3)]
        loaders = [start(url, range(6), str(each)) for each in said[:2]] + [
            start(url, reversed(range(6)), str(said[2]))
        ]
        for loader in loaders:
            loader.join(60)
            assert loader.exitcode == 0
        assert total(engine) == worker.expected(6)
    lines = [json.loads(line) for each in said for line in each.read_text().splitlines()]
    assert len(lines) == 18
    assert all(line["stored"] + line["duplicates"] + line["conflicts"] == line["given"] for line in lines)
    assert sum(line["stored"] for line in lines) == 6 * worker.ROWS_PER_BATCH
    assert not any(line["conflicts"] for line in lines)


@pytest.mark.parametrize("point", worker.POINTS)
def test_a_loader_dies(point: str, tmp_path: Path) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        url = shared_server().url(engine.address.database)
        loader = start(url, range(2), str(tmp_path / "said"), die_at=point, delay_s=0.004)
        loader.join(60)
        assert loader.exitcode == -signal.SIGKILL
        for batch in range(3):  # at once: what the dead one asked for may still be running
            append(engine, worker.numbers_of(batch), f"batch-{batch}")
        assert total(engine) == worker.expected(3)
        assert append(engine, worker.numbers_of(2), "batch-2").replayed


@pytest.mark.slow
def test_the_server_dies_while_batches_come_in(tmp_path: Path) -> None:
    folder, said = tmp_path / "data", tmp_path / "said"
    acknowledged = 0
    for attempt in range(3):
        with own_server(folder) as server:
            engine = ClickHouseEngine.connect(server.url())
            engine.create([GENERATIONS])
            now = total(engine)
            assert now["n"] == now["ids"] >= acknowledged
            loader = start(server.url(), range(200), str(said))
            lines = len(said.read_text().splitlines()) if said.exists() else 0
            while not said.exists() or len(said.read_text().splitlines()) < lines + 1 + attempt:
                time.sleep(0.002)
            server.kill()
            loader.join(30)
            assert loader.exitcode == 1  # it is told that the server is gone
            engine.close()
        acknowledged = sum(json.loads(line)["stored"] for line in said.read_text().splitlines())
    with own_server(folder) as server:
        engine = ClickHouseEngine.connect(server.url())
        for batch in range(12):
            append(engine, worker.numbers_of(batch), f"batch-{batch}")
        assert total(engine) == worker.expected(12)
        engine.close()


def test_a_part_of_a_batch_that_a_dead_server_stored_is_completed(engine: Engine) -> None:
    numbers = list(range(120))
    rows = worker.rows_of(numbers, "batch")
    january = [n for n, at in zip(numbers, rows.column("created_at").to_pylist(), strict=True) if at.month == 1]
    assert 0 < len(january) < 120
    append(engine, january, "batch")  # one partition of the batch, as an insert that died leaves it
    assert append(engine, numbers, "batch") == Appended(stored=120 - len(january), duplicates=len(january))
    assert total(engine)["n"] == 120


def test_a_statement_that_still_runs_holds_the_next_one_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        database = engine.address.database
        server = shared_server()
        monkeypatch.setattr(clickhouse_append, "WAIT_S", 0.3)
        with server.running("SELECT sleepEachRow(1) FROM numbers(2)", f"gateledger-append-{database}-generations"):
            with pytest.raises(WarehouseBusy):
                append(engine, [1, 2])
            assert total(engine)["n"] == 0
            monkeypatch.setattr(clickhouse_append, "WAIT_S", 30)
            assert append(engine, [1, 2]) == Appended(stored=2, duplicates=0)

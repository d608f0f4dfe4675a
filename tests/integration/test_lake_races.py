"""Writers, compactions and readers at once: no row lost, none twice, whatever comes first."""

import shutil
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread

import pyarrow as pa
import pytest

from tests.integration import lake_worker as worker
from tests.integration.lake_processes import Reader, start, total
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.storage.lake import LakeTable
from warehouse.storage.lake_compaction import compact
from warehouse.storage.lake_disk import DiskStore
from warehouse.storage.lake_names import new_file, parse, token_sum
from warehouse.storage.lake_sweep import sweep

LATER = datetime(2026, 3, 10, tzinfo=UTC)


def fill(engine: DuckDBEngine, batches: int) -> None:
    for batch in range(batches):
        engine.append(GENERATIONS, worker.rows_of(worker.numbers_of(batch)), Batch(f"batch-{batch}"))


@pytest.fixture
def engine(tmp_path: Path):
    engine = worker.open_lake(str(tmp_path / "lake"))
    yield engine
    engine.close()


def table_of(engine: DuckDBEngine) -> LakeTable:
    return engine.lake.table("generations")


@pytest.mark.slow
@pytest.mark.parametrize("same_batches", [True, False], ids=["same batches", "different batches"])
def test_two_loaders_and_maintenance_at_once(tmp_path: Path, engine: DuckDBEngine, same_batches: bool) -> None:
    root, stop, batches = str(tmp_path / "lake"), tmp_path / "stop", 30
    reader = Reader(engine, set(range(batches * worker.ROWS_PER_BATCH + 1)))
    reader.start()
    keeper = start(worker.maintain, root, str(stop))
    halves = [range(batches), range(batches)] if same_batches else [range(0, batches, 2), range(1, batches, 2)]
    prefixes = ["batch", "batch"] if same_batches else ["even", "odd"]
    loaders = [
        start(worker.load, root, half, str(tmp_path / f"said-{n}"), prefix=prefixes[n]) for n, half in enumerate(halves)
    ]
    for loader in loaders:
        loader.join(60)
        assert loader.exitcode == 0
    stop.touch()
    keeper.join(20)
    assert keeper.exitcode == 0
    reader.stop()
    assert total(engine) == worker.expected(batches)


def test_threads_of_one_process_load_the_same_rows(engine: DuckDBEngine) -> None:
    barrier, stored, errors = Barrier(4), [], []

    def load(thread: int) -> None:
        barrier.wait()
        try:
            for batch in range(5):
                rows = worker.rows_of(worker.numbers_of(batch))
                stored.append(engine.append(GENERATIONS, rows, Batch(f"{thread % 2}-{batch}")).stored)
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [Thread(target=load, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(stored) == 5 * worker.ROWS_PER_BATCH
    assert total(engine) == worker.expected(5)


def test_of_two_compactions_of_the_same_files_one_gives_way(tmp_path: Path, engine: DuckDBEngine) -> None:
    fill(engine, 6)
    other = worker.open_lake(str(tmp_path / "lake"))
    tables = [table_of(engine), table_of(other)]
    old = [[file for file in table.live() if file.day == "2026-03-01"] for table in tables]
    assert len(old[0]) == 6
    rewrites = []
    for table, files in zip(tables, old, strict=True):
        rows = pa.concat_tables(
            [
                pa.parquet.read_table(path, partitioning=None)
                for path in table.store.readable("generations", [f.path for f in files])
            ]
        )
        token = token_sum(parse(file.path) for file in files)
        written = table.store.write(GENERATIONS, new_file(date(2026, 3, 1), rows.schema, token), rows)
        rewrites.append((table, files, written, rows))
    outcomes = [table.rewrite(files, new, rows) for table, files, new, rows in rewrites]
    assert outcomes == [True, False]
    assert total(engine) == worker.expected(6) == total(other)
    loser = rewrites[1][2].file.path
    assert tables[1].store.missing("generations", [loser]) == [loser]
    other.close()


def test_compaction_beside_an_append_loses_nothing(engine: DuckDBEngine) -> None:
    fill(engine, 4)
    table = table_of(engine)
    errors: list[Exception] = []

    def keep() -> None:
        try:
            for _ in range(6):
                compact(table, LATER)
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    keepers = [Thread(target=keep) for _ in range(2)]
    for keeper in keepers:
        keeper.start()
    fill(engine, 10)
    for keeper in keepers:
        keeper.join()
    assert not errors
    assert total(engine) == worker.expected(10)


def test_compaction_keeps_fingerprints_and_an_append_changes_its_days_alone(engine: DuckDBEngine) -> None:
    fill(engine, 5)
    before, version = engine.day_fingerprints(GENERATIONS), engine.version("generations")
    assert sorted(before) == [date(2026, 3, day) for day in (1, 2, 3)]
    assert compact(table_of(engine), LATER) == [f"merged 5 files of generations on 2026-03-0{day}" for day in (1, 2, 3)]
    assert engine.day_fingerprints(GENERATIONS) == before
    assert engine.version("generations") == version
    assert compact(table_of(engine), LATER) == []
    engine.append(GENERATIONS, worker.rows_of([3 * 10**6]), Batch("late"))
    after = engine.day_fingerprints(GENERATIONS)
    assert [day for day in after if after[day] != before[day]] == [date(2026, 3, 1)]
    assert engine.version("generations") != version


def test_the_open_day_waits_for_more_files(engine: DuckDBEngine) -> None:
    fill(engine, 5)
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert compact(table_of(engine), noon) == ["merged 5 files of generations on 2026-03-01"]
    assert compact(table_of(engine), noon, open_day_files=5) == [
        "merged 5 files of generations on 2026-03-02",
        "merged 5 files of generations on 2026-03-03",
    ]


def test_a_reader_with_a_list_of_swept_files_asks_again(engine: DuckDBEngine, tmp_path: Path) -> None:
    fill(engine, 5)
    assert total(engine) == worker.expected(5)
    other = worker.open_lake(str(tmp_path / "lake"))
    table = table_of(other)
    # The reader sleeps on its list: its log never seems to move.
    table_of(engine).store.unmoved = lambda *_: True  # type: ignore[method-assign]
    compact(table, LATER)
    sweep(table, LATER, timedelta())
    assert total(engine) == worker.expected(5)
    other.close()


def test_the_sweep_waits_for_the_grace_and_spares_what_is_live(engine: DuckDBEngine) -> None:
    fill(engine, 3)
    table = table_of(engine)
    orphan = table.store.write(GENERATIONS, new_file(date(2026, 3, 1), worker.SCHEMA), worker.rows_of([1]))
    assert sweep(table, LATER) == []
    assert sweep(table, LATER + timedelta(minutes=59)) == []
    assert table.store.missing("generations", [orphan.file.path]) == []
    assert sweep(table, LATER + timedelta(hours=1)) == ["deleted 1 unreferenced files of generations"]
    assert table.store.missing("generations", [orphan.file.path]) == [orphan.file.path]
    assert total(engine) == worker.expected(3)


def test_a_writer_that_slept_past_the_sweep_writes_its_files_again(
    engine: DuckDBEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine, 1)
    table = table_of(engine)
    whole = DiskStore.write
    orphaned: list[str] = []

    def write(store: DiskStore, dataset, file, rows):
        written = whole(store, dataset, file, rows)
        if not orphaned:
            orphaned.append(file.path)
            store.delete(dataset.name, [file.path])
        return written

    monkeypatch.setattr(DiskStore, "write", write)
    fill(engine, 2)
    assert orphaned
    assert total(engine) == worker.expected(2)
    assert table.store.missing("generations", [file.path for file in table.live()]) == []


def test_a_lake_that_was_deleted_and_made_anew_is_seen(engine: DuckDBEngine, tmp_path: Path) -> None:
    fill(engine, 3)
    assert total(engine)["n"] == 3 * worker.ROWS_PER_BATCH
    shutil.rmtree(tmp_path / "lake" / "generations")
    other = worker.open_lake(str(tmp_path / "lake"))
    fill(other, 2)
    assert total(engine) == worker.expected(2)
    other.close()


def test_queries_go_on_while_files_are_compacted_and_swept_at_once(engine: DuckDBEngine, tmp_path: Path) -> None:
    fill(engine, 8)
    other = worker.open_lake(str(tmp_path / "lake"))
    reader = Reader(engine, {8 * worker.ROWS_PER_BATCH + n for n in range(40)})
    reader.start()
    late = 10**6 * 3
    for n in range(12):
        other.append(GENERATIONS, worker.rows_of([late + n]), Batch(f"late-{n}"))
        compact(table_of(other), LATER)
        sweep(table_of(other), LATER, timedelta())
        time.sleep(0.02)
    reader.stop()
    cost = sum((worker.cost_of(late + n) for n in range(12)), Decimal(0))
    before = worker.expected(8)
    assert total(engine) == {"n": before["n"] + 12, "ids": before["ids"] + 12, "cost": before["cost"] + cost}
    other.close()

"""A full disk, a torn log, a new column: the lake stays whole and says what is wrong."""

import os
import subprocess
from collections.abc import Callable, Generator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from sqlglot import exp

from tests.factories.parts import lacking
from tests.integration import lake_worker as worker
from tests.integration.lake_processes import total
from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Kind
from warehouse.catalog.registry import DATASETS
from warehouse.engines.base import Batch, Window
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.errors import ConfigurationError, InvalidInput, WarehouseError
from warehouse.storage.lake_compaction import compact
from warehouse.storage.lake_disk import DiskStore
from warehouse.storage.tables import arrow_schema

LATER = datetime(2026, 3, 10, tzinfo=UTC)
ROLLUP = DATASETS["rollup_day_model"]


def send(engine: DuckDBEngine, batch: int) -> None:
    engine.append(GENERATIONS, worker.rows_of(worker.numbers_of(batch)), Batch(f"batch-{batch}"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of 6 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        lacking(f"a small disk needs the right to mount one: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_up(folder: Path, leave_bytes: int) -> Path:
    status = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * max(0, status.f_bavail * status.f_frsize - leave_bytes))
    return ballast


def refused(step: Callable[[], object]) -> str:
    """What a step that may not fit says when it does not; else nothing."""
    try:
        step()
    except WarehouseError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("fits", ["nothing", "a page", "one file", "the files", "all"])
def test_a_full_disk_refuses_the_batch_and_keeps_all_others(small_disk: Path, fits: str) -> None:
    engine = worker.open_lake(str(small_disk / "lake"))
    for batch in range(4):
        send(engine, batch)
    table, version = engine.lake.table("generations"), engine.version("generations")
    files = sorted((small_disk / "lake").rglob("*.parquet"))
    batch_bytes = sum(-(-path.stat().st_size // 4096) * 4096 for path in files) // 4
    leave = {
        "nothing": 0,
        "a page": 4096,
        "one file": batch_bytes // 2,
        "the files": batch_bytes,
        "all": 4 * batch_bytes,
    }
    ballast = fill_up(small_disk, leave[fits])
    refusal = refused(lambda: send(engine, 4))
    if refusal:
        assert "No space left" in refusal
        assert sorted((small_disk / "lake").rglob("*.parquet")) == files
        assert engine.version("generations") == version
    refusal_of_compaction = refused(lambda: compact(table, LATER))
    assert not refusal_of_compaction or "No space left" in refusal_of_compaction
    assert bool(refusal) == (fits != "all")
    assert total(engine) == worker.expected(4 if refusal else 5)
    assert any("MB are free" in problem.what for problem in engine.check())
    ballast.unlink()
    send(engine, 4)
    send(engine, 5)
    assert total(engine) == worker.expected(6)
    compact(table, LATER)
    assert total(engine) == worker.expected(6)
    assert table.checkpoint(1)
    again = worker.open_lake(str(small_disk / "lake"))
    assert total(again) == worker.expected(6)
    again.close()
    engine.close()


@pytest.mark.parametrize("kept", [0, 0.4, 0.97])
def test_a_lake_whose_last_commit_was_torn_opens_without_it(tmp_path: Path, kept: float) -> None:
    engine = worker.open_lake(str(tmp_path / "lake"))
    for batch in range(3):
        send(engine, batch)
    engine.close()
    last = max((tmp_path / "lake" / "generations" / "_delta_log").glob("*.json"))
    content = last.read_bytes()
    last.write_bytes(content[: int(len(content) * kept)])
    again = worker.open_lake(str(tmp_path / "lake"))
    assert total(again) == worker.expected(2)
    send(again, 2)
    assert total(again) == worker.expected(3)
    again.close()


def test_a_batch_names_what_became_of_each_row(tmp_path: Path) -> None:
    engine = worker.open_lake(str(tmp_path / "lake"))
    first = engine.append(GENERATIONS, worker.rows_of([1, 2, 3, 2]), Batch("one"))
    assert (first.stored, first.duplicates, first.conflicts, first.replayed) == (3, 1, (), False)
    again = engine.append(GENERATIONS, worker.rows_of([1, 2, 3, 2]), Batch("one"))
    assert (again.stored, again.duplicates, again.replayed) == (0, 4, True)
    rows = worker.rows_of([1, 5])
    moved = rows.set_column(
        1,
        "created_at",
        pa.array([t + timedelta(seconds=1) for t in rows["created_at"].to_pylist()], pa.timestamp("us")),
    )
    other = engine.append(GENERATIONS, moved, Batch("two"))
    assert (other.stored, other.duplicates, other.conflicts) == (1, 0, ("id-0000001",))
    none = engine.append(GENERATIONS, worker.rows_of([]), Batch("three"))
    assert (none.stored, none.duplicates) == (0, 0)
    version = engine.version("generations")
    engine.append(GENERATIONS, worker.rows_of([1, 2]), Batch("four"))
    assert engine.version("generations") == version
    engine.close()


def rollup(day: date, *requests: int) -> pa.Table:
    rows = [{"day": day, "organisation_id": "o", "ai_model": f"m{n}", "requests": n} for n in requests]
    return pa.Table.from_pylist(rows, schema=arrow_schema(ROLLUP))


def test_days_are_replaced_whole_and_no_other_day_changes(tmp_path: Path) -> None:
    engine = DuckDBEngine(str(tmp_path / "lake"))
    days = [date(2026, 3, day) for day in (1, 2, 3)]
    engine.replace_days(ROLLUP, days, pa.concat_tables([rollup(day, 1, 2) for day in days]))
    before = engine.day_fingerprints(ROLLUP)
    engine.replace_days(ROLLUP, [days[1], days[2]], rollup(days[1], 7))
    sums = (
        exp.select(column("day"), exp.alias_(call("GL_SUM_INT", "requests"), "requests"))
        .from_(ROLLUP.name)
        .group_by(column("day"))
        .order_by(column("day"))
    )
    assert engine.query(sums).to_pylist() == [{"day": days[0], "requests": 3}, {"day": days[1], "requests": 7}]
    second = Window(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 2, 23, tzinfo=UTC))
    assert engine.query(sums, second).to_pylist() == [{"day": days[1], "requests": 7}]
    after = engine.day_fingerprints(ROLLUP)
    assert (after[days[0]], sorted(after)) == (before[days[0]], days[:2])
    assert after[days[1]] != before[days[1]]
    with pytest.raises(InvalidInput, match="2026-03-01"):
        engine.replace_days(ROLLUP, [days[1]], rollup(days[0], 1))
    with pytest.raises(InvalidInput, match="replaced"):
        engine.append(ROLLUP, rollup(days[0], 1), Batch("x"))
    engine.close()


def test_a_new_column_is_null_in_old_rows_before_and_after_compaction(tmp_path: Path) -> None:
    old = worker.open_lake(str(tmp_path / "lake"))
    assert old.create([GENERATIONS]) == [f"created generations with {len(GENERATIONS.columns)} columns"]
    assert old.create([GENERATIONS]) == []
    send(old, 0)
    wider = Dataset(
        name="generations",
        description=GENERATIONS.description,
        columns=(*GENERATIONS.columns, Column("tier", Kind.TEXT, "Service tier.", since=2)),
        sort_by=GENERATIONS.sort_by,
    )
    new = DuckDBEngine(str(tmp_path / "lake"), datasets={"generations": wider})
    tiers = (
        exp.select(column("tier"), exp.alias_(call("GL_COUNT"), "n"))
        .from_("generations")
        .group_by(column("tier"))
        .order_by("n")
    )
    assert new.query(tiers).to_pylist() == [{"tier": None, "n": worker.ROWS_PER_BATCH}]
    assert [problem.remedy for problem in new.check()] == ["run the migrations"]
    assert new.create([wider]) == ["added column tier to generations"]
    assert new.check() == []
    rows = worker.rows_of([10**6]).append_column("tier", pa.array(["fast"]))
    assert new.append(wider, rows, Batch("new")).stored == 1
    expected = [{"tier": "fast", "n": 1}, {"tier": None, "n": worker.ROWS_PER_BATCH}]
    assert new.query(tiers).to_pylist() == expected
    assert total(old)["n"] == worker.ROWS_PER_BATCH + 1
    send(old, 1)
    assert compact(new.lake.table("generations"), LATER)
    assert new.query(tiers).to_pylist() == [{"tier": "fast", "n": 1}, {"tier": None, "n": 2 * worker.ROWS_PER_BATCH}]
    assert total(old)["n"] == 2 * worker.ROWS_PER_BATCH + 1
    old.close()
    new.close()


def test_a_column_that_changed_its_type_is_refused(tmp_path: Path) -> None:
    old = worker.open_lake(str(tmp_path / "lake"))
    old.create([GENERATIONS])
    columns = [
        Column(c.name, Kind.TEXT, c.description) if c.name == "response_time" else c for c in GENERATIONS.columns
    ]
    changed = Dataset("generations", "Changed.", tuple(columns), GENERATIONS.sort_by)
    new = DuckDBEngine(str(tmp_path / "lake"), datasets={"generations": changed})
    with pytest.raises(ConfigurationError, match="response_time of generations is int64"):
        new.create([changed])
    old.close()
    new.close()


def test_old_log_entries_go_only_behind_a_checkpoint(tmp_path: Path) -> None:
    engine = worker.open_lake(str(tmp_path / "lake"))
    table = engine.lake.table("generations")
    log = tmp_path / "lake" / "generations" / "_delta_log"
    for batch in range(6):
        send(engine, batch)
    old = (LATER - timedelta(days=200)).timestamp()
    for entry in log.glob("*.json"):
        os.utime(entry, (old, old))
    assert not table.checkpoint(50)
    assert len(list(log.glob("*.json"))) == 7
    assert table.checkpoint(1)
    send(engine, 6)
    assert table.checkpoint(1)
    assert len(list(log.glob("*.json"))) < 7
    again = worker.open_lake(str(tmp_path / "lake"))
    assert total(again) == worker.expected(7)
    send(again, 6)
    assert total(again) == worker.expected(7)
    again.close()
    engine.close()


@pytest.mark.parametrize("name", ["lake[1]", "lake*", "what?", "100%25"])
def test_a_folder_whose_name_would_stand_for_another_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="not read as it is"):
        DiskStore(tmp_path / name)


@pytest.mark.parametrize("name", ["with space", "ünïcode", "a#b", "a,b;c=d&e"])
def test_a_lake_lies_in_any_other_folder(tmp_path: Path, name: str) -> None:
    engine = worker.open_lake(str(tmp_path / name))
    for batch in range(3):
        send(engine, batch)
    compact(engine.lake.table("generations"), LATER)
    assert total(engine) == worker.expected(3)
    assert engine.append(GENERATIONS, worker.rows_of([1]), Batch("again")).duplicates == 1
    engine.close()

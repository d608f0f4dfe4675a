"""The loader on a real lake: everything counted, nothing twice, also when it is killed anywhere."""

import json
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories.engines import lake_engine
from tests.factories.records import ACME, NOW, lines, log_object, metric
from tests.integration import ingest_worker as worker
from warehouse.engines.base import Engine
from warehouse.errors import SourceError, WarehouseError
from warehouse.ingest.load import LoadOptions, LoadReport, Progress
from warehouse.ingest.source import Source, bytes_source

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.integration.ingest_worker"])


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with lake_engine(tmp_path) as one:
        yield one


def load(engine: Engine, folder: Path, *sources: Source, **options) -> LoadReport:
    return worker.loader_of(engine, folder).load(list(sources), LoadOptions(**options), NOW)


def counted(report: LoadReport) -> tuple[int, int, int, int]:
    assert report.received == report.stored + report.duplicates + report.rejected
    assert sum(report.reasons.values()) == report.rejected
    return report.received, report.stored, report.duplicates, report.rejected


def balanced(engine: Engine) -> None:
    entries = worker.in_books(engine)
    for entry in entries:
        assert entry["received"] == entry["stored"] + entry["duplicates"] + entry["rejected"], entry
    assert sum(entry["stored"] for entry in entries) == worker.in_rows(engine)["rows"]


def test_every_record_is_accounted_for_and_the_same_again_stores_nothing(engine, tmp_path) -> None:
    first = load(engine, tmp_path, *worker.sources(), batch_rows=worker.BATCH_ROWS)
    total = worker.FILES * (worker.PER_FILE + 2)
    assert counted(first) == (total, worker.DISTINCT, worker.REPEATED, worker.REJECTED)
    assert first.batches == 3
    again = load(engine, tmp_path, *worker.sources(), batch_rows=worker.BATCH_ROWS)
    assert counted(again) == (total, 0, total - worker.REJECTED, worker.REJECTED)
    regrouped = load(engine, tmp_path, *reversed(worker.sources()), batch_rows=1000)
    assert regrouped.stored == 0
    assert worker.in_rows(engine)["rows"] == worker.in_rows(engine)["ids"] == worker.DISTINCT
    balanced(engine)


def test_rejects_load_once_their_reason_is_gone(engine, tmp_path) -> None:
    content = lines(metric(1), metric(2, workspace_slug="new"), metric(3, workspace_slug="new"))
    first = load(engine, tmp_path, bytes_source("a.ndjson", content))
    assert counted(first) == (3, 1, 0, 2)
    assert first.quarantine is not None
    assert [json.loads(line)["record"] for line in first.quarantine.read_text().splitlines()] == [2, 3]
    assert first.quarantine.stat().st_mode & 0o777 == 0o600
    wiser = worker.loader_of(engine, tmp_path)
    wiser._ownership = type(ACME)("acme", "Acme", "main", {"acme": frozenset({"main", "search", "new"})})
    quarantined = bytes_source("q.ndjson", first.quarantine.read_bytes())
    assert counted(wiser.load([quarantined], LoadOptions(), NOW)) == (2, 2, 0, 0)
    assert counted(wiser.load([bytes_source("a.ndjson", content)], LoadOptions(), NOW)) == (3, 0, 3, 0)
    balanced(engine)


def test_an_id_that_comes_back_with_another_time_is_refused(engine, tmp_path) -> None:
    load(engine, tmp_path, bytes_source("a", lines(metric(1))))
    changed = metric(1, created_at="2026-05-01T23:00:00Z")
    report = load(engine, tmp_path, bytes_source("b", lines(changed, metric(2))))
    assert counted(report) == (2, 1, 0, 1)
    assert list(report.reasons) == ["id is stored already with another created_at"]
    assert report.quarantine is not None
    assert json.loads(json.loads(report.quarantine.read_text())["data"]) == changed
    balanced(engine)


def test_unpriced_rows_are_counted_and_only_those_that_were_stored(engine, tmp_path) -> None:
    load(engine, tmp_path, bytes_source("a", lines(metric(1, ai_model="mystery", cost=None))))
    records = [metric(1, ai_model="mystery", cost=None), metric(2, ai_model="mystery", cost=None), metric(3)]
    report = load(engine, tmp_path, bytes_source("b", lines(*records)))
    assert (counted(report), report.unpriced) == ((3, 2, 1, 0), 1)


def test_many_small_sources_share_a_batch_and_are_told_when_durable(engine, tmp_path) -> None:
    made = [bytes_source(f"{n}.json", json.dumps(log_object(_id=f"id-{n}")).encode()) for n in range(25)]
    damaged = bytes_source("cut.gz", b"\x1f\x8b\x08\x00 cut")
    told: list[str] = []
    rows_when_told: list[int] = []

    def committed(sources) -> None:
        told.extend(source.name for source in sources)
        rows_when_told.append(worker.in_rows(engine)["rows"])

    loader = worker.loader_of(engine, tmp_path)
    report = loader.load([*made, damaged], LoadOptions(batch_rows=10), NOW, on_committed=committed)
    assert counted(report) == (26, 25, 0, 1)
    assert report.batches <= 3
    assert told == [source.name for source in made]
    assert rows_when_told[-1] == 25


def test_sources_of_any_kind_in_one_load(engine, tmp_path) -> None:
    feedback = {"id": "f", "trace_id": "t", "value": 1, "created_at": "2026-05-01T10:00:00Z"}
    parts = [
        lines(metric(1)),
        json.dumps(log_object()).encode(),
        lines(feedback),
        b"",
        b"\x00\x01binary",
        b"plain words\n",
    ]
    report = load(engine, tmp_path, *(bytes_source(str(n), part) for n, part in enumerate(parts)))
    assert counted(report) == (5, 3, 0, 2)
    assert report.reasons == {"no format fits": 2}


def test_progress_ends_with_everything(engine, tmp_path) -> None:
    seen: list[Progress] = []
    made = worker.sources()
    worker.loader_of(engine, tmp_path).load(made, LoadOptions(), NOW, on_progress=seen.append)
    assert seen[-1].rows == worker.FILES * (worker.PER_FILE + 2)
    assert seen[-1].bytes_read == seen[-1].bytes_total == sum(source.size or 0 for source in made)
    assert [one.rows for one in seen] == sorted(one.rows for one in seen)


def test_what_was_stored_before_an_error_is_booked(engine, tmp_path) -> None:
    def missing():
        raise FileNotFoundError("no such file")

    gone = Source("gone.ndjson", None, missing)
    with pytest.raises(SourceError, match="gone"):
        load(engine, tmp_path, *worker.sources(), gone, batch_rows=worker.BATCH_ROWS)
    balanced(engine)
    assert worker.in_rows(engine)["rows"] > 0
    assert counted(load(engine, tmp_path, *worker.sources()))[3] == worker.REJECTED
    assert worker.in_rows(engine)["rows"] == worker.DISTINCT
    balanced(engine)


def test_a_warehouse_that_fails_leaves_books_that_the_next_load_settles(engine, tmp_path, monkeypatch) -> None:
    append = type(engine).append

    def failing(self, dataset, rows, batch):
        result = append(self, dataset, rows, batch)
        if dataset.name == "generations":
            raise WarehouseError("the answer was lost")
        return result

    with monkeypatch.context() as patched:
        patched.setattr(type(engine), "append", failing)
        with pytest.raises(WarehouseError, match="lost"):
            load(engine, tmp_path, *worker.sources(), batch_rows=worker.BATCH_ROWS)
    assert worker.in_rows(engine)["rows"] > 0
    assert worker.in_books(engine) == []
    load(engine, tmp_path, bytes_source("other", lines(metric(9999))))
    balanced(engine)
    load(engine, tmp_path, *worker.sources())
    assert worker.in_rows(engine)["rows"] == worker.DISTINCT + 1
    balanced(engine)


def test_two_loads_of_the_same_files_at_once(engine, tmp_path) -> None:
    reports: list[LoadReport] = []

    def run(number: int) -> None:
        reports.append(load(engine, tmp_path / str(number), *worker.sources(), batch_rows=worker.BATCH_ROWS))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counted(report)[1] for report in reports) == worker.DISTINCT
    assert sum(report.rejected for report in reports) == 2 * worker.REJECTED
    assert worker.in_rows(engine)["rows"] == worker.DISTINCT
    balanced(engine)


@pytest.mark.slow
def test_kill_9_at_every_step_loses_nothing_and_the_books_balance(tmp_path) -> None:
    with lake_engine(tmp_path):
        pass
    steps = [(point, at) for point in worker.POINTS_OF_A_LOAD for at in (1, 2)]
    killed = 0
    for point, at in steps:
        process = PROCESSES.Process(target=worker.killed_at, args=(tmp_path, point, at, worker.run))
        process.start()
        process.join(60)
        killed += process.exitcode == -9
    assert killed == len(steps)
    report = worker.run(tmp_path)
    assert counted(report)[3] == worker.REJECTED
    engine = worker.open_lake(tmp_path)
    held = worker.in_rows(engine)
    assert (held["rows"], held["ids"]) == (worker.DISTINCT, worker.DISTINCT)
    balanced(engine)
    engine.close()

"""The spool: on disk before the answer, in the warehouse once, whoever writes, drains or dies."""

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.factories.engines import lake_engine
from tests.factories.records import ACME, NOW, lines, log_object, metric
from tests.integration import ingest_worker as worker
from warehouse.engines.base import Engine
from warehouse.errors import InvalidInput, WarehouseError
from warehouse.ingest.load import LoadOptions
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.source import bytes_source
from warehouse.ingest.spool import Spool

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.integration.ingest_worker"])
OTHER = Ownership("other", "Other", "main", {"other": frozenset({"main"})})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with lake_engine(tmp_path) as one:
        yield one


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    one = Spool(tmp_path / "spool", clock=lambda: NOW)
    yield one
    one.close()


def as_json(*records: object) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


def rows(engine: Engine) -> dict[str, dict[str, object]]:
    from sqlglot import parse_one

    found = engine.query(parse_one("SELECT * FROM generations")).to_pylist()
    return {str(row["id"]): row for row in found}


def test_records_of_every_kind_are_loaded_for_their_owner(engine, spool, tmp_path) -> None:
    bare = {"ai_org": "openai", "ai_model": "gpt-4o", "req_units": 5}
    custom = {
        name: value for name, value in log_object().items() if name not in ("_id", "created_at", "organisation_id")
    }
    hook = {
        "request": {"json": {}},
        "response": {"json": {}, "statusCode": 200},
        "requestType": "embed",
        "provider": "openai",
    }
    [of_metric] = spool.append("generations", as_json(bare), ACME)
    [of_log] = spool.append("logs", as_json(custom), OTHER)
    [of_hook] = spool.append("hooks", as_json(hook), ACME)
    [of_feedback] = spool.append("feedbacks", as_json({"trace_id": "t", "value": 3}), ACME)
    assert len({of_metric, of_log, of_hook, of_feedback}) == 4
    report = spool.drain(worker.loader_of(engine, tmp_path), NOW)
    assert report is not None
    assert (report.received, report.stored, report.rejected) == (4, 4, 0)
    found = rows(engine)
    assert (found[of_metric]["organisation_id"], found[of_metric]["organisation_name"]) == ("acme", "Acme")
    assert (found[of_log]["organisation_id"], found[of_log]["workspace_slug"]) == ("other", "main")
    assert found[of_log]["trace_id"] == "trace-1"
    assert found[of_hook]["request_url"] == "/v1/embeddings"
    assert all(row["created_at"] == NOW for row in found.values())
    assert spool.backlog() == (0, 0)
    assert spool.drain(worker.loader_of(engine, tmp_path), NOW) is None


def test_ids_of_records_are_kept_and_a_repetition_is_a_duplicate(engine, spool, tmp_path) -> None:
    loader = worker.loader_of(engine, tmp_path)
    for _ in range(2):
        assert spool.append("generations", as_json(metric(1)), ACME) == [metric(1)["id"]]
        assert spool.append("logs", as_json(log_object()), ACME) == [log_object()["_id"]]
        report = spool.drain(loader, NOW)
    assert report is not None
    assert (report.stored, report.duplicates) == (0, 2)


def test_nobody_writes_into_what_is_not_his(engine, spool, tmp_path) -> None:
    workspace_key = Ownership("acme", "Acme", "main", {"acme": frozenset({"main"})})
    spool.append("generations", as_json(metric(1, organisation_id="other", workspace_slug="main")), ACME)
    spool.append(
        "generations", as_json(metric(2, workspace_slug="search"), metric(3, workspace_slug="main")), workspace_key
    )
    report = spool.drain(worker.loader_of(engine, tmp_path), NOW)
    assert report is not None
    assert report.reasons == {"not the organisation of its key": 1, "unknown workspace": 1}
    assert [row["workspace_slug"] for row in rows(engine).values()] == ["main"]
    assert report.quarantine is not None
    again = worker.loader_of(engine, tmp_path).load(
        [bytes_source("q", report.quarantine.read_bytes())], LoadOptions(), NOW
    )
    # The operator may let the record into the other workspace of its organisation, never into another organisation.
    assert (again.stored, dict(again.reasons)) == (1, {"not the organisation of its key": 1})


def test_credentials_never_touch_the_disk(spool, tmp_path) -> None:
    spool.append("hooks", as_json({"request": {"headers": {"Authorization": "Bearer hush-hush-hush"}}}), ACME)
    written = b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
    assert b"hush" not in written


def test_what_is_no_record_goes_to_quarantine(engine, spool, tmp_path) -> None:
    ids = spool.append("generations", [b"nonsense", b"\xff\xfe", b"[]"], ACME)
    assert len(set(ids)) == 3
    report = spool.drain(worker.loader_of(engine, tmp_path), NOW)
    assert report is not None
    assert (report.received, report.rejected) == (3, 3)


def test_an_unknown_kind_and_nothing_at_all(spool, tmp_path) -> None:
    with pytest.raises(InvalidInput, match="generations"):
        spool.append("traces", [b"{}"], ACME)
    assert spool.append("logs", [], ACME) == []
    assert spool.backlog() == (0, 0)


def test_threads_and_spools_write_while_one_drains(engine, tmp_path) -> None:
    spools = [Spool(tmp_path / "spool") for _ in range(2)]
    given: list[str] = []

    def write(number: int) -> None:
        for turn in range(25):
            given.extend(spools[number % 2].append("generations", as_json(metric(1, id=f"{number}-{turn}")), ACME))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    loader = worker.loader_of(engine, tmp_path)
    stored = 0
    while any(writer.is_alive() for writer in writers):
        report = spools[0].drain(loader, datetime.now(NOW.tzinfo))
        stored += report.stored if report else 0
    report = spools[1].drain(loader, NOW)
    stored += report.stored if report else 0
    assert stored == len(given) == len(set(given)) == 150
    assert set(rows(engine)) == set(given)
    for one in spools:
        one.close()


def test_one_drains_at_a_time(engine, spool, tmp_path) -> None:
    from warehouse.storage.disk import lease

    spool.append("generations", as_json(metric(1)), ACME)
    with lease(tmp_path / "spool" / "drain.lock") as mine:
        assert mine
        assert spool.drain(worker.loader_of(engine, tmp_path), NOW) is None
    report = spool.drain(worker.loader_of(engine, tmp_path), NOW)
    assert report is not None
    assert report.stored == 1


def test_a_warehouse_that_is_away_leaves_everything_in_the_spool(engine, spool, tmp_path, monkeypatch) -> None:
    def refused(*_):
        raise WarehouseError("away")

    spool.append("generations", as_json(metric(1), metric(2)), ACME)
    with monkeypatch.context() as patched:
        patched.setattr(type(engine), "append", refused)
        with pytest.raises(WarehouseError, match="away"):
            spool.drain(worker.loader_of(engine, tmp_path), NOW)
    spool.append("generations", as_json(metric(3)), ACME)
    report = spool.drain(worker.loader_of(engine, tmp_path), NOW)
    assert report is not None
    assert report.stored == 3


def test_a_full_disk_is_told_and_nothing_half_written_stays(engine, spool, tmp_path, monkeypatch) -> None:
    spool.append("generations", as_json(metric(1)), ACME)
    write = os.write

    def half(handle: int, data: memoryview) -> int:
        write(handle, bytes(data)[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            spool.append("generations", as_json(metric(2)), ACME)
    spool.append("generations", as_json(metric(3)), ACME)
    report = spool.drain(worker.loader_of(engine, tmp_path), NOW)
    assert report is not None
    assert (report.received, report.stored) == (2, 2)
    assert {identifier[-1] for identifier in rows(engine)} == {"1", "3"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["before the rows", "after the rows", "before the entries", "before a segment is deleted"]
)
def test_a_drain_that_is_killed_is_done_again_without_harm(tmp_path, point) -> None:
    with lake_engine(tmp_path):
        pass
    spool = Spool(tmp_path / "spool")
    ids = spool.append("generations", as_json(*(metric(n) for n in range(20))), ACME)
    process = PROCESSES.Process(target=worker.killed_at, args=(tmp_path, point, 1, worker.drain))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    ids += spool.append("generations", as_json(metric(20)), ACME)
    worker.drain(tmp_path)
    assert spool.backlog() == (0, 0)
    engine = worker.open_lake(tmp_path)
    assert set(rows(engine)) == set(ids)
    entries = worker.in_books(engine)
    assert sum(entry["stored"] for entry in entries) == len(ids)
    engine.close()
    spool.close()


def test_the_tail_of_a_writer_that_died_harms_nothing(engine, tmp_path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append("generations", as_json(metric(1)), ACME)
    [segment] = (tmp_path / "spool").glob("*.open")
    with segment.open("ab") as file:
        file.write(lines({"kind": "generations", "owner": 0, "id": "x"})[:20])
    report = spool.drain(worker.loader_of(engine, tmp_path), NOW)
    assert report is not None
    assert (report.stored, report.rejected) == (1, 1)
    spool.close()

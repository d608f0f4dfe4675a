"""Audit records in the warehouse: from the spool, once each, on both engines; and out of it when their time is over."""

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from tests.factories.engines import clickhouse_wire_engine, lake_engine
from tests.factories.parts import needed
from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.engines.base import Engine, scan
from warehouse.errors import InvalidInput
from warehouse.ingest.audit import AuditLoader, forget_old
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.spool import Spool

NOW = datetime(2026, 4, 2, 12, 30, tzinfo=UTC)
NOBODY = Ownership("", "", "", {})


@pytest.fixture(params=["lake", "clickhouse"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Engine]:
    opened = lake_engine(tmp_path) if request.param == "lake" else needed(clickhouse_wire_engine(tmp_path))
    with opened as running:
        yield running


def record(id_: str, at: datetime = NOW, **fields: Any) -> bytes:
    told = {"id": id_, "organisation_id": "acme", "timestamp": at.isoformat(), "response_status_code": 200, **fields}
    return json.dumps(told).encode()


def spool_in(folder: Path) -> Spool:
    return Spool(folder / "spool", lambda: NOW, kinds=("audit_logs",))


def stored(engine: Engine) -> dict[str, dict[str, Any]]:
    tree = exp.select("*").from_(scan(AUDIT_LOGS.name))
    return {row["id"]: row for row in engine.query(tree).to_pylist()}


def test_records_come_through_once_and_as_they_were(engine: Engine, tmp_path: Path) -> None:
    spool, loader = spool_in(tmp_path), AuditLoader(engine, tmp_path / "quarantine")
    masked = json.dumps({"authorization": "ey****bt"})
    spool.append("audit_logs", [record("a", action="create", request_headers=masked), record("b")], NOBODY)
    [segment] = list((tmp_path / "spool").glob("*.open"))
    kept = segment.read_bytes()
    report = spool.drain(loader, NOW)
    assert report is not None
    assert (report.received, report.stored, report.duplicates, report.rejected) == (2, 2, 0, 0)
    assert spool.backlog() == (0, 0)
    found = stored(engine)
    assert set(found) == {"a", "b"}
    assert found["a"]["timestamp"] == NOW
    assert found["a"]["response_status_code"] == 200
    assert found["a"]["action"] == "create"
    assert found["a"]["request_headers"] == masked, "a mask that was made is not masked again"
    segment.with_suffix(".sealed").write_bytes(kept)  # a crash between the commit and the deletion
    again = spool.drain(loader, NOW)
    assert again is not None
    assert (again.stored, again.duplicates) == (0, 2)
    assert len(stored(engine)) == 2


def test_old_records_go_by_whole_days_and_only_when_asked(engine: Engine, tmp_path: Path) -> None:
    spool, loader = spool_in(tmp_path), AuditLoader(engine, tmp_path / "quarantine")
    midnight = NOW.replace(hour=0, minute=0)
    edge = midnight - timedelta(days=30)
    ages = {"new": NOW, "edge": edge, "old": edge - timedelta(milliseconds=1), "older": edge - timedelta(days=400)}
    spool.append("audit_logs", [record(name, at) for name, at in ages.items()], NOBODY)
    spool.drain(loader, NOW)
    assert forget_old(engine, NOW, None) == []
    assert set(stored(engine)) == set(ages)
    assert forget_old(engine, NOW, 30) == ["deleted 2 audit records from before 2026-03-03"]
    assert set(stored(engine)) == {"new", "edge"}
    assert forget_old(engine, NOW, 30) == []


def test_a_line_that_was_cut_off_by_a_crash_was_never_promised(tmp_path: Path) -> None:
    with lake_engine(tmp_path / "lake") as engine:
        spool, loader = spool_in(tmp_path), AuditLoader(engine, tmp_path / "quarantine")
        spool.append("audit_logs", [record("a")], NOBODY)
        [segment] = list((tmp_path / "spool").glob("*.open"))
        with segment.open("ab") as file:
            file.write(b'{"kind":"audit_logs","own')
        report = spool.drain(loader, NOW)
        assert report is not None
        assert (report.received, report.rejected) == (1, 0)
        assert set(stored(engine)) == {"a"}


def test_what_is_no_audit_record_is_kept_in_quarantine(tmp_path: Path) -> None:
    with lake_engine(tmp_path / "lake") as engine:
        spool, loader = spool_in(tmp_path), AuditLoader(engine, tmp_path / "quarantine")
        spool.append("audit_logs", [b"[1]", record("a"), record("b", organisation_id=None)], NOBODY)
        report = spool.drain(loader, NOW)
        assert report is not None
        assert (report.stored, report.rejected) == (1, 2)
        assert report.quarantine is not None
        assert len(report.quarantine.read_bytes().splitlines()) == 2


def test_each_spool_takes_only_its_own_kinds(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'audit_logs' cannot be spooled; allowed: generations"):
        Spool(tmp_path).append("audit_logs", [record("a")], NOBODY)
    with pytest.raises(InvalidInput, match="allowed: audit_logs"):
        spool_in(tmp_path).append("generations", [record("a")], NOBODY)

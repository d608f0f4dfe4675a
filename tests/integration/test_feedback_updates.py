"""Changes of feedbacks in the warehouse: each made once, in order, whatever is repeated."""

import multiprocessing
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlglot import exp

from tests.factories import rows
from tests.factories.loaded import loaded
from tests.integration import ingest_worker as worker
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import call, column
from warehouse.engines.base import Batch, Engine
from warehouse.ingest.feedback_updates import KIND, LONGEST_WAIT, FeedbackUpdate, FeedbackUpdater
from warehouse.ingest.load import LoadReport
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.spool import Spool

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.integration.ingest_worker"])
NOW = rows.FIRST_DAY + timedelta(days=30)
MILLISECOND = timedelta(milliseconds=1)
OWNER = Ownership("org", "Org", "shared", {"org": frozenset({"shared"})})


class Case:
    """Some stored feedbacks, and a spool of changes."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        generations = rows.generations(5, 80)
        self.table = rows.feedbacks(6, generations, 40)
        engine.append(FEEDBACKS, self.table, Batch("feedbacks"))
        self.spool = Spool(folder / "spool", kinds=(KIND,))

    def send(self, *updates: FeedbackUpdate) -> None:
        self.spool.append(KIND, [update.as_record() for update in updates], OWNER)

    def drain(self, *, after: timedelta = timedelta()) -> LoadReport | None:
        return self.spool.drain(FeedbackUpdater(self.engine, self.folder / "quarantine"), NOW + after)

    def stored(self) -> dict[str, dict[str, Any]]:
        return stored(self.engine)


def stored(engine: Engine) -> dict[str, dict[str, Any]]:
    """Every feedback in the warehouse, by id."""
    names = [each.name for each in FEEDBACKS.columns]
    tree = exp.select(*(exp.alias_(column(name), name, quoted=True) for name in names)).from_(FEEDBACKS.name)
    return {row["id"]: row for row in engine.query(tree).to_pylist()}


@pytest.fixture(params=["lake", "clickhouse"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with loaded(str(request.param), tmp_path, rows.generations(1, 0)) as engine:
        yield Case(engine, tmp_path)


def test_a_change_sets_what_it_names_and_nothing_else(case: Case) -> None:
    before = case.stored()
    one, other, *_ = before.values()
    metadata = {"_user": "anna", "team": "search", "_prompt": " "}
    case.send(FeedbackUpdate(one["id"], one["created_at"], NOW, -3, 0.25, metadata))
    case.send(FeedbackUpdate(other["id"], other["created_at"], NOW, 7))
    report = case.drain()
    assert report is not None
    assert (report.received, report.stored, report.rejected) == (2, 2, 0)
    after = case.stored()
    assert after[one["id"]] == {
        **one,
        "value": -3,
        "weight": 0.25,
        "weighted": -0.75,
        "last_updated_at": NOW,
        "metadata.key": ["_user", "team", "_prompt"],
        "metadata.value": ["anna", "search", " "],
        "_user": "anna",
        "_organisation": None,
        "_prompt": None,
        "_environment": None,
    }
    assert after[other["id"]] == {
        **other, "value": 7, "weighted": 7 * other["weight"], "last_updated_at": NOW
    }  # fmt: skip
    changed = {one["id"], other["id"]}
    assert {key: row for key, row in after.items() if key not in changed} == {
        key: row for key, row in before.items() if key not in changed
    }
    assert case.drain() is None


def test_a_repeat_and_an_older_change_do_nothing(case: Case) -> None:
    row = next(iter(case.stored().values()))
    first = FeedbackUpdate(row["id"], row["created_at"], NOW, 1, 0.5)
    second = FeedbackUpdate(row["id"], row["created_at"], NOW, 2)
    case.send(first, second)
    case.drain()
    done = case.stored()
    assert (done[row["id"]]["value"], done[row["id"]]["weight"]) == (2, 0.5)
    version = case.engine.version(FEEDBACKS.name)
    case.send(first, second)
    case.send(FeedbackUpdate(row["id"], row["created_at"], NOW - MILLISECOND, 9))
    report = case.drain()
    assert report is not None
    assert (report.stored, report.duplicates) == (0, 3)
    assert case.stored() == done
    assert case.engine.version(FEEDBACKS.name) == version


def test_a_change_waits_for_its_feedback_and_then_no_longer(case: Case) -> None:
    ahead = rows.feedbacks(8, rows.generations(9, 10, prefix="late"), 2)
    ahead = ahead.set_column(ahead.schema.get_field_index("id"), ahead.schema.field("id"), pa.array(["a", "b"]))
    [a, b] = ahead.to_pylist()
    times = {row["id"]: row["created_at"].replace(tzinfo=NOW.tzinfo) for row in (a, b)}
    case.send(FeedbackUpdate("a", times["a"], NOW, 4), FeedbackUpdate("b", times["b"], NOW, 5))
    case.drain()
    assert case.spool.backlog()[0] == 1
    case.engine.append(FEEDBACKS, ahead.slice(0, 1), Batch("late"))
    case.drain()
    assert case.stored()["a"]["value"] == 4
    assert case.spool.backlog()[0] == 1
    report = case.drain(after=LONGEST_WAIT)
    assert report is not None
    assert (report.rejected, report.reasons) == (1, {"the feedback never came": 1})
    assert report.quarantine is not None
    assert b'"id":"b"' in report.quarantine.read_bytes().replace(b"\\", b"")
    assert case.spool.backlog() == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["before the change", "before the change counts", "after the change", "before a segment is deleted"]
)
def test_a_change_that_is_killed_is_made_once(tmp_path: Path, point: str) -> None:
    """Killed twice at the same place: no change is lost, none is made twice, and no feedback is doubled."""
    engine = worker.open_lake(tmp_path)
    engine.create((FEEDBACKS,))
    table = rows.feedbacks(6, rows.generations(5, 80), 40)
    engine.append(FEEDBACKS, table, Batch("feedbacks"))
    before = stored(engine)
    engine.close()
    spool = Spool(tmp_path / "updates", kinds=(KIND,))
    first, second, *_ = sorted(before)
    expected = {key: dict(row) for key, row in before.items()}

    def send(key: str, at: timedelta, value: int) -> None:
        spool.append(KIND, [FeedbackUpdate(key, before[key]["created_at"], NOW + at, value).as_record()], OWNER)
        changed = {"value": value, "weighted": value * expected[key]["weight"], "last_updated_at": NOW + at}
        expected[key] |= changed

    send(first, timedelta(), 7)
    for turn in (1, 2):
        process = PROCESSES.Process(target=worker.killed_at, args=(tmp_path, point, 1, worker.drain_updates))
        process.start()
        process.join(60)
        assert process.exitcode == -9
        # One on the same feedback, after what may or may not have been made.
        send(first, timedelta(seconds=turn), -turn)
    send(second, timedelta(), 9)
    worker.drain_updates(tmp_path)
    assert spool.backlog() == (0, 0)
    engine = worker.open_lake(tmp_path)
    assert stored(engine) == expected
    assert engine.query(exp.select(call("GL_COUNT").as_("rows")).from_(FEEDBACKS.name))["rows"][0].as_py() == 40
    engine.close()
    spool.close()

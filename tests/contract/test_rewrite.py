"""Columns of stored rows are set once and whole, on every engine."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sqlglot import exp

from tests.factories import rows
from tests.factories.loaded import loaded
from warehouse.catalog.functions import column
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import EXPECTED, Batch, Engine
from warehouse.errors import InvalidInput
from warehouse.rollups import build_rollups, check_rollups

KINDS = ("lake", "clickhouse", "chdb")
FIRST, SECOND = datetime.fromisoformat("2026-05-01T00:00:00"), datetime.fromisoformat("2026-05-02T00:00:00.001")
COLUMNS = ("id", "created_at", "workspace_slug", "cost", "cost_source", "repriced_at", "metadata.key", "ingested_at")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(kind: str, tmp_path: Path) -> Iterator[Engine]:
    with loaded(kind, tmp_path, rows.generations(1, 400)) as opened:
        assert opened.append(GENERATIONS, rows.generations(2, 100), Batch("more")).stored == 100
        yield opened


def changes(of: pa.Table, revision: datetime, expected: datetime | None, cost: Decimal | None) -> pa.Table:
    count = of.num_rows
    return pa.table(
        {
            "id": of["id"],
            "created_at": of["created_at"],
            "repriced_at": pa.array([revision] * count, pa.timestamp("us")),
            EXPECTED: pa.array([expected] * count, pa.timestamp("us")),
            "cost": pa.array([cost] * count, pa.decimal128(18, 12)),
            "cost_source": pa.array([None if cost is None else "computed"] * count, pa.string()),
        }
    )


def stored(engine: Engine) -> dict[str, dict[str, Any]]:
    tree = exp.select(*(column(name) for name in COLUMNS)).from_("generations")
    return {row["id"]: row for row in engine.query(tree).to_pylist()}


def test_only_the_named_rows_and_columns_change(engine: Engine) -> None:
    before, days = stored(engine), engine.day_fingerprints(GENERATIONS)
    version = engine.version("generations")
    chosen = rows.generations(1, 400).slice(0, 50)
    price = Decimal("0.000000000001")
    assert engine.rewrite(GENERATIONS, changes(chosen, FIRST, None, price), Batch("first")) == 50
    after = stored(engine)
    ids = set(chosen["id"].to_pylist())
    assert after.keys() == before.keys()
    for id_, row in after.items():
        if id_ in ids:
            assert (row["cost"], row["cost_source"]) == (price, "computed")
            assert row["repriced_at"].replace(tzinfo=None) == FIRST
            kept = set(COLUMNS) - {"cost", "cost_source", "repriced_at"}
            assert {name: row[name] for name in kept} == {name: before[id_][name] for name in kept}
        else:
            assert row == before[id_]
    touched = {moment.date() for moment in chosen["created_at"].to_pylist()}
    now = engine.day_fingerprints(GENERATIONS)
    assert {day for day in days if days[day] != now[day]} == touched
    assert engine.version("generations") != version


def test_a_repeat_and_a_stale_change_alter_nothing(engine: Engine) -> None:
    chosen = rows.generations(1, 400).slice(10, 20)
    first = changes(chosen, FIRST, None, Decimal(7))
    assert engine.rewrite(GENERATIONS, first, Batch("first")) == 20
    after = stored(engine)
    assert engine.rewrite(GENERATIONS, first, Batch("again")) == 20
    assert engine.rewrite(GENERATIONS, changes(chosen, SECOND, None, Decimal(9)), Batch("stale")) == 0
    assert stored(engine) == after
    assert engine.rewrite(GENERATIONS, changes(chosen, SECOND, FIRST, None), Batch("second")) == 20
    for id_ in chosen["id"].to_pylist():
        assert stored(engine)[id_]["cost"] is None
        assert stored(engine)[id_]["repriced_at"].replace(tzinfo=None) == SECOND


def test_rows_that_are_not_stored_or_at_another_time_are_left_out(engine: Engine) -> None:
    before = stored(engine)
    moved = rows.generations(1, 400).slice(0, 3)
    later = pc.add(moved["created_at"], pa.scalar(timedelta(seconds=1)))
    moved = moved.set_column(moved.schema.get_field_index("created_at"), "created_at", later)
    unknown = rows.generations(99, 3)
    for odd in (moved, unknown):
        assert engine.rewrite(GENERATIONS, changes(odd, FIRST, None, Decimal(7)), Batch("odd")) == 0
    assert stored(engine) == before


def test_a_row_is_not_changed_twice_at_once(tmp_path: Path) -> None:
    with loaded("lake", tmp_path, rows.generations(1, 4)) as engine:
        twice = pa.concat_tables([rows.generations(1, 4).slice(0, 1)] * 2)
        with pytest.raises(InvalidInput, match="twice"):
            engine.rewrite(GENERATIONS, changes(twice, FIRST, None, None), Batch("twice"))


def test_rollups_become_stale_and_are_made_again(engine: Engine) -> None:
    build_rollups(engine)
    chosen = rows.generations(1, 400).slice(0, 50)
    engine.rewrite(GENERATIONS, changes(chosen, FIRST, None, Decimal(7)), Batch("first"))
    touched = {moment.date() for moment in chosen["created_at"].to_pylist()}
    assert build_rollups(engine) == dict.fromkeys(build_rollups(engine), len(touched))
    assert check_rollups(engine) == []


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_loads_and_maintenance_go_on_beside_it(engine: Engine) -> None:
    more = [rows.generations(seed, 20) for seed in range(10, 18)]
    chosen = rows.generations(1, 400)

    def load() -> None:
        for number, batch in enumerate(more):
            engine.append(GENERATIONS, batch, Batch(f"beside-{number}"))
            engine.maintain(datetime(2026, 6, 1, number).astimezone())

    beside = Thread(target=load)
    beside.start()
    revision, settled = None, 0
    for step in range(4):
        newer = FIRST + timedelta(hours=step)
        settled += engine.rewrite(GENERATIONS, changes(chosen, newer, revision, Decimal(step)), Batch(f"s{step}"))
        revision = newer
    beside.join()
    found = stored(engine)
    assert settled == 4 * 400
    assert len(found) == 500 + 8 * 20
    assert {found[id_]["cost"] for id_ in chosen["id"].to_pylist()} == {Decimal(3)}

"""The books of the warehouse: kept when they are, and what is wrong is named. Also what answers remember."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.factories import rows
from tests.factories.loaded import loaded
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.operations import BATCHES
from warehouse.engines.base import Batch, Engine, Limits, Window
from warehouse.query.checks import Imbalance, conservation, freshness, unpriced_share
from warehouse.query.run import run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery
from warehouse.rollups import build_rollups
from warehouse.storage.tables import arrow_schema

LOADED_AT = datetime(2026, 4, 2, 12, tzinfo=UTC)


@pytest.fixture(params=["lake", "clickhouse"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A warehouse with 60 rows of batch-1, 40 of batch-2, and balanced books."""
    table = pa.concat_tables([rows_of("batch-1", 60), rows_of("batch-2", 40)])
    with loaded(str(request.param), tmp_path, table) as engine:
        enter(engine, "batch-1", received=65, stored=60, duplicates=3, rejected=2)
        enter(engine, "batch-1", received=65, stored=0, duplicates=63, rejected=2)
        enter(engine, "batch-2", received=40, stored=40, at=LOADED_AT + timedelta(days=1))
        yield engine


def rows_of(batch: str, count: int, loaded_at: datetime = LOADED_AT) -> pa.Table:
    made = rows.generations(31, count, prefix=batch).to_pylist()
    return rows.as_generations([row | {"batch_id": batch, "ingested_at": loaded_at} for row in made])


def enter(engine: Engine, batch: str, *, at: datetime = LOADED_AT, **counts: int) -> None:
    entry: dict[str, Any] = {
        "organisation_id": "",
        "created_at": at.replace(tzinfo=None),
        "id": f"{batch}-{at:%H%M}-{sorted(counts.items())}",
        "batch_id": batch,
        "dataset": GENERATIONS.name,
        **dict.fromkeys(("received", "stored", "duplicates", "rejected", "unpriced"), 0),
        **counts,
    }
    table = pa.Table.from_pylist([entry], schema=arrow_schema(BATCHES))
    assert engine.append(BATCHES, table, Batch(entry["id"])).stored == 1


def test_kept_books_are_kept(engine: Engine) -> None:
    found = conservation(engine)
    assert found.is_kept
    assert (found.batches, found.received, found.stored, found.duplicates, found.rejected) == (2, 170, 100, 66, 4)


def test_a_window_looks_at_the_batches_loaded_in_it(engine: Engine) -> None:
    enter(engine, "batch-2", received=7, stored=1, duplicates=1, rejected=1, at=LOADED_AT + timedelta(days=1, hours=1))
    first_day = conservation(engine, Window(LOADED_AT, LOADED_AT + timedelta(hours=1)))
    assert (first_day.batches, first_day.received, first_day.is_kept) == (1, 130, True)
    second_day = conservation(engine, Window(LOADED_AT + timedelta(hours=20), None))
    assert second_day.imbalances == (Imbalance("batch-2", 47, 41, 1, 1, 40),)


def test_lost_doubled_and_unknown_rows_are_found(engine: Engine) -> None:
    enter(engine, "batch-lost", received=5, stored=5)
    engine.append(GENERATIONS, rows_of("batch-nobodys", 4), Batch("batch-nobodys"))
    more = rows.as_generations([row | {"id": "twice-" + row["id"]} for row in rows_of("batch-2", 3).to_pylist()])
    engine.append(GENERATIONS, more, Batch("again"))
    assert conservation(engine).imbalances == (
        Imbalance("batch-2", 40, 40, 0, 0, 43),
        Imbalance("batch-lost", 5, 5, 0, 0, 0),
        Imbalance("batch-nobodys", 0, 0, 0, 0, 4),
    )


def test_the_unpriced_share_counts_by_reason(engine: Engine) -> None:
    costs = [*rows_of("batch-1", 60)["cost"].to_pylist(), *rows_of("batch-2", 40)["cost"].to_pylist()]
    found = unpriced_share(engine)
    assert (found.requests, found.unpriced) == (100, costs.count(None))
    assert found.reasons == {"no price": costs.count(None)}
    assert found.share == costs.count(None) / 100 > 0
    lost = [row for batch, n in (("batch-1", 60), ("batch-2", 40)) for row in rows_of(batch, n).to_pylist()]
    tokens = sum(row["total_units"] or 0 for row in lost)
    lost = [row for row in lost if row["cost"] is None]
    assert (found.tokens, found.unpriced_tokens) == (tokens, sum(row["total_units"] or 0 for row in lost))
    assert 0 < found.token_share < 1
    assert sum(one.requests for one in found.worst) == len(lost) > 2
    risks = [one.spend_at_risk for one in found.worst if one.spend_at_risk is not None]
    assert risks == sorted(risks, reverse=True)
    assert sum(risks) == sum(row["cost_high"] for row in lost if row["cost_high"] is not None)
    assert unpriced_share(engine, worst=2).worst == found.worst[:2]
    nothing = unpriced_share(engine, Window(LOADED_AT + timedelta(days=400), None))
    assert (nothing.requests, nothing.share, nothing.token_share, nothing.worst) == (0, 0.0, 0.0, ())


def test_freshness_is_the_age_of_the_newest_request(engine: Engine) -> None:
    both = pa.concat_tables([rows_of("batch-1", 60), rows_of("batch-2", 40)])
    newest: datetime = max(both["created_at"].to_pylist()).replace(tzinfo=UTC)
    found = freshness(engine, newest + timedelta(minutes=5))
    assert found.last_request_at == newest
    assert found.age == timedelta(minutes=5)
    assert found.last_batch_at == LOADED_AT + timedelta(days=1)


def test_an_empty_warehouse_has_no_age_and_kept_books(tmp_path: Path) -> None:
    with loaded("lake", tmp_path, rows.as_generations([])) as engine:
        assert freshness(engine, LOADED_AT).age is None
        assert conservation(engine).is_kept
        assert unpriced_share(engine).share == 0
        assert build_rollups(engine) == dict.fromkeys(build_rollups(engine), 0)


def test_an_answer_is_remembered_until_rows_come(tmp_path: Path) -> None:
    with loaded("lake", tmp_path, rows_of("batch-1", 30)) as engine:
        asked: list[str] = []

        class Counting(type(engine)):
            """The same engine; it notes what it is asked."""

            def query(self, tree: Any, window: Window = Window(), limits: Limits = Limits()) -> pa.Table:
                asked.append(tree.sql())
                return super().query(tree, window, limits)

        engine.__class__ = Counting
        query = GroupedQuery(TenantScope("org-a"), rows.FIRST_DAY, LOADED_AT, ("model",), ("cost",))
        first = run_grouped(engine, query)
        asked.clear()
        assert run_grouped(engine, replace(query)) is first
        assert asked == []
        engine.append(GENERATIONS, rows_of("batch-2", 30), Batch("batch-2"))
        assert run_grouped(engine, query).rows != first.rows
        assert asked

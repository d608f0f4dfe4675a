"""Tables of a warehouse: made, migrated, replaced by day, aged, swept; and when their versions change."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa
import pytest
from sqlglot import exp

from tests.factories.engines import OPENERS, chdb_engine, clickhouse_wire_engine, lake_engine, shared_server
from tests.factories.rows import as_generations
from tests.integration.clickhouse_worker import rows_of
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset
from warehouse.catalog.rated import RATED
from warehouse.catalog.registry import DATASETS
from warehouse.engines import clickhouse_statements as statements
from warehouse.engines.base import Batch, Engine, Window, scan
from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.errors import WarehouseError
from warehouse.storage import ddl
from warehouse.storage.ddl import Topology
from warehouse.storage.migrate import at_version, migrate
from warehouse.storage.tables import arrow_schema

ROLLUP = DATASETS["rollup_day_model"]
DAYS = [date(2026, 3, day) for day in (1, 2, 3)]
NOW = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture(params=OPENERS)
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with OPENERS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(params=["clickhouse", "chdb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClickHouseEngine]:
    with OPENERS[request.param](tmp_path) as opened:
        assert isinstance(opened, ClickHouseEngine)
        yield opened


def sums(requests: dict[date, int], models: int = 3) -> pa.Table:
    """Rows of a rollup: some models on each day."""
    schema = arrow_schema(ROLLUP)
    records: list[dict[str, Any]] = [
        {
            "day": day,
            "organisation_id": "o",
            "ai_model": f"m{n}" if n else None,
            "requests": count,
            "cost": Decimal(count),
        }
        for day, count in requests.items()
        for n in range(models)
    ]
    return pa.Table.from_pylist(records, schema=schema)


def by_day(engine: Engine) -> dict[date, int]:
    total = exp.alias_(call("GL_SUM_INT", "requests"), "n")
    rows = engine.query(exp.select(column("day"), total).from_(scan(ROLLUP.name)).group_by(column("day")))
    return {row["day"]: row["n"] for row in rows.to_pylist()}


def test_days_are_replaced_whole(any_engine: Engine) -> None:
    any_engine.replace_days(ROLLUP, DAYS, sums(dict.fromkeys(DAYS, 10)))
    assert by_day(any_engine) == dict.fromkeys(DAYS, 30)
    before = any_engine.day_fingerprints(ROLLUP)
    any_engine.replace_days(ROLLUP, DAYS[1:], sums({DAYS[1]: 20}, models=2))
    assert by_day(any_engine) == {DAYS[0]: 30, DAYS[1]: 40}
    after = any_engine.day_fingerprints(ROLLUP)
    assert after[DAYS[0]] == before[DAYS[0]]
    assert after[DAYS[1]] != before[DAYS[1]]
    assert after.keys() == {DAYS[0], DAYS[1]}
    any_engine.replace_days(ROLLUP, DAYS, sums({}))
    assert by_day(any_engine) == {}
    any_engine.replace_days(ROLLUP, DAYS, sums({}))


def test_as_many_rows_of_other_content_change_the_version(any_engine: Engine) -> None:
    any_engine.replace_days(ROLLUP, DAYS, sums(dict.fromkeys(DAYS, 10)))
    version, prints = any_engine.version(ROLLUP.name), any_engine.day_fingerprints(ROLLUP)
    any_engine.replace_days(ROLLUP, DAYS[:1], sums({DAYS[0]: 11}))
    assert any_engine.version(ROLLUP.name) != version
    assert {day for day, text in any_engine.day_fingerprints(ROLLUP).items() if prints[day] != text} == {DAYS[0]}


def test_rows_outside_the_days_are_refused(engine: Engine) -> None:
    with pytest.raises(WarehouseError, match="lie outside the days"):
        engine.replace_days(ROLLUP, DAYS[:1], sums(dict.fromkeys(DAYS, 1)))
    assert by_day(engine) == {}


def test_a_reader_sees_a_day_before_or_after_but_never_between(tmp_path: Path) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        engine.replace_days(ROLLUP, DAYS[:1], sums({DAYS[0]: 1}, models=50))
        seen: list[int] = []
        stopped = Event()

        def read() -> None:
            while not stopped.is_set():
                seen.append(by_day(engine).get(DAYS[0], 0))

        reader = Thread(target=read)
        reader.start()
        for count in range(2, 12):
            engine.replace_days(ROLLUP, DAYS[:1], sums({DAYS[0]: count}, models=50))
        stopped.set()
        reader.join()
        assert seen == sorted(seen)
        assert {count % 50 for count in seen} == {0}
        assert min(seen) >= 50


def test_a_rebuild_that_died_leaves_the_days_and_its_staging_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        engine.replace_days(ROLLUP, DAYS, sums(dict.fromkeys(DAYS, 1)))
        swap = ddl.replace_partition

        def dies(dataset: Dataset, partition: str, *rest: Any) -> exp.Alter:
            if partition == DAYS[1].isoformat():
                raise KeyboardInterrupt
            return swap(dataset, partition, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(ddl, "replace_partition", dies)
            patch.setattr(ddl, "drop_table", lambda *_: [])
            with pytest.raises(KeyboardInterrupt):
                engine.replace_days(ROLLUP, DAYS, sums(dict.fromkeys(DAYS, 2)))
        assert by_day(engine) == {DAYS[0]: 6, DAYS[1]: 3, DAYS[2]: 3}
        assert engine.maintain(datetime.now(UTC)) == []  # it may still be at work
        [done] = engine.maintain(datetime.now(UTC) + timedelta(hours=2))
        assert f"dropped the staging table {ROLLUP.name}{statements.STAGING}" in done
        assert engine.maintain(datetime.now(UTC) + timedelta(hours=2)) == []
        engine.replace_days(ROLLUP, DAYS, sums(dict.fromkeys(DAYS, 2)))
        assert by_day(engine) == dict.fromkeys(DAYS, 6)


def test_a_days_fingerprint_changes_with_its_rows_only(any_engine: Engine) -> None:
    def add(id_: str, day: int, batch: str) -> None:
        at = datetime(2026, 3, day, 23, 59, 59, 999000)  # noqa: DTZ001 - rows hold naive UTC
        any_engine.append(GENERATIONS, as_generations([{"id": id_, "created_at": at}]), Batch(batch))

    add("1", 1, "a")
    add("2", 2, "b")
    first = any_engine.day_fingerprints(GENERATIONS)
    assert first.keys() == {DAYS[0], DAYS[1]}
    add("2", 2, "c")  # known already
    assert any_engine.day_fingerprints(GENERATIONS) == first
    add("3", 2, "d")
    second = any_engine.day_fingerprints(GENERATIONS)
    assert second[DAYS[0]] == first[DAYS[0]]
    assert second[DAYS[1]] != first[DAYS[1]]
    middle = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert any_engine.day_fingerprints(GENERATIONS, Window(middle, middle)) == {DAYS[1]: second[DAYS[1]]}


def test_a_version_outlives_a_merge(tmp_path: Path) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        for n in range(4):
            engine.append(GENERATIONS, rows_of(range(n * 10, n * 10 + 10)), Batch(str(n)))
        version, prints = engine.version("generations"), engine.day_fingerprints(GENERATIONS)
        shared_server().run(f"OPTIMIZE TABLE {engine.address.database}.generations FINAL")
        assert engine.version("generations") == version
        assert engine.day_fingerprints(GENERATIONS) == prints
        gone = f"ALTER TABLE {engine.address.database}.generations DELETE WHERE id = 'id-0000003'"
        shared_server().run(f"{gone} SETTINGS mutations_sync = 1")
        assert engine.version("generations") != version
        assert engine.day_fingerprints(GENERATIONS) != prints


def test_a_view_has_a_version_too(tmp_path: Path) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        shared_server().run(
            f"CREATE VIEW {engine.address.database}.seen AS SELECT * FROM {engine.address.database}.generations"
        )
        empty = engine.version("seen")
        engine.append(GENERATIONS, rows_of([1]), Batch("b"))
        assert engine.version("seen") != empty


@pytest.mark.parametrize("kind", OPENERS)
def test_a_warehouse_of_the_first_version_is_brought_up(kind: str, tmp_path: Path) -> None:
    first = {name: older for name, dataset in DATASETS.items() if (older := at_version(dataset, 1)) is not None}
    old = rows_of([1, 2]).select([each.name for each in first["generations"].columns])
    saved = exp.select(column("id"), column("cache_saved_cost")).from_(scan("generations")).order_by(column("id"))

    def check(engine: Engine) -> None:
        done = migrate(engine)
        assert all(any(each.name in line for line in done) for each in GENERATIONS.columns if each.since > 1)
        assert migrate(engine) == []
        assert engine.query(saved).column("cache_saved_cost").to_pylist() == [None, None]
        new = rows_of([3]).drop_columns(["cache_saved_cost"])
        new = new.append_column("cache_saved_cost", pa.array([Decimal("0.5")], pa.decimal128(18, 12)))
        engine.append(GENERATIONS, new.select(arrow_schema(GENERATIONS).names), Batch("new"))
        assert engine.query(saved).column("cache_saved_cost").to_pylist() == [None, None, Decimal("0.5")]
        engine.append(GENERATIONS, rows_of([1, 4]), Batch("again"))
        assert engine.query(saved).num_rows == 4

    if kind == "lake":  # a lake knows its datasets from the start, so the old one is another engine
        with lake_engine(tmp_path, created=False, datasets=first) as before:
            before.create(first.values())
            before.append(first["generations"], old, Batch("old"))
        with lake_engine(tmp_path, created=False) as after:
            assert isinstance(after, DuckDBEngine)
            check(after)
        return
    with OPENERS[kind](tmp_path, created=False) as engine:
        engine.create(first.values())
        engine.append(first["generations"], old, Batch("old"))
        check(engine)


@pytest.mark.parametrize("kind", OPENERS)
def test_an_empty_warehouse_gets_everything(kind: str, tmp_path: Path) -> None:
    with OPENERS[kind](tmp_path, created=False) as engine:
        done = migrate(engine)
        assert all(any(name in each for each in done) for name in DATASETS)
        assert migrate(engine) == []
        for dataset in DATASETS.values():
            names = [column(each.name) for each in dataset.columns]
            assert engine.query(exp.select(*names).from_(scan(dataset.name))).num_rows == 0


def test_retention_follows_its_setting(tmp_path: Path) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        url = shared_server().url(engine.address.database)

        def ttl(name: str) -> str:
            where = f"database = '{engine.address.database}' AND name = '{name}'"
            return shared_server().run(f"SELECT engine_full FROM system.tables WHERE {where}")

        assert "TTL" not in ttl("generations")
        for days in (30, 3650):
            aging = ClickHouseEngine.connect(url, topology=Topology(retention_days=days))
            assert aging.create([GENERATIONS, FEEDBACKS, ROLLUP, RATED.dataset]) == [
                *(f"{n} keeps its rows for {days} days" for n in ("generations", "feedbacks")),
                f"rated_requests keeps its rows for {days + 1} days",
            ]
            assert aging.create([GENERATIONS, FEEDBACKS, ROLLUP, RATED.dataset]) == []
            aging.close()
            assert f"toIntervalDay({days})" in ttl("generations")
        assert "TTL" not in ttl(ROLLUP.name)
        assert engine.create([GENERATIONS]) == []  # without the setting, an operator's own TTL stays
        assert "toIntervalDay(3650)" in ttl("generations")


def test_chdb_keeps_its_rows(tmp_path: Path) -> None:
    with chdb_engine(tmp_path, database="kept") as engine:
        engine.append(GENERATIONS, rows_of(range(50)), Batch("b"))
        version = engine.version("generations")
    with chdb_engine(tmp_path, created=False, database="kept") as engine:
        assert engine.version("generations") == version
        assert engine.append(GENERATIONS, rows_of(range(60)), Batch("c")).stored == 10
        assert engine.check() == []


def test_an_old_server_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        assert engine.check() == []
        with engine._connection() as wire:
            monkeypatch.setattr(wire.client, "server_version", "21.8.1.1")
        [problem] = engine.check()
        assert "is version 21.8.1.1" in problem.what
        assert "24.8" in problem.remedy


CLUSTERS = (Topology(replicated=True), Topology(sharded=True, cluster="main"), Topology(True, True, "main", 30))


@pytest.mark.parametrize("topology", CLUSTERS, ids=lambda t: f"replicated={t.replicated}, sharded={t.sharded}")
def test_what_a_cluster_is_sent_is_clickhouses_own_grammar(topology: Topology, tmp_path: Path) -> None:
    """There is no cluster here to run it, but ClickHouse's parser takes every statement."""
    trees: list[exp.Expr | None] = [
        ddl.sync_replicas("staging", "default", topology),
        *ddl.drop_table("x", "default", topology),
    ]
    for dataset in (GENERATIONS, DATASETS["rollup_hour_workspace"]):
        trees += [*ddl.create_table(dataset, "default", topology), ddl.set_retention(dataset, "default", topology)]
        trees += ddl.add_columns(dataset, dataset.columns[-2:], "default", topology)
        trees += [
            statements.day_fingerprints(dataset, Window(NOW, NOW)),
            statements.parts_version(dataset.name, "default", topology),
        ]
        if dataset.id_column:
            trees += [
                statements.known_rows(dataset, DAYS, topology),
                statements.store_incoming(dataset, DAYS[::2], topology, "t"),
            ]
        else:
            trees += [ddl.replace_partition(dataset, "2026-03-01", "staging", "default", topology)]
            trees += [ddl.drop_partition(dataset, "2026-03-01", "default", topology)]
    server = shared_server()
    for tree in filter(None, trees):
        assert server.run("EXPLAIN AST " + tree.sql(dialect=ddl.DIALECT))

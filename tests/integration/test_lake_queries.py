"""DuckDB over the lake: what it answers, in which types, and what it refuses."""

import time
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread

import duckdb
import pyarrow as pa
import pytest
from sqlglot import exp, parse_one

from tests.integration import lake_worker as worker
from warehouse.catalog.functions import NEUTRAL, call, column, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.registry import DATASETS
from warehouse.engines.base import Batch, Limits, Window, scan
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.engines.turns import Turns
from warehouse.errors import ConfigurationError, QueryTooLarge, WarehouseBusy, WarehouseError
from warehouse.query.compile import compile_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery
from warehouse.storage.tables import arrow_schema

ROWS = 300
PATIENCE_S = 60
NUMBERS = range(ROWS)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[DuckDBEngine]:
    engine = DuckDBEngine(str(tmp_path_factory.mktemp("lake")), concurrency=2, queue=1)
    for part in range(3):
        engine.append(GENERATIONS, worker.rows_of(NUMBERS[part::3]), Batch(f"part-{part}"))
    yield engine
    engine.close()


def one(engine: DuckDBEngine, expression: exp.Expr) -> object:
    [row] = engine.query(exp.select(exp.alias_(expression, "v")).from_("generations")).to_pylist()
    return row["v"]


def instants() -> list[datetime]:
    return [at.replace(tzinfo=UTC) for at in worker.rows_of(NUMBERS)["created_at"].to_pylist()]


def tag(key: str) -> exp.Expr:
    return call("GL_MAP_VALUE", "metadata.key", "metadata.value", text(key))


def last_of(lines: exp.Expr) -> exp.Expr:
    """The last of an expression that makes lines, as one value."""
    made = exp.select(exp.alias_(lines, "item")).from_("generations")
    return call("GL_MAX", exp.Subquery(this=exp.select(call("GL_MAX", "item")).from_(made.subquery("made"))))


def sample() -> exp.Expr:
    return exp.select(column("id")).from_("generations").order_by(column("id"))


def test_every_neutral_function_is_spelled_and_means_what_the_catalog_says(engine: DuckDBEngine) -> None:
    times = [n % 3000 for n in NUMBERS]
    position = 0.95 * (ROWS - 1)
    low = int(position)
    quantile = sorted(times)[low] + (position - low) * (sorted(times)[low + 1] - sorted(times)[low])
    odd = exp.EQ(
        this=exp.Mod(this=column("response_time"), expression=exp.Literal.number(2)), expression=exp.Literal.number(1)
    )
    midnight, january = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 1, 31, 10, 0, 0, 250_000, UTC)
    nothing = exp.cast(exp.Null(), "BIGINT")
    first_day = call("GL_INSTANT", text("2026-03-01 00:00:00.000"))
    wanted: dict[str, tuple[exp.Expr, object]] = {
        "GL_COUNT": (call("GL_COUNT"), ROWS),
        "GL_COUNT_IF": (call("GL_COUNT_IF", odd), sum(t % 2 for t in times)),
        "GL_COUNT_DISTINCT": (call("GL_COUNT_DISTINCT", "organisation_id"), 5),
        "GL_SUM_INT": (call("GL_SUM_INT", "response_time"), sum(times)),
        "GL_SUM_FLOAT": (call("GL_SUM_FLOAT", "response_time"), float(sum(times))),
        "GL_SUM_MONEY": (call("GL_SUM_MONEY", "cost"), sum((worker.cost_of(n) for n in NUMBERS), Decimal(0))),
        "GL_RATIO": (call("GL_RATIO", call("GL_SUM_INT", "response_time"), call("GL_COUNT")), sum(times) / ROWS),
        "GL_QUANTILE": (call("GL_QUANTILE", "response_time", 0.95), pytest.approx(quantile)),
        "GL_MIN": (call("GL_MIN", "created_at"), min(instants())),
        "GL_MAX": (call("GL_MAX", "created_at"), max(instants())),
        "GL_MAP_VALUE": (call("GL_MIN", tag("team")), "team-0"),
        "GL_EACH": (last_of(call("GL_EACH", "metadata.value")), "team-2"),
        "GL_LOWER": (call("GL_MAX", call("GL_LOWER", text("ÄB"))), "äb"),
        "GL_JOINED": (call("GL_MAX", call("GL_JOINED", "metadata.value")), "team-2"),
        "GL_TO_TEXT": (call("GL_MAX", call("GL_TO_TEXT", "response_time")), "99"),
        "GL_BUCKET": (call("GL_MIN", call("GL_BUCKET", "created_at", 900)), midnight),
        "GL_DAY": (call("GL_MAX", call("GL_DAY", "created_at")), date(2026, 3, 3)),
        "GL_INSTANT": (call("GL_MAX", call("GL_INSTANT", text("2026-01-31 10:00:00.250"))), january),
        "GL_STEPS": (call("GL_MAX", call("GL_STEPS", "created_at", first_day, 86_400_000)), 2),
        "GL_RATIO of 0": (call("GL_RATIO", call("GL_COUNT"), exp.Literal.number(0)), None),
        "GL_SUM_INT of nothing": (call("GL_SUM_INT", nothing), 0),
        "GL_SUM_MONEY of nothing": (call("GL_SUM_MONEY", "reported_cost"), None),
        "GL_SUM_FLOAT of nothing": (call("GL_SUM_FLOAT", "reported_cost"), None),
        "GL_QUANTILE of nothing": (call("GL_QUANTILE", "ttlt", 0.5), None),
        "GL_MAP_VALUE absent": (call("GL_MAX", tag("user")), ""),
        "GL_TO_TEXT of NULL": (call("GL_MAX", call("GL_TO_TEXT", "user_id")), ""),
    }  # fmt: skip
    assert NEUTRAL.keys() <= wanted.keys()
    assert {name: one(engine, expression) for name, (expression, _) in wanted.items()} == {
        name: value for name, (_, value) in wanted.items()
    }


def test_answers_come_in_the_types_of_every_engine(engine: DuckDBEngine) -> None:
    small = exp.cast(exp.Literal.number(1), "INTEGER")
    answer = engine.query(
        exp.select(
            exp.alias_(column("created_at"), "instant"),
            exp.alias_(column("cost"), "cost"),
            exp.alias_(column("metadata.key"), "metadata.key", quoted=True),
            exp.alias_(small, "small"),
            exp.alias_(exp.cast(exp.Literal.number(1), "HUGEINT"), "huge"),
            exp.alias_(exp.cast(exp.Literal.number("1.5"), "REAL"), "real"),
            exp.alias_(call("GL_DAY", "created_at"), "day"),
            exp.alias_(column("is_success"), "flag"),
        ).from_("generations")
    )
    assert {field.name: str(field.type) for field in answer.schema} == {
        "instant": "timestamp[us, tz=UTC]",
        "cost": "decimal128(18, 12)",
        "metadata.key": "list<item: string>",
        "small": "int64",
        "huge": "int64",
        "real": "double",
        "day": "date32[day]",
        "flag": "bool",
    }
    assert answer.num_rows == ROWS


def test_every_connection_keeps_the_footers_it_read(engine: DuckDBEngine) -> None:
    asked = parse_one("SELECT current_setting('parquet_metadata_cache') AS kept", dialect="duckdb")
    assert engine.query(asked).to_pylist() == [{"kept": True}]


def test_a_dataset_without_a_table_answers_as_an_empty_one(engine: DuckDBEngine) -> None:
    for dataset in DATASETS.values():
        if dataset.name != "generations":
            answer = engine.query(exp.select(*(column(c.name) for c in dataset.columns)).from_(scan(dataset.name)))
            assert (answer.num_rows, answer.column_names) == (0, [c.name for c in dataset.columns])
            assert engine.day_fingerprints(dataset) == {}
    assert engine.version("feedbacks") == engine.version("batches")


def test_windows_prune_files_and_filter_nothing(engine: DuckDBEngine) -> None:
    def count(window: Window, *own: Window) -> object:
        return engine.query(
            exp.select(exp.alias_(call("GL_COUNT"), "n")).from_(scan("generations", *own)), window
        ).to_pylist()[0]["n"]

    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    second, third = Window(noon, noon), Window(noon + timedelta(days=1), None)
    assert count(Window()) == ROWS
    assert count(second) == ROWS // 3
    assert count(third) == ROWS // 3
    assert count(Window(noon + timedelta(days=30), None)) == 0
    assert count(second, Window()) == ROWS
    assert count(Window(), second, third) == ROWS * 2 // 3


def test_the_time_is_not_read_of_days_that_a_question_wants_whole(engine: DuckDBEngine) -> None:
    first = datetime(2026, 3, 1, tzinfo=UTC)
    noon, end = first + timedelta(days=1, hours=12), first + timedelta(days=worker.DAYS, milliseconds=-1)
    owned = [at for number, at in enumerate(instants()) if number % 5 == 1]

    def bound(since: datetime, until: datetime, measure: str) -> tuple[str, exp.Select]:
        tree = compile_grouped(GroupedQuery(TenantScope("org-1"), since, until, (), (measure,)))
        return engine._bind(engine.lower(tree), Window(since, until), fresh=False)[0], tree

    for since, until, readers, times in ((first, end, 1, 0), (first, noon, 2, 2), (noon, noon + HOUR, 1, 2)):
        sql, tree = bound(since, until, "cost")
        assert (sql.count("READ_PARQUET"), sql.count('"created_at"')) == (readers, times)
        [line] = engine.query(tree, Window(since, until)).to_pylist()
        inside = [number for number, at in zip(NUMBERS[1::5], owned, strict=True) if since <= at <= until]
        assert line["c0"] == (sum(map(worker.cost_of, inside), Decimal(0)) if inside else None)
    assert bound(first, noon, "last_seen")[0].count("READ_PARQUET") == 1  # the time is read anyhow


def test_a_dataset_may_be_read_more_than_once_and_joined_under_another_name(engine: DuckDBEngine) -> None:
    tree = parse_one(
        """
        WITH slow AS (SELECT id, trace_id FROM generations WHERE response_time >= 290)
        SELECT COUNT(*) AS n, COUNT(f.id) AS f FROM generations AS g
        JOIN slow ON slow.id = g.id LEFT JOIN feedbacks AS f ON f.trace_id = g.trace_id
        WHERE g.id IN (SELECT generations.id FROM generations)
        """,
        dialect="duckdb",
    )
    assert isinstance(tree, exp.Query)
    assert engine.query(tree).to_pylist() == [{"n": 10, "f": 0}]


def test_text_is_only_ever_text(engine: DuckDBEngine) -> None:
    for value in ("'; DROP TABLE x; --", "$1", "\\", "a'b\"c", "%s {0} ?", "日本"):
        condition = exp.EQ(this=column("id"), expression=text(value))
        assert (
            engine.query(
                exp.select(column("id"), exp.alias_(text(value), "v")).from_("generations").where(condition)
            ).num_rows
            == 0
        )
        assert one(engine, call("GL_MAX", call("GL_LOWER", text(value)))) == value.lower()


def test_limits_of_rows_and_time_are_kept_and_the_engine_goes_on(engine: DuckDBEngine) -> None:
    assert engine.query(sample(), limits=Limits(rows=ROWS)).num_rows == ROWS
    with pytest.raises(QueryTooLarge, match="more than 299 rows"):
        engine.query(sample(), limits=Limits(rows=299))
    endless = parse_one(
        "SELECT COUNT(*) AS n FROM range(100000000) a, range(100000) b WHERE a.range % 7 = b.range", dialect="duckdb"
    )
    started = time.monotonic()
    with pytest.raises(QueryTooLarge, match=r"longer than 0\.3 s"):
        engine.query(endless, limits=Limits(timeout_s=0.3))
    assert time.monotonic() - started < PATIENCE_S, "the engine is interrupted"
    assert engine.query(sample()).num_rows == ROWS


def test_a_query_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    engine = DuckDBEngine(str(tmp_path / "lake"), memory_mb=100, spill_mb=0)
    hungry = parse_one("SELECT LIST(range) AS l FROM range(50000000)", dialect="duckdb")
    with pytest.raises(QueryTooLarge, match="100 MB"):
        engine.query(hungry)
    assert engine.query(sample()).num_rows == 0
    engine.close()


def test_queries_beyond_the_queue_are_told_to_come_again(engine: DuckDBEngine) -> None:
    endless = parse_one(
        "SELECT COUNT(*) AS n FROM range(100000000) a, range(100000) b WHERE a.range % 7 = b.range", dialect="duckdb"
    )
    outcomes: list[type[Exception]] = []

    def ask() -> None:
        try:
            engine.query(endless, limits=Limits(timeout_s=1))
        except WarehouseError as error:
            outcomes.append(type(error))

    threads = [Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) == {QueryTooLarge, WarehouseBusy}
    assert outcomes.count(WarehouseBusy) >= 3
    assert engine.query(sample()).num_rows == ROWS


def test_a_place_is_given_back_whatever_happens() -> None:
    turns = Turns(1, 1)
    for _ in range(3):
        with pytest.raises(ValueError, match="inside"), turns.turn(1):
            raise ValueError("inside")
    inside, leave = Event(), Event()

    def hold() -> None:
        with turns.turn(1):
            inside.set()
            leave.wait(5)

    holder = Thread(target=hold)
    holder.start()
    inside.wait(5)
    with pytest.raises(WarehouseBusy), turns.turn(0.05):
        pass
    leave.set()
    holder.join()
    with turns.turn(1):
        pass


def test_a_wrong_query_says_what_duckdb_says(engine: DuckDBEngine) -> None:
    with pytest.raises(WarehouseError, match="no_such_column"):
        engine.query(exp.select(column("no_such_column")).from_("generations"))
    with pytest.raises(WarehouseError, match="elsewhere"):
        engine.query(exp.select("*").from_("elsewhere"))


def test_a_lake_does_not_lie_behind_an_unknown_scheme() -> None:
    with pytest.raises(ConfigurationError, match="ftp"):
        DuckDBEngine("ftp://host/lake")


def test_files_are_plain_delta_and_plain_parquet(engine: DuckDBEngine) -> None:
    """Any Delta reader and any Parquet reader gets the same rows: the lake holds nobody's data hostage."""
    from deltalake import DeltaTable

    table = engine.lake.table("generations")
    paths = table.store.readable("generations", [file.path for file in table.live()])
    assert duckdb.sql("SELECT COUNT(*), SUM(cost) FROM read_parquet($1)", params=[paths]).fetchall() == [
        (ROWS, sum((worker.cost_of(n) for n in NUMBERS), Decimal(0)))
    ]
    delta = DeltaTable(table.store.uri("generations"))
    rows = pa.table(delta.to_pyarrow_table(columns=["id", "day", "metadata.key", "created_at"]))
    assert sorted(rows["id"].to_pylist()) == [f"id-{n:07}" for n in NUMBERS]
    assert set(rows["day"].to_pylist()) == {date(2026, 3, day) for day in (1, 2, 3)}
    assert delta.metadata().partition_columns == ["day"]
    assert pa.schema(delta.schema().to_arrow()).names == [*arrow_schema(GENERATIONS).names, "day"]

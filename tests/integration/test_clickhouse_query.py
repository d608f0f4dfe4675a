"""ClickHouse answers as the lake does: every neutral function, NULLs, types, limits; and it says what went wrong."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlglot import exp

from tests.factories.engines import OPENERS, chdb_engine, clickhouse_wire_engine, shared_server
from tests.factories.gateway import free_port
from tests.factories.rows import HOSTILE, as_generations, generations
from warehouse.catalog.functions import NEUTRAL, call, column, neutral_calls, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine, Limits, scan
from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.errors import QueryTooLarge, WarehouseBusy, WarehouseError

T0 = datetime(2026, 3, 29, 0, 59, 59, 999000)  # noqa: DTZ001 - rows hold naive UTC
RECORDS: list[dict[str, Any]] = [
    {"id": "1", "created_at": T0, "ai_model": "a", "cost": Decimal("1.000000000001"), "total_units": 3,
     "is_success": True, "cache_status": "HIT", "metadata.key": ["team", "x"], "metadata.value": ["ads", "y"]},
    {"id": "2", "created_at": T0.replace(day=30), "ai_model": "a", "cost": None, "total_units": None,
     "is_success": False, "cache_status": None, "response_time": 10},
    {"id": "3", "created_at": T0.replace(day=31), "ai_model": None, "cost": Decimal("0.000000000002"),
     "total_units": 5, "is_success": None, "cache_status": "ÉTÉ", "response_time": 20},
    {"id": "4", "created_at": T0, "ai_model": "b", "response_time": 40, "response_status_code": 200},
]  # fmt: skip


OF_ROWS = [measure for measure in GENERATIONS.measures if measure.through is None]
"""The measures whose expression is over rows alone."""


@pytest.fixture(scope="module", params=OPENERS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with OPENERS[request.param](tmp_path_factory.mktemp("engine")) as engine:
        engine.append(GENERATIONS, as_generations(RECORDS), Batch("b"))
        yield engine


def one(engine: Engine, expression: exp.Expr, where: exp.Expr | None = None) -> Any:
    query = exp.select(exp.alias_(expression, "x", quoted=True)).from_(scan("generations"))
    [row] = engine.query(query.where(where) if where is not None else query).to_pylist()
    return row["x"]


def nobody() -> exp.Expr:
    return exp.EQ(this=column("id"), expression=text("nobody"))


AGGREGATES: dict[str, tuple[exp.Expr, Any, Any]] = {
    "GL_COUNT": (call("GL_COUNT"), 4, 0),
    "GL_COUNT_IF": (call("GL_COUNT_IF", column("is_success")), 1, 0),
    "GL_COUNT_DISTINCT": (call("GL_COUNT_DISTINCT", "ai_model"), 2, 0),
    "GL_SUM_INT": (call("GL_SUM_INT", "total_units"), 8, 0),
    "GL_SUM_FLOAT": (call("GL_SUM_FLOAT", "response_time"), 70.0, None),
    "GL_SUM_MONEY": (call("GL_SUM_MONEY", "cost"), Decimal("1.000000000003"), None),
    "GL_QUANTILE": (call("GL_QUANTILE", "response_time", 0.25), 15.0, None),
    "GL_MIN": (call("GL_MIN", "created_at"), T0.replace(tzinfo=UTC), None),
    "GL_MAX": (call("GL_MAX", "response_time"), 40, None),
    "GL_RATIO": (
        call("GL_RATIO", call("GL_COUNT_IF", column("is_success")), call("GL_COUNT")), 0.25, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_aggregate(loaded: Engine, name: str) -> None:
    expression, value, of_nothing = AGGREGATES[name]
    assert one(loaded, expression.copy()) == value
    assert one(loaded, expression.copy(), nobody()) == of_nothing


SCALARS: dict[str, tuple[exp.Expr, list[Any]]] = {
    "GL_MAP_VALUE": (call("GL_MAP_VALUE", "metadata.key", "metadata.value", text("x")), ["y", "", "", ""]),
    "GL_LOWER": (call("GL_LOWER", "cache_status"), ["hit", None, "été", None]),
    "GL_JOINED": (
        exp.Coalesce(this=call("GL_JOINED", "metadata.value"), expressions=[text("")]),
        ["ads\ny", "", "", ""],
    ),
    "GL_TO_TEXT": (call("GL_TO_TEXT", "response_status_code"), ["", "", "", "200"]),
    "GL_BUCKET": (
        call("GL_BUCKET", "created_at", 900),
        [datetime(2026, 3, day, 0, 45, tzinfo=UTC) for day in (29, 30, 31, 29)],
    ),
    "GL_STEPS": (
        call("GL_STEPS", "created_at", call("GL_INSTANT", text("2026-03-28 23:00:00.000")), 3_600_000),
        [1, 25, 49, 1],
    ),
    "GL_DAY": (call("GL_DAY", "created_at"), [date(2026, 3, day) for day in (29, 30, 31, 29)]),
    "GL_INSTANT": (
        exp.LTE(this=column("created_at"), expression=call("GL_INSTANT", text("2026-03-29 00:59:59.999"))),
        [True, False, False, True],
    ),
}


@pytest.mark.parametrize("name", SCALARS)
def test_a_value_of_each_row(loaded: Engine, name: str) -> None:
    expression, values = SCALARS[name]
    query = (
        exp.select(exp.alias_(expression.copy(), "x", quoted=True)).from_(scan("generations")).order_by(column("id"))
    )
    assert loaded.query(query).column("x").to_pylist() == values


EACH = call("GL_EACH", "metadata.value")


def test_each_item_of_a_list_on_a_line_of_its_own(loaded: Engine) -> None:
    items = exp.select(column("id"), exp.alias_(EACH.copy(), "x")).from_(scan("generations")).order_by(exp.column("x"))
    assert loaded.query(items).to_pylist() == [{"id": "1", "x": "ads"}, {"id": "1", "x": "y"}]


def test_every_neutral_function_is_tried() -> None:
    tried = [EACH, *(expression for expression, *_ in (*AGGREGATES.values(), *SCALARS.values()))]
    assert {str(node.this) for expression in tried for node in neutral_calls(expression)} == NEUTRAL.keys()


def test_types_are_the_same_on_every_engine(loaded: Engine) -> None:
    names = ("created_at", "ai_model", "cost", "total_units", "is_success", "metadata.key")
    rows = loaded.query(exp.select(*(column(name) for name in names)).from_(scan("generations")).order_by(column("id")))
    assert rows.schema.types == [
        pa.timestamp("us", tz="UTC"), pa.string(), pa.decimal128(18, 12), pa.int64(), pa.bool_(), pa.list_(pa.string()),
    ]  # fmt: skip
    assert rows.column("ai_model").to_pylist() == ["a", "a", None, "b"]
    assert rows.column("is_success").to_pylist() == [True, False, None, None]
    measures = exp.select(*(exp.alias_(m.expression.copy(), m.name, quoted=True) for m in OF_ROWS))
    kinds = dict(
        zip(*(lambda s: (s.names, s.types))(loaded.query(measures.from_(scan("generations"))).schema), strict=True)
    )
    assert kinds["requests"] == kinds["total_tokens"] == kinds["error_count"] == pa.int64()
    assert kinds["cost"] == pa.decimal128(38, 12)
    assert kinds["p95_latency"] == pa.float64()
    assert kinds["last_seen"] == pa.timestamp("us", tz="UTC")


def test_rows_that_join_nothing_read_null(loaded: Engine) -> None:
    other = exp.select(column("id"), column("total_units")).from_(scan("generations")).where(nobody()).subquery("other")
    query = exp.select(exp.alias_(exp.column("total_units", table="other"), "x")).from_(scan("generations"))
    same = exp.EQ(this=exp.column("id", table="generations"), expression=exp.column("id", table="other"))
    assert loaded.query(query.join(other, on=same, join_type="left")).column("x").to_pylist() == [None] * 4


def test_a_name_means_the_column_and_not_what_is_called_like_it(loaded: Engine) -> None:
    query = exp.select(
        exp.alias_(call("GL_TO_TEXT", "ai_model"), "ai_model", quoted=True),
        exp.alias_(call("GL_COUNT_IF", exp.Is(this=column("ai_model"), expression=exp.Null())), "n"),
    )
    query = query.from_(scan("generations")).group_by(column("ai_model")).order_by(column("n").desc())
    assert loaded.query(query).to_pylist()[0] == {"ai_model": "", "n": 1}


@pytest.mark.parametrize("value", HOSTILE)
def test_a_text_is_only_ever_a_text(loaded: Engine, value: str) -> None:
    query = exp.select(exp.alias_(text(value), "x", quoted=True)).from_(scan("generations")).limit(1)
    assert loaded.query(query).to_pylist() == [{"x": value}]


def test_measures_of_random_rows_are_the_lakes(tmp_path: Path) -> None:
    rows = generations(seed=7, count=400)
    measures = [exp.alias_(m.expression.copy(), m.name, quoted=True) for m in OF_ROWS]
    model = exp.alias_(call("GL_TO_TEXT", "ai_model"), "model", quoted=True)
    query = (
        exp.select(model, *measures)
        .from_(scan("generations"))
        .group_by(column("ai_model"))
        .order_by(exp.column("model"))
    )
    answers: list[pa.Table] = []
    for name in OPENERS:
        with OPENERS[name](tmp_path) as engine:
            engine.append(GENERATIONS, rows, Batch("b"))
            answers.append(engine.query(query))
    lake, *others = answers
    for other in others:
        assert other.schema.types == lake.schema.types
        for ours, theirs in zip(other.to_pylist(), lake.to_pylist(), strict=True):
            assert ours == {
                name: pytest.approx(value) if isinstance(value, float) else value for name, value in theirs.items()
            }


@pytest.mark.parametrize("kind", ["clickhouse", "chdb"])
def test_limits_stop_a_query_and_the_next_one_is_whole(kind: str, tmp_path: Path) -> None:
    with OPENERS[kind](tmp_path) as engine:
        engine.append(GENERATIONS, generations(seed=3, count=3000), Batch("b"))
        rows = exp.select(column("id"), column("ai_model")).from_(scan("generations"))
        pairs = exp.select(exp.alias_(call("GL_COUNT"), "n")).from_(exp.alias_(scan("generations"), "a"))
        for _ in range(2):
            pairs = pairs.join(exp.alias_(scan("generations"), f"t{_}"), join_type="cross")
        for query, limits in (
            (rows, Limits(rows=2999)),
            (pairs, Limits(timeout_s=0.2)),
            (exp.select("*").from_(scan("generations")).order_by(column("id")), Limits(memory_mb=1)),
        ):
            with pytest.raises(QueryTooLarge, match="passed a limit"):
                engine.query(query, limits=limits)
            assert engine.query(rows, limits=Limits(rows=3000)).num_rows == 3000


def test_too_many_queries_are_told_to_come_again(tmp_path: Path) -> None:
    with chdb_engine(tmp_path, concurrency=1, queue=0) as engine, engine._turns.turn(1), pytest.raises(WarehouseBusy):
        engine.query(exp.select(exp.alias_(call("GL_COUNT"), "n")).from_(scan("generations")))


QUESTION = exp.select(exp.alias_(call("GL_COUNT"), "n")).from_(scan("generations"))


def failure(url: str) -> str:
    with closing(ClickHouseEngine.connect(url)) as engine, pytest.raises(WarehouseError) as raised:
        engine.query(QUESTION)
    with closing(ClickHouseEngine.connect(url)) as engine:
        [problem] = engine.check() or [None]
    assert problem is None or problem.what in str(raised.value)
    return str(raised.value)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_errors_name_the_server_and_never_the_password(tmp_path: Path) -> None:
    with clickhouse_wire_engine(tmp_path) as engine:
        server, database = shared_server(), engine.address.database
        host = f"default@127.0.0.1:{server.port}"
        assert f"{host}/{database} refused user 'default'" in failure(server.url(database, password="wr0ng"))
        assert f"{host}/nowhere has no database 'nowhere'" in failure(server.url("nowhere"))
        server.run(f"DROP TABLE {database}.generations SYNC")
        missing = failure(server.url(database))
        assert "lacks a table" in missing
        assert "gateledger init" in missing
        port = free_port()
        unreachable = failure(f"clickhouse://default:wr0ng@127.0.0.1:{port}/x")
        assert unreachable.endswith(f"127.0.0.1:{port}/x cannot be reached: [Errno 111] Connection refused")
        assert "wr0ng" not in unreachable


def test_a_folder_of_chdb_in_use_is_told_so(tmp_path: Path) -> None:
    other = ClickHouseEngine.connect(f"chdb://{tmp_path}/other")
    with chdb_engine(tmp_path), closing(other) as second:
        [problem] = second.check()
        assert "only one process can hold a folder" in problem.what


def test_a_gateways_own_table_can_be_asked_as_it_is(tmp_path: Path) -> None:
    """Not null texts with '' for blank, floats for booleans and money, Nested metadata (dataplane 4.3)."""
    with clickhouse_wire_engine(tmp_path, created=False) as engine:
        server, database = shared_server(), engine.address.database
        server.run(
            f"CREATE TABLE {database}.generations (id String, organisation_id String, workspace_slug String, "
            "created_at DateTime64(3), ai_org String, ai_model String, is_success Float64, cost Float64, "
            "req_units Float64, res_units Float64, total_units Float64, response_time Int32, cache_status String, "
            "response_status_code UInt16, _user String, mode String, retry_success_count Int32, "
            "last_used_option_index Int32, metadata Nested(key String, value String)) "
            "ENGINE = MergeTree ORDER BY (organisation_id, created_at)"
        )
        server.run(
            f"INSERT INTO {database}.generations VALUES "
            "('1', 'o', 'w', '2026-03-01 10:00:00.123', 'x', 'g', 1, 0.25, 3, 4, 7, 10, 'hit', 200, "
            "'u', 'fallback', 1, 1, ['k'], ['v']), "
            "('2', 'o', '', '2026-03-01 11:00:00', 'openai', '', 0, 0.5, 1, 1, 2, 30, '', 500, '', '', 0, 0, [], [])"
        )
        # Bounds of unknown costs and savings are columns of ours; everything else is asked of what the gateway wrote.
        ours = {"cost_low", "cost_high", "cache_saved_cost"}
        measures = [m for m in OF_ROWS if not {c.name for c in m.expression.find_all(exp.Column)} & ours]
        query = exp.select(*(exp.alias_(m.expression.copy(), m.name, quoted=True) for m in measures))
        [row] = engine.query(query.from_(scan("generations"))).to_pylist()
        assert (row["requests"], row["successes"], row["error_count"], row["total_tokens"]) == (2, 1, 1, 9)
        assert (row["cost"], row["unpriced_requests"], row["cache_hits"], row["cache_lookups"]) == (
            Decimal("0.75"),
            0,
            1,
            1,
        )
        assert (row["users"], row["rescued_by_retry"], row["rescued_by_fallback"], row["error_codes"]) == (1, 1, 1, 1)
        assert row["first_seen"] == datetime(2026, 3, 1, 10, 0, 0, 123000, tzinfo=UTC)
        assert (
            one(
                engine,
                call("GL_MAP_VALUE", "metadata.key", "metadata.value", text("k")),
                exp.EQ(this=column("id"), expression=text("1")),
            )
            == "v"
        )
        done = engine.create([GENERATIONS])
        assert "added the column price_id to generations" in done
        assert not any("ai_model" in each for each in done)
        assert engine.create([GENERATIONS]) == []
        known = datetime(2026, 3, 1, 10, 0, 0, 123000)  # noqa: DTZ001 - rows hold naive UTC
        fresh = as_generations([{"id": "1", "created_at": known}, {"id": "3", "created_at": T0, "cost": Decimal(1)}])
        assert engine.append(GENERATIONS, fresh, Batch("b")).stored == 1
        assert one(engine, call("GL_SUM_MONEY", "cost")) == Decimal("1.75")

"""Whatever a caller asks in SQL, the answer is the one over the caller's own rows alone; the engines agree."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from tests.factories import rows
from tests.factories.engines import lake_engine
from tests.factories.loaded import loaded
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Kind
from warehouse.engines.base import Batch, Engine, Limits
from warehouse.errors import GateledgerError, InvalidInput
from warehouse.query.customer_differences import DIFFERENCES
from warehouse.query.customer_sql import VIEWS, CustomerQuery, run_customer
from warehouse.query.scope import TenantScope

NOW = datetime(2026, 4, 2, tzinfo=UTC)
START = datetime(2026, 3, 30, tzinfo=UTC)
LIMITS = Limits(timeout_s=10, memory_mb=256)
MARKS = {"ours": 1_000, "theirs": 7_000_000}
"""Owner → where its numbers begin: every value of every column tells whose it is."""


def _value(of: Column, owner: str, number: int) -> Any:
    base = MARKS[owner] + number
    match of.kind:
        case Kind.TEXT:
            return f"{owner}-{of.name}-{number % 5}"
        case Kind.TEXT_LIST:
            return [f"{owner}-{number % 3}"]
        case Kind.INSTANT:
            return START + timedelta(minutes=number, days=0 if owner == "ours" else 1)
        case Kind.MONEY:
            return Decimal(base % 900_000).scaleb(-2)
        case Kind.BOOLEAN:
            return owner == "ours"
        case _:
            return base


def _records(columns: tuple[Column, ...], owner: str, count: int) -> list[dict[str, Any]]:
    fixed = {"organisation_id": owner, "workspace_slug": "same"}
    return [
        {each.name: _value(each, owner, number) for each in columns} | fixed | {"id": f"{owner}-id-{number}"}
        for number in range(count)
    ]


def _fill(engine: Engine, *owners: str) -> Engine:
    generations = [each for owner in owners for each in _records(GENERATIONS.columns, owner, 40)]
    feedbacks = [each for owner in owners for each in _records(FEEDBACKS.columns, owner, 12)]
    engine.append(GENERATIONS, rows.as_generations(generations), Batch("g"))
    engine.append(FEEDBACKS, rows.as_feedbacks(feedbacks), Batch("f"))
    return engine


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    """A lake of two tenants, and one of the first alone."""
    with ExitStack() as stack:
        shared, alone = (stack.enter_context(lake_engine(tmp_path_factory.mktemp(name))) for name in ("both", "one"))
        yield _fill(shared, "ours", "theirs"), _fill(alone, "ours")


NUMBERS = ("req_units", "res_units", "response_time", "cost", "value", "weight")
NAMES = {
    "generations": ("ai_model", "trace_id", "_user", "id", "req_units", "cost"),
    "feedbacks": ("trace_id", "_user", "id", "value"),
}


@st.composite
def selects(draw: st.DrawFn, depth: int = 2) -> str:
    """A SELECT of two columns, `a` and `b`, over a view, a subquery, a common table or a join."""
    view = draw(st.sampled_from(sorted(NAMES)))
    first, second = (draw(st.sampled_from(NAMES[view])) for _ in range(2))
    where = draw(
        st.sampled_from(
            [
                "",
                "WHERE 1 = 1",
                "WHERE organisation_id = 'theirs' OR true",
                "WHERE id LIKE '%'",
                "WHERE NOT (organisation_id = 'ours')",
                f"WHERE CAST({first} AS BIGINT) IS NULL OR {second} IS NOT NULL",
                f"WHERE trace_id IN (SELECT trace_id FROM {view})",
                "WHERE EXISTS (SELECT 1 FROM feedbacks WHERE organisation_id <> 'ours')",
                "WHERE (SELECT count(*) FROM generations) > 40",
            ]
        )
    )
    plain = f"SELECT {first} AS a, {second} AS b FROM {view} {where}"
    if depth == 0:
        return plain
    inner, other = draw(selects(depth=depth - 1)), draw(selects(depth=depth - 1))
    return draw(
        st.sampled_from(
            [
                plain,
                f"SELECT a, count(*) AS b FROM ({inner}) x GROUP BY a",
                f"SELECT max(a) AS a, min(b) AS b FROM ({inner}) generations",
                f"SELECT concat(a, '') AS a, concat(b, '') AS b FROM ({inner}) x UNION SELECT concat(a, ''), concat(b, '') FROM ({other}) y",
                f"SELECT concat(a, '') AS a, 1 AS b FROM ({inner}) x EXCEPT SELECT concat(a, ''), 1 FROM ({other}) y",
                f"WITH generations AS ({inner}), feedbacks AS ({other}) SELECT x.a, y.b FROM generations x, feedbacks y",
                f"WITH theirs AS ({inner}) SELECT a, (SELECT count(*) FROM theirs) AS b FROM theirs",
                f"SELECT x.a AS a, g.{first} AS b FROM ({inner}) x FULL JOIN {view} g ON true",
                f"SELECT a, row_number() OVER (ORDER BY a, b) AS b FROM ({inner}) x",
                f"SELECT a, b FROM ({inner}) x QUALIFY count(*) OVER () > 0",
            ]
        )
    )


def _ask(engine: Engine, sql: str) -> list[str]:
    """The rows as sorted text, or what kind of error there was."""
    try:
        answer = run_customer(engine, CustomerQuery(TenantScope("ours"), sql, NOW, 100_000), LIMITS)
    except InvalidInput:
        return ["refused"]
    return sorted(repr(line) for line in answer.rows.to_pylist())


def test_an_answer_is_the_same_without_the_other_tenant(lakes: tuple[Engine, Engine]) -> None:
    shared, alone = lakes
    answered = 0

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(selects())
    def check(sql: str) -> None:
        nonlocal answered
        found = _ask(shared, sql)
        assert found == _ask(alone, sql), sql
        assert not any("theirs-" in line for line in found), sql
        answered += found != ["refused"]

    check()
    assert answered > 25


def test_no_value_of_the_other_tenant_is_in_any_column(lakes: tuple[Engine, Engine]) -> None:
    for view, columns in VIEWS.items():
        for each in columns:
            sql = f'SELECT "{each.name}" AS x FROM {view}'
            found = _ask(lakes[0], sql)
            assert found == _ask(lakes[1], sql)
            assert len(found) == (40 if view == "generations" else 12)


FAILING = (
    "SELECT count(*) AS n FROM generations WHERE req_units * 1000000000000000 > 0",
    "SELECT count(*) AS n FROM generations a JOIN generations b ON a.id = b.id AND a.req_units * 1000000000000000 > 0",
    "WITH a AS (SELECT * FROM generations) SELECT count(*) AS n FROM a WHERE req_units * 1000000000000000 > 0",
    "SELECT sum(req_units * 1000000000000000) IS NULL AS n FROM generations",
)


@pytest.mark.parametrize("sql", FAILING)
def test_no_error_tells_of_rows_of_others(lakes: tuple[Engine, Engine], sql: str) -> None:
    """Their numbers would overflow, ours don't: were a condition tried on their rows, it would be seen."""
    for _ in range(5):
        assert _ask(lakes[0], sql) == _ask(lakes[1], sql) != ["refused"]


@pytest.mark.parametrize(
    "tree",
    [
        exp.select("*").from_(exp.Table(this=exp.Anonymous(this=name, expressions=[exp.Literal.string(path)])))
        for name, path in (
            ("read_text", "/etc/passwd"),
            ("read_csv", "/etc/passwd"),
            ("read_blob", "/etc/hostname"),
            ("glob", "/etc/*"),
            ("read_parquet", "/etc/x.parquet"),
        )
    ],
    ids=lambda tree: tree.sql(),
)
def test_the_engine_itself_reaches_no_file_but_the_lakes(lakes: tuple[Engine, Engine], tree: exp.Select) -> None:
    with pytest.raises(GateledgerError):
        lakes[0].query(tree, limits=Limits(fenced=True, memory_mb=256))


QUESTIONS = (
    "SELECT ai_model, count(*) AS n, sum(cost) AS c, avg(cost) AS a, median(response_time) AS m FROM generations GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('week', created_at) AS w, count(DISTINCT ai_model) AS d FROM generations GROUP BY 1 ORDER BY 1",
    "SELECT id, cost > 1 AS dear, ai_model LIKE 'gpt%' AS gpt, cost / req_units AS each, req_units % 7 AS r FROM generations ORDER BY id",
    "SELECT id, round(cost, 2) AS r, CAST(response_time / 7 AS BIGINT) AS b, TRY_CAST(ai_model AS DOUBLE) AS t FROM generations ORDER BY id",
    "SELECT id, lag(id) OVER (ORDER BY id) AS l, sum(cost) OVER (PARTITION BY ai_model ORDER BY id) AS s FROM generations ORDER BY id",
    "SELECT g.id, f.id AS fid, f.value FROM generations g LEFT JOIN feedbacks f USING (trace_id) ORDER BY 1, 2",
    "SELECT id FROM generations WHERE trace_id NOT IN (SELECT trace_id FROM feedbacks WHERE trace_id IS NOT NULL) ORDER BY id",
    "WITH a AS (SELECT ai_model, sum(cost) AS c FROM generations GROUP BY 1) SELECT ai_model, c / (SELECT max(c) FROM a) AS share FROM a ORDER BY 1",
    "SELECT trace_id FROM generations EXCEPT SELECT trace_id FROM feedbacks ORDER BY 1",
    "SELECT lower(ai_model) AS l, length(ai_model) AS n, substr(ai_model, 2, 3) AS s, starts_with(ai_model, 'gpt') AS p FROM generations ORDER BY id",
    'SELECT "metadata.key" AS k, len("metadata.key") AS n, map_value("metadata.key", "metadata.value", \'team\') AS t FROM generations ORDER BY id',
    "SELECT extract(hour FROM created_at) AS h, date_diff('day', created_at, now()) AS d FROM generations ORDER BY id",
    "SELECT sum(cost) AS s, count_if(is_success) AS c, min(id) AS m FROM generations WHERE 1 = 0",
    "SELECT count(*) AS n FROM generations WHERE created_at BETWEEN '2026-03-28 12:00:00' AND now() - INTERVAL 1 DAY",
    "SELECT * FROM generations ORDER BY id LIMIT 3",
    "SELECT unknown_column FROM generations",
    "SELECT sum(ai_model) FROM generations",
)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-12)
    return left == right


def test_the_engines_agree(tmp_path: Path) -> None:
    generations = rows.generations(3, 500)
    feedbacks = rows.feedbacks(4, generations, 200)
    answers: list[list[Any]] = []
    for name in ("lake", "clickhouse"):
        with loaded(name, tmp_path / name, generations, feedbacks) as engine:
            answers.append([_lines(engine, sql) for sql in QUESTIONS])
    for sql, ours, theirs in zip(QUESTIONS, *answers, strict=True):
        assert len(ours) == len(theirs), sql
        for left, right in zip(ours, theirs, strict=True):
            assert left.keys() == right.keys(), sql
            assert all(_same(left[name], right[name]) for name in left), (sql, left, right)


def test_where_engines_differ_is_told(tmp_path: Path) -> None:
    """What the page of the schema says differs does; so nothing stays there that is the same by now."""
    generations = rows.generations(3, 50)
    examples = [each.example for each in DIFFERENCES if each.example]
    answers: list[list[Any]] = []
    for name in ("lake", "clickhouse"):
        with loaded(name, tmp_path / name, generations, rows.feedbacks(4, generations, 10)) as engine:
            answers.append([_lines(engine, sql) for sql in examples])
    assert not [sql for sql, ours, theirs in zip(examples, *answers, strict=True) if ours == theirs]


def _lines(engine: Engine, sql: str) -> list[dict[str, Any]]:
    try:
        return run_customer(engine, CustomerQuery(TenantScope("org-a"), sql, NOW, 1000), LIMITS).rows.to_pylist()
    except InvalidInput:
        return [{"refused": True}]

"""What a caller's SQL may say: a table of what is taken, a longer one of what is not."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlglot import exp

from tests.factories.hostile_sql import REFUSED
from warehouse.errors import InvalidInput
from warehouse.query.customer_functions import FUNCTIONS, spelled
from warehouse.query.customer_sql import VIEWS, CustomerQuery, compile_customer
from warehouse.query.scope import OwnRows, TenantScope

NOW = datetime(2026, 4, 2, tzinfo=UTC)
SCOPE = TenantScope("acme", frozenset({"prod"}), OwnRows("ann", frozenset({"k1"})))

ACCEPTED = """
SELECT * FROM generations
select count(*) from Generations
SELECT count(*) FROM "generations"
SELECT count(*) FROM "GENERATIONS" AS "G"
FROM generations
TABLE generations
SELECT * FROM generations;
(SELECT id FROM generations)
SELECT id FROM generations -- a comment
SELECT id /* a comment */ FROM generations
SELECT id FROM generations /* sqlglot.meta windows=x */
SELECT g.id FROM generations g JOIN feedbacks f ON f.trace_id = g.trace_id
SELECT g.id FROM generations g LEFT JOIN feedbacks USING (trace_id)
SELECT generations.id FROM generations, feedbacks
WITH generations AS (SELECT id FROM generations) SELECT * FROM generations
WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT * FROM b
SELECT * FROM (SELECT id FROM generations) AS feedbacks
SELECT id FROM generations UNION ALL SELECT id FROM feedbacks
SELECT id FROM generations EXCEPT SELECT id FROM feedbacks
SELECT id FROM generations QUALIFY row_number() OVER (PARTITION BY ai_model ORDER BY created_at) = 1
SELECT sum(cost) FILTER (WHERE is_success) FROM generations
SELECT sum(cost) OVER (ORDER BY created_at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM generations
SELECT 1
SELECT "metadata.key" FROM generations
SELECT created_at - INTERVAL 1 DAY FROM generations
SELECT date_trunc('day', created_at), extract(hour FROM created_at) FROM generations
SELECT CAST(cost AS DOUBLE) a, cost::VARCHAR b, DATE '2026-01-01' c, TIMESTAMP '2026-01-01 10:00:00' d FROM generations
SELECT id FROM generations WHERE (ai_org, ai_model) IN (('openai', 'gpt'), ('x', 'y'))
SELECT id FROM generations WHERE EXISTS (SELECT 1 FROM feedbacks f WHERE f.trace_id = generations.trace_id)
SELECT CASE WHEN is_success THEN 1 ELSE 0 END FROM generations
SELECT 'generations; DROP TABLE generations' FROM generations
SELECT id AS "drop table", ai_model AS "read_csv('x')" FROM generations
SELECT count(DISTINCT ai_model) FROM generations GROUP BY ai_org HAVING count(*) > 1 ORDER BY 1 LIMIT 3 OFFSET 2
SELECT now() AS a, current_timestamp AS b, today() AS c, current_date AS d
SELECT * FROM 'generations'
SELECT * FROM generations final
SELECT count(*) AS n FROM generations ORDER BY n
SELECT ai_model m FROM generations UNION SELECT ai_org FROM generations ORDER BY m
""".strip().splitlines()


def query(sql: str, **parameters: Any) -> CustomerQuery:
    return CustomerQuery(SCOPE, sql, NOW, 1000, parameters)


def assert_fenced(tree: exp.Query) -> None:
    """Every table of the tree is a common table of it, or stands in a subquery that is bound to the scope."""
    known = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        assert not table.db
        assert not table.catalog
        if table.name in known:
            assert table.name.startswith("gl_with_")
            continue
        assert table.name in VIEWS
        within = table.parent_select
        assert within is not None
        assert within.args["from_"].this is table
        where = within.args["where"].sql()
        assert "\"organisation_id\" = 'acme'" in where
        assert "\"workspace_slug\" = 'prod'" in where
        assert "\"api_key_id\" = 'k1'" in where
        assert within.args["limit"] is not None
        assert within.args.get("joins") in (None, [])


@pytest.mark.parametrize("sql", ACCEPTED)
def test_what_is_allowed_is_bound_to_the_scope(sql: str) -> None:
    for dialect in ("duckdb", "clickhouse"):
        tree, names = compile_customer(query(sql))
        assert len(names) == len(set(names))
        assert_fenced(tree)
        text = spelled(tree, dialect).sql(dialect=dialect)
        assert "fn__" not in text
        assert "/*" not in text
        assert not any(table.meta.get("windows") == "x" for table in tree.find_all(exp.Table))


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_not_allowed_is_refused(sql: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        compile_customer(query(sql))
    assert "fn__" not in str(refusal.value)
    assert "gl_with_" not in str(refusal.value).replace(sql, "").replace("gl_with_1:", "")


def test_there_are_more_than_a_hundred_hostile_queries() -> None:
    assert len(REFUSED) > 200
    assert len(set(REFUSED)) == len(REFUSED)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 400 + "1" + ")" * 400,
        "SELECT " + "NOT " * 900 + "true",
        "SELECT " + "- " * 900 + "1",
        "SELECT " + "1 + " * 1500 + "1",
        "SELECT " + "CASE WHEN " * 300 + "true" + " THEN 1 END" * 300,
        "SELECT " + "(SELECT " * 200 + "1" + ")" * 200,
        "SELECT * FROM " + "(SELECT * FROM " * 100 + "generations" + ")" * 100,
        "SELECT id FROM generations" + " UNION ALL SELECT id FROM generations" * 200,
        "SELECT id FROM generations WHERE " + " OR ".join(["id = 'a'"] * 600),
        "SELECT g1.id FROM " + ", ".join(f"generations g{n}" for n in range(40)),
        "SELECT cost AS a0, " + ", ".join(f"a{n} + a{n} AS a{n + 1}" for n in range(60)) + " FROM generations",
        "WITH a0 AS (TABLE generations)"
        + "".join(f", a{n + 1} AS (SELECT x.*, y.* FROM a{n} x, a{n} y)" for n in range(20))
        + " SELECT 1",
        "SELECT '" + "x" * 30_000 + "'",
        "SELECT " + ", ".join(["1"] * 5000),
        "SELECT * FROM generations WHERE id = 'a\x00b'",
        "SELECT '\ud800'",
        "SELECT id AS \"\x00\" FROM generations",
    ],
    ids=lambda sql: sql[:40].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_what_would_take_all_time_or_memory_is_refused_at_once(sql: str) -> None:
    with pytest.raises(InvalidInput):
        compile_customer(query(sql))


@pytest.mark.parametrize("hostile", ["' OR 1=1 --", "'; DROP TABLE generations; --", '"', "\\'", "a\nb", "/* */"])
def test_parameters_are_values_and_nothing_else(hostile: str) -> None:
    tree, _ = compile_customer(
        query("SELECT id FROM generations WHERE ai_model = :m OR id IN (:l)", m=hostile, l=[hostile, 1])
    )
    assert [literal.name for literal in tree.find_all(exp.Literal) if literal.name == hostile] == [hostile] * 2
    assert_fenced(tree)


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT :a", {}),
        ("SELECT 1", {"a": 1}),
        ("SELECT :a", {"a": [1]}),
        ("SELECT 1 IN (:a)", {"a": []}),
        ("SELECT 1 IN (:a)", {"a": [[1]]}),
        ("SELECT :a", {"a": {"b": 1}}),
        ("SELECT :a", {"a": 2**70}),
        ("SELECT :a", {"a": float("nan")}),
        ("SELECT :a", {"a": "\x00"}),
        ("SELECT * FROM :a", {"a": "batches"}),
        ("SELECT id FROM generations LIMIT :a", {"a": -1}),
        ("SELECT id FROM generations LIMIT :a", {"a": "1"}),
        ("SELECT id FROM generations ORDER BY id LIMIT :a", {"a": None}),
    ],
)
def test_parameters_that_fit_nowhere_are_refused(sql: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        compile_customer(query(sql, **parameters))


def test_a_refusal_names_what_is_allowed() -> None:
    for sql, told in (
        ("SELECT * FROM prices", "generations, feedbacks"),
        ("SELECT getenv('x')", "quantile_cont"),
        ("SELECT costs FROM generations", "Did you mean cost"),
        ("SELECT id, id FROM generations", "AS"),
        ("SELECT CAST(id AS JSON) FROM generations", "VARCHAR"),
    ):
        with pytest.raises(InvalidInput, match=told):
            compile_customer(query(sql))


def test_names_are_answered_as_they_were_written() -> None:
    _, names = compile_customer(
        query('SELECT ai_model AS "The Model", count(*) AS Total, id AS x FROM generations GROUP BY 1, 3')
    )
    assert names == ["The Model", "Total", "x"]


def test_every_function_is_described() -> None:
    for name, function in FUNCTIONS.items():
        assert function.signature.startswith(f"{name}(")
        assert function.description.endswith(".")

"""What a caller's SQL may say: a table of what is taken, a longer one of what is not."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlglot import exp

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

REFUSED = r"""
SELECT 1; SELECT 2
SELECT 1; DROP TABLE generations
SELECT id FROM generations; COPY generations TO 'x'
;
--
/* nothing */
DROP TABLE generations
DELETE FROM generations
INSERT INTO generations UPDATE generations SET cost = 0
CREATE TABLE x AS SELECT * FROM generations
CREATE VIEW x AS SELECT 1
CREATE MACRO f(a) AS a
CREATE FUNCTION f(a) AS a
ALTER TABLE generations DROP COLUMN cost
TRUNCATE generations
COPY generations TO '/etc/x'
COPY (SELECT 1) TO 'x.csv'
ATTACH 'x.db'
DETACH x
USE x
INSTALL httpfs
LOAD httpfs
SET memory_limit = '8GB'
RESET memory_limit
PRAGMA database_list
CALL pragma_version()
EXPLAIN SELECT 1
DESCRIBE generations
DESCRIBE SELECT 1
SHOW TABLES
SUMMARIZE generations
CHECKPOINT
EXPORT DATABASE 'x'
IMPORT DATABASE 'x'
VACUUM
BEGIN
PREPARE x AS SELECT 1
EXECUTE x
SYSTEM RELOAD CONFIG
KILL QUERY WHERE 1
OPTIMIZE TABLE generations
GRANT ALL ON generations TO x
VALUES (1)
SELECT * FROM (VALUES (1)) v
SELECT * FROM batches
SELECT * FROM prices
SELECT * FROM audit_logs
SELECT * FROM usage_by_day
SELECT * FROM df
SELECT * FROM duckdb_settings
SELECT * FROM sqlite_master
SELECT * FROM pg_catalog.pg_tables
SELECT * FROM information_schema.tables
SELECT * FROM "information_schema"."tables"
SELECT * FROM system.tables
SELECT * FROM system.query_log
SELECT * FROM main.generations
SELECT * FROM "main"."generations"
SELECT * FROM memory.main.generations
SELECT * FROM default.generations
SELECT * FROM other_database.generations
SELECT * FROM "generations "
SELECT * FROM `generations`
SELECT * FROM gеnerations
SELECT * FROM 'file.parquet'
SELECT * FROM "file.parquet"
SELECT * FROM '/etc/passwd'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM read_parquet('x')
SELECT * FROM read_parquet(['x', 'y'])
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_csv_auto('/etc/passwd')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM read_json('x')
SELECT * FROM parquet_scan('x')
SELECT * FROM parquet_metadata('x')
SELECT * FROM glob('/etc/*')
SELECT * FROM sniff_csv('x')
SELECT * FROM delta_scan('x')
SELECT * FROM sqlite_scan('x', 'y')
SELECT * FROM postgres_scan('x', 'y', 'z')
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('generations')
SELECT * FROM duckdb_tables()
SELECT * FROM duckdb_secrets()
SELECT * FROM pragma_database_list()
SELECT * FROM range(10)
SELECT * FROM generate_series(1, 10)
SELECT * FROM repeat_row(1, num_rows = 10)
SELECT * FROM url('http://x', 'CSV')
SELECT * FROM file('x', 'CSV')
SELECT * FROM remote('x', 'system.tables')
SELECT * FROM s3('http://x')
SELECT * FROM numbers(10)
SELECT * FROM merge('default', '.*')
SELECT * FROM cluster('x', system.one)
SELECT * FROM executable('x')
SELECT * FROM mysql('x', 'y', 'z', 'u', 'p')
SELECT * FROM "read_csv"('/etc/passwd')
SELECT * FROM unnest([1, 2])
SELECT unnest("metadata.key") FROM generations
SELECT * FROM generations g, (SELECT * FROM batches) b
SELECT * FROM generations g, LATERAL (SELECT 1) x
SELECT * FROM generations g CROSS JOIN LATERAL (SELECT * FROM batches) x
SELECT (SELECT max(id) FROM batches) FROM generations
SELECT id FROM generations WHERE id IN (SELECT id FROM batches)
SELECT id FROM generations WHERE EXISTS (SELECT 1 FROM batches)
SELECT id FROM generations GROUP BY id HAVING count(*) > (SELECT count(*) FROM batches)
SELECT id FROM generations ORDER BY (SELECT max(id) FROM batches)
SELECT id FROM generations LIMIT (SELECT 1)
SELECT id FROM generations LIMIT 1 OFFSET (SELECT 1)
SELECT id FROM generations LIMIT 10 PERCENT
SELECT id FROM generations LIMIT -1
SELECT id FROM generations FETCH FIRST 1 ROWS ONLY
SELECT CASE WHEN (SELECT true FROM batches) THEN 1 END FROM generations
SELECT sum(cost) OVER (PARTITION BY (SELECT 1 FROM batches)) FROM generations
SELECT id FROM generations UNION SELECT id FROM batches
SELECT id FROM generations EXCEPT SELECT id FROM batches
SELECT id FROM generations UNION BY NAME SELECT id FROM feedbacks
SELECT * FROM generations JOIN feedbacks ON (SELECT true FROM batches)
SELECT * FROM generations NATURAL JOIN feedbacks
SELECT * FROM generations POSITIONAL JOIN feedbacks
SELECT * FROM generations ASOF JOIN feedbacks USING (created_at)
SELECT * FROM generations SEMI JOIN feedbacks USING (trace_id)
SELECT * FROM generations GLOBAL JOIN feedbacks USING (trace_id)
WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a) SELECT * FROM a
WITH a AS (SELECT * FROM a) SELECT * FROM a
WITH a AS (SELECT 1), a AS (SELECT 2) SELECT * FROM a
WITH a AS MATERIALIZED (SELECT 1 AS x) SELECT * FROM a
WITH a(x) AS (SELECT 1) SELECT * FROM a
WITH a AS (INSERT INTO generations SELECT 1) SELECT * FROM a
WITH a AS (SELECT * FROM b), b AS (SELECT 1 AS x) SELECT * FROM a
SELECT * FROM (WITH batches AS (SELECT 1 AS x) SELECT * FROM batches) a, batches
SELECT * FROM (WITH prices AS (SELECT 1 AS x) SELECT * FROM prices) a WHERE EXISTS (SELECT 1 FROM prices)
WITH generations AS (SELECT * FROM main.generations) SELECT * FROM generations
SELECT * FROM gl_with_1
WITH a AS (SELECT 1 AS x) SELECT * FROM gl_with_1
SELECT * FROM generations PIVOT (sum(cost) FOR ai_model IN ('a'))
PIVOT generations ON ai_model USING sum(cost)
UNPIVOT generations ON cost INTO NAME a VALUE b
SELECT * FROM generations UNPIVOT (a FOR b IN (cost))
SELECT * FROM generations TABLESAMPLE 10%
SELECT * FROM generations USING SAMPLE 10
SELECT * FROM generations PREWHERE 1
SELECT * FROM generations SETTINGS max_threads = 1
SELECT * FROM generations FORMAT JSON
SELECT * FROM generations INTO OUTFILE 'x'
SELECT * INTO x FROM generations
SELECT * FROM generations FOR UPDATE
SELECT * FROM generations AT (VERSION => 1)
SELECT * FROM generations AS OF TIMESTAMP '2020-01-01'
SELECT * FROM generations g(a, b)
SELECT * FROM generations ARRAY JOIN "metadata.key" AS k
SELECT DISTINCT ON (ai_model) id FROM generations
SELECT * EXCLUDE (cost) FROM generations
SELECT * REPLACE (1 AS cost) FROM generations
SELECT COLUMNS('.*') FROM generations
SELECT COLUMNS(*) FROM generations
SELECT *COLUMNS(*) FROM generations
SELECT #1 FROM generations
SELECT id FROM generations GROUP BY ALL
SELECT ai_model, sum(cost) FROM generations GROUP BY ROLLUP (ai_model)
SELECT ai_model, sum(cost) FROM generations GROUP BY CUBE (ai_model)
SELECT ai_model FROM generations GROUP BY GROUPING SETS ((ai_model), ())
SELECT id FROM generations ORDER BY id WITH FILL
SELECT sum(cost) OVER w FROM generations WINDOW w AS (ORDER BY id)
SELECT getenv('HOME')
SELECT current_setting('memory_limit')
SELECT version()
SELECT current_user
SELECT current_user()
SELECT session_user
SELECT current_database()
SELECT current_schema()
SELECT currentDatabase()
SELECT hostName()
SELECT user()
SELECT uuid()
SELECT random()
SELECT sleep(3)
SELECT sleepEachRow(1) FROM generations
SELECT file('/etc/passwd')
SELECT read_text('/etc/passwd')
SELECT dictGet('x', 'y', 1)
SELECT joinGet('x', 'y', 1)
SELECT getSetting('readonly')
SELECT nextval('x')
SELECT pg_sleep(1)
SELECT error('x')
SELECT throwIf(1)
SELECT repeat('x', 1000000000)
SELECT lpad('x', 1000000000, 'y')
SELECT range(1000000000)
SELECT list_value(1)
SELECT array_agg(id) FROM generations
SELECT string_agg(id, ',') FROM generations
SELECT list_transform([1], x -> x + 1)
SELECT arrayMap(x -> x, [1])
SELECT eval('1')
SELECT in_search_path('a', 'b')
SELECT sum(DISTINCT cost) FROM generations
SELECT max(*) FROM generations
SELECT count(*, 1) FROM generations
SELECT lower(id, id) FROM generations
SELECT "lower"(id) FROM generations
SELECT fn__lower(id) FROM generations
SELECT GL_COUNT() FROM generations
SELECT GL_NAMED('generations.cost') FROM generations
SELECT main.lower(id) FROM generations
SELECT id.lower() FROM generations
SELECT quantile_cont(cost, ai_model) FROM generations
SELECT date_trunc(ai_model, created_at) FROM generations
SELECT date_trunc('century', created_at) FROM generations
SELECT extract(epoch FROM created_at) FROM generations
SELECT regexp_matches(id, ai_model) FROM generations
SELECT IF(is_success, 1, 0) FROM generations
SELECT [1, 2]
SELECT {'a': 1}
SELECT MAP {'a': 1}
SELECT (1, 2)
SELECT ROW(1, 2)
SELECT "metadata.key"[1] FROM generations
SELECT id[1:2] FROM generations
SELECT created_at AT TIME ZONE 'UTC' FROM generations
SELECT id COLLATE NOCASE FROM generations
SELECT id SIMILAR TO 'x' FROM generations
SELECT id ~ 'x' FROM generations
SELECT id GLOB 'x' FROM generations
SELECT id LIKE 'a$%' ESCAPE '$' FROM generations
SELECT 1 = ANY (SELECT 1)
SELECT 1 = ALL (SELECT 1)
SELECT ARRAY(SELECT 1)
SELECT CAST(1 AS JSON)
SELECT CAST(1 AS BLOB)
SELECT CAST(id AS generations) FROM generations
SELECT CAST(id AS STRUCT(a INT)) FROM generations
SELECT TRY_CAST(id AS DATE) FROM generations
SELECT INTERVAL 1 DAY
SELECT created_at + INTERVAL (req_units) DAY FROM generations
SELECT created_at + INTERVAL '1 day 2 hours' FROM generations
SELECT 1 << 62
SELECT 1 // 0
SELECT 2 ** 3
SELECT 2 ^ 3
SELECT $1
SELECT ?
SELECT @x
SELECT :unknown
SELECT $$x$$
SELECT x'41'
SELECT e'\x41'
SELECT batch_id FROM generations
SELECT ingest_source FROM generations
SELECT rowid FROM generations
SELECT _file FROM generations
SELECT filename FROM generations
SELECT unknown FROM generations
SELECT generations FROM generations
SELECT count(generations) FROM generations
SELECT id FROM generations g ORDER BY g
SELECT g AS x FROM (SELECT * FROM generations) g
SELECT g.id FROM generations
SELECT main.generations.id FROM generations
SELECT a.b.c.d.e FROM generations
SELECT id, id FROM generations
SELECT g.id, f.id FROM generations g, feedbacks f
SELECT * FROM generations a, generations a
SELECT /*+ BROADCAST(g) */ * INTO y FROM generations g
SELECT id FROM generations WHERE
SELECT FROM generations
SELEC id FROM generations
SELECT 'open FROM generations
SELECT id FROM generations /* open
SELECT ((((1)))
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

"""The wall behind the grammar: what DuckDB itself reads in a caller's query, and that a new version opens no door."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.unit.test_customer_sql import ACCEPTED, query
from warehouse.catalog.registry import DATASETS
from warehouse.engines.base import Limits
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.engines.duckdb_fence import check_fenced
from warehouse.errors import InvalidInput
from warehouse.query.customer_functions import spelled
from warehouse.query.customer_sql import compile_customer

HOSTILE = """
WITH x AS (COPY (SELECT 1) TO 'there.csv') SELECT * FROM x
WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x
WITH x AS (DELETE FROM t RETURNING *) SELECT 1
WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT 1
WITH RECURSIVE x AS (SELECT 1 AS a UNION ALL SELECT a FROM x) SELECT * FROM x
COPY (SELECT 1) TO 'there.csv'
EXPORT DATABASE 'there'
ATTACH 'there.db'
SET threads = 1
PRAGMA database_list
INSTALL httpfs
LOAD httpfs
CALL pragma_version()
CREATE TABLE x AS SELECT 1
EXPLAIN ANALYZE SELECT 1
SELECT 1; SELECT 2
this is no SQL
SELECT * FROM read_parquet('there.parquet')
SELECT * FROM read_parquet(['there.parquet'])
SELECT * FROM read_parquet($1, filename = true)
SELECT * FROM read_parquet($1, file_row_number = true)
SELECT * FROM read_csv($1)
SELECT * FROM read_text('there')
SELECT * FROM read_blob('there')
SELECT * FROM glob('*')
SELECT * FROM 'there.parquet'
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('t')
SELECT * FROM parquet_metadata($1)
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_settings
SELECT * FROM sqlite_master
SELECT * FROM information_schema.tables
SELECT * FROM x, (WITH x AS (SELECT 1) SELECT * FROM x)
SELECT * FROM memory.main.x
SELECT * FROM range(10)
SELECT * FROM (SHOW TABLES)
DESCRIBE SELECT 1
SUMMARIZE SELECT 1
VALUES (1)
FROM (VALUES (1)) AS x
SELECT $1
SELECT * FROM read_parquet($1) WHERE 'x' = $1
SELECT unnest([1, 2])
SELECT list_transform([1], x -> x + 1)
SELECT current_setting('temp_directory')
SELECT getvariable('x')
SELECT nextval('x')
SELECT version()
SELECT current_database()
SELECT write_log('x')
SELECT system.main.sum(1)
SELECT random()
SELECT repeat('x', 1000000000)
SELECT COLUMNS('a') FROM read_parquet($1)
""".strip().splitlines()


@pytest.fixture(scope="module")
def parser() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def _told(parser: duckdb.DuckDBPyConnection, sql: str) -> str:
    [(told,)] = parser.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()
    return told


@pytest.mark.parametrize("sql", HOSTILE)
def test_what_is_not_listed_is_refused_also_where_no_grammar_stood_before(
    parser: duckdb.DuckDBPyConnection, sql: str
) -> None:
    with pytest.raises(InvalidInput, match=r"which is not allowed\.$"):
        check_fenced(_told(parser, sql))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBEngine]:
    made = DuckDBEngine(str(tmp_path_factory.mktemp("fenced") / "lake"))
    made.create(DATASETS.values())
    yield made
    made.close()


@pytest.mark.parametrize("sql", ACCEPTED)
def test_what_the_grammar_takes_passes(engine: DuckDBEngine, sql: str) -> None:
    tree, _ = compile_customer(query(sql))
    engine.query(spelled(tree, "duckdb"), limits=Limits(fenced=True, memory_mb=256))


def test_a_query_that_writes_a_file_is_a_select_to_duckdb_and_is_refused(
    parser: duckdb.DuckDBPyConnection, engine: DuckDBEngine
) -> None:
    """Its statement type says nothing, and the lake's folder is one that it may write to: so this wall is needed."""
    written = Path(engine.lake.readable_folder) / "written.csv"
    sql = f"WITH x AS (COPY (SELECT 1) TO '{written}') SELECT * FROM x"
    assert [each.type for each in parser.extract_statements(sql)] == [duckdb.StatementType.SELECT]
    fenced = Limits(fenced=True, memory_mb=256)
    with pytest.raises(InvalidInput, match="COPY_QUERY_NODE"):
        engine._run(sql, [], fenced, page=False)
    assert not written.exists()

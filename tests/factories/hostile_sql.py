"""Queries that a caller may not ask, one a line; each is refused before any engine sees it."""

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

"""ClickHouse statements as text, for one server, for replicas and for shards.

No cluster can be run where the tests run, so what a cluster is sent is held still here, word for word; what one
server is sent runs in tests/integration as well.
"""

import re
from datetime import UTC, date, datetime

import pytest
from sqlglot import exp

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Kind
from warehouse.catalog.registry import DATASETS
from warehouse.engines import clickhouse_statements as statements
from warehouse.engines.base import Window
from warehouse.errors import ConfigurationError
from warehouse.storage import ddl
from warehouse.storage.ddl import ONE_SERVER, Topology

REPLICAS = Topology(replicated=True)
REPLICAS_OF_A_CLUSTER = Topology(replicated=True, cluster="main")
SHARDS = Topology(replicated=True, sharded=True, cluster="main", retention_days=90)
NOTES = Dataset(
    name="notes",
    description="Notes of the tests.",
    columns=(
        Column("organisation_id", Kind.TEXT, "Owner."),
        Column("created_at", Kind.INSTANT, "When."),
        Column("id", Kind.TEXT, "Id."),
        Column("batch_id", Kind.TEXT, "Batch."),
    ),
    sort_by=("organisation_id", "created_at"),
)
DAYS = Dataset(
    name="days",
    description="Sums of the tests.",
    columns=(
        Column("day", Kind.DATE, "Day."),
        Column("model", Kind.TEXT, "Key."),
        Column("cost", Kind.MONEY_SUM, "Sum."),
    ),
    sort_by=("model",),
    time_column="day",
    id_column=None,
)


def text(*trees: exp.Expr | None) -> list[str]:
    return [tree.sql(dialect=ddl.DIALECT) for tree in trees if tree is not None]


def test_one_server() -> None:
    assert text(*ddl.create_table(FEEDBACKS, "default", Topology(retention_days=30))) == [
        (
            'CREATE TABLE IF NOT EXISTS "default"."feedbacks" ('
            '"organisation_id" LowCardinality(Nullable(String)), "created_at" DateTime64(3, \'UTC\'), '
            '"workspace_slug" LowCardinality(Nullable(String)), "id" String, "trace_id" Nullable(String), '
            '"value" Nullable(Int64), "weight" Nullable(Float64), "weighted" Nullable(Float64), '
            '"metadata.key" Array(String), "metadata.value" Array(String), "_user" Nullable(String), '
            '"_organisation" Nullable(String), "_prompt" Nullable(String), "_environment" Nullable(String), '
            '"api_key_id" Nullable(String), "user_id" Nullable(String), '
            '"last_updated_at" Nullable(DateTime64(3, \'UTC\')), "batch_id" Nullable(String)) '
            'ENGINE=MergeTree() PARTITION BY toYYYYMM("created_at") '
            'ORDER BY ("organisation_id", "workspace_slug", toStartOfHour("created_at")) '
            'TTL toDateTime("created_at") + INTERVAL 30 DAY '
            "SETTINGS allow_nullable_key = 1, fsync_after_insert = 1, fsync_part_directory = 1, "
            "non_replicated_deduplication_window = 1000"
        )
    ]


def test_replicas_keep_their_tokens_in_keeper_and_need_no_cluster_name() -> None:
    assert text(*ddl.create_table(NOTES, "logs", REPLICAS)) == [
        (
            'CREATE TABLE IF NOT EXISTS "logs"."notes" ("organisation_id" LowCardinality(Nullable(String)), '
            '"created_at" DateTime64(3, \'UTC\'), "id" String, "batch_id" Nullable(String)) '
            "ENGINE=ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}') "
            'PARTITION BY toYYYYMM("created_at") ORDER BY ("organisation_id", toStartOfHour("created_at")) '
            "SETTINGS allow_nullable_key = 1, fsync_after_insert = 1, fsync_part_directory = 1"
        )
    ]


def test_shards_have_a_distributed_table_in_front() -> None:
    local, front = text(*ddl.create_table(NOTES, "logs", SHARDS))
    assert local == (
        'CREATE TABLE IF NOT EXISTS "logs"."notes_local" ON CLUSTER "main" '
        '("organisation_id" LowCardinality(Nullable(String)), "created_at" DateTime64(3, \'UTC\'), "id" String, '
        '"batch_id" Nullable(String)) '
        "ENGINE=ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}') "
        'PARTITION BY toYYYYMM("created_at") ORDER BY ("organisation_id", toStartOfHour("created_at")) '
        'TTL toDateTime("created_at") + INTERVAL 90 DAY '
        "SETTINGS allow_nullable_key = 1, fsync_after_insert = 1, fsync_part_directory = 1"
    )
    assert front == (
        'CREATE TABLE IF NOT EXISTS "logs"."notes" ON CLUSTER "main" '
        '("organisation_id" LowCardinality(Nullable(String)), "created_at" DateTime64(3, \'UTC\'), "id" String, '
        "\"batch_id\" Nullable(String)) ENGINE=Distributed('main', 'logs', 'notes_local', cityHash64(\"id\"))"
    )


def test_a_derived_day_lies_on_one_shard_in_a_partition_of_its_own() -> None:
    local, front = text(*ddl.create_table(DAYS, "logs", SHARDS))
    assert 'PARTITION BY "day" ORDER BY ("model") SETTINGS' in local
    assert "TTL" not in local
    assert front.endswith("ENGINE=Distributed('main', 'logs', 'days_local', toRelativeDayNum(\"day\"))")


def test_new_columns_go_to_every_table_that_shows_them() -> None:
    columns = (NOTES.column("batch_id"), NOTES.column("organisation_id"))
    assert text(*ddl.add_columns(NOTES, columns, "logs", ONE_SERVER)) == [
        (
            'ALTER TABLE "logs"."notes" ADD COLUMN IF NOT EXISTS "batch_id" Nullable(String), '
            'ADD COLUMN IF NOT EXISTS "organisation_id" LowCardinality(Nullable(String))'
        )
    ]
    assert text(*ddl.add_columns(NOTES, columns, "logs", SHARDS)) == [
        (
            'ALTER TABLE "logs"."notes_local" ON CLUSTER "main" ADD COLUMN IF NOT EXISTS "batch_id" Nullable(String), '
            'ADD COLUMN IF NOT EXISTS "organisation_id" LowCardinality(Nullable(String))'
        ),
        (
            'ALTER TABLE "logs"."notes" ON CLUSTER "main" ADD COLUMN IF NOT EXISTS "batch_id" Nullable(String), '
            'ADD COLUMN IF NOT EXISTS "organisation_id" LowCardinality(Nullable(String))'
        ),
    ]


def test_days_are_replaced_where_their_parts_are() -> None:
    replace = (DAYS, "2026-03-01", "days_staging_x", "logs")
    assert text(ddl.replace_partition(*replace, ONE_SERVER)) == text(
        ddl.replace_partition(*replace, REPLICAS_OF_A_CLUSTER)
    )
    assert text(ddl.replace_partition(*replace, REPLICAS_OF_A_CLUSTER), ddl.replace_partition(*replace, SHARDS)) == [
        'ALTER TABLE "logs"."days" REPLACE PARTITION \'2026-03-01\' FROM "logs"."days_staging_x"',
        (
            'ALTER TABLE "logs"."days_local" ON CLUSTER "main" '
            'REPLACE PARTITION \'2026-03-01\' FROM "logs"."days_staging_x_local"'
        ),
    ]
    assert text(
        ddl.drop_partition(DAYS, "2026-03-01", "logs", SHARDS), ddl.sync_replicas("days_staging_x", "logs", SHARDS)
    ) == [
        'ALTER TABLE "logs"."days_local" ON CLUSTER "main" DROP PARTITION \'2026-03-01\'',
        'SYSTEM SYNC REPLICA ON CLUSTER "main" "logs"."days_staging_x_local"',
    ]
    assert text(*ddl.drop_table("days_staging_x", "logs", SHARDS)) == [
        'DROP TABLE IF EXISTS "logs"."days_staging_x" ON CLUSTER "main" SYNC',
        'DROP TABLE IF EXISTS "logs"."days_staging_x_local" ON CLUSTER "main" SYNC',
    ]


def test_retention_is_for_what_gateways_sent() -> None:
    aging = {name for name, dataset in DATASETS.items() if ddl.set_retention(dataset, "default", SHARDS) is not None}
    assert aging == {"generations", "feedbacks", "rated_requests"}
    [copied] = text(ddl.set_retention(DATASETS["rated_requests"], "default", SHARDS))
    assert copied.endswith('MODIFY TTL toDateTime("day") + INTERVAL 91 DAY')
    assert text(ddl.set_retention(GENERATIONS, "default", SHARDS)) == [
        (
            'ALTER TABLE "default"."generations_local" ON CLUSTER "main" '
            'MODIFY TTL toDateTime("created_at") + INTERVAL 90 DAY'
        )
    ]
    assert ddl.set_retention(GENERATIONS, "default", ONE_SERVER) is None


def test_storing_looks_once_more_and_carries_a_token_where_other_servers_write() -> None:
    days = [date(2026, 3, 1), date(2026, 3, 3)]
    plain, sharded = text(
        statements.store_incoming(NOTES, days, ONE_SERVER, "token"),
        statements.store_incoming(NOTES, days, SHARDS, "token"),
    )
    known = (
        'NOT ("id" IN (SELECT "id" FROM "notes" '
        "WHERE ((\"created_at\" >= toDateTime64('2026-03-01 00:00:00.000', 3, 'UTC') "
        "AND \"created_at\" < toDateTime64('2026-03-04 00:00:00.000', 3, 'UTC')) "
        "AND toDate(\"created_at\", 'UTC') IN (toDate('2026-03-01'), toDate('2026-03-03'))) "
        'AND "id" IN (SELECT "id" FROM "gateledger_incoming")))'
    )
    columns = '"organisation_id", "created_at", "id", "batch_id"'
    assert plain == (
        f'INSERT INTO "notes" ({columns}) SETTINGS max_insert_threads = 1, min_insert_block_size_rows = 100000000, '
        "min_insert_block_size_bytes = 0, max_partitions_per_insert_block = 0 "
        f'SELECT {columns} FROM "gateledger_incoming" WHERE {known}'
    )
    assert "insert_deduplication_token = 'token', distributed_foreground_insert = 1 SELECT" in sharded
    assert '"id" GLOBAL IN (SELECT "id" FROM "gateledger_incoming")' in sharded


def test_the_version_of_shards_asks_each_of_them() -> None:
    one, many = text(
        statements.parts_version("notes", "logs", ONE_SERVER), statements.parts_version("notes", "logs", SHARDS)
    )
    assert 'FROM "system"."parts" WHERE "database" = \'logs\' AND "table" = \'notes\' AND "active"' in one
    assert "FROM cluster('main', system.parts) WHERE \"database\" = 'logs' AND \"table\" = 'notes_local'" in many
    assert many.count("hostName()") == 2


def test_a_fingerprint_covers_whole_days() -> None:
    window = Window(datetime(2026, 3, 1, 13, tzinfo=UTC), datetime(2026, 3, 2, 1, tzinfo=UTC))
    (rows,) = text(statements.day_fingerprints(NOTES, window))
    assert 'cityHash64("created_at")' in rows
    assert "WHERE toDate(\"created_at\", 'UTC') >= toDate('2026-03-01')" in rows
    assert "AND toDate(\"created_at\", 'UTC') <= toDate('2026-03-02')" in rows
    (derived,) = text(statements.day_fingerprints(DAYS, Window()))
    assert 'cityHash64(tuple("day", "model", "cost"))' in derived


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.name)
def test_only_the_id_and_the_time_are_never_null(dataset: Dataset) -> None:
    required = {
        column.name
        for column in dataset.columns
        if not re.search(r"Nullable|Array", ddl.column_type(dataset, column).sql(dialect=ddl.DIALECT))
    }
    assert required == {name for name in (dataset.id_column, dataset.time_column) if name}


def test_every_dimension_is_dictionary_encoded() -> None:
    for dimension in GENERATIONS.dimensions:
        column = GENERATIONS.column(dimension.column)
        if column.kind is Kind.TEXT:
            assert ddl.column_type(GENERATIONS, column).sql(dialect=ddl.DIALECT) == "LowCardinality(Nullable(String))"


def test_shards_need_the_name_of_their_cluster() -> None:
    with pytest.raises(ConfigurationError, match="CLICKHOUSE_CLUSTER_NAME"):
        Topology(sharded=True)

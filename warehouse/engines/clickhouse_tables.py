"""Making, growing and refilling the tables of datasets in ClickHouse."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pyarrow as pa

from warehouse.catalog.model import Dataset
from warehouse.engines import clickhouse_statements as statements
from warehouse.engines.clickhouse_wire import Wire, clean_up
from warehouse.errors import WarehouseError
from warehouse.storage import ddl
from warehouse.storage.ddl import ONE_SERVER
from warehouse.storage.tables import check_keys, conform

STAGING_GRACE = timedelta(hours=1)
"""How long a rebuild may take before its staging table counts as forgotten."""


def create(wire: Wire, dataset: Dataset) -> list[str]:
    """What was done to bring the dataset's table to the catalog: made, given columns, given a retention."""
    database, topology = wire.address.database, wire.topology
    stored = ddl.stored_name(dataset.name, topology)
    present = set(wire.ask(statements.table_columns(stored, database)).column("name").to_pylist())
    if not present:
        for statement in ddl.create_table(dataset, database, topology):
            wire.run(statement)
        return [f"created the table {dataset.name}"]
    missing = [column for column in dataset.columns if column.name not in present]
    for statement in ddl.add_columns(dataset, missing, database, topology) if missing else ():
        wire.run(statement)
    done = [f"added the column {column.name} to {dataset.name}" for column in missing]
    retention = ddl.set_retention(dataset, database, topology)
    if retention is not None:
        layout = str(wire.ask(statements.table_definition(stored, database)).column(0)[0].as_py())
        days = ddl.kept_days(dataset, topology)
        if f"toIntervalDay({days})" not in layout:
            wire.run(retention)
            done.append(f"{dataset.name} keeps its rows for {days} days")
    return done


def replace_days(wire: Wire, dataset: Dataset, days: Iterable[date], rows: pa.Table) -> None:
    """Prepares the rows in a staging table, then swaps them in day by day, each at once.

    A crash leaves every day as it was or as it is to be, and a staging table that `sweep` drops.
    Raises: InvalidInput; WarehouseError, also for rows of other days.
    """
    rows = conform(dataset, rows)
    check_keys(dataset, rows)
    wanted, filled = sorted(set(days)), set(rows.column(dataset.time_column).to_pylist())
    if not filled <= set(wanted):
        odd = ", ".join(map(str, sorted(filled - set(wanted))))
        raise WarehouseError(f"Rows of {dataset.name} lie outside the days to replace: {odd}")
    database, topology = wire.address.database, wire.topology
    # One server holds every part of a table that is not sharded, so a plain table beside it will do.
    shape = topology if topology.sharded else ONE_SERVER
    staging = dataset.name + statements.STAGING + uuid4().hex
    try:
        if filled:
            for statement in ddl.create_table(dataset, database, shape, name=staging):
                wire.run(statement)
            wire.upload(dataset, staging, rows, {"distributed_foreground_insert": 1})
            if shape.replicated:
                wire.run(ddl.sync_replicas(staging, database, shape))
        for day in wanted:
            if day in filled:
                wire.run(ddl.replace_partition(dataset, day.isoformat(), staging, database, topology))
            else:  # ClickHouse refuses to swap in an empty partition
                wire.run(ddl.drop_partition(dataset, day.isoformat(), database, topology))
    finally:
        clean_up(wire, ddl.drop_table(staging, database, shape) if filled else (), {})


def forget(wire: Wire, dataset: Dataset, before: date) -> int:
    """Deletes the rows of the UTC days before `before`, on every replica; how many they were."""
    old = int(wire.ask(statements.count_before(dataset, before)).column("rows")[0].as_py())
    if old:
        wire.run(statements.delete_before(dataset, before, wire.address.database, wire.topology), {"mutations_sync": 2})
    return old


def sweep(wire: Wire, now: datetime) -> list[str]:
    """Drops the staging tables that killed rebuilds left; says which."""
    before = (now.astimezone(UTC) - STAGING_GRACE).strftime("%Y-%m-%d %H:%M:%S.000")
    database = wire.address.database
    names = wire.ask(statements.forgotten_staging(database, before)).column("name").to_pylist()
    for name in names:
        wire.run(ddl.drop_stored(name, database, wire.topology))
    return [f"dropped the staging table {name} that an unfinished rebuild left" for name in names]

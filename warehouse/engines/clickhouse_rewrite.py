"""Columns of stored rows set anew in ClickHouse, by a mutation that reads the changes from a table of its own.

A mutation rewrites parts beside the rows that are read and added meanwhile; each row changes whole, and the revision
it must have is checked by the server, so a change is made once however often it is asked for. Rows of one call change
part by part: a reader may see some of them changed and others not yet. A server goes on with a mutation whose caller
died, also after a restart, as its changes lie in a table that stays until `sweep` finds it forgotten.

Source: ClickHouse's pages on ALTER TABLE … UPDATE, on `mutations_sync` and on the Join table engine.
"""

from uuid import uuid4

import polars as pl
import pyarrow as pa

from warehouse.catalog.model import Column, Dataset, Kind, Unit
from warehouse.engines import clickhouse_statements as statements
from warehouse.engines.base import EXPECTED
from warehouse.engines.clickhouse_wire import Wire, clean_up
from warehouse.errors import InvalidInput, WarehouseError
from warehouse.storage import ddl
from warehouse.storage.ddl import ONE_SERVER


def rewrite(wire: Wire, dataset: Dataset, changes: pa.Table) -> int:
    """How many rows bear their new revision; see `Engine.rewrite`. Raises: InvalidInput, WarehouseError."""
    if dataset.revision_column is None or dataset.id_column is None:
        raise InvalidInput(f"rows of {dataset.name} are never rewritten")
    if wire.topology.clustered:
        raise WarehouseError(
            f"Rows of {dataset.name} cannot be rewritten on a replicated or sharded ClickHouse: a mutation there may "
            "not read the changes from a table of one server. Use one server (CLICKHOUSE_REPLICATION_ENABLED and "
            "CLICKHOUSE_SHARDING_ENABLED off)."
        )
    if not changes.num_rows:
        return 0
    staged = _staged(dataset, changes.schema.names)
    database = wire.address.database
    wire.run(ddl.create_lookup(staged, database))
    try:
        wire.upload(staged, staged.name, changes.select([each.name for each in staged.columns]))
        bounds = _bounds(dataset, changes)
        wire.run(statements.set_columns(dataset, staged, database, bounds), {"mutations_sync": 1})
        found = wire.ask(statements.count_settled(dataset, staged, database, bounds))
        return int(found.column("rows")[0].as_py())
    finally:
        clean_up(wire, ddl.drop_table(staged.name, database, ONE_SERVER), {})


def _staged(dataset: Dataset, names: list[str]) -> Dataset:
    """The table of the changes: the dataset's own columns, and the revision that is expected."""
    expected = Column(EXPECTED, Kind.INSTANT, "Revision that the row must have.", Unit.UTC)
    columns = [expected if name == EXPECTED else dataset.column(name) for name in names]
    return Dataset(
        name=dataset.name + statements.STAGING + uuid4().hex,
        description=f"Changes to rows of {dataset.name}.",
        columns=tuple(columns),
        sort_by=(),
        time_column=dataset.time_column,
        id_column=dataset.id_column,
        revision_column=dataset.revision_column,
    )


def _bounds(dataset: Dataset, changes: pa.Table) -> tuple[str, str]:
    """First and last instant of the rows."""
    times = pl.Series(changes[dataset.time_column]).dt.strftime("%Y-%m-%d %H:%M:%S%.3f")
    return str(times.min()), str(times.max())

"""Arrow tables to and from ClickHouse, in the types that every engine gives."""

import io
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from warehouse.catalog.model import Dataset
from warehouse.errors import WarehouseError

_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")
INSTANT = pa.timestamp("us", tz="UTC")


def to_stream(rows: pa.Table) -> bytes:
    """The rows as one Arrow stream, compressed: most columns of a request are blank or repeat."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema, options=_COMPRESSED) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def from_stream(data: bytes) -> pa.Table:
    """The rows of an answer: instants UTC-aware in us, whole numbers int64, money decimal128, every field nullable."""
    try:
        source = pa.BufferReader(data)
        table = pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid as error:
        raise WarehouseError(f"ClickHouse's answer is not Arrow: {error}") from None
    if source.tell() != len(data):
        raise WarehouseError("ClickHouse's answer holds more than one result: a failed one before it was not cleared.")
    names = table.column_names
    columns = [_canonical(table.column(index)) for index in range(table.num_columns)]
    return pa.Table.from_arrays(
        columns, schema=pa.schema([pa.field(n, c.type) for n, c in zip(names, columns, strict=True)])
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the rows of a batch; `new` has the first row of every id that is not stored."""

    new: pa.Table
    duplicates: int
    conflicts: tuple[str, ...]


def first_rows(dataset: Dataset, rows: pa.Table) -> pa.Table:
    """The first row of every id."""
    ids = pl.Series(rows.column(str(dataset.id_column)))
    return rows.filter(ids.is_first_distinct().to_arrow())


def judge(dataset: Dataset, rows: pa.Table, known: pa.Table) -> Verdict:
    """Sorts rows into new, duplicate (at its id's instant) and conflict (at another), given the stored ids.

    An id's instant is the stored one, else that of its first row.
    """
    identity, time = str(dataset.id_column), dataset.time_column
    given = pl.DataFrame(pa.table({"id": rows.column(identity), "at": rows.column(time)}))
    stored = pl.DataFrame(
        pa.table({"id": known.column(identity), "known_at": known.column(time).cast(pa.timestamp("us"))})
    )
    judged = given.join(stored.unique("id", keep="any"), on="id", how="left", maintain_order="left").with_columns(
        first=pl.col("id").is_first_distinct(), settled_at=pl.coalesce("known_at", pl.col("at").first().over("id"))
    )
    new = judged.select((pl.col("first") & pl.col("known_at").is_null()).alias("new"))["new"]
    conflicts = judged.filter(pl.col("at") != pl.col("settled_at"))["id"].to_list()
    kept = rows.filter(new.to_arrow())
    return Verdict(kept, rows.num_rows - kept.num_rows - len(conflicts), tuple(conflicts))


def _canonical(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _canonical(column.cast(kind.value_type))
    wanted = kind
    if pa.types.is_timestamp(kind):
        wanted = INSTANT
        if kind.tz is None:  # a plain DateTime of the server counts UTC seconds
            column = column.cast(pa.timestamp("us"))
    elif pa.types.is_integer(kind):
        wanted = pa.int64()
    elif pa.types.is_floating(kind):
        wanted = pa.float64()
    elif pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        wanted = pa.string()
    elif pa.types.is_decimal256(kind):
        wanted = pa.decimal128(38, kind.scale)
    elif pa.types.is_list(kind):
        wanted = pa.list_(pa.string())
    return column if wanted == kind else column.cast(wanted)

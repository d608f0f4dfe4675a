"""Parquet tables as raw frames: every column as the text that a JSON record would hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import orjson
import polars as pl
import pyarrow as pa

from warehouse.errors import SourceError
from warehouse.ingest.fields import LISTS, METADATA_FIELD, UNITS_FIELD
from warehouse.ingest.formats.base import read_rows
from warehouse.ingest.formats.json_columns import row_of
from warehouse.ingest.identity import with_made_ids
from warehouse.ingest.opening import Opened
from warehouse.ingest.records import Chunk, Original, Piece
from warehouse.ingest.source import SourceDamaged

ROWS = 16_384
_LISTS = pl.List(pl.String())
_INSTANT = "%Y-%m-%dT%H:%M:%S%.6fZ"
_UUID_PARTS = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"


@dataclass(frozen=True)
class ParquetRows(Chunk):
    """Rows of a Parquet file; as they came means as JSON, because their bytes are in columns."""

    source_name: str
    base_name: str
    table: pa.Table
    first_record: int

    @property
    def count(self) -> int:
        return self.table.num_rows

    @property
    def size(self) -> int:
        return self.table.nbytes

    def originals(self) -> Sequence[Original]:
        return self._rows

    @cached_property
    def _rows(self) -> Sequence[Original]:
        rows = self.table.to_pylist()
        return [Original(self.first_record + i, None, as_json(row)) for i, row in enumerate(rows)]


def as_json(row: Mapping[str, object]) -> bytes:
    """A row as a JSON object."""
    return orjson.dumps(row, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def parquet_pieces(opened: Opened, columns: Mapping[str, str]) -> Iterator[Piece]:
    """The rows of a Parquet source. Raises: SourceError, SourceDamaged."""
    if opened.parquet is None:
        raise SourceError(f"{opened.source.name} is {opened.container}, not Parquet.")
    picked = [name for name in opened.header if name in set(columns.values())]
    record = 1
    try:
        for batch in opened.parquet.iter_batches(ROWS, columns=picked):
            chunk = ParquetRows(opened.source.name, opened.source.base_name, pa.Table.from_batches([batch]), record)
            record += chunk.count
            yield _piece(chunk, columns)
    except (pa.ArrowException, OSError) as error:
        raise SourceDamaged(f"the Parquet file is damaged: {error}") from error


def _piece(chunk: ParquetRows, columns: Mapping[str, str]) -> Piece:
    frame = pl.from_arrow(chunk.table)
    if not isinstance(frame, pl.DataFrame) or not all(_is_plain(n, kind, columns) for n, kind in frame.schema.items()):
        return read_rows(chunk, lambda original: row_of(orjson.loads(original.data), columns))
    texts = frame.select(_as_text(name, kind) for name, kind in frame.schema.items())
    picked = [pl.col(theirs).alias(name) for name, theirs in columns.items() if theirs in texts.columns]
    if not any(name == "id" and theirs in texts.columns for name, theirs in columns.items()):
        picked.append(pl.lit(None, dtype=pl.String).alias("id"))
    return Piece(chunk, with_made_ids(texts.select(picked).with_row_index("_index"), chunk))


def _is_plain(name: str, kind: pl.DataType, columns: Mapping[str, str]) -> bool:
    """True for a column that a cast of the whole column gets right."""
    if name in {columns.get(each) for each in LISTS}:
        return kind == _LISTS
    return name not in {columns.get(METADATA_FIELD), columns.get(UNITS_FIELD)} and not kind.is_nested()


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    if kind.is_nested():
        return pl.col(name)
    spell: dict[type[pl.DataType], Callable[[pl.Expr], pl.Expr]] = {
        pl.Date: lambda one: one.dt.strftime("%Y-%m-%d"),
        pl.Binary: lambda one: one.bin.encode("hex").str.replace(_UUID_PARTS, "$1-$2-$3-$4-$5"),
    }
    if isinstance(kind, pl.Datetime):
        utc = pl.col(name) if kind.time_zone is None else pl.col(name).dt.convert_time_zone("UTC")
        return utc.dt.strftime(_INSTANT)
    return spell.get(type(kind), lambda one: one.cast(pl.String))(pl.col(name))

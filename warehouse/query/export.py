"""Answers and rows as JSON, NDJSON, CSV and Parquet.

Money is written with all its digits: as a JSON number or CSV field such as `0.4` or `12.345678901234`, never as a
rounded float and never with an exponent. A reader with decimals gets it back exactly; one with doubles gets the
nearest double. Instants are UTC with milliseconds, `2026-02-26T18:02:11.000Z`. Parquet keeps the Arrow types.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.errors import UnknownName

_ROWS_AT_ONCE = 10_000
_ROW_GROUP = 65_536


class Format(StrEnum):
    """What rows can be written as."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"

    @classmethod
    def named(cls, name: str) -> "Format":
        """The format of that name. Raises: UnknownName with the allowed ones."""
        try:
            return cls(name.lower())
        except ValueError:
            raise UnknownName("format", name, [format_.value for format_ in cls]) from None


CONTENT_TYPES: dict[Format, str] = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}


def records(rows: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows as dicts that orjson writes as the wire wants them: exact money, instants in UTC with milliseconds."""
    columns = [_jsonable(rows.column(index)) for index in range(rows.num_columns)]
    names: list[str] = rows.schema.names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def write(rows: pa.Table | pa.RecordBatchReader, format_: Format, to: BinaryIO) -> int:
    """How many rows were written. A reader is written as its batches come, never held whole."""
    writers: dict[Format, Callable[[pa.Schema, Iterable[pa.RecordBatch], BinaryIO], int]] = {
        Format.JSON: _write_json,
        Format.NDJSON: _write_ndjson,
        Format.CSV: _write_csv,
        Format.PARQUET: _write_parquet,
    }
    return writers[format_](rows.schema, _batches(rows), to)


def money_text(amount: Decimal) -> str:
    """All digits of an amount and no more: `0.4`, `12`, `-0.000000000001`."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def instant_text(instant: datetime) -> str:
    """The instant in UTC with milliseconds; one without a zone is taken as UTC."""
    utc = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def _batches(rows: pa.Table | pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    if isinstance(rows, pa.Table):
        yield from rows.to_batches(max_chunksize=_ROWS_AT_ONCE)
    else:
        yield from rows


def _jsonable(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if pa.types.is_decimal(column.type):
        return [None if value is None else orjson.Fragment(money_text(value)) for value in values]
    if pa.types.is_timestamp(column.type):
        return [None if value is None else instant_text(value) for value in values]
    return values


def _plain(column: pa.Array) -> list[Any]:
    """Values as CSV fields: None for what is absent, text for the rest."""
    return [None if value is None else _field(value) for value in column.to_pylist()]


def _field(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return money_text(value)
        case datetime():
            return instant_text(value)
        case date():
            return value.isoformat()
        case float():
            return repr(value)
        case list() | dict():
            return orjson.dumps(value).decode()
        case _:
            return str(value)


def _write_json(_: pa.Schema, batches: Iterable[pa.RecordBatch], to: BinaryIO) -> int:
    to.write(b"[")
    count = 0
    for batch in batches:
        for record in records(batch):
            to.write(b",\n" if count else b"\n")
            to.write(orjson.dumps(record))
            count += 1
    to.write(b"\n]\n")
    return count


def _write_ndjson(_: pa.Schema, batches: Iterable[pa.RecordBatch], to: BinaryIO) -> int:
    count = 0
    for batch in batches:
        lines = [orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records(batch)]
        to.write(b"".join(lines))
        count += len(lines)
    return count


def _write_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch], to: BinaryIO) -> int:
    """RFC 4180; what is absent is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(schema.names)
    count = 0
    for batch in batches:
        writer.writerows(zip(*(_plain(column) for column in batch.columns), strict=True))
        count += batch.num_rows
        to.write(text.getvalue().encode())
        text.seek(0)
        text.truncate()
    to.write(text.getvalue().encode())
    return count


def _write_parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch], to: BinaryIO) -> int:
    count = 0
    with pq.ParquetWriter(to, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch, row_group_size=_ROW_GROUP)
            count += batch.num_rows
    return count

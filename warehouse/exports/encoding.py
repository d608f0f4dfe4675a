"""Pages of rows as parts of a file, and parts put together to the whole.

JSONL keeps objects as objects; CSV and Parquet hold metadata, request and response as JSON text. Money keeps all its
digits, instants are UTC (see `warehouse/query/export.py`).
"""

import csv
import io
import shutil
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.catalog.generations import GENERATIONS
from warehouse.errors import UnknownName
from warehouse.exports.fields import BODIES, METADATA, Fields, source_of
from warehouse.exports.texts import json_lines, json_objects, plain
from warehouse.storage.tables import arrow_schema

_COPY_BYTES = 1 << 20
_LINE_END = "\r\n"
_JSON_FIELDS = frozenset({METADATA, *BODIES})
_STORED = arrow_schema(GENERATIONS)


class FileFormat(StrEnum):
    """What an export is written as."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"

    @classmethod
    def named(cls, name: str) -> "FileFormat":
        """The format of that name. Raises: UnknownName with the allowed ones."""
        try:
            return cls(name.strip().lower())
        except ValueError:
            raise UnknownName("format", name[:40], list(cls)) from None


MEDIA_TYPES: Mapping[FileFormat, str] = {
    FileFormat.JSONL: "application/x-ndjson",
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}


def schema_of(fields: Fields) -> pa.Schema:
    """Names and types of a file's columns."""
    return pa.schema([pa.field(name, _type_of(source_of(name))) for name in fields.names])


def shaped(page: pa.Table, fields: Fields, bodies: Mapping[str, list[bytes | None]]) -> pa.Table:
    """A page with the fields as the file names them; `bodies` holds JSON for each body field."""
    columns: list[pa.Array | pa.ChunkedArray] = []
    for field in schema_of(fields):
        source = source_of(field.name)
        if source in BODIES:
            columns.append(pa.array([None if text is None else text.decode() for text in bodies[source]], pa.string()))
        elif source == METADATA:
            columns.append(json_objects(page["metadata.key"], page["metadata.value"]))
        else:
            columns.append(page[source].cast(field.type))
    return pa.table(columns, schema=schema_of(fields))


def encoded(pages: Iterable[pa.Table], fields: Fields, form: FileFormat) -> bytes:
    """Pages as one part of a file."""
    to = io.BytesIO()
    if form is FileFormat.PARQUET:
        with pq.ParquetWriter(to, schema_of(fields), compression="zstd") as writer:
            for page in pages:
                writer.write_table(page)
    else:
        put = _put_jsonl if form is FileFormat.JSONL else _put_csv
        for page in pages:
            put(page, to)
    return to.getvalue()


def assemble(parts: Iterable[Callable[[], BinaryIO]], fields: Fields, form: FileFormat, to: Path) -> int:
    """The size of the whole file, which is made of its parts in order; never more than a piece of one is held."""
    with to.open("wb") as out:
        if form is FileFormat.PARQUET:
            _join_parquet(parts, fields, out)
        else:
            if form is FileFormat.CSV:
                out.write(_header(fields))
            for opened in parts:
                with opened() as part:
                    shutil.copyfileobj(part, out, _COPY_BYTES)
    return to.stat().st_size


def _join_parquet(parts: Iterable[Callable[[], BinaryIO]], fields: Fields, out: BinaryIO) -> None:
    with pq.ParquetWriter(out, schema_of(fields), compression="zstd") as writer:
        for opened in parts:
            with opened() as part:
                file = pq.ParquetFile(io.BytesIO(part.read()))
                for number in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(number))


def _header(fields: Fields) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=_LINE_END).writerow(fields.names)
    return text.getvalue().encode()


def _type_of(field: str) -> pa.DataType:
    if field in _JSON_FIELDS:
        return pa.string()
    kind = _STORED.field(field).type
    return pa.timestamp("ms", tz="UTC") if pa.types.is_timestamp(kind) else kind


def _put_jsonl(page: pa.Table, to: BinaryIO) -> None:
    held = {name for name in page.column_names if source_of(name) in _JSON_FIELDS}
    to.write(json_lines(page, held))


def _put_csv(page: pa.Table, to: BinaryIO) -> None:
    """RFC 4180; what is absent is an empty field. No header: the whole file gets it once."""
    text = io.StringIO(newline="")
    fields = [plain(column).to_list() for column in page.columns]
    csv.writer(text, lineterminator=_LINE_END).writerows(zip(*fields, strict=True))
    to.write(text.getvalue().encode())

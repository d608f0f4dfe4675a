"""JSON records whose fields are columns: whole chunks at once where they are clean, one by one where not.

The fast way reads every field as text with Polars, which fails on a line that is no JSON object. What it could get
wrong (an object where text should be, a number for an id, half a character, a map of metadata) is found afterwards,
and just those records are read again one by one, with exact rules.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import cast

import polars as pl

from warehouse.catalog.model import Dataset
from warehouse.ingest.fields import (
    LONE_SURROGATE,
    METADATA_KEY,
    METADATA_VALUE,
    as_text,
    identifier,
    metadata_lists,
    parse_object,
    raw_schema,
)
from warehouse.ingest.formats.base import read_rows
from warehouse.ingest.framing import JsonLines
from warehouse.ingest.identity import with_made_ids
from warehouse.ingest.records import BadRecord, Piece, RawRow

METADATA = "metadata"
_LISTS = pl.List(pl.String())
_METADATA = pl.Struct({"key": _LISTS, "value": _LISTS})
_ALTERNATIVE_ID = "_id"
_NOT_A_NAME = r"^(?:-?[0-9][0-9.eE+-]*|true|false)$"


def columns_of(dataset: Dataset) -> dict[str, str]:
    """Our raw column → the field of the same name, metadata as one field."""
    return {name: name for name in raw_schema(dataset)} | {METADATA: METADATA}


def read_chunk(chunk: JsonLines, columns: Mapping[str, str]) -> Iterator[Piece]:
    """The pieces of a chunk; together they hold each record once."""
    frame = _read_fast(chunk, columns)
    if frame is None:
        yield read_rows(chunk, lambda original: row_of(parse_object(original.data), columns))
        return
    doubtful = _doubtful(frame, columns)
    if doubtful is not None:
        only = doubtful.arg_true().to_list()
        yield read_rows(chunk, lambda original: row_of(parse_object(original.data), columns), only)
        frame = frame.filter(~doubtful)
    if frame.height:
        yield Piece(chunk, with_made_ids(_raw(frame, columns), chunk))


def row_of(record: Mapping[str, object], columns: Mapping[str, str]) -> RawRow:
    """The raw row of a record. Raises: BadRecord."""
    row: dict[str, str | list[str] | None] = {}
    for name, theirs in columns.items():
        if name not in (METADATA, METADATA_KEY, METADATA_VALUE, "id"):
            row[name] = as_text(name, record.get(theirs))
    if "id" in columns:
        row["id"] = identifier("id", record.get(columns["id"], record.get(_ALTERNATIVE_ID)))
    keys, items = _metadata_of(record, columns)
    return row | {METADATA_KEY: keys, METADATA_VALUE: items}


def _metadata_of(record: Mapping[str, object], columns: Mapping[str, str]) -> tuple[list[str], list[str]]:
    flat = [record.get(columns[name]) if name in columns else None for name in (METADATA_KEY, METADATA_VALUE)]
    if flat[0] is None and flat[1] is None:
        return metadata_lists(record.get(columns[METADATA])) if METADATA in columns else ([], [])
    if not isinstance(flat[0], list) or not isinstance(flat[1], list):
        raise BadRecord("metadata.key and metadata.value are not lists")
    return metadata_lists({"key": cast("list[object]", flat[0]), "value": cast("list[object]", flat[1])})


def _read_fast(chunk: JsonLines, columns: Mapping[str, str]) -> pl.DataFrame | None:
    """All fields as text, or None where a line of the chunk needs a closer look."""
    if (b"\\ud" in chunk.data or b"\\uD" in chunk.data) and LONE_SURROGATE.search(chunk.data):
        return None
    schema: dict[str, pl.DataType] = {}
    for name, theirs in columns.items():
        kind = _METADATA if name == METADATA else _LISTS if name in (METADATA_KEY, METADATA_VALUE) else pl.String()
        if schema.setdefault(theirs, kind) != kind:
            return None
    if "id" in columns:
        schema.setdefault(_ALTERNATIVE_ID, pl.String())
    try:
        frame = pl.read_ndjson(io.BytesIO(chunk.data), schema=schema)
    except pl.exceptions.PolarsError:
        return None
    return frame.with_row_index("_index") if frame.height == chunk.count else None


def _doubtful(frame: pl.DataFrame, columns: Mapping[str, str]) -> pl.Series | None:
    """True for records that the fast way may have got wrong; None where there are none."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String()]
    starts = frame.select(pl.col(texts).str.contains(r"^[\[{]").any()).row(0)
    found = [frame[name].str.contains(r"^[\[{]") for name, hit in zip(texts, starts, strict=True) if hit]
    if "id" in columns:
        names = {columns["id"], _ALTERNATIVE_ID}
        found += [frame[name].str.contains(_NOT_A_NAME) for name in names]
    lists = [name for name in (METADATA_KEY, METADATA_VALUE) if name in columns]
    found += [_nested(frame[columns[name]]) for name in lists]
    if METADATA in columns:
        metadata = frame[columns[METADATA]].struct
        found.append(frame[columns[METADATA]].is_not_null() & metadata.field("key").is_null())
        found.append(frame[columns[METADATA]].is_not_null() & metadata.field("value").is_null())
        found.append(_nested(metadata.field("value")))
    found = [mask.fill_null(value=False) for mask in found if mask.any()]
    return reduce(lambda a, b: a | b, found) if found else None


def _nested(lists: pl.Series) -> pl.Series:
    """True where an element of a list is the text of an object or a list."""
    flat = lists.explode(empty_as_null=False)
    if not flat.str.contains(r"^[\[{]").any():
        return pl.repeat(value=False, n=len(lists), dtype=pl.Boolean, eager=True)
    return lists.list.eval(pl.element().str.contains(r"^[\[{]").any()).list.first().fill_null(value=False)


def _raw(frame: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    picked: list[pl.Expr] = [pl.col("_index")]
    for name, theirs in columns.items():
        if name == "id":
            picked.append(pl.coalesce(*dict.fromkeys((theirs, _ALTERNATIVE_ID))).alias("id"))
        elif name not in (METADATA, METADATA_KEY, METADATA_VALUE):
            picked.append(pl.col(theirs).alias(name))
    if "id" not in columns:
        picked.append(pl.lit(None, dtype=pl.String).alias("id"))
    for name, part in ((METADATA_KEY, "key"), (METADATA_VALUE, "value")):
        places: list[pl.Expr] = [pl.col(columns[name])] if name in columns else []
        if METADATA in columns:
            places.append(pl.col(columns[METADATA]).struct.field(part))
        if places:
            picked.append(pl.coalesce(places).alias(name))
    return frame.select(picked)


def fields_of(samples: Sequence[Mapping[str, object]]) -> list[str]:
    """Every field that the first records have, in order."""
    return list(dict.fromkeys(name for record in samples for name in record))

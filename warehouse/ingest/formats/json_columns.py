"""JSON records whose fields are columns: whole chunks at once where they are clean, one by one where not.

The fast way reads every field as text with Polars, which fails on a line that is no JSON object. What it could get
wrong (an object where text should be, a number for an id, half a character, a map of metadata) is found afterwards,
and just those records are read again one by one, with exact rules.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

import polars as pl

from warehouse.catalog.model import Dataset
from warehouse.ingest.fields import (
    LISTS,
    LONE_SURROGATE,
    METADATA_FIELD,
    METADATA_KEY,
    METADATA_VALUE,
    UNIT_NAME,
    UNIT_QUANTITY,
    UNITS_FIELD,
    as_text,
    identifier,
    metadata_lists,
    parse_object,
    raw_schema,
    unit_lists,
)
from warehouse.ingest.formats.base import read_rows
from warehouse.ingest.framing import JsonLines
from warehouse.ingest.identity import with_made_ids
from warehouse.ingest.records import BadRecord, Piece, RawRow

_LISTS = pl.List(pl.String())
_METADATA = pl.Struct({"key": _LISTS, "value": _LISTS})
_SPECIAL = frozenset((METADATA_FIELD, UNITS_FIELD, *LISTS, "id"))
_ALTERNATIVE_ID = "_id"
_NOT_A_NAME = r"^(?:-?[0-9][0-9.eE+-]*|true|false)$"


def columns_of(dataset: Dataset) -> dict[str, str]:
    """Our raw column → the field of the same name; metadata and units also as one field each."""
    names = raw_schema(dataset)
    wholes = (METADATA_FIELD, *((UNITS_FIELD,) if UNIT_NAME in names else ()))
    return {name: name for name in (*names, *wholes)}


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
        if name not in _SPECIAL:
            row[name] = as_text(name, record.get(theirs))
    if "id" in columns:
        row["id"] = identifier("id", record.get(columns["id"], record.get(_ALTERNATIVE_ID)))
    row[METADATA_KEY], row[METADATA_VALUE] = metadata_lists(
        _pair_of(record, columns, METADATA_FIELD, (METADATA_KEY, METADATA_VALUE))
    )
    if not columns.keys().isdisjoint((UNITS_FIELD, UNIT_NAME, UNIT_QUANTITY)):
        units = _pair_of(record, columns, UNITS_FIELD, (UNIT_NAME, UNIT_QUANTITY))
        row[UNIT_NAME], row[UNIT_QUANTITY] = unit_lists(units)
    return row


def _pair_of(record: Mapping[str, object], columns: Mapping[str, str], whole: str, parts: tuple[str, str]) -> object:
    """What a record says under one name, or under the names of two parallel lists."""
    flat = {name.partition(".")[2]: record.get(columns[name]) if name in columns else None for name in parts}
    if all(value is None for value in flat.values()):
        return record.get(columns[whole]) if whole in columns else None
    if not all(isinstance(value, list) for value in flat.values()):
        raise BadRecord(f"{parts[0]} and {parts[1]} are not lists")
    return flat


def _read_fast(chunk: JsonLines, columns: Mapping[str, str]) -> pl.DataFrame | None:
    """All fields as text, or None where a line of the chunk needs a closer look."""
    if (b"\\ud" in chunk.data or b"\\uD" in chunk.data) and LONE_SURROGATE.search(chunk.data):
        return None
    schema: dict[str, pl.DataType] = {}
    for name, theirs in columns.items():
        kind = _METADATA if name == METADATA_FIELD else _LISTS if name in LISTS else pl.String()
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
    found += [_nested(frame[columns[name]]) for name in LISTS if name in columns]
    if UNITS_FIELD in columns:
        found.append(frame[columns[UNITS_FIELD]].is_not_null())
    if METADATA_FIELD in columns:
        given = frame[columns[METADATA_FIELD]]
        found.append(given.is_not_null() & given.struct.field("key").is_null())
        found.append(given.is_not_null() & given.struct.field("value").is_null())
        found.append(_nested(given.struct.field("value")))
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
        elif name not in _SPECIAL:
            picked.append(pl.col(theirs).alias(name))
    if "id" not in columns:
        picked.append(pl.lit(None, dtype=pl.String).alias("id"))
    for name, part in ((METADATA_KEY, "key"), (METADATA_VALUE, "value")):
        places: list[pl.Expr] = [pl.col(columns[name])] if name in columns else []
        if METADATA_FIELD in columns:
            places.append(pl.col(columns[METADATA_FIELD]).struct.field(part))
        if places:
            picked.append(pl.coalesce(places).alias(name))
    picked += [pl.col(columns[name]).alias(name) for name in (UNIT_NAME, UNIT_QUANTITY) if name in columns]
    return frame.select(picked)


def fields_of(samples: Sequence[Mapping[str, object]]) -> list[str]:
    """Every field that the first records have, in order."""
    return list(dict.fromkeys(name for record in samples for name in record))

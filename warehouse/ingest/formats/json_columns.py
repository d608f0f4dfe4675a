"""JSON records whose fields are columns: whole chunks at once where they are clean, one by one where not.

The fast way lets Polars read a chunk with the types that the first records of its source have. Polars fails on a line
that is no JSON object and on a value of another type; then the chunk is read as text, and when that fails too, record
by record. What reading as text could get wrong (an object where text should be, a number for an id, half a character,
a map of metadata) is found afterwards, and just those records are read again one by one, with exact rules.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import cast

import numpy as np
import polars as pl

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset, Kind
from warehouse.ingest.beside import in_order
from warehouse.ingest.fields import (
    FIELDS,
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
from warehouse.ingest.values import MAX_ID_LENGTH
from warehouse.ingest.views import Look, look_at

_LISTS = pl.List(pl.String())
_METADATA = pl.Struct({"key": _LISTS, "value": _LISTS})
_ALTERNATIVE_ID = "_id"
_NOT_A_NAME = r"^(?:-?[0-9][0-9.eE+-]*|true|false)$"
_NESTED = r"^[\[{]"
_MOST_FAILURES = 3
_AT_ONCE = 2
"""Chunks that are read side by side; while the older one still is, the next is decompressed."""
_NOT_PLAIN = (METADATA_FIELD, UNITS_FIELD, *LISTS)
_PAIRS: tuple[tuple[str, tuple[str, str], tuple[str, str], Callable[[object], tuple[list[str], list[str]]]], ...] = (
    (METADATA_FIELD, (METADATA_KEY, METADATA_VALUE), ("key", "value"), metadata_lists),
    (UNITS_FIELD, (UNIT_NAME, UNIT_QUANTITY), ("name", "quantity"), unit_lists),
)
"""(the field that holds both lists, the lists, what the field calls them, what reads them)."""
_NUMBERS = frozenset(c.name for c in GENERATIONS.columns if c.kind is Kind.INTEGER and c.name in FIELDS["generations"])
_FLAGS = frozenset(c.name for c in GENERATIONS.columns if c.kind is Kind.BOOLEAN)


def columns_of(dataset: Dataset) -> dict[str, str]:
    """Our raw column → the field of the same name; metadata and units also as one field each."""
    wholes = (METADATA_FIELD, UNITS_FIELD) if UNIT_NAME in raw_schema(dataset) else (METADATA_FIELD,)
    return {name: name for name in (*raw_schema(dataset), *wholes)}


@dataclass
class Plan:
    """How the chunks of a source are read: our column → its field, and fields that are not read as text."""

    columns: Mapping[str, str]
    typed: Mapping[str, pl.DataType] = field(default_factory=dict[str, pl.DataType])
    failures: int = 0

    @property
    def theirs(self) -> frozenset[str]:
        return frozenset(self.columns.values())


def plan_of(columns: Mapping[str, str], samples: Sequence[Mapping[str, object]]) -> Plan:
    """The plan for a source whose first records are `samples`: numbers that are numbers there are read as such."""
    named_once = {theirs for theirs in columns.values() if list(columns.values()).count(theirs) == 1}
    typed: dict[str, pl.DataType] = {}
    for name, theirs in columns.items():
        if theirs not in named_once or name not in _NUMBERS | _FLAGS:
            continue
        given = [value for record in samples if (value := record.get(theirs)) is not None]
        if name in _FLAGS and given and all(isinstance(value, bool) for value in given):
            typed[theirs] = pl.Boolean()
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
            typed[theirs] = pl.Float64()
    return Plan(columns, typed)


def read_chunks(chunks: Iterator[JsonLines], plan: Plan) -> Iterator[Piece]:
    """The pieces of all chunks, in order; while some are read, the next ones are decompressed."""
    for pieces in in_order(partial(read_chunk, plan=plan), chunks, _AT_ONCE):
        yield from pieces


def read_chunk(chunk: JsonLines, plan: Plan) -> list[Piece]:
    """The pieces of a chunk; together they hold each record once."""
    columns = plan.columns
    fast = _read_fast(chunk, plan)
    if fast is None:
        return [read_rows(chunk, lambda original: row_of(parse_object(original.data), columns))]
    pieces: list[Piece] = []
    frame, look = fast.frame, look_at(fast.frame, MAX_ID_LENGTH)
    doubtful = _doubtful(fast, look, columns)
    if doubtful is not None:
        only = doubtful.arg_true().to_list()
        pieces.append(read_rows(chunk, lambda original: row_of(parse_object(original.data), columns), only))
        frame = frame.filter(~doubtful)
    if frame.height:
        pieces.append(Piece(chunk, with_made_ids(_raw(frame, columns), chunk), is_tidy=look.is_tidy))
    return pieces


def row_of(record: Mapping[str, object], columns: Mapping[str, str]) -> RawRow:
    """The raw row of a record. Raises: BadRecord."""
    row: dict[str, str | list[str] | None] = {}
    for name, theirs in columns.items():
        if name not in _NOT_PLAIN and name != "id":
            row[name] = as_text(name, record.get(theirs))
    if "id" in columns:
        row["id"] = identifier("id", record.get(columns["id"], record.get(_ALTERNATIVE_ID)))
    for whole, (first, second), parts, lists_of in _PAIRS:
        if {whole, first, second} & columns.keys():
            found = _parallel(record, columns, (first, second))
            given = record.get(columns[whole]) if found is None and whole in columns else found
            row[first], row[second] = lists_of(given if found is None else dict(zip(parts, found, strict=True)))
    return row


def _parallel(
    record: Mapping[str, object], columns: Mapping[str, str], names: tuple[str, str]
) -> tuple[list[object], list[object]] | None:
    """Two parallel lists that are fields of their own; None where neither is there."""
    first, second = (record.get(columns[name]) if name in columns else None for name in names)
    if first is None and second is None:
        return None
    if not isinstance(first, list) or not isinstance(second, list):
        raise BadRecord(f"{names[0]} and {names[1]} are not lists")
    return cast("list[object]", first), cast("list[object]", second)


@dataclass(frozen=True, slots=True)
class _Fast:
    """All fields of a chunk, and where metadata is not what it should be."""

    frame: pl.DataFrame
    odd_metadata: pl.Series | None = None


def _read_fast(chunk: JsonLines, plan: Plan) -> _Fast | None:
    """All fields, or None where a line of the chunk needs a closer look."""
    has_escapes = b"\\" in chunk.data
    if has_escapes and LONE_SURROGATE.search(chunk.data):
        return None
    if plan.failures < _MOST_FAILURES and plan.typed:
        fast = _read(chunk, plan, plan.typed, has_escapes=has_escapes)
        if fast is not None:
            return fast
        plan.failures += 1
    return _read(chunk, plan, {}, has_escapes=has_escapes)


def _read(chunk: JsonLines, plan: Plan, typed: Mapping[str, pl.DataType], *, has_escapes: bool) -> _Fast | None:
    schema: dict[str, pl.DataType] = {}
    for name, theirs in plan.columns.items():
        kind = _kind_of(name, has_escapes=has_escapes)
        if schema.setdefault(theirs, typed.get(theirs, kind)) != typed.get(theirs, kind):
            return None
    if "id" in plan.columns:
        schema.setdefault(_ALTERNATIVE_ID, pl.String())
    odd = None
    try:
        frame = pl.read_ndjson(io.BytesIO(chunk.data), schema=schema)
        if not chunk.has_counted(frame.height):
            return None
        frame = frame.rechunk()
        if METADATA_FIELD in plan.columns:
            whole = frame[plan.columns[METADATA_FIELD]]
            whole, odd = (whole, _odd_metadata(whole)) if has_escapes else _decoded(whole)
            frame = frame.with_columns(whole)
    except pl.exceptions.PolarsError:
        return None
    return _Fast(frame.with_row_index("_index"), odd)


def _decoded(texts: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """Metadata from its JSON text, and where it is odd; each text is read once where rows share them.

    Raises: PolarsError.
    """
    categories = pl.Categories.random()
    shared = texts.cast(pl.Categorical(categories))  # the categories live as long as it does
    codes = shared.to_physical().cast(pl.UInt32)
    count = cast("int | None", codes.max())
    if count is None or (count + 1) * 2 > len(texts):
        whole = texts.str.json_decode(_METADATA)
        return whole, _odd_metadata(whole)
    # Any row of a category has its text.
    rows = np.zeros(count + 2, dtype=np.uint32)
    rows[codes.fill_null(count + 1).to_numpy()] = np.arange(len(texts), dtype=np.uint32)
    distinct = texts.gather(rows[: count + 1]).str.json_decode(_METADATA)
    odd = _odd_metadata(distinct)
    return distinct.gather(codes), None if odd is None else odd.gather(codes).fill_null(value=False)


def _odd_metadata(whole: pl.Series) -> pl.Series | None:
    """True for metadata without one of its lists, or with more than text in them; None where there is none."""
    lists = [whole.struct.field(part) for part in ("key", "value")]
    odd = [whole.is_not_null() & one.is_null() for one in lists if one.null_count()]
    return _any_of([*odd, _nested(lists[1])])


def _any_of(masks: Sequence[pl.Series]) -> pl.Series | None:
    """True where one of the masks is; None where none is anywhere."""
    found = [mask.fill_null(value=False) for mask in masks if mask.any()]
    return reduce(lambda a, b: a | b, found) if found else None


def _kind_of(name: str, *, has_escapes: bool) -> pl.DataType:
    """How a field is read when it is not typed. Objects as text come without escapes, and are cheaper to read so."""
    if name == METADATA_FIELD:
        return _METADATA if has_escapes else pl.String()
    return _LISTS if name in LISTS else pl.String()


def _doubtful(fast: _Fast, look: Look, columns: Mapping[str, str]) -> pl.Series | None:
    """True for records that the fast way may have got wrong; None where there are none."""
    frame = fast.frame
    found = [frame[name].str.contains(_NESTED) for name in look.bracketed]
    if "id" in columns:
        names = dict.fromkeys((columns["id"], _ALTERNATIVE_ID))
        found += [_numbers_or_flags(frame[name]) for name in names if _has_any(frame[name])]
    found += [_nested(frame[columns[name]]) for name in LISTS if name in columns and _has_any(frame[columns[name]])]
    for _, names, _, _ in _PAIRS:
        lists = [frame[columns[name]] for name in names if name in columns]
        if len(lists) == len(names) and any(_has_any(one) for one in lists):
            # One of two parallel lists without the other.
            found.append(lists[0].is_null() != lists[1].is_null())
    if UNITS_FIELD in columns:
        found.append(frame[columns[UNITS_FIELD]].is_not_null())
    if fast.odd_metadata is not None:
        found.append(fast.odd_metadata)
    return _any_of(found)


def _numbers_or_flags(names: pl.Series) -> pl.Series:
    """True where a text is what a number, true or false would have become."""
    near = names.cast(pl.Float64, strict=False).is_not_null() | (names == "true") | (names == "false")
    return near & names.str.contains(_NOT_A_NAME) if near.any() else near


def _has_any(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def _nested(lists: pl.Series) -> pl.Series:
    """True where an element of a list is the text of an object or a list."""
    flat = lists.explode(empty_as_null=False)
    if not look_at(flat.to_frame(), MAX_ID_LENGTH).bracketed:
        return pl.Series(np.zeros(len(lists), dtype=np.bool_))
    return lists.list.eval(pl.element().str.contains(_NESTED).any()).list.first().fill_null(value=False)


def _raw(frame: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    picked: list[pl.Expr] = [pl.col("_index")]
    for name, theirs in columns.items():
        if name == "id":
            picked.append(pl.coalesce(*dict.fromkeys((theirs, _ALTERNATIVE_ID))).alias("id"))
        elif name not in (METADATA_FIELD, UNITS_FIELD, METADATA_KEY, METADATA_VALUE):
            picked.append(pl.col(theirs).alias(name))
    if "id" not in columns:
        picked.append(pl.lit(None, dtype=pl.String).alias("id"))
    for name, part in ((METADATA_KEY, "key"), (METADATA_VALUE, "value")):
        places: list[pl.Expr] = [pl.col(columns[name])] if name in columns else []
        if METADATA_FIELD in columns:
            places.append(pl.col(columns[METADATA_FIELD]).struct.field(part))
        if places:
            picked.append(pl.coalesce(places).alias(name))
    return frame.select(picked)


def fields_of(samples: Sequence[Mapping[str, object]]) -> list[str]:
    """Every field that the first records have, in order."""
    return list(dict.fromkeys(name for record in samples for name in record))

"""Columns of an export as text, all values of a column at once: JSON lines, fields of CSV, and metadata as JSON.

The texts are those that `warehouse/query/export.py` makes value by value: all digits of money and no exponent,
instants in UTC with milliseconds.
"""

from collections.abc import Collection

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_INSTANT = "%Y-%m-%dT%H:%M:%S%.3fZ"
_ESCAPED = r'["\\\x00-\x1f]'
"""What JSON may not hold as it is."""


def json_lines(page: pa.Table, as_json: Collection[str]) -> bytes:
    """A JSON object per row, each on a line of its own. The columns `as_json` hold JSON already."""
    if not page.num_rows:
        return b""
    pieces: list[pl.Expr] = []
    for number, name in enumerate(page.column_names):
        pieces.append(pl.lit(f"{'{' if not number else ','}{orjson.dumps(name).decode()}:"))
        column = page.column(name)
        texts = plain(column)
        is_quoted = name not in as_json and (pa.types.is_string(column.type) or pa.types.is_timestamp(column.type))
        pieces.append(pl.lit((_quoted(texts) if is_quoted else texts).fill_null("null")))
    lines = pl.select(pl.concat_str([*pieces, pl.lit("}\n")])).to_series()
    return str(lines.str.join().item()).encode()


def plain(column: pa.ChunkedArray) -> pl.Series:
    """The values as bare text; null for what is absent. Raises: TypeError for a type that no field has."""
    kind, values = column.type, _series(column)
    if pa.types.is_string(kind):
        return values
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return values.cast(pl.String)
    if pa.types.is_decimal(kind) and kind.scale > 0:
        return values.cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
    if pa.types.is_timestamp(kind) and kind.tz == "UTC":
        return values.dt.strftime(_INSTANT)
    raise TypeError(f"no field of an export is {kind}")


def json_objects(keys: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.Array:
    """For each row the JSON object of two parallel lists of text; of a key that is there twice the last value."""
    names, texts = _one(keys), _one(values)
    if not _is_parallel(names, texts) or not _is_distinct(names):
        return _one_by_one(names, texts)
    pairs = pl.select(
        pl.concat_str(
            pl.lit(_quoted(_series(names.flatten()))),
            pl.lit(":"),
            pl.lit(_quoted(_series(texts.flatten())).fill_null("null")),
        )
    ).to_series()
    ends = pc.call_function("cumulative_sum", [_lengths(names)]).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    lists = pa.ListArray.from_arrays(offsets, pairs.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string()))
    joined = pc.call_function("binary_join", [lists, pa.scalar(",")])
    return pc.call_function("binary_join_element_wise", ["{", joined, "}", ""])


def _series(column: pa.Array | pa.ChunkedArray) -> pl.Series:
    return pl.Series(pl.from_arrow(column))


def _one(lists: pa.ChunkedArray) -> pa.ListArray:
    whole = lists.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def _lengths(lists: pa.ListArray) -> pa.Array:
    return pc.fill_null(pc.call_function("list_value_length", [lists]), 0)


def _quoted(texts: pl.Series) -> pl.Series:
    """The texts as JSON; null stays null."""
    quoted = pl.select(pl.concat_str(pl.lit('"'), pl.lit(texts), pl.lit('"'))).to_series()
    marked = texts.str.contains(_ESCAPED).fill_null(value=False)
    if not marked.any():
        return quoted
    places = marked.arg_true()
    return quoted.scatter(places, [orjson.dumps(text).decode() for text in texts.gather(places)])


def _is_parallel(names: pa.ListArray, texts: pa.ListArray) -> bool:
    return _lengths(names).equals(_lengths(texts)) and not names.flatten().null_count


def _is_distinct(names: pa.ListArray) -> bool:
    lists = _series(names).list
    return not (lists.n_unique() != lists.len()).any()


def _one_by_one(names: pa.ListArray, texts: pa.ListArray) -> pa.Array:
    pairs = zip(names.to_pylist(), texts.to_pylist(), strict=True)
    return pa.array(
        [orjson.dumps(dict(zip(keys or (), values or (), strict=False))).decode() for keys, values in pairs],
        pa.string(),
    )

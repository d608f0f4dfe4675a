"""Metadata keys that are columns too: each ends up in both places. Source: dataplane contract 4.3."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from warehouse.ingest.fields import METADATA_KEY, METADATA_VALUE, PROMOTED


def with_promoted(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with promoted metadata in the columns and in the lists. The lists are parallel and hold no NULL."""
    has_key = _has_key(frame)
    frame = _to_columns(frame, has_key)
    is_new = [frame[name].is_not_null() & ~has for name, has in zip(PROMOTED, has_key, strict=True)]
    added = [(name, new) for name, new in zip(PROMOTED, is_new, strict=True) if new.any()]
    if not added:
        return frame
    places, ends = _places(frame[METADATA_KEY], [new for _, new in added])
    names = [pl.repeat(name, frame.height, dtype=pl.String, eager=True) for name, _ in added]
    values = [frame[name] for name, _ in added]
    return frame.with_columns(
        _gathered(frame[METADATA_KEY], names, places, ends), _gathered(frame[METADATA_VALUE], values, places, ends)
    )


def _has_key(frame: pl.DataFrame) -> list[pl.Series]:
    """For each promoted key, where the metadata has it."""
    keys = frame[METADATA_KEY]
    flat = keys.explode(empty_as_null=False)
    rows = np.repeat(np.arange(len(keys)), keys.list.len().to_numpy())
    found: list[pl.Series] = []
    for name in PROMOTED:
        has = np.zeros(len(keys), dtype=np.bool_)
        has[rows[(flat == name).arg_true().to_numpy()]] = True
        found.append(pl.Series(name, has))
    return found


def _to_columns(frame: pl.DataFrame, has_key: Sequence[pl.Series]) -> pl.DataFrame:
    """A promoted column that is NULL takes the value of its metadata key, unless that is blank."""
    open_rows = [has & frame[name].is_null() for name, has in zip(PROMOTED, has_key, strict=True)]
    wanted = [name for name, rows in zip(PROMOTED, open_rows, strict=True) if rows.any()]
    if not wanted:
        return frame
    flat = (
        frame.lazy()
        .select(METADATA_KEY, METADATA_VALUE)
        .with_row_index("row")
        .explode(METADATA_KEY, METADATA_VALUE, empty_as_null=False)
        .filter(pl.col(METADATA_KEY).is_in(wanted), pl.col(METADATA_VALUE).str.strip_chars() != "")
        .unique(["row", METADATA_KEY], keep="first", maintain_order=True)
        .collect()
    )
    filled: list[pl.Expr] = []
    for name in wanted:
        mine = flat.filter(pl.col(METADATA_KEY) == name)
        column = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
        filled.append(pl.coalesce(name, pl.lit(column.scatter(mine["row"], mine[METADATA_VALUE]))).alias(name))
    return frame.with_columns(filled)


def _places(lists: pl.Series, is_new: Sequence[pl.Series]) -> tuple[pl.Series, pa.Array]:
    """Where each element of lists that take one more of each column, where that is new, stands among the elements of
    the lists followed by those columns; and where each list begins and ends.

    All elements are gathered once: five times cheaper than concatenating lists.
    """
    sizes = lists.list.len().cast(pl.Int64).to_numpy()
    new = np.array([mask.to_numpy() for mask in is_new])
    before = np.concatenate(([0], np.cumsum(sizes)))
    ends = np.concatenate(([0], np.cumsum(sizes + new.sum(axis=0))))
    height, kept = len(lists), int(before[-1])
    places = np.empty(int(ends[-1]), dtype=np.int64)
    places[np.arange(kept) + np.repeat(ends[:-1] - before[:-1], sizes)] = np.arange(kept)
    at = ends[:-1] + sizes
    for number, mask in enumerate(new):
        places[at[mask]] = kept + number * height + np.flatnonzero(mask)
        at = at + mask
    return pl.Series(places), pl.Series(ends).to_arrow()  # Arrow would import pandas to look at NumPy's


def _gathered(lists: pl.Series, more: Sequence[pl.Series], places: pl.Series, ends: pa.Array) -> pl.Series:
    """The lists made of what stands at `places` among their elements and more."""
    # In one chunk: looking for each element's chunk costs three times as much.
    flat = pl.concat([lists.explode(empty_as_null=False), *(one.alias(lists.name) for one in more)], rechunk=True)
    gathered = flat.gather(places).to_arrow(compat_level=pl.CompatLevel.newest())
    return pl.Series(lists.name, pa.LargeListArray.from_arrays(ends, gathered))

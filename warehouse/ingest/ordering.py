"""Rows of a frame in the order in which the lake keeps them, with little work where they come nearly so."""

import numpy as np
import polars as pl

from warehouse.catalog.model import Dataset


def ordered(frame: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """The rows by day, then by the dataset's own order; those that are alike in these stay as they came."""
    keys = [frame[dataset.time_column].dt.date(), *frame.select(dataset.sort_by)]
    if any(key.null_count() for key in keys):
        return frame.sort(*keys, maintain_order=True)
    # Few texts are distinct, and times come nearly in order: sorting numbers is a quarter of the work of Polars' sort.
    order = pl.Series(np.lexsort([_rank(key).to_numpy() for key in reversed(keys)]))
    moved = [column.name for column in frame if column.null_count() < frame.height]
    return frame.with_columns(frame.select(moved)[order])


def _rank(key: pl.Series) -> pl.Series:
    """Numbers in the order of the values; there are no NULLs."""
    return (key.cast(pl.Enum(key.unique().sort())) if key.dtype == pl.String() else key).to_physical()

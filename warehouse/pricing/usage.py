"""What rows used, as whole columns of numbers, and what of it occurs in a frame at all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from warehouse.catalog.generations import BUCKETS
from warehouse.pricing.amounts import Index, Mask, Whole
from warehouse.pricing.units import IMAGES

Counts = Mapping[str, Whole]
"""Bucket column → how much of it each row used, 0 where it does not say; an absent bucket is empty in all rows."""
MISS = "MISS"


@dataclass(frozen=True, slots=True)
class Seen:
    """What occurs in a frame: what does not needs no pass over its rows."""

    buckets: tuple[str, ...]
    """Those that are not empty in all rows."""
    gaps: frozenset[str]
    """Those that are empty in some."""
    all_known: bool
    """Every row says what it used."""
    all_succeeded: bool
    all_missed: bool
    """No row is known to the gateway's cache."""
    any_reported: bool


def seen(frame: pl.DataFrame) -> Seen:
    """What occurs in a frame that has rows."""
    names = [column.name for column in BUCKETS]
    found: dict[str, Any] = frame.select(
        *(pl.col(name).null_count() for name in names),
        pl.col("usage_known").fill_null(value=False).all().alias("#known"),
        pl.col("is_success").cast(pl.Boolean).fill_null(value=True).all().alias("#succeeded"),
        (pl.col("cache_status") == MISS).all().alias("#missed"),  # or is null
        pl.col("reported_cost").null_count().alias("#unreported"),
    ).row(0, named=True)
    return Seen(
        buckets=tuple(name for name in names if found[name] < frame.height),
        gaps=frozenset(name for name in names if 0 < found[name] < frame.height),
        all_known=found["#known"],
        all_succeeded=found["#succeeded"],
        all_missed=found["#missed"],
        any_reported=found["#unreported"] < frame.height,
    )


def counts_of(frame: pl.DataFrame, found: Seen) -> dict[str, Whole]:
    """The buckets as numbers."""
    columns = {name: frame.get_column(name).cast(pl.Int64) for name in found.buckets}
    return {
        name: (column.fill_null(0) if name in found.gaps else column).to_numpy() for name, column in columns.items()
    }


def uncounted_images(frame: pl.DataFrame, found: Seen) -> Mask | None:
    """The rows that do not say how many images they made; None when all do."""
    if IMAGES not in found.buckets:
        return np.ones(frame.height, dtype=np.bool_)
    return frame.get_column(IMAGES).is_null().to_numpy() if IMAGES in found.gaps else None


def most_of(counts: Counts) -> dict[str, int]:
    """The largest count of each bucket."""
    return {name: int(column.max(initial=0)) for name, column in counts.items()}


def below_zero(counts: Counts) -> Mask | None:
    """The rows with a count below 0; None when there are none."""
    found = [column < 0 for column in counts.values() if column.min(initial=0) < 0]
    return np.logical_or.reduce(found) if found else None


def taken(counts: Counts, at: Index) -> dict[str, Whole]:
    """The counts of some rows."""
    return {name: column[at] for name, column in counts.items()}


def any_used(columns: Iterable[Whole], size: int) -> Mask:
    """The rows that used anything."""
    used = np.zeros(size, dtype=np.bool_)
    for column in columns:
        used |= column != 0
    return used


def summed(counts: Counts, names: Iterable[str], size: int) -> Whole:
    """How much of some buckets each row used together."""
    total = np.zeros(size, dtype=np.int64)
    for name in names:
        if name in counts:
            total += counts[name]
    return total

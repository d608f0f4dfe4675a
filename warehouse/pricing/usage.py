"""What rows used, as whole columns of numbers, and what of it occurs in a frame at all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from warehouse.catalog.generations import BUCKETS
from warehouse.pricing.amounts import Index, Mask, Whole
from warehouse.pricing.units import IMAGES

MISS = "MISS"
_LARGEST = 2**63 - 1


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


class Counts(Mapping[str, Whole]):
    """Bucket column → how much of it each row used, 0 where it does not say; an absent bucket is empty in all rows."""

    def __init__(
        self, columns: Mapping[str, Whole], most: Mapping[str, int], below: Sequence[str], at: Index | None = None
    ) -> None:
        self.most = most
        """No count of a bucket is larger than this."""
        self.below = below
        """Buckets with a count below 0."""
        self._columns, self._at = columns, at
        self._taken: dict[str, Whole] = {}

    def of(self, at: Index) -> "Counts":
        """The counts of some rows; a column is taken when it is asked for."""
        return Counts(self, self.most, self.below, at)

    def __getitem__(self, name: str) -> Whole:
        if self._at is None:
            return self._columns[name]
        if name not in self._taken:
            self._taken[name] = self._columns[name][self._at]
        return self._taken[name]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def counts_of(frame: pl.DataFrame, found: Seen) -> Counts:
    """The buckets as numbers."""
    columns = {name: frame.get_column(name).cast(pl.Int64) for name in found.buckets}
    numbers = {
        name: (column.fill_null(0) if name in found.gaps else column).to_numpy() for name, column in columns.items()
    }
    # Read without a sign, a number below 0 is larger than all others: one pass finds the largest, and whether any is.
    most = {name: int(column.view(np.uint64).max(initial=0)) for name, column in numbers.items()}
    below = [name for name, count in most.items() if count > _LARGEST]
    most |= {name: int(numbers[name].max(initial=0)) for name in below}
    return Counts(numbers, most, below)


def uncounted_images(frame: pl.DataFrame, found: Seen) -> Mask | None:
    """The rows that do not say how many images they made; None when all do."""
    if IMAGES not in found.buckets:
        return np.ones(frame.height, dtype=np.bool_)
    return frame.get_column(IMAGES).is_null().to_numpy() if IMAGES in found.gaps else None


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

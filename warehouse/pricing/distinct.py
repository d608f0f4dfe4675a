"""Rows of texts as numbers: which of the combinations that a frame holds each row has.

A hash only proposes who is alike; every row is then compared with the text that stands for its number. Rows that are
not like it (two combinations met in one place) go through the next round, with another hash.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Index = npt.NDArray[np.intp]
_PLACES_BITS = 14
"""Places of the first round: few enough to stay in the processor's cache, many enough for the names of a log."""
_ROUNDS = 4
"""After so many rounds a frame is left to a join: it is one that somebody made to collide, or all rows differ."""


def numbered(texts: pl.DataFrame) -> tuple[Index, list[tuple[Any, ...]]]:
    """The number of each row's combination of values, and what each number stands for.

    Numbers start at 0 and each is the number of some row; their order means nothing.
    """
    index, found = _round(texts, 0, _PLACES_BITS)
    known = found.rows()
    left = _unlike(texts, found, index)
    number = 1
    while left.size:
        rest = texts[pl.Series(left)]
        if number < _ROUNDS:
            again, found = _round(rest, number, max(_PLACES_BITS, int(left.size).bit_length()))
            wrong = _unlike(rest, found, again)
        else:
            again, found = _joined(rest)
            wrong = left[:0]
        index[left] = again + len(known)
        known.extend(found.rows())
        left, number = left[wrong], number + 1
    return index, known


def _round(texts: pl.DataFrame, seed: int, bits: int) -> tuple[Index, pl.DataFrame]:
    """A number for every row, and the row that stands for each number: rows with the same place share one."""
    places = (texts.hash_rows(seed).to_numpy() >> np.uint64(64 - bits)).view(np.intp)
    holder = np.full(1 << bits, -1, dtype=np.intp)
    holder[places] = np.arange(texts.height)  # the last row of a place stands for it
    taken = np.flatnonzero(holder >= 0)
    found = texts[pl.Series(holder[taken])]
    holder[taken] = np.arange(taken.size)
    return holder.take(places), found


def _unlike(texts: pl.DataFrame, found: pl.DataFrame, index: Index) -> Index:
    """The rows that differ from the one that stands for their number."""
    numbers = pl.lit(pl.Series(index.astype(np.uint32)))
    same = [pl.col(name).eq_missing(pl.lit(found[name]).gather(numbers)) for name in texts.columns]
    alike = texts.select(pl.all_horizontal(same)).to_series()
    return np.flatnonzero(~alike.to_numpy()) if not alike.all() else index[:0]


def _joined(texts: pl.DataFrame) -> tuple[Index, pl.DataFrame]:
    """The same without a hash of our own."""
    found = texts.unique()
    numbers = found.with_row_index("#number")
    rows = texts.join(numbers, on=texts.columns, how="left", nulls_equal=True, maintain_order="left")
    return rows["#number"].to_numpy().astype(np.intp), found

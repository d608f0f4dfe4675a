"""Rows of texts as numbers: which of the combinations that a frame holds each row has.

A hash only proposes who is alike; every row is then compared with the row that stands for its number, first by where
its text is kept, then by the text. Rows that are not like it (two combinations met in one place) go through the next
round, with another hash.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from warehouse.pricing.amounts import Index, Mask

_PLACES_BITS = 14
"""Places of the first round: few enough to stay in the processor's cache, many enough for the names of a log."""
_ROUNDS = 4
"""After so many rounds a frame is left to a join: it is one that somebody made to collide, or all rows differ."""
_SAMPLED = 1 << 14
"""So many rows, taken at random, are those that may stand for a number in the first round; names that only others have
wait for the next."""
_BLOCK = 1 << 14
"""Rows compared at once: what that needs stays in the processor's cache."""
_Views = npt.NDArray[np.uint64]
_NO_TEXT = np.uint64(2**64 - 1)


def numbered(texts: pl.DataFrame) -> tuple[Index, list[tuple[Any, ...]]]:
    """The number of each row's combination of values, and what each number stands for.

    Numbers start at 0 and each is the number of some row; their order means nothing.
    """
    sampled = np.random.default_rng(0).integers(texts.height, size=_SAMPLED) if texts.height > 4 * _SAMPLED else None
    index, holders = _round(texts, 0, _PLACES_BITS, sampled)
    left = _unlike(texts, holders, index)
    known = texts[pl.Series(holders)].rows()
    number = 1
    while left.size:
        rest = texts[pl.Series(left)]
        if number < _ROUNDS:
            again, holders = _round(rest, number, max(_PLACES_BITS, int(left.size).bit_length()))
            wrong = _unlike(rest, holders, again)
            found = rest[pl.Series(holders)]
        else:
            again, found = _joined(rest)
            wrong = left[:0]
        index[left] = again + len(known)
        known.extend(found.rows())
        left, number = left[wrong], number + 1
    return index, known


def _round(texts: pl.DataFrame, seed: int, bits: int, sampled: Index | None = None) -> tuple[Index, Index]:
    """A number for every row (-1: none yet), and the row that stands for each: rows with the same place share one."""
    places = np.right_shift(texts.hash_rows(seed).to_numpy(), np.uint64(64 - bits)).view(np.intp)
    holder = np.full(1 << bits, -1, dtype=np.intp)
    rows = np.arange(texts.height) if sampled is None else sampled
    holder[places if sampled is None else places[sampled]] = rows  # the last row of a place stands for it
    taken = np.flatnonzero(holder >= 0)
    holders = holder[taken]
    holder[taken] = np.arange(taken.size)
    return holder.take(places), holders


def _unlike(texts: pl.DataFrame, holders: Index, index: Index) -> Index:
    """The rows that differ from the one that stands for their number, or have no number."""
    views = [_views(column) for column in texts]
    kept = [one for one in views if one is not None]
    apart = _apart(kept, holders, index) if len(kept) == len(views) and holders.size else None
    at = np.arange(texts.height) if apart is None else np.flatnonzero(apart)
    if not at.size:
        return at
    # The same text may be kept in two places.
    found, rest = texts[pl.Series(holders)], texts if at.size == texts.height else texts[pl.Series(at)]
    number = index[at]
    numbers = pl.lit(pl.Series(np.where(number < 0, found.height, number).astype(np.uint32)))
    padded = pl.concat([found, found.clear(1)])
    same = [pl.col(name).eq_missing(pl.lit(padded[name]).gather(numbers)) for name in texts.columns]
    alike = rest.select(pl.all_horizontal(same)).to_series().to_numpy()
    return at[~alike | (number < 0)]


def _apart(views: Sequence[_Views], holders: Index, index: Index) -> Mask:
    """The rows whose texts are kept in another place than those of the row that stands for them."""
    apart = np.zeros(index.size, dtype=np.bool_)
    found = [one[holders] for one in views]
    room, same = np.empty((_BLOCK, 2), dtype=np.uint64), np.empty((_BLOCK, 2), dtype=np.bool_)
    for start in range(0, index.size, _BLOCK):
        numbers = index[start : start + _BLOCK]
        size = numbers.size
        for one, stands_for in zip(views, found, strict=True):
            stands_for.take(numbers, axis=0, out=room[:size], mode="wrap")
            np.equal(room[:size], one[start : start + size], out=same[:size])
            if not same[:size].all():
                apart[start : start + size] |= ~(same[:size, 0] & same[:size, 1])
    return apart


def _views(texts: pl.Series) -> _Views | None:
    """Each text as Arrow keeps it: its length and itself or, where it is longer, its beginning and place.

    Equal views are equal texts; null is unlike any text.
    """
    if texts.dtype != pl.String or texts.is_empty():
        return None
    array = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    views = np.frombuffer(array.buffers()[1], dtype=np.uint64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    if texts.null_count():
        views = views.copy()
        views[texts.is_null().to_numpy()] = _NO_TEXT
    return views


def _joined(texts: pl.DataFrame) -> tuple[Index, pl.DataFrame]:
    """The same without a hash of our own."""
    found = texts.unique()
    numbers = found.with_row_index("#number")
    rows = texts.join(numbers, on=texts.columns, how="left", nulls_equal=True, maintain_order="left")
    return rows["#number"].to_numpy().astype(np.intp), found

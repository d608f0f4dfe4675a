"""Rows of texts as numbers: which of the combinations that a frame holds each row has.

A hash only proposes who is alike; every row is then compared with the row that stands for its number. The first round
goes by where Arrow keeps the texts (equal views are equal texts), which needs no look at them; the rows that it leaves,
because they are rare or the same text is kept in many places, go through rounds of hashes of the texts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from warehouse.pricing.amounts import Index, Mask

_PLACES_BITS = 14
"""Places of a first round: few enough to stay in the processor's cache, many enough for the names of a log."""
_ROUNDS = 4
"""After so many rounds a frame is left to a join: it is one that somebody made to collide, or all rows differ."""
_SAMPLED = 1 << 13
"""So many rows, taken at random, are those that may stand for a number by their views."""
_MOST_VIEWS = 1 << 10
"""Where more of those have views of their own, texts are not kept in one place each."""
_BLOCK = 1 << 15
"""Rows at once: what they need in between stays in the processor's cache."""
_Views = npt.NDArray[np.uint64]
_NO_TEXT = np.uint64(2**64 - 1)
_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB)


def numbered(texts: pl.DataFrame) -> tuple[Index, list[tuple[Any, ...]]]:
    """The number of each row's combination of values, and what each number stands for.

    Numbers start at 0 and each is the number of some row; their order means nothing.
    """
    index, left, known = _by_views(texts)
    number = 0
    while left.size:
        rest = texts if left.size == texts.height else texts[pl.Series(left)]
        if number < _ROUNDS:
            again, holders = _round(rest, number, _PLACES_BITS if number == 0 else int(left.size).bit_length())
            wrong = _unlike(rest, holders, again)
            found = rest[pl.Series(holders)]
        else:
            again, found = _joined(rest)
            wrong = left[:0]
        index[left] = again + len(known)
        known.extend(found.rows())
        left, number = left[wrong], number + 1
    distinct: dict[tuple[Any, ...], int] = {}
    numbers = [distinct.setdefault(values, len(distinct)) for values in known]
    return index if len(distinct) == len(known) else np.array(numbers, dtype=np.intp).take(index), list(distinct)


def _by_views(texts: pl.DataFrame) -> tuple[Index, Index, list[tuple[Any, ...]]]:
    """A number for every row whose texts are kept where those of another are, and the rows that have none."""
    index, height = np.empty(texts.height, dtype=np.intp), texts.height
    views = [one for column in texts if (one := _views(column)) is not None]
    if len(views) < texts.width:
        return index, np.arange(height), []
    is_large = height > 2 * _SAMPLED
    sampled = np.random.default_rng(0).integers(height, size=_SAMPLED) if is_large else np.arange(height)
    holder = np.full(1 << _PLACES_BITS, -1, dtype=np.intp)
    places = np.empty(2 * max(sampled.size, _BLOCK), dtype=np.uint64)
    holder[_places([one[sampled] for one in views], places)] = sampled  # the last row of a place stands for it
    taken = np.flatnonzero(holder >= 0)
    if taken.size > _MOST_VIEWS:
        return index, np.arange(height), []
    holders, number = holder[taken], np.zeros(holder.size, dtype=np.intp)
    number[taken] = np.arange(taken.size)
    left: list[Index] = []
    stand_for = [one[holders] for one in views]
    compared = np.empty((_BLOCK, 2), dtype=np.uint64)
    for start in range(0, height, _BLOCK):
        block = [one[start : start + _BLOCK] for one in views]
        numbers = index[start : start + _BLOCK]
        number.take(_places(block, places), out=numbers, mode="clip")
        if (apart := _apart(block, stand_for, numbers, compared)) is not None:
            left.append(np.flatnonzero(apart) + start)
    return index, np.concatenate([*left, sampled[:0]]), texts[pl.Series(holders)].rows()


def _places(views: Sequence[_Views], room: npt.NDArray[np.uint64]) -> Index:
    """A place for each row, by its views. Shape: `room` is twice as long as these rows, or longer."""
    size = views[0].shape[0]
    total, product = room[:size], room[size : 2 * size]
    for number, one in enumerate(views):
        for half in (0, 1):
            factor = np.uint64((_ODD[number % len(_ODD)] + 4 * number + 2 * half) % 2**64)
            if number or half:
                np.add(total, np.multiply(one[:, half], factor, out=product), out=total)
            else:
                np.multiply(one[:, half], factor, out=total)
    return np.right_shift(total, np.uint64(64 - _PLACES_BITS), out=total).view(np.intp)


def _apart(
    views: Sequence[_Views], stand_for: Sequence[_Views], numbers: Index, room: npt.NDArray[np.uint64]
) -> Mask | None:
    """The rows whose texts are kept in another place than those of the row that stands for them; None: no row."""
    apart: Mask | None = None
    for one, found in zip(views, stand_for, strict=True):
        same = np.equal(found.take(numbers, axis=0, out=room[: numbers.size], mode="clip"), one)
        if not same.all():
            differs = ~(same[:, 0] & same[:, 1])
            apart = differs if apart is None else apart | differs
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
        views[np.flatnonzero(texts.is_null().to_numpy())] = _NO_TEXT
    return views


def _round(texts: pl.DataFrame, seed: int, bits: int) -> tuple[Index, Index]:
    """A number for every row, and the row that stands for each number: rows with the same place share one."""
    places = np.right_shift(texts.hash_rows(seed).to_numpy(), np.uint64(64 - max(bits, _PLACES_BITS))).view(np.intp)
    holder = np.full(1 << max(bits, _PLACES_BITS), -1, dtype=np.intp)
    holder[places] = np.arange(texts.height)  # the last row of a place stands for it
    taken = np.flatnonzero(holder >= 0)
    holders = holder[taken]
    holder[taken] = np.arange(taken.size)
    return holder.take(places), holders


def _unlike(texts: pl.DataFrame, holders: Index, index: Index) -> Index:
    """The rows that differ from the one that stands for their number."""
    found, numbers = texts[pl.Series(holders)], pl.lit(pl.Series(index.astype(np.uint32)))
    same = [pl.col(name).eq_missing(pl.lit(found[name]).gather(numbers)) for name in texts.columns]
    alike = texts.select(pl.all_horizontal(same)).to_series()
    return np.flatnonzero(~alike.to_numpy()) if not alike.all() else index[:0]


def _joined(texts: pl.DataFrame) -> tuple[Index, pl.DataFrame]:
    """The same without a hash of our own."""
    found = texts.unique()
    numbers = found.with_row_index("#number")
    rows = texts.join(numbers, on=texts.columns, how="left", nulls_equal=True, maintain_order="left")
    return rows["#number"].to_numpy().astype(np.intp), found

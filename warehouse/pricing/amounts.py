"""Money of many rows as whole numbers of 10^-12 cents: what is added up before it becomes DECIMAL(18,12).

Every amount of money fits 64 bits; numpy works on them in place, and the decimals are made once, at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from warehouse.pricing.reference import COST_DIGITS

MONEY = pl.Decimal(18, COST_DIGITS)
_ARROW_MONEY = pa.decimal128(18, COST_DIGITS)
_POOL = pa.mimalloc_memory_pool() if "mimalloc" in pa.supported_memory_backends() else None
"""Takes and gives back columns of this size twice as fast as the others."""
Whole = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Amounts:
    """Costs of rows. Units: 10^-12 cents."""

    parts: Mapping[str, Whole]
    """Cost column → what it says; nothing in any row where it is absent."""
    total: Whole
    known: Mask | None
    """Which rows have a cost, None: all. The amounts of the others mean nothing."""


def money(amounts: Whole, known: Mask | None = None) -> pl.Series:
    """Whole numbers as cents; null where they are not known. Shape: below 10^18 in size, as `costs` leaves them."""
    room = pa.allocate_buffer(amounts.size * 16, memory_pool=_POOL)
    pairs = np.frombuffer(room, dtype=np.int64).reshape(-1, 2)
    pairs[:, 0] = amounts
    np.right_shift(amounts, 63, out=pairs[:, 1])  # 128 bits, the lower half first: the upper one is just the sign
    bits = None if known is None else pa.py_buffer(np.packbits(known, bitorder="little"))
    array = pa.Array.from_buffers(_ARROW_MONEY, amounts.size, [bits, room])
    return cast(pl.Series, pl.from_arrow(array))


def whole_numbers(cents: pl.Series) -> tuple[Whole, Mask | None]:
    """Money as whole numbers (0 where it is null), and which of them are known (None: all)."""
    amounts = cents.cast(MONEY).to_physical().cast(pl.Int64)
    if not amounts.null_count():
        return amounts.to_numpy(), None
    return amounts.fill_null(0).to_numpy(), amounts.is_not_null().to_numpy()


def placed(amounts: Whole, known: Mask | None, at: npt.NDArray[np.intp], size: int) -> tuple[Whole, Mask]:
    """The amounts of some rows among all `size` rows, none of which has another."""
    spread, is_known = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.bool_)
    spread[at] = amounts
    is_known[at] = True if known is None else known
    return spread, is_known

"""Money of many rows as whole numbers of 10^-12 cents: what is added up before it becomes DECIMAL(18,12).

Every amount of money fits 64 bits, and numpy works on them in place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from warehouse.pricing.reference import COST_DIGITS

MONEY = pl.Decimal(18, COST_DIGITS)
LIMIT = 10 ** (18 - COST_DIGITS)
"""Cents that no longer fit DECIMAL(18,12)."""
Index = npt.NDArray[np.intp]
Whole = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]
Known = tuple[Whole, Mask | None]
"""Amounts, and which of them are known (None: all); those of the others mean nothing."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Costs of rows. Units: 10^-12 cents."""

    parts: Mapping[str, Whole]
    """Cost column → what it says; nothing in any row where it is absent."""
    total: Whole
    known: Mask | None
    """Which rows have a cost, None: all. The amounts of the others mean nothing."""


def whole_numbers(cents: pl.Series) -> Known:
    """Money as whole numbers (0 where it is null), and which of them are known."""
    amounts = cents.cast(MONEY).to_physical().cast(pl.Int64)
    if not amounts.null_count():
        return amounts.to_numpy(), None
    return amounts.fill_null(0).to_numpy(), amounts.is_not_null().to_numpy()


def first_known(one: Known, other: Known) -> Known:
    """Each row's first amount that is known."""
    if one[1] is None:
        return one
    known = None if other[1] is None else one[1] | other[1]
    return np.where(one[1], one[0], other[0]), known


def either(one: Mask | None, other: Mask | None) -> Mask | None:
    """Where one of both holds; None: nowhere."""
    return other if one is None else one if other is None else one | other


def where_any(mask: Mask) -> Mask | None:
    """The mask, None where it holds nowhere."""
    return mask if mask.any() else None

"""Between which amounts a request without a price costs: its usage at the cheapest and the dearest price there is.

Each kind of token, image and unit takes the lowest, or the highest, rate that any model of the request's provider has
for it, in any period, tier and hour, in the request's own region and mode, times what is agreed. So whichever of these
prices turns out to be the right one, its cost lies between the two. A provider that no file has may be any of them:
from 0 to the dearest of all. Where the usage itself is unknown there is no upper bound: `cost_high` is NULL.
"""

from collections.abc import Sequence

import numpy as np

from warehouse.pricing.amounts import Codes, Index, Known
from warehouse.pricing.book import PriceBook, UnpricedReason
from warehouse.pricing.cells import Cell
from warehouse.pricing.columnar import costs
from warehouse.pricing.envelopes import Envelope, envelope
from warehouse.pricing.extras import Units
from warehouse.pricing.tariff import Facets, Tariff
from warehouse.pricing.usage import Counts

BOUNDED = (
    UnpricedReason.UNKNOWN_PROVIDER,
    UnpricedReason.UNKNOWN_MODEL,
    UnpricedReason.NO_PRICE,
    UnpricedReason.PRICE_REFUSED,
)
"""Reasons that leave the usage known, so that other prices can be put on it."""


def bounds(
    counts: Counts,
    cell: Index,
    reasons: Codes,
    cells: Sequence[Cell],
    units: Units | None,
    book: PriceBook,
) -> tuple[Known, Known]:
    """What rows without a cost cost at least and at most, and where that is known.

    Shape: the counts of these rows, the index of each one's cell, and the index of why it has no cost among all
        reasons (past the last: there is none); `units` are what they used beside.
    """
    is_bounded = np.array([*(reason in BOUNDED for reason in UnpricedReason), False])[reasons]
    has_units = np.zeros(cell.size, dtype=np.bool_)
    if units is not None:
        has_units[units.rows] = True
    key = (cell * 2 + is_bounded) * 2 + has_units
    places = np.full(len(cells) * 4, -1, dtype=np.intp)
    lows, highs, of_high = list[Tariff](), list[Tariff](), places.copy()
    for number in np.unique(key[is_bounded]).tolist():
        low, high = _envelope_of(cells[number // 4], book, has_units=bool(number % 2))
        places[number] = len(lows)
        lows.append(low)
        if high is not None:
            of_high[number] = len(highs)
            highs.append(high)
    least, most = (
        costs(counts, of[key], tariffs, units, apart=False) for of, tariffs in ((places, lows), (of_high, highs))
    )
    low = least.total if least.known is None else np.where(least.known, least.total, 0)
    return (low, None), (most.total, most.known)


def _envelope_of(cell: Cell, book: PriceBook, *, has_units: bool) -> Envelope:
    multiplier = cell.agreement.multiplier if cell.agreement else None
    return envelope(book, cell.provider, cell.facets or Facets(), multiplier, has_units=has_units)

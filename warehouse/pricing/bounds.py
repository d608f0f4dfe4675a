"""Between which amounts a request without a price costs: its usage at the cheapest and the dearest price there is.

Each kind of token, image and unit takes the lowest, or the highest, rate that any model of the request's provider has
for it, in any period, tier and hour, in the request's own region and mode, times what is agreed. So whichever of these
prices turns out to be the right one, its cost lies between the two. A provider that no file has may be any of them:
from 0 to the dearest of all. Where the usage itself is unknown there is no upper bound: `cost_high` is NULL.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from warehouse.pricing.amounts import Mask, Whole
from warehouse.pricing.book import PriceBook, UnpricedReason
from warehouse.pricing.cells import Cell
from warehouse.pricing.columnar import costs
from warehouse.pricing.distinct import Index, numbered
from warehouse.pricing.envelopes import Envelope, envelope
from warehouse.pricing.extras import ROW
from warehouse.pricing.tariff import Facets, Tariff

BOUNDED = (
    UnpricedReason.UNKNOWN_PROVIDER,
    UnpricedReason.UNKNOWN_MODEL,
    UnpricedReason.NO_PRICE,
    UnpricedReason.PRICE_REFUSED,
)
"""Reasons that leave the usage known, so that other prices can be put on it."""
_NAMES = [reason.value for reason in BOUNDED]
_CELL = "#cell"


def bounds(
    counts: pl.DataFrame,
    cell: Index,
    reasons: pl.Series,
    cells: Sequence[Cell],
    units: pl.DataFrame | None,
    book: PriceBook,
) -> tuple[tuple[Whole, Mask | None], tuple[Whole, Mask | None]]:
    """What rows without a cost cost at least and at most, and where that is known.

    Shape: the bucket columns of these rows, the index of each one's cell, and why it has no cost; `units` are what
        they used beside (see `used_units`).
    """
    keys = pl.DataFrame([pl.Series(_CELL, cell), reasons.is_in(_NAMES).fill_null(value=False).alias("#bounded")])
    has_units = np.zeros(counts.height, dtype=np.bool_)
    if units is not None:
        has_units[units[ROW].to_numpy()] = True
    keys = keys.with_columns(pl.Series("#has_units", has_units))
    number, table = numbered(keys)
    lows: list[Tariff] = []
    highs: list[Tariff] = []
    places: list[tuple[int, int]] = []
    for index, is_bounded, uses_units in table:
        low, high = _envelope_of(cells[index], book, has_units=uses_units) if is_bounded else (None, None)
        lows.extend([low] if low else [])
        highs.extend([high] if high else [])
        places.append((len(lows) - 1 if low else -1, len(highs) - 1 if high else -1))
    of_low, of_high = np.array(places, dtype=np.intp).reshape(-1, 2).T
    least, most = (
        costs(counts, of.take(number), tariffs, units, apart=False)
        for of, tariffs in ((of_low, lows), (of_high, highs))
    )
    low = least.total if least.known is None else np.where(least.known, least.total, 0)
    return (low, None), (most.total, most.known)


def _envelope_of(cell: Cell, book: PriceBook, *, has_units: bool) -> Envelope:
    multiplier = cell.agreement.multiplier if cell.agreement else None
    return envelope(book, cell.provider, cell.facets or Facets(), multiplier, has_units=has_units)

"""Between which amounts a request without a price costs: its usage at the cheapest and the dearest price there is.

Each kind of token, image and unit takes the lowest, or the highest, rate that any model of the request's provider has
for it, in any period, tier and hour, in the request's own region and mode, times what is agreed. So whichever of these
prices turns out to be the right one, its cost lies between the two. A provider that no file has may be any of them:
from 0 to the dearest of all. Where the usage itself is unknown there is no upper bound: `cost_high` is NULL.
"""

from collections.abc import Sequence
from decimal import Decimal

import polars as pl

from warehouse.pricing.book import PriceBook, UnpricedReason
from warehouse.pricing.cells import NOTHING, Cell
from warehouse.pricing.columnar import costs
from warehouse.pricing.envelopes import Envelope, envelope
from warehouse.pricing.extras import ROW, TARIFF, units_of
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
    rows: pl.DataFrame, known: pl.Series, cells: Sequence[Cell], units: pl.DataFrame | None, book: PriceBook
) -> pl.DataFrame:
    """`cost_low` and `cost_high` of each row: the cost itself where it is known.

    Shape: `rows` has the bucket columns, `unpriced_reason` and `#cell`, the index of each row's cell; `known` is the
        cost, null where there is none; `units` are what rows used beside (see `used_units`).
    Units: cents.
    """
    if not known.null_count():
        return pl.DataFrame({"cost_low": known, "cost_high": known})
    unknown = known.is_null()
    low, high = _priced(rows.filter(unknown), cells, units_of(units, unknown), book)
    places = unknown.arg_true()
    return pl.DataFrame(
        {
            "cost_low": known.clone().scatter(places, low.fill_null(Decimal(0))),
            "cost_high": known.clone().scatter(places, high),
        }
    )


def _priced(
    rows: pl.DataFrame, cells: Sequence[Cell], units: pl.DataFrame | None, book: PriceBook
) -> tuple[pl.Series, pl.Series]:
    """What rows without a price cost at least and at most; null where there is no telling."""
    keys = rows.select(_CELL, pl.col("unpriced_reason").is_in(_NAMES).fill_null(value=False).alias("#bounded"))
    has_units = pl.repeat(value=False, n=rows.height, eager=True)
    has_units = has_units if units is None else has_units.scatter(units[ROW], values=True)
    keys = keys.with_columns(has_units.alias("#has_units"))
    table = keys.unique(maintain_order=True)
    lows: list[Tariff] = []
    highs: list[Tariff] = []
    numbers: list[tuple[int | None, int | None]] = []
    for index, is_bounded, uses_units in table.iter_rows():
        low, high = _envelope_of(cells[index], book, has_units=uses_units) if is_bounded else (None, None)
        lows.extend([low] if low else [])
        highs.extend([high] if high else [])
        numbers.append((len(lows) - 1 if low else None, len(highs) - 1 if high else None))
    places = pl.DataFrame(numbers, schema={"#low": pl.UInt32, "#high": pl.UInt32}, orient="row")
    placed = keys.join(table.hstack(places), on=keys.columns, how="left", maintain_order="left")
    counts = rows.select(pl.exclude(_CELL, "unpriced_reason"))
    low, high = (
        costs(placed.select(pl.col(name).alias(TARIFF)).hstack(counts), tariffs or [NOTHING], units, apart=False)
        for name, tariffs in (("#low", lows), ("#high", highs))
    )
    return low["computed_cost"], high["computed_cost"]


def _envelope_of(cell: Cell, book: PriceBook, *, has_units: bool) -> Envelope:
    multiplier = cell.agreement.multiplier if cell.agreement else None
    return envelope(book, cell.provider, cell.facets or Facets(), multiplier, has_units=has_units)

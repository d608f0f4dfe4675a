"""Between which amounts a request without a price costs: its usage at the cheapest and the dearest price there is.

Each kind of token, image and unit takes the lowest, or the highest, rate that any model of the request's provider has
for it, in any period, tier and hour, in the request's own region and mode, times what is agreed. So whichever of these
prices turns out to be the right one, its cost lies between the two. A provider that no file has may be any of them:
from 0 to the dearest of all. Where the usage itself is unknown there is no upper bound: `cost_high` is NULL.
"""

from collections.abc import Sequence

import polars as pl

from warehouse.pricing.book import PriceBook, UnpricedReason
from warehouse.pricing.cells import FACETS, NOTHING, Cell
from warehouse.pricing.columnar import MONEY, TARIFF, UNITS, costs
from warehouse.pricing.envelopes import Envelope, envelope
from warehouse.pricing.tariff import Facets, Tariff

BOUNDED = (
    UnpricedReason.UNKNOWN_PROVIDER,
    UnpricedReason.UNKNOWN_MODEL,
    UnpricedReason.NO_PRICE,
    UnpricedReason.PRICE_REFUSED,
)
"""Reasons that leave the usage known, so that other prices can be put on it."""
_NAMES = [reason.value for reason in BOUNDED]
_NAMED = ("ai_org", "ai_model", "created_at", *FACETS)
"""What cells have told already."""


def bounds(
    rows: pl.DataFrame, known: pl.Series, cell: pl.Series, cells: Sequence[Cell], book: PriceBook
) -> pl.DataFrame:
    """`cost_low` and `cost_high` of each row: the cost itself where it is known.

    Shape: `rows` has the bucket columns, `UNITS` where present, and `unpriced_reason`; `known` is the cost, null
        where there is none; `cell` is the index of each row's cell.
    Units: cents.
    """
    unknown = known.is_null()
    if not unknown.any():
        return pl.DataFrame({"cost_low": known, "cost_high": known})
    opened = rows.select(pl.exclude(*_NAMED, "#cell"), cell.alias("#cell")).filter(unknown)
    low, high = _priced(opened, cells, book)
    low = pl.select(pl.lit(low).fill_null(pl.lit(0).cast(MONEY))).to_series()
    places = unknown.arg_true()
    return pl.DataFrame(
        {"cost_low": known.clone().scatter(places, low), "cost_high": known.clone().scatter(places, high)}
    )


def _priced(rows: pl.DataFrame, cells: Sequence[Cell], book: PriceBook) -> tuple[pl.Series, pl.Series]:
    """What rows without a price cost at least and at most; null where there is no telling."""
    has_units = (pl.col(UNITS).list.len().fill_null(0) > 0) if UNITS in rows.columns else pl.lit(value=False)
    bounded = pl.col("unpriced_reason").is_in(_NAMES)
    keys = rows.select("#cell", has_units.alias("#has_units"), bounded.fill_null(value=False).alias("#bounded"))
    table = keys.unique(maintain_order=True)
    lows: list[Tariff] = []
    highs: list[Tariff] = []
    numbers: list[tuple[int | None, int | None]] = []
    for index, units, is_bounded in table.iter_rows():
        low, high = _envelope_of(cells[index], book, has_units=units) if is_bounded else (None, None)
        lows.extend([low] if low else [])
        highs.extend([high] if high else [])
        numbers.append((len(lows) - 1 if low else None, len(highs) - 1 if high else None))
    places = pl.DataFrame(numbers, schema={"#low": pl.UInt32, "#high": pl.UInt32}, orient="row")
    placed = rows.hstack(
        keys.join(table.hstack(places), on=keys.columns, how="left", maintain_order="left").select("#low", "#high")
    )
    found: list[pl.Series] = []
    for name, tariffs in (("#low", lows), ("#high", highs)):
        frame = placed.select(pl.exclude(TARIFF, "#low", "#high"), pl.col(name).alias(TARIFF))
        found.append(costs(frame, tariffs or [NOTHING])["computed_cost"])
    return found[0], found[1]


def _envelope_of(cell: Cell, book: PriceBook, *, has_units: bool) -> Envelope:
    multiplier = cell.agreement.multiplier if cell.agreement else None
    return envelope(book, cell.provider, cell.facets or Facets(), multiplier, has_units=has_units)

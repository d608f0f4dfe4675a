"""Additional units of whole frames: what rows used beside tokens and images, and what it costs by their tariffs."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from warehouse.pricing.amounts import Mask
from warehouse.pricing.distinct import Index
from warehouse.pricing.tariff import Tariff
from warehouse.pricing.units import QUANTITY_DIGITS, UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN, is_meter

TARIFF = "#tariff"
"""Column of the row's index into the tariffs; null for a row without one."""
ROW, UNIT, QUANTITY, RATE = "row", "unit", "quantity", "rate"
_DECIMAL = pl.Decimal(18, QUANTITY_DIGITS)


def used_units(frame: pl.DataFrame) -> pl.DataFrame | None:
    """Each unit that a row used: the row's number, the unit's name, and how much of it in millionths.

    None where no row used any. Shape: `frame` may have the two lists of units.
    """
    if UNIT_NAME_COLUMN not in frame.columns:
        return None
    columns = (UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN)
    if not frame[UNIT_NAME_COLUMN].explode(empty_as_null=False, keep_nulls=False).len():
        return None
    has_any = (frame[UNIT_NAME_COLUMN].list.len() > 0).fill_null(value=False)
    places = has_any.arg_true().cast(pl.UInt32).alias(ROW)
    flat = frame.select(columns).filter(has_any).with_columns(places).explode(*columns, empty_as_null=False)
    quantity = pl.col(UNIT_QUANTITY_COLUMN).cast(_DECIMAL).to_physical().cast(pl.Int64)
    return flat.select(ROW, pl.col(UNIT_NAME_COLUMN).alias(UNIT), quantity.alias(QUANTITY))


def units_of(units: pl.DataFrame | None, at: Index) -> pl.DataFrame | None:
    """The units of the rows `at` (ascending), numbered among those; None where they used none."""
    if units is None or not at.size:
        return None
    rows = units[ROW].to_numpy()
    places = np.searchsorted(at, rows)
    found = at.take(places, mode="clip") == rows
    if not found.any():
        return None
    return units.with_columns(pl.Series(ROW, places.astype(np.uint32))).filter(pl.Series(found))


def rated_units(units: pl.DataFrame, tariff: Index, tariffs: Sequence[Tariff]) -> pl.DataFrame:
    """Each unit of a row with a tariff: row, unit, quantity, and rate as text, perhaps none.

    Shape: `tariff` is the index of each row's tariff, -1 for a row without one.
    """
    placed = units.with_columns(pl.Series(TARIFF, tariff[units[ROW].to_numpy()])).filter(pl.col(TARIFF) >= 0)
    reached = placed[TARIFF].unique().to_list()
    priced = [(index, unit, str(rate)) for index in reached for unit, rate in tariffs[index].units.items()]
    schema = {TARIFF: pl.Int64(), UNIT: pl.String(), RATE: pl.String()}
    rates = pl.DataFrame(priced, schema=schema, orient="row")
    return placed.join(rates, on=[TARIFF, UNIT], how="left").drop(TARIFF)


def metered(units: pl.DataFrame | None, tariff: Index, tariffs: Sequence[Tariff]) -> tuple[Mask, Mask] | None:
    """Per row, whether it used a priced unit that models are sold by, and whether an unpriced one; None where no row
    used any such.

    Tools that come on top of tokens are neither.
    """
    if units is None:
        return None
    names = [name for name in units[UNIT].unique().to_list() if is_meter(name)]
    meters = units.filter(pl.col(UNIT).is_in(names), pl.col(QUANTITY) > 0)
    if meters.is_empty():
        return None
    meters = rated_units(meters, tariff, tariffs)
    rows, is_priced = meters[ROW].to_numpy(), meters[RATE].is_not_null().to_numpy()
    counted, uncounted = np.zeros(tariff.size, dtype=np.bool_), np.zeros(tariff.size, dtype=np.bool_)
    counted[rows[is_priced]] = True
    uncounted[rows[~is_priced]] = True
    return counted, uncounted

"""Additional units of whole frames: what rows used beside tokens and images, and what it costs by their tariffs."""

from collections.abc import Sequence

import polars as pl

from warehouse.pricing.tariff import Tariff
from warehouse.pricing.units import QUANTITY_DIGITS, UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN, is_meter

TARIFF = "#tariff"
"""Column of the row's index into the tariffs; null for a row without one."""
ROW, UNIT, QUANTITY, RATE = "row", "unit", "quantity", "rate"
_DECIMAL = pl.Decimal(18, QUANTITY_DIGITS)


def has_units(frame: pl.DataFrame) -> pl.Series | None:
    """True for rows that used any unit; None where no row did."""
    if UNIT_NAME_COLUMN not in frame.columns:
        return None
    used = frame[UNIT_NAME_COLUMN].list.len().fill_null(0) > 0
    return used if used.any() else None


def used_units(frame: pl.DataFrame, tariffs: Sequence[Tariff]) -> pl.DataFrame | None:
    """Each unit that a row with a tariff used: its row, name, quantity in millionths, and rate as text, perhaps none.

    None where no row used any. Shape: `frame` has `TARIFF` and may have the two lists of units.
    """
    used = has_units(frame)
    if used is None:
        return None
    columns = (UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN)
    rows = frame.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias(ROW), TARIFF, *columns)
    flat = rows.filter(used & frame[TARIFF].is_not_null()).explode(*columns, empty_as_null=False)
    quantity = pl.col(UNIT_QUANTITY_COLUMN).cast(_DECIMAL).to_physical().cast(pl.Int64)
    flat = flat.select(ROW, TARIFF, pl.col(UNIT_NAME_COLUMN).alias(UNIT), quantity.alias(QUANTITY))
    priced = [(index, unit, str(rate)) for index, tariff in enumerate(tariffs) for unit, rate in tariff.units.items()]
    schema = {TARIFF: frame.schema[TARIFF], UNIT: pl.String(), RATE: pl.String()}
    return flat.join(pl.DataFrame(priced, schema=schema, orient="row"), on=[TARIFF, UNIT], how="left").drop(TARIFF)


def metered(frame: pl.DataFrame, tariffs: Sequence[Tariff]) -> pl.DataFrame:
    """Per row: `counted`, whether it used a priced unit that models are sold by; `uncounted`, whether an unpriced one.

    Tools that come on top of tokens are neither.
    """
    used = used_units(frame, tariffs)
    blank = pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    if used is None:
        return pl.DataFrame({"counted": blank, "uncounted": blank})
    names = used[UNIT].unique().to_list()
    meters = used.filter(pl.col(UNIT).is_in([name for name in names if is_meter(name)]), pl.col(QUANTITY) > 0)
    is_priced = meters[RATE].is_not_null()
    return pl.DataFrame(
        {
            "counted": blank.clone().scatter(meters.filter(is_priced)[ROW].unique(), values=True),
            "uncounted": blank.clone().scatter(meters.filter(~is_priced)[ROW].unique(), values=True),
        }
    )

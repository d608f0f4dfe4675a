"""Additional units of whole frames: what rows used beside tokens and images, and what it costs by their tariffs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import polars as pl

from warehouse.pricing.amounts import LIMIT, Index, Mask, Whole
from warehouse.pricing.distinct import numbered
from warehouse.pricing.reference import COST_DIGITS
from warehouse.pricing.tariff import Tariff, decimals, whole
from warehouse.pricing.units import QUANTITY_DIGITS, UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN, is_meter

_MILLION = 10**QUANTITY_DIGITS
_DECIMAL = pl.Decimal(18, QUANTITY_DIGITS)


@dataclass(frozen=True, slots=True)
class Units:
    """Each unit that each row used. Shape: in order of the rows."""

    rows: Index
    unit: Index
    """Index into `names`."""
    quantity: Whole
    """Units: millionths."""
    names: Sequence[str]

    def where(self, mask: Mask) -> "Units":
        """Some of them."""
        return Units(self.rows[mask], self.unit[mask], self.quantity[mask], self.names)


@dataclass(frozen=True, slots=True)
class Rated:
    """Units that cost something."""

    rows: Index
    quantity: Whole
    """Units: millionths."""
    rate: Index
    """Index into `rates`."""
    rates: Sequence[Decimal]
    """Units: cents."""

    def of(self, at: Index) -> "Rated | None":
        """Those of the rows `at` (ascending), numbered among those; None where they used none."""
        found, places = _among(self.rows, at)
        return Rated(places, self.quantity[found], self.rate[found], self.rates) if found.any() else None


@dataclass(frozen=True, slots=True)
class UnitsCost:
    """What rows pay for their units. Units: 10^-12 cents."""

    rows: Index
    cost: Whole
    about: float
    """The largest. Units: cents."""
    wide: Index
    """Rows whose units cost a fraction of that, or very much: they are in neither of the above."""


def used_units(frame: pl.DataFrame) -> Units | None:
    """Each unit that a row used; None where no row used any. Shape: `frame` may have the two lists of units."""
    if UNIT_NAME_COLUMN not in frame.columns:
        return None
    lengths = frame.select(pl.col(UNIT_NAME_COLUMN).list.len().fill_null(0)).to_series().to_numpy()
    used = np.flatnonzero(lengths)
    if not used.size:
        return None
    columns = (UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN)
    flat = frame.select(columns)[pl.Series(used)].explode(*columns, empty_as_null=False)
    quantity = flat[UNIT_QUANTITY_COLUMN].cast(_DECIMAL).to_physical().cast(pl.Int64)
    unit, names = numbered(flat.select(UNIT_NAME_COLUMN))
    return Units(used.repeat(lengths[used]), unit, quantity.fill_null(0).to_numpy(), [name for (name,) in names])


def units_between(units: Units | None, start: int, stop: int) -> Units | None:
    """The units of the rows from `start` up to `stop`, numbered among those; None where they used none."""
    if units is None:
        return None
    first, last = np.searchsorted(units.rows, (start, stop))
    if first == last:
        return None
    part = slice(first, last)
    return Units(units.rows[part] - start, units.unit[part], units.quantity[part], units.names)


def units_of(units: Units | None, at: Index) -> Units | None:
    """The units of the rows `at` (ascending), numbered among those; None where they used none."""
    if units is None or not at.size:
        return None
    found, places = _among(units.rows, at)
    return replace(units.where(found), rows=places) if found.any() else None


def _among(rows: Index, at: Index) -> tuple[Mask, Index]:
    """Which of the rows are among `at`, and the places of those there."""
    places = np.searchsorted(at, rows)
    found = at.take(places, mode="clip") == rows
    return found, places[found]


def rated_units(units: Units, tariff: Index, tariffs: Sequence[Tariff]) -> Rated:
    """Units with the rates of their rows' tariffs: -1 for a unit that the tariff has none for.

    Shape: `tariff` is the index of each row's tariff, -1 for a row without one.
    """
    of_row = tariff[units.rows]
    numbers = {name: number for number, name in enumerate(units.names)}
    rates: dict[Decimal, int] = {}
    table = np.full((len(tariffs) + 1, len(numbers)), -1, dtype=np.intp)
    for index in np.unique(of_row[of_row >= 0]).tolist():
        for name, rate in tariffs[index].units.items():
            if name in numbers:
                table[index, numbers[name]] = rates.setdefault(rate, len(rates))
    return Rated(units.rows, units.quantity, table[of_row, units.unit], list(rates))


def billed_units(units: Units | None, tariff: Index, tariffs: Sequence[Tariff]) -> Rated | None:
    """The units that cost something; None where none does."""
    if units is None:
        return None
    rated = rated_units(units, tariff, tariffs)
    billed = (rated.rate >= 0) & (rated.quantity > 0)
    if not billed.any():
        return None
    return Rated(rated.rows[billed], rated.quantity[billed], rated.rate[billed], rated.rates)


def metered(units: Units | None, tariff: Index, tariffs: Sequence[Tariff]) -> tuple[Mask, Mask] | None:
    """Per row, whether it used a priced unit that models are sold by, and whether an unpriced one; None where no row
    used any such.

    Tools that come on top of tokens are neither.
    """
    if units is None:
        return None
    is_sold_by = np.array([is_meter(name) for name in units.names], dtype=np.bool_)
    meters = units.where(is_sold_by[units.unit] & (units.quantity > 0) & (tariff[units.rows] >= 0))
    if not meters.rows.size:
        return None
    is_priced = rated_units(meters, tariff, tariffs).rate >= 0
    counted, uncounted = np.zeros(tariff.size, dtype=np.bool_), np.zeros(tariff.size, dtype=np.bool_)
    counted[meters.rows[is_priced]] = True
    uncounted[meters.rows[~is_priced]] = True
    return counted, uncounted


def units_cost(rated: Rated) -> UnitsCost:
    """What the units of each row cost together, exactly."""
    tidy = [decimals(rate) <= COST_DIGITS and rate < LIMIT for rate in rated.rates]
    wholes = [whole(rate, COST_DIGITS) if is_tidy else 0 for rate, is_tidy in zip(rated.rates, tidy, strict=True)]
    rate = np.array(wholes, dtype=np.int64)[rated.rate]
    floats = np.array([float(rate) for rate in rated.rates])
    # Quantities are millionths: both factors are cut in two, so that no product but one too large anyway needs more
    # than 64 bits.
    (count, rest), (rate_count, rate_rest) = np.divmod(rated.quantity, _MILLION), np.divmod(rate, _MILLION)
    starts = np.flatnonzero(np.diff(rated.rows, prepend=-1))
    cost = np.add.reduceat(count * rate + rest * rate_count, starts)
    fraction = np.add.reduceat(rest * rate_rest, starts)
    about = np.add.reduceat(rated.quantity * floats[rated.rate] / _MILLION, starts)
    is_tidy = np.logical_and.reduceat(np.array(tidy)[rated.rate], starts)
    fits = is_tidy & (about < LIMIT // 2 - 1) & (fraction % _MILLION == 0)
    rows = rated.rows[starts]
    return UnitsCost(rows[fits], (cost + fraction // _MILLION)[fits], float(about[fits].max(initial=0)), rows[~fits])

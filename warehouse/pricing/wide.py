"""Costs of rows that 64 bits do not hold: prices finer than money, products of quantities, very large counts.

Polars multiplies Decimals by rounding each product to the larger scale, and its integers wrap silently. So rates become
whole numbers of 10^-digits cents in Int128, as fine as the prices are; a row is rounded once. Rows that could overflow
even that are found by a float estimate first and have no cost.
"""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import polars as pl

from warehouse.pricing.amounts import LIMIT, Amounts, Index
from warehouse.pricing.extras import Rated
from warehouse.pricing.reference import COST_DIGITS
from warehouse.pricing.tariff import CONSTANT, Tariff, decimals, whole
from warehouse.pricing.units import BY_COLUMN, COST_COLUMNS, OTHER_COST, QUANTITIES, QUANTITY_DIGITS
from warehouse.pricing.usage import Counts

_TARIFF = "#tariff"
"""Column of the row's index into the tariffs; null for a row without one."""
_ROW, _QUANTITY, _RATE = "#row", "#quantity", "#rate"
_TOTAL, _UNITS_COST, _UNITS_ESTIMATE = "#total", "#units_cost", "#units_estimate"
_CLEARLY_TOO_LARGE = LIMIT * 1.5
_MOST_DIGITS = 31
"""Decimals that still leave room in Int128 for every cost below the limit."""
_ZERO = Decimal(0)


def wide_costs(
    counts: Counts, tariff: Index, tariffs: Sequence[Tariff], units: Rated | None, *, apart: bool
) -> Amounts:
    """Costs of rows, as `columnar.costs` says them; `units` are those that cost something."""
    reached = np.unique(tariff[tariff >= 0])
    number = np.full(len(tariffs) + 1, -1, dtype=np.intp)
    number[reached] = np.arange(reached.size)
    tariffs = [tariffs[index] for index in reached.tolist()]
    used = [q.column for q in QUANTITIES if q.column in counts and any(q.column in t.rates for t in tariffs)]
    multiplied = {name for one in tariffs for term in one.products for name in term.variables}
    nothing = np.zeros(tariff.size, dtype=np.int64)
    index = pl.Series(_TARIFF, number[tariff])
    rows = pl.DataFrame(
        {_TARIFF: index, **{name: counts.get(name, nothing) for name in sorted(multiplied.union(used))}}
    )
    rows = rows.with_columns(pl.when(pl.col(_TARIFF) >= 0).then(_TARIFF).cast(pl.UInt32).alias(_TARIFF))
    digits = _digits(tariffs, units)
    rows = _with_units(rows, units, digits)
    fits = _estimate(tariffs, used) < _CLEARLY_TOO_LARGE
    rows = rows.with_columns(pl.when(fits).then(_TARIFF).alias(_TARIFF))
    return _settled(rows, _parts(tariffs, used, digits, with_units=units is not None), digits, apart=apart)


def _digits(tariffs: Sequence[Tariff], units: Rated | None) -> int:
    """Decimals of the finest product."""
    finest = max((tariff.digits for tariff in tariffs), default=0)
    if units is not None:
        finest = max(finest, *(decimals(rate) + QUANTITY_DIGITS for rate in units.rates))
    return min(max(COST_DIGITS, finest), _MOST_DIGITS)


def _with_units(rows: pl.DataFrame, units: Rated | None, digits: int) -> pl.DataFrame:
    """`rows` with what their additional units cost: about, and exactly as whole numbers."""
    if units is None:
        return rows.with_columns(pl.lit(0.0).alias(_UNITS_ESTIMATE))
    amounts = [whole(rate, digits - QUANTITY_DIGITS) for rate in units.rates]  # quantities are millionths
    floats = [float(rate) for rate in units.rates]
    rates = pl.DataFrame({_RATE: range(len(amounts)), "whole": pl.Series(amounts, dtype=pl.Int128), "about": floats})
    used = pl.DataFrame({_ROW: units.rows, _QUANTITY: units.quantity, _RATE: units.rate})
    costs = (
        used.join(rates, on=_RATE)
        .group_by(_ROW)
        .agg(
            (pl.col(_QUANTITY).cast(pl.Int128) * pl.col("whole")).sum().alias(_UNITS_COST),
            (pl.col(_QUANTITY) * pl.col("about") / 10**QUANTITY_DIGITS).sum().alias(_UNITS_ESTIMATE),
        )
    )
    return (
        rows.with_columns(pl.int_range(rows.height).alias(_ROW))
        .join(costs, on=_ROW, how="left", maintain_order="left")
        .with_columns(pl.col(_UNITS_COST, _UNITS_ESTIMATE).fill_null(0))
    )


def _parts(tariffs: Sequence[Tariff], used: Sequence[str], digits: int, *, with_units: bool) -> dict[str, pl.Expr]:
    """One expression per cost column that any tariff bills, as whole numbers; null for rows without a tariff."""
    found: dict[str, list[pl.Expr]] = {name: [] for name in COST_COLUMNS}
    for name in used:
        found[BY_COLUMN[name].cost_column].append(pl.col(name).cast(pl.Int128) * _spread(tariffs, name, digits))
    if any(tariff.constant for tariff in tariffs):
        found[OTHER_COST].append(_spread(tariffs, CONSTANT, digits))
    for index, tariff in enumerate(tariffs):
        for term in tariff.products:
            product = pl.lit(whole(term.coefficient, digits), dtype=pl.Int128)
            for name in term.variables:
                product = product * pl.col(name).cast(pl.Int128)
            # `otherwise` alone would give rows without a tariff a cost.
            priced = pl.when(pl.col(_TARIFF).is_not_null()).then(0)
            found[OTHER_COST].append(pl.when(pl.col(_TARIFF) == index).then(product).otherwise(priced))
    if with_units:
        found[OTHER_COST].append(pl.when(pl.col(_TARIFF).is_not_null()).then(_UNITS_COST))
    return {name: _sum(parts) for name, parts in found.items() if parts}


def _settled(rows: pl.DataFrame, parts: dict[str, pl.Expr], digits: int, *, apart: bool) -> Amounts:
    """Whole numbers with their sum. The sum is rounded once; parts are cut, the dearest takes the rest."""
    rounded = digits > COST_DIGITS
    if not parts:
        known = rows[_TARIFF].is_not_null().to_numpy()
        return Amounts({}, np.zeros(rows.height, dtype=np.int64), known)
    if apart or rounded:
        whole_numbers = rows.select(part.alias(name) for name, part in parts.items())
        whole_numbers = whole_numbers.with_columns(_sum([pl.col(name) for name in parts]).alias(_TOTAL))
    else:
        whole_numbers = rows.select(_sum(list(parts.values())).alias(_TOTAL))
    if rounded:
        whole_numbers = _rounded(whole_numbers, digits)
    fits = pl.col(_TOTAL) < LIMIT * 10**COST_DIGITS
    whole_numbers = whole_numbers.select(pl.when(fits).then(name).alias(name) for name in whole_numbers.columns)
    known = whole_numbers[_TOTAL].is_not_null().to_numpy()
    amounts = {one.name: one.fill_null(0).cast(pl.Int64).to_numpy(writable=True) for one in whole_numbers}
    return Amounts({name: amounts[name] for name in parts if apart}, amounts[_TOTAL], known)


def _rounded(parts: pl.DataFrame, digits: int) -> pl.DataFrame:
    """Finer whole numbers at the digits of money."""
    names = [name for name in parts.columns if name != _TOTAL]
    if not names:
        return parts.select(_half_even(pl.col(_TOTAL), _power(digits)))
    dearest = pl.concat_list(names).list.arg_max().alias("#dearest")
    cut = [pl.col(name) // _power(digits) for name in names]
    whole_numbers = parts.select(*cut, dearest, _half_even(pl.col(_TOTAL), _power(digits)))
    rest = pl.col(_TOTAL) - _sum([pl.col(name) for name in names])
    settled = (
        (pl.col(name) + pl.when(pl.col("#dearest") == index).then(rest).otherwise(0)).alias(name)
        for index, name in enumerate(names)
    )
    return whole_numbers.select(*settled, _TOTAL)


def _half_even(value: pl.Expr, power: pl.Expr) -> pl.Expr:
    quotient, rest = value // power, value % power
    up = (rest * 2 > power) | ((rest * 2 == power) & (quotient % 2 == 1))
    return (quotient + up.cast(pl.Int128)).alias(_TOTAL)


def _power(digits: int) -> pl.Expr:
    return pl.lit(10 ** (digits - COST_DIGITS), dtype=pl.Int128)


def _spread(tariffs: Sequence[Tariff], column: str, digits: int) -> pl.Expr:
    """An amount of each row's tariff, as a whole number; null where the row has no tariff."""
    amounts = pl.Series([tariff.whole(column, digits) for tariff in tariffs], dtype=pl.Int128)
    return pl.lit(amounts).gather(pl.col(_TARIFF))


def _sum(parts: Sequence[pl.Expr]) -> pl.Expr:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _estimate(tariffs: Sequence[Tariff], used: Sequence[str]) -> pl.Expr:
    """About what a row costs, in cents: enough to see an overflow coming."""
    total = _spread_float([tariff.constant for tariff in tariffs]) + pl.col(_UNITS_ESTIMATE)
    for name in used:
        rate = _spread_float([tariff.rates.get(name, _ZERO) for tariff in tariffs])
        total = total + pl.col(name).cast(pl.Float64) * rate
    for index, tariff in enumerate(tariffs):
        for term in tariff.products:
            product = pl.lit(float(term.coefficient))
            for name in term.variables:
                product = product * pl.col(name).cast(pl.Float64)
            total = total + pl.when(pl.col(_TARIFF) == index).then(product).otherwise(0.0)
    return total


def _spread_float(amounts: Sequence[Decimal]) -> pl.Expr:
    return pl.lit(pl.Series([float(amount) for amount in amounts], dtype=pl.Float64)).gather(pl.col(_TARIFF))

"""Tariffs × quantities as exact integer arithmetic on columns: the only translation of prices to Polars.

Polars multiplies Decimals by rounding each product to the larger scale, and its integers wrap silently. So rates become
whole numbers of 10^-digits cents, in Int64 where all prices fit 12 digits and no row can overflow, else in Int128; a
row is rounded once. Rows that could overflow are found by a float estimate first and left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl

from warehouse.pricing.amounts import Amounts, Whole
from warehouse.pricing.distinct import Index
from warehouse.pricing.extras import QUANTITY, RATE, ROW, TARIFF, rated_units, units_of
from warehouse.pricing.formula import EXACT
from warehouse.pricing.reference import COST_DIGITS
from warehouse.pricing.tariff import CONSTANT, Tariff, decimals, whole
from warehouse.pricing.units import BY_COLUMN, COST_COLUMNS, OTHER_COST, QUANTITIES, QUANTITY_DIGITS, UNIT_NAME_COLUMN

UNITS = UNIT_NAME_COLUMN
"""Optional column: the names of the additional units that a request used, beside `units.quantity`."""
_NONE = Tariff({}, Decimal(0), (), {})
_LIMIT = 10 ** (18 - COST_DIGITS)
"""Cents that no longer fit DECIMAL(18,12)."""
_CLEARLY_TOO_LARGE = _LIMIT * 1.5
_TOTAL = "#total"
_UNITS_COST, _UNITS_ESTIMATE = "#units_cost", "#units_estimate"
_MOST_DIGITS = 31
"""Decimals that still leave room in Int128 for every cost below the limit."""
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Scale:
    """How cents are held as whole numbers."""

    digits: int
    dtype: type[pl.Int64] | type[pl.Int128]
    guarded: bool


def costs(
    counts: pl.DataFrame,
    tariff: Index,
    tariffs: Sequence[Tariff],
    units: pl.DataFrame | None = None,
    *,
    apart: bool = True,
) -> Amounts:
    """What each row costs in all, and (where they are told `apart`) in each cost column.

    Not known for rows without a tariff or with too large a cost. Shape: `counts` has bucket columns (Int64; an absent
    one is empty), `tariff` the index of each row's tariff, -1 for none; no count is negative where there is a tariff.
    `units` are what the rows used beside (see `used_units`).
    """
    rated = None if units is None else rated_units(units, tariff, tariffs)
    rated = None if rated is None else rated.filter(pl.col(RATE).is_not_null(), pl.col(QUANTITY) > 0)
    fine = np.array([*map(_is_fine, tariffs), False])  # the last one stands for no tariff
    wide = fine.take(tariff) if fine.any() else None
    extra: pl.DataFrame | None = None
    if rated is not None and rated.height:
        sums = _summed(rated)
        extra, fine_sums = sums.filter(pl.col(_UNITS_COST).is_not_null()), sums.filter(pl.col(_UNITS_COST).is_null())
        if fine_sums.height:
            wide = np.zeros(counts.height, dtype=np.bool_) if wide is None else wide
            wide[fine_sums[ROW].to_numpy()] = True
    at = np.flatnonzero(wide) if wide is not None else np.array([], dtype=np.intp)
    if not at.size:
        return _plain_costs(counts, tariff, tariffs, extra, apart=apart)
    # Few rows need wide numbers; the others need not pay for them.
    exact = _costs(_placed(counts[pl.Series(at)], tariff[at]), tariffs, units_of(rated, at), apart=apart)
    narrow = tariff.copy()
    narrow[at] = -1
    kept = [_NONE if is_fine else one for one, is_fine in zip(tariffs, fine[:-1], strict=True)]
    return _merged(_plain_costs(counts, narrow, kept, extra, apart=apart), at, exact)


def _merged(amounts: Amounts, at: Index, others: Amounts) -> Amounts:
    """The amounts with those of the rows `at` from others."""
    size = amounts.total.size
    parts = {name: amounts.parts.get(name, _nothing(size)) for name in (*amounts.parts, *others.parts)}
    for name, part in parts.items():
        part[at] = others.parts.get(name, 0)
    amounts.total[at] = others.total
    known = np.ones(size, dtype=np.bool_) if amounts.known is None else amounts.known
    known[at] = True if others.known is None else others.known
    return Amounts(parts, amounts.total, known)


def _nothing(size: int) -> Whole:
    return np.zeros(size, dtype=np.int64)


def _plain_costs(
    counts: pl.DataFrame, tariff: Index, tariffs: Sequence[Tariff], extra: pl.DataFrame | None, *, apart: bool
) -> Amounts:
    """Costs by tariffs that fit 64 bits; `extra` is (row, cost) of additional units."""
    used = _used(counts, tariffs)
    scale = _scale(counts.select(used), tariffs, used, None, extra)
    if scale.guarded or scale.dtype is not pl.Int64:
        return _costs(_placed(counts, tariff), tariffs, extra=extra, apart=apart)
    parts: dict[str, Whole] = {}

    def add(name: str, amounts: Whole) -> None:
        name = name if apart else _TOTAL
        parts[name] = np.add(parts[name], amounts, out=parts[name]) if name in parts else amounts

    for name in used:
        amounts = _rates(tariffs, name).take(tariff)
        np.multiply(amounts, counts[name].fill_null(0).to_numpy(), out=amounts)
        add(BY_COLUMN[name].cost_column, amounts)
    if any(one.constant for one in tariffs):
        add(OTHER_COST, _rates(tariffs, CONSTANT).take(tariff))
    if extra is not None:
        amounts = _nothing(counts.height)
        amounts[extra[ROW].to_numpy()] = extra[_UNITS_COST].to_numpy()
        add(OTHER_COST, amounts)
    total = parts.pop(_TOTAL, None)
    known = tariff >= 0
    return Amounts(parts, total if total is not None else _total(parts, counts.height), None if known.all() else known)


def _used(counts: pl.DataFrame, tariffs: Sequence[Tariff]) -> list[str]:
    """The columns that cost anything."""
    return [q.column for q in QUANTITIES if q.column in counts.columns and any(q.column in t.rates for t in tariffs)]


def _rates(tariffs: Sequence[Tariff], column: str) -> Whole:
    """What each tariff takes, as a whole number; nothing for -1, the last."""
    return np.array([*(tariff.whole(column, COST_DIGITS) for tariff in tariffs), 0], dtype=np.int64)


def _total(parts: Mapping[str, Whole], size: int) -> Whole:
    amounts = list(parts.values())
    total = amounts[0].copy() if len(amounts) == 1 else _nothing(size) if not amounts else amounts[0] + amounts[1]
    for more in amounts[2:]:
        np.add(total, more, out=total)
    return total


def _placed(counts: pl.DataFrame, tariff: Index) -> pl.DataFrame:
    """Counts with the index of their tariff as a column, null for none."""
    index = pl.Series(TARIFF, tariff)
    return counts.with_columns(pl.select(pl.when(index >= 0).then(index).cast(pl.UInt32)).to_series().alias(TARIFF))


def _is_fine(tariff: Tariff) -> bool:
    """True for a tariff whose costs do not fit 64 bits: finer than money, or products of quantities."""
    return bool(tariff.products) or tariff.digits > COST_DIGITS or tariff.dearest >= _LIMIT


def _summed(rated: pl.DataFrame) -> pl.DataFrame:
    """Row, and what its units cost in 10^-12 cents; null where that is not whole, or large."""
    names = rated[RATE].unique(maintain_order=True)
    rates = [Decimal(name) for name in names]
    tidy = [whole(rate, COST_DIGITS) if decimals(rate) <= COST_DIGITS and rate < _LIMIT else None for rate in rates]
    table = pl.DataFrame({RATE: names, "whole": pl.Series(tidy, dtype=pl.Int64), "about": [float(r) for r in rates]})
    millionths = pl.col(QUANTITY).cast(pl.Int128) * pl.col("whole")
    sums = (
        rated.join(table, on=RATE)
        .group_by(ROW)
        .agg(
            millionths.sum().alias("cost"),
            (pl.col(QUANTITY) * pl.col("about") / 10**QUANTITY_DIGITS).sum().alias("about"),
            pl.col("whole").null_count().alias("fine"),
        )
    )
    is_whole = (pl.col("fine") == 0) & (pl.col("about") < _LIMIT // 2 - 1) & (pl.col("cost") % 10**QUANTITY_DIGITS == 0)
    cost = pl.when(is_whole).then(pl.col("cost") // 10**QUANTITY_DIGITS).cast(pl.Int64)
    return sums.select(ROW, cost.alias(_UNITS_COST))


def _costs(
    frame: pl.DataFrame,
    tariffs: Sequence[Tariff],
    units: pl.DataFrame | None = None,
    *,
    extra: pl.DataFrame | None = None,
    apart: bool,
) -> Amounts:
    """Costs of all rows at one scale.

    `units` are (row, quantity, rate) of additional units that cost something; or `extra` is (row, cost) of them.
    """
    used = _used(frame, tariffs)
    multiplied = {name for tariff in tariffs for term in tariff.products for name in term.variables}
    absent = [pl.lit(0, dtype=pl.Int64).alias(name) for name in sorted(multiplied - set(frame.columns))]
    frame = frame.with_columns(absent) if absent else frame
    rows = frame.select(pl.col(TARIFF), *(_filled(frame, name) for name in sorted(multiplied.union(used))))
    scale = _scale(rows, tariffs, used, units, extra)
    if extra is not None:
        column = pl.zeros(rows.height, dtype=pl.Int64, eager=True).scatter(extra[ROW], extra[_UNITS_COST])
        rows = rows.with_columns(column.alias(_UNITS_COST))
    if scale.guarded:
        about = _with_units(rows, units)
        fits = _estimate(tariffs, used) < _CLEARLY_TOO_LARGE
        rows = about.with_columns(pl.when(fits).then(TARIFF).alias(TARIFF))
    if units is not None:
        rows = _units_cost(rows, units, scale)
    parts = _parts(tariffs, used, scale, with_units=_UNITS_COST in rows.columns)
    return _settled(rows, parts, scale, apart=apart)


def _filled(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name).fill_null(0) if frame[name].null_count() else pl.col(name)


def _parts(tariffs: Sequence[Tariff], used: Sequence[str], scale: _Scale, *, with_units: bool) -> dict[str, pl.Expr]:
    """One expression per cost column that any tariff bills, as whole numbers; null for rows without a tariff."""
    found: dict[str, list[pl.Expr]] = {name: [] for name in COST_COLUMNS}
    for name in used:
        found[BY_COLUMN[name].cost_column].append(pl.col(name).cast(scale.dtype) * _spread(tariffs, name, scale))
    if any(tariff.constant for tariff in tariffs):
        found[OTHER_COST].append(_spread(tariffs, CONSTANT, scale))
    for index, tariff in enumerate(tariffs):
        for term in tariff.products:
            product = pl.lit(whole(term.coefficient, scale.digits), dtype=scale.dtype)
            for name in term.variables:
                product = product * pl.col(name).cast(scale.dtype)
            # `otherwise` alone would give rows without a tariff a cost.
            priced = pl.when(pl.col(TARIFF).is_not_null()).then(0)
            found[OTHER_COST].append(pl.when(pl.col(TARIFF) == index).then(product).otherwise(priced))
    if with_units:
        found[OTHER_COST].append(pl.when(pl.col(TARIFF).is_not_null()).then(_UNITS_COST))
    return {name: _sum(parts) for name, parts in found.items() if parts}


def _settled(rows: pl.DataFrame, parts: dict[str, pl.Expr], scale: _Scale, *, apart: bool) -> Amounts:
    """Whole numbers with their sum. The sum is rounded once; parts are cut, the dearest takes the rest."""
    rounded = scale.digits > COST_DIGITS
    if not parts:
        known = rows[TARIFF].is_not_null().to_numpy()
        return Amounts({}, _nothing(rows.height), known)
    if apart or rounded:
        whole_numbers = rows.select(part.alias(name) for name, part in parts.items())
        whole_numbers = whole_numbers.with_columns(_sum([pl.col(name) for name in parts]).alias(_TOTAL))
    else:
        whole_numbers = rows.select(_sum(list(parts.values())).alias(_TOTAL))
    if rounded:
        whole_numbers = _rounded(whole_numbers, scale)
    fits = pl.col(_TOTAL) < _LIMIT * 10**COST_DIGITS
    whole_numbers = whole_numbers.select(pl.when(fits).then(name).alias(name) for name in whole_numbers.columns)
    known = whole_numbers[_TOTAL].is_not_null().to_numpy()
    amounts = {one.name: one.fill_null(0).cast(pl.Int64).to_numpy(writable=True) for one in whole_numbers}
    return Amounts({name: amounts[name] for name in parts if apart}, amounts[_TOTAL], known)


def _rounded(parts: pl.DataFrame, scale: _Scale) -> pl.DataFrame:
    """Finer whole numbers at the digits of money."""
    names = [name for name in parts.columns if name != _TOTAL]
    if not names:
        return parts.select(_half_even(pl.col(_TOTAL), _power(scale)))
    dearest = pl.concat_list(names).list.arg_max().alias("#dearest")
    cut = [pl.col(name) // _power(scale) for name in names]
    whole_numbers = parts.select(*cut, dearest, _half_even(pl.col(_TOTAL), _power(scale)))
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


def _power(scale: _Scale) -> pl.Expr:
    return pl.lit(10 ** (scale.digits - COST_DIGITS), dtype=pl.Int128)


def _spread(tariffs: Sequence[Tariff], column: str, scale: _Scale) -> pl.Expr:
    """An amount of each row's tariff, as a whole number; null where the row has no tariff."""
    amounts = pl.Series([tariff.whole(column, scale.digits) for tariff in tariffs], dtype=scale.dtype)
    return pl.lit(amounts).gather(pl.col(TARIFF))


def _sum(parts: Sequence[pl.Expr]) -> pl.Expr:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _scale(
    rows: pl.DataFrame,
    tariffs: Sequence[Tariff],
    used: Sequence[str],
    units: pl.DataFrame | None,
    extra: pl.DataFrame | None,
) -> _Scale:
    """The cheapest scale that is exact: from the prices' digits and the largest cost that a row could have."""
    finest = max((tariff.digits for tariff in tariffs), default=0)
    if units is not None:
        finest = max(finest, *(decimals(Decimal(rate)) + QUANTITY_DIGITS for rate in units[RATE].unique()))
    digits = min(max(COST_DIGITS, finest), _MOST_DIGITS)
    most = rows.select(pl.all().max()).row(0, named=True) if rows.height else {}
    bound = max((tariff.constant for tariff in tariffs), default=_ZERO)
    for name in used:
        dearest = max(tariff.rates.get(name, _ZERO) for tariff in tariffs)
        bound += EXACT.multiply(dearest, Decimal(most.get(name) or 0))
    if extra is not None:
        bound += _LIMIT // 2
    guarded = bound >= _LIMIT or units is not None or any(tariff.products for tariff in tariffs)
    narrow = digits == COST_DIGITS and all(tariff.dearest < _LIMIT for tariff in tariffs)
    return _Scale(digits, pl.Int64 if narrow else pl.Int128, guarded)


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
            total = total + pl.when(pl.col(TARIFF) == index).then(product).otherwise(0.0)
    return total


def _spread_float(amounts: Sequence[Decimal]) -> pl.Expr:
    return pl.lit(pl.Series([float(amount) for amount in amounts], dtype=pl.Float64)).gather(pl.col(TARIFF))


def _with_units(rows: pl.DataFrame, units: pl.DataFrame | None) -> pl.DataFrame:
    """`rows` with what their additional units cost, about."""
    if units is None:
        about = pl.col(_UNITS_COST) / 10**COST_DIGITS if _UNITS_COST in rows.columns else pl.lit(0.0)
        return rows.with_columns(about.alias(_UNITS_ESTIMATE))
    about = units.group_by(ROW).agg(
        (pl.col(QUANTITY) * pl.col(RATE).cast(pl.Float64) / 10**QUANTITY_DIGITS).sum().alias(_UNITS_ESTIMATE)
    )
    return (
        rows.with_row_index(ROW)
        .join(about, on=ROW, how="left", maintain_order="left")
        .with_columns(pl.col(_UNITS_ESTIMATE).fill_null(0.0))
    )


def _units_cost(rows: pl.DataFrame, units: pl.DataFrame, scale: _Scale) -> pl.DataFrame:
    """`rows` with what their additional units cost, exactly, as whole numbers. Quantities are millionths."""
    names = units[RATE].unique(maintain_order=True)
    amounts = pl.Series([whole(Decimal(name), scale.digits - QUANTITY_DIGITS) for name in names], dtype=pl.Int128)
    rates = pl.DataFrame({RATE: names, "whole": amounts})
    cost = (
        units.join(rates, on=RATE)
        .group_by(ROW)
        .agg((pl.col(QUANTITY).cast(pl.Int128) * pl.col("whole")).sum().alias(_UNITS_COST))
    )
    exact = pl.when(pl.col(TARIFF).is_not_null()).then(pl.col(_UNITS_COST).fill_null(0)).cast(scale.dtype)
    return rows.join(cost, on=ROW, how="left", maintain_order="left").with_columns(exact.alias(_UNITS_COST))

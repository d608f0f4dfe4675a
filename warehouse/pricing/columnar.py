"""Tariffs × quantities as exact integer arithmetic on columns: the only translation of prices to Polars.

Polars multiplies Decimals by rounding each product to the larger scale, and its integers wrap silently. So rates become
whole numbers of 10^-digits cents, in Int64 where all prices fit 12 digits and no row can overflow, else in Int128; a
row is rounded once. Rows that could overflow are found by a float estimate first and left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from warehouse.pricing.extras import QUANTITY, RATE, ROW, TARIFF, used_units
from warehouse.pricing.formula import EXACT
from warehouse.pricing.reference import COST_DIGITS
from warehouse.pricing.tariff import Tariff
from warehouse.pricing.units import BY_COLUMN, COST_COLUMNS, OTHER_COST, QUANTITIES, QUANTITY_DIGITS, UNIT_NAME_COLUMN

MONEY = pl.Decimal(18, COST_DIGITS)
UNITS = UNIT_NAME_COLUMN
"""Optional column: the names of the additional units that a request used, beside `units.quantity`."""
_NONE = Tariff({}, Decimal(0), (), {})
_LIMIT = 10 ** (18 - COST_DIGITS)
"""Cents that no longer fit DECIMAL(18,12)."""
_CLEARLY_TOO_LARGE = _LIMIT * 1.5
_UNITS_COST, _UNITS_ESTIMATE, _NOTHING = "#units_cost", "#units_estimate", "#nothing"
_MOST_DIGITS = 31
"""Decimals that still leave room in Int128 for every cost below the limit."""
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Scale:
    """How cents are held as whole numbers."""

    digits: int
    dtype: type[pl.Int64] | type[pl.Int128]
    guarded: bool

    def whole(self, amount: Decimal) -> int:
        return int(amount.scaleb(self.digits, EXACT).to_integral_value(context=EXACT))


def costs(frame: pl.DataFrame, tariffs: Sequence[Tariff]) -> pl.DataFrame:
    """All cost columns and `computed_cost`, in cents; all null for rows without a tariff or with too large a cost.

    Shape: one row per row of `frame`, which has bucket columns (Int64; an absent one is empty), `#tariff` and perhaps
        the lists of additional units; none is negative where there is a tariff.
    """
    units = used_units(frame, tariffs)
    units = None if units is None else units.filter(pl.col(RATE).is_not_null(), pl.col(QUANTITY) > 0)
    units = units if units is not None and units.height else None
    fine = [index for index, tariff in enumerate(tariffs) if _is_fine(tariff)]
    if units is None and not fine:
        return _costs(frame, tariffs, None)
    # Few rows need wide numbers; the others need not pay for them.
    wide = frame[TARIFF].is_in(fine).fill_null(value=False)
    if units is not None:
        wide = wide.scatter(units[ROW].unique(), values=True)
    if not wide.any():
        return _costs(frame, tariffs, None)
    place = (wide.cum_sum() - 1).cast(pl.UInt32)
    units = None if units is None else units.with_columns(place.gather(units[ROW]).alias(ROW))
    exact = _costs(frame.filter(wide), tariffs, units)
    if exact.height == frame.height:
        return exact
    narrow = frame.with_columns(pl.when(~wide).then(TARIFF).alias(TARIFF))
    plain = _costs(narrow, [_NONE if index in fine else tariff for index, tariff in enumerate(tariffs)], None)
    rows = wide.arg_true()
    return plain.with_columns(column.scatter(rows, exact[column.name]) for column in plain.iter_columns())


def _is_fine(tariff: Tariff) -> bool:
    """True for a tariff whose costs do not fit 64 bits: finer than money, or products of quantities."""
    amounts = (*tariff.rates.values(), tariff.constant)
    return bool(tariff.products) or any(_digits(amount) > COST_DIGITS or amount >= _LIMIT for amount in amounts)


def _digits(amount: Decimal) -> int:
    return -int(amount.normalize(EXACT).as_tuple().exponent)


def _costs(frame: pl.DataFrame, tariffs: Sequence[Tariff], units: pl.DataFrame | None) -> pl.DataFrame:
    """Costs of all rows at one scale. `units` are (row, quantity, rate) of the additional units that cost something."""
    used = [q.column for q in QUANTITIES if q.column in frame.columns and any(q.column in t.rates for t in tariffs)]
    multiplied = {name for tariff in tariffs for term in tariff.products for name in term.variables}
    absent = [pl.lit(0, dtype=pl.Int64).alias(name) for name in sorted(multiplied - set(frame.columns))]
    frame = frame.with_columns(absent) if absent else frame
    rows = frame.select(pl.col(TARIFF), *(_filled(frame, name) for name in sorted(multiplied.union(used))))
    scale = _scale(rows, tariffs, used, units)
    if scale.guarded:
        fits = _estimate(tariffs, used) < _CLEARLY_TOO_LARGE
        rows = _with_units(rows, units).with_columns(pl.when(fits).then(TARIFF).alias(TARIFF))
    if units is not None:
        rows = _units_cost(rows, units, scale)
    parts = _parts(tariffs, used, scale, with_units=units is not None)
    nothing = pl.when(pl.col(TARIFF).is_not_null()).then(pl.lit(0, dtype=scale.dtype))
    money = _settled(rows.select([*(part.alias(name) for name, part in parts.items()), nothing.alias(_NOTHING)]), scale)
    # What no tariff bills costs the same nothing: one column under several names.
    return money.select(
        pl.col(name if name in money.columns else _NOTHING).alias(name) for name in (*COST_COLUMNS, "computed_cost")
    )


def _filled(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name).fill_null(0) if frame[name].null_count() else pl.col(name)


def _parts(tariffs: Sequence[Tariff], used: Sequence[str], scale: _Scale, *, with_units: bool) -> dict[str, pl.Expr]:
    """One expression per cost column that any tariff bills, and their sum, as whole numbers."""
    found: dict[str, list[pl.Expr]] = {name: [] for name in COST_COLUMNS}
    for name in used:
        rate = _spread(tariffs, lambda tariff, n=name: tariff.rates.get(n, _ZERO), scale)
        found[BY_COLUMN[name].cost_column].append(pl.col(name).cast(scale.dtype) * rate)
    if any(tariff.constant for tariff in tariffs):
        found[OTHER_COST].append(_spread(tariffs, lambda tariff: tariff.constant, scale))
    for index, tariff in enumerate(tariffs):
        for term in tariff.products:
            product = pl.lit(scale.whole(term.coefficient), dtype=scale.dtype)
            for name in term.variables:
                product = product * pl.col(name).cast(scale.dtype)
            found[OTHER_COST].append(pl.when(pl.col(TARIFF) == index).then(product).otherwise(0))
    if with_units:
        found[OTHER_COST].append(pl.col(_UNITS_COST))
    return {name: _sum(parts) for name, parts in found.items() if parts}


def _settled(parts: pl.DataFrame, scale: _Scale) -> pl.DataFrame:
    """Whole numbers → money, with their sum. The sum is rounded once; parts are cut, the dearest takes the rest."""
    names = [name for name in parts.columns if name != _NOTHING] or [_NOTHING]
    whole = parts.with_columns(_sum([pl.col(name) for name in names]).alias("computed_cost"))
    if scale.digits > COST_DIGITS:
        dearest = pl.concat_list(names).list.arg_max().alias("#dearest")
        cut = [pl.col(name) // _power(scale) for name in names]
        whole = whole.select(*cut, dearest, _half_even(pl.col("computed_cost"), _power(scale)).alias("computed_cost"))
        rest = pl.col("computed_cost") - _sum([pl.col(name) for name in names])
        whole = whole.with_columns(
            (pl.col(name) + pl.when(pl.col("#dearest") == index).then(rest).otherwise(0)).alias(name)
            for index, name in enumerate(names)
        ).with_columns(parts[_NOTHING])
    names = list(dict.fromkeys([*names, _NOTHING, "computed_cost"]))
    if scale.guarded or scale.digits > COST_DIGITS:
        fits = pl.col("computed_cost") < _LIMIT * 10**COST_DIGITS
        whole = whole.select(pl.when(fits).then(pl.col(name)).alias(name) for name in names)
    return whole.select(pl.col(name).cast(pl.Int128).reinterpret(dtype=MONEY) for name in names)


def _half_even(value: pl.Expr, power: pl.Expr) -> pl.Expr:
    quotient, rest = value // power, value % power
    up = (rest * 2 > power) | ((rest * 2 == power) & (quotient % 2 == 1))
    return quotient + up.cast(pl.Int128)


def _power(scale: _Scale) -> pl.Expr:
    return pl.lit(10 ** (scale.digits - COST_DIGITS), dtype=pl.Int128)


def _spread(tariffs: Sequence[Tariff], amount: Callable[[Tariff], Decimal], scale: _Scale) -> pl.Expr:
    """An amount of each row's tariff, as a whole number; null where the row has no tariff."""
    return pl.lit(pl.Series([scale.whole(amount(tariff)) for tariff in tariffs], dtype=scale.dtype)).gather(
        pl.col(TARIFF)
    )


def _sum(parts: Sequence[pl.Expr]) -> pl.Expr:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _scale(rows: pl.DataFrame, tariffs: Sequence[Tariff], used: Sequence[str], units: pl.DataFrame | None) -> _Scale:
    """The cheapest scale that is exact: from the prices' digits and the largest cost that a row could have."""
    amounts = [_ZERO, *(amount for tariff in tariffs for amount in _amounts(tariff))]
    finest = max(_digits(amount) for amount in amounts)
    if units is not None:
        finest = max(finest, *(_digits(Decimal(rate)) + QUANTITY_DIGITS for rate in units[RATE].unique()))
    digits = min(max(COST_DIGITS, finest), _MOST_DIGITS)
    most = rows.select(pl.all().max()).row(0, named=True) if rows.height else {}
    bound = max((tariff.constant for tariff in tariffs), default=_ZERO)
    for name in used:
        bound += EXACT.multiply(max(tariff.rates.get(name, _ZERO) for tariff in tariffs), Decimal(most.get(name) or 0))
    guarded = bound >= _LIMIT or units is not None or any(tariff.products for tariff in tariffs)
    narrow = digits == COST_DIGITS and max(amounts) < _LIMIT
    return _Scale(digits, pl.Int64 if narrow else pl.Int128, guarded)


def _amounts(tariff: Tariff) -> list[Decimal]:
    products = (term.coefficient for term in tariff.products)
    return [*tariff.rates.values(), tariff.constant, *products]


def _estimate(tariffs: Sequence[Tariff], used: Sequence[str]) -> pl.Expr:
    """About what a row costs, in cents: enough to see an overflow coming."""
    total = _spread_float(tariffs, lambda tariff: tariff.constant) + pl.col(_UNITS_ESTIMATE)
    for name in used:
        total = total + pl.col(name).cast(pl.Float64) * _spread_float(tariffs, lambda t, n=name: t.rates.get(n, _ZERO))
    for index, tariff in enumerate(tariffs):
        for term in tariff.products:
            product = pl.lit(float(term.coefficient))
            for name in term.variables:
                product = product * pl.col(name).cast(pl.Float64)
            total = total + pl.when(pl.col(TARIFF) == index).then(product).otherwise(0.0)
    return total


def _spread_float(tariffs: Sequence[Tariff], amount: Callable[[Tariff], Decimal]) -> pl.Expr:
    return pl.lit(pl.Series([float(amount(tariff)) for tariff in tariffs], dtype=pl.Float64)).gather(pl.col(TARIFF))


def _with_units(rows: pl.DataFrame, units: pl.DataFrame | None) -> pl.DataFrame:
    """`rows` with what their additional units cost, about."""
    if units is None:
        return rows.with_columns(pl.lit(0.0).alias(_UNITS_ESTIMATE))
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
    millionth = _Scale(scale.digits - QUANTITY_DIGITS, scale.dtype, scale.guarded)
    whole = pl.Series([millionth.whole(Decimal(name)) for name in names], dtype=pl.Int128)
    rates = pl.DataFrame({RATE: names, "whole": whole})
    cost = (
        units.join(rates, on=RATE)
        .group_by(ROW)
        .agg((pl.col(QUANTITY).cast(pl.Int128) * pl.col("whole")).sum().alias(_UNITS_COST))
    )
    exact = pl.when(pl.col(TARIFF).is_not_null()).then(pl.col(_UNITS_COST).fill_null(0)).cast(scale.dtype)
    return rows.join(cost, on=ROW, how="left", maintain_order="left").with_columns(exact.alias(_UNITS_COST))

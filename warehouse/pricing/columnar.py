"""Tariffs × quantities as exact integer arithmetic on columns.

Rates become whole numbers of 10^-12 cents, and rows are added up in 64 bits, a block at a time. Rows whose rates are
finer than that, or whose cost may need more bits, are found first (by an estimate where the largest counts allow any)
and left to `wide.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from warehouse.pricing.amounts import LIMIT, Amounts, Index, Mask, Whole
from warehouse.pricing.extras import Units, UnitsCost, billed_units, units_cost
from warehouse.pricing.formula import EXACT
from warehouse.pricing.reference import COST_DIGITS
from warehouse.pricing.tariff import CONSTANT, Tariff
from warehouse.pricing.units import BY_COLUMN, OTHER_COST, QUANTITIES
from warehouse.pricing.usage import Counts
from warehouse.pricing.wide import wide_costs

TOTAL = "computed_cost"
Room = Callable[[str], Whole]
"""Cost column → where its amounts go: zeros."""
_NONE = Tariff({}, Decimal(0), (), {})
_ZERO = Decimal(0)
_SURELY_FITS = LIMIT * 0.9
_BLOCK = 1 << 15
"""Rows at once: what they need in between stays in the processor's cache."""


def costs(
    counts: Counts,
    tariff: Index,
    tariffs: Sequence[Tariff],
    units: Units | None = None,
    *,
    room: Room | None = None,
    apart: bool = True,
) -> Amounts:
    """What each row costs in all, and (where they are told `apart`) in each cost column.

    Not known for rows without a tariff or with too large a cost. Shape: `tariff` is the index of each row's tariff, -1
    for none; no count is negative where there is a tariff. `units` are what the rows used beside.
    """
    room = room or (lambda _: np.zeros(tariff.size, dtype=np.int64))
    billed = billed_units(units, tariff, tariffs)
    extra = None if billed is None else units_cost(billed)
    wide, kept = _wide(counts, tariff, tariffs, extra)
    if wide is None:
        return _narrow(counts, tariff, tariffs, extra, room, apart=apart)
    at = np.flatnonzero(wide)
    narrow = tariff.copy()
    narrow[at] = -1
    amounts = _narrow(counts, narrow, kept, extra, room, apart=apart)
    exact = wide_costs(counts.of(at), tariff[at], tariffs, None if billed is None else billed.of(at), apart=apart)
    return _merged(amounts, at, exact, room)


def _merged(amounts: Amounts, at: Index, others: Amounts, room: Room) -> Amounts:
    """The amounts with those of the rows `at` from others."""
    parts = dict(amounts.parts)
    for name in others.parts:
        if name not in parts:
            parts[name] = room(name)
    for name, part in parts.items():
        part[at] = others.parts.get(name, 0)
    amounts.total[at] = others.total
    known = np.ones(amounts.total.size, dtype=np.bool_) if amounts.known is None else amounts.known
    known[at] = True if others.known is None else others.known
    return Amounts(parts, amounts.total, None if known.all() else known)


def _wide(
    counts: Counts, tariff: Index, tariffs: Sequence[Tariff], extra: UnitsCost | None
) -> tuple[Mask | None, Sequence[Tariff]]:
    """The rows that 64 bits may not hold (None: they hold all), and the tariffs of the others."""
    fine = np.array([*map(_is_fine, tariffs), False])  # the last one stands for no tariff
    kept = tariffs
    wide: Mask | None = None
    if fine.any():
        wide = fine.take(tariff)
        kept = [_NONE if is_fine else one for one, is_fine in zip(tariffs, fine[:-1], strict=True)]
    if extra is not None and extra.wide.size:
        wide = np.zeros(tariff.size, dtype=np.bool_) if wide is None else wide
        wide[extra.wide] = True
    if _bound(counts.most, kept, extra) >= LIMIT:
        large = _estimate(counts, tariff, kept, extra) >= _SURELY_FITS
        wide = large if wide is None else wide | large
    return wide if wide is not None and wide.any() else None, kept


def _is_fine(tariff: Tariff) -> bool:
    """True for a tariff whose costs do not fit 64 bits: finer than money, or products of quantities."""
    return bool(tariff.products) or tariff.digits > COST_DIGITS or tariff.dearest >= LIMIT


def _bound(most: Mapping[str, int], tariffs: Sequence[Tariff], extra: UnitsCost | None) -> Decimal:
    """What no row can cost more than. Units: cents."""
    bound = max((tariff.constant for tariff in tariffs), default=_ZERO)
    for name in _used(most, tariffs):
        dearest = max(tariff.rates.get(name, _ZERO) for tariff in tariffs)
        bound += EXACT.multiply(dearest, Decimal(most[name]))
    return bound if extra is None else bound + Decimal(extra.about) + 1


def _estimate(
    counts: Counts, tariff: Index, tariffs: Sequence[Tariff], extra: UnitsCost | None
) -> npt.NDArray[np.float64]:
    """About what each row costs, in cents: enough to see an overflow coming."""
    total = np.array([*(float(one.constant) for one in tariffs), 0.0]).take(tariff)
    for name in _used(counts, tariffs):
        rates = np.array([*(float(one.rates.get(name, _ZERO)) for one in tariffs), 0.0])
        total += rates.take(tariff) * counts[name]
    if extra is not None:
        total[extra.rows] += extra.cost / 10**COST_DIGITS
    return total


def _used(counts: Mapping[str, object], tariffs: Sequence[Tariff]) -> list[str]:
    """The columns that cost anything."""
    return [q.column for q in QUANTITIES if q.column in counts and any(q.column in t.rates for t in tariffs)]


def _rates(tariffs: Sequence[Tariff], column: str) -> Whole:
    """What each tariff takes, as a whole number; nothing for -1, the last."""
    return np.array([*(tariff.whole(column, COST_DIGITS) for tariff in tariffs), 0], dtype=np.int64)


def _narrow(
    counts: Counts, tariff: Index, tariffs: Sequence[Tariff], extra: UnitsCost | None, room: Room, *, apart: bool
) -> Amounts:
    """Costs by tariffs that fit 64 bits."""
    factors: dict[str, list[tuple[Whole, Whole | None]]] = {}
    for name in _used(counts, tariffs):
        factors.setdefault(BY_COLUMN[name].cost_column, []).append((_rates(tariffs, name), counts[name]))
    if any(one.constant for one in tariffs):
        factors.setdefault(OTHER_COST, []).append((_rates(tariffs, CONSTANT), None))
    total = room(TOTAL)
    parts = {name: room(name) for name in factors} if apart else {}
    if factors:
        _multiply(tariff, factors, parts, total)
    if extra is not None:
        if apart and OTHER_COST not in parts:
            parts[OTHER_COST] = room(OTHER_COST)
        for amounts in (total, parts[OTHER_COST]) if apart else (total,):
            amounts[extra.rows] += extra.cost
    return Amounts(parts, total, tariff >= 0 if tariff.min(initial=0) < 0 else None)


def _multiply(
    tariff: Index,
    factors: Mapping[str, Sequence[tuple[Whole, Whole | None]]],
    parts: Mapping[str, Whole],
    total: Whole,
) -> None:
    """Writes the sum of each column's products, and the sum of those."""
    room = [np.empty(min(_BLOCK, tariff.size), dtype=np.int64) for _ in range(3)]
    for start in range(0, tariff.size, _BLOCK):
        block = slice(start, min(start + _BLOCK, tariff.size))
        numbers = tariff[block]
        product, part, whole = (one[: numbers.size] for one in room)
        for number, (name, products) in enumerate(factors.items()):
            for place, (rates, count) in enumerate(products):
                into = product if place else part
                rates.take(numbers, out=into, mode="wrap")
                if count is not None:
                    np.multiply(into, count[block], out=into)
                if place:
                    np.add(part, product, out=part)
            if name in parts:
                parts[name][block] = part
            whole = np.add(whole, part, out=whole) if number else _copied(part, whole)
        total[block] = whole


def _copied(amounts: Whole, into: Whole) -> Whole:
    into[:] = amounts
    return into

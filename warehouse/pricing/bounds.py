"""Between which amounts a request without a price costs: its usage at the cheapest and the dearest price there is.

Each kind of token, image and unit takes the lowest, or the highest, rate that any model of the request's provider has
for it, in any period, tier and hour, in the request's own region and mode, times what is agreed. So whichever of these
prices turns out to be the right one, its cost lies between the two. A provider that no file has may be any of them:
from 0 to the dearest of all. Where the usage itself is unknown there is no upper bound: `cost_high` is NULL.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar
from weakref import ReferenceType, ref

import polars as pl
from cachetools import LRUCache

from warehouse.pricing.book import PriceBook, PriceRow, UnpricedReason
from warehouse.pricing.cells import FACETS, NOTHING, Cell
from warehouse.pricing.columnar import MONEY, TARIFF, UNITS, costs
from warehouse.pricing.formula import Term, exact_sum
from warehouse.pricing.multiplier import Multiplier
from warehouse.pricing.tariff import Facets, Tariff, choose, has_price, tariff, thresholds

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
_ZERO = Decimal(0)
_Envelope = tuple[Tariff, Tariff | None]
_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What chooses among the prices of a provider for requests whose model has none."""

    facets: Facets
    has_units: bool
    factors: tuple[tuple[str, Decimal], ...] | None

    @property
    def multiplier(self) -> Multiplier | None:
        return None if self.factors is None else Multiplier(dict(self.factors))


class _Envelopes:
    """The lowest and the highest rates, remembered as long as the prices they are from. Safe between threads."""

    def __init__(self) -> None:
        self._known: LRUCache[tuple[object, ...], tuple[ReferenceType[object], _Envelope]] = LRUCache(512)
        self._lock = threading.Lock()

    def of(self, book: PriceBook, provider: str | None, kind: _Kind) -> _Envelope:
        shelf = book.shelf(provider)
        source: object = book if shelf is None else shelf
        with self._lock:
            known = self._known.get((id(source), kind))
        # Another book may get the id of one that is gone: only what is still the same object is known.
        if known is not None and known[0]() is source:
            return known[1]
        rows = book.rows() if shelf is None else (row for dated in shelf.models.values() for row in dated)
        found = _envelope(one for row in rows for one in _tariffs(row, kind))
        if shelf is None:
            found = (NOTHING, found[1])
        with self._lock:
            self._known[id(source), kind] = (ref(source), found)
        return found


_envelopes = _Envelopes()


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


def _envelope_of(cell: Cell, book: PriceBook, *, has_units: bool) -> _Envelope:
    facets = cell.facets or Facets()
    if not facets.has_images:
        facets = replace(facets, image_quality=None, image_size=None)
    multiplier = cell.agreement.multiplier if cell.agreement else None
    factors = None if multiplier is None else tuple(sorted(multiplier.factors.items()))
    kind = _Kind(replace(facets, prompt_tokens=0, minute_of_day=0), has_units, factors)
    return _envelopes.of(book, cell.provider, kind)


def _tariffs(row: PriceRow, kind: _Kind) -> Iterator[Tariff]:
    """Every tariff that this price could be, of those that can price such a request."""
    if not has_price(row.pricing):
        return
    sizes = {0, *(edge + 1 for edge in thresholds(row.pricing))}
    minutes = {0, *(edge for hours in row.pricing.hours for edge in (hours.start, hours.end))}
    for size in sorted(sizes):
        for minute in sorted(minutes):
            facets = replace(kind.facets, prompt_tokens=size, minute_of_day=minute)
            config, _ = choose(row.default, row.pricing, facets)
            found = tariff(config, facets)
            blind = (found.needs_images and not facets.has_images) or (found.needs_units and not kind.has_units)
            if not blind and not (found.is_free and facets.has_images):
                yield found if kind.multiplier is None else kind.multiplier.scaled(found, config.pay_as_you_go)


def _envelope(tariffs: Iterable[Tariff]) -> _Envelope:
    """The lowest and the highest of every rate; what one of them does not bill costs nothing there."""
    found = list(tariffs)
    if not found:
        return NOTHING, None
    rates = [one.rates for one in found]
    units = [one.units for one in found]
    products = [_by_variables(one.products) for one in found]
    low = Tariff(_lowest(rates), min(one.constant for one in found), _terms(_lowest(products)), _lowest(units))
    high = Tariff(_highest(rates), max(one.constant for one in found), _terms(_highest(products)), _highest(units))
    return low, high


def _lowest(tables: Sequence[Mapping[_K, Decimal]]) -> dict[_K, Decimal]:
    return {key: min(table[key] for table in tables) for key in tables[0] if all(key in table for table in tables)}


def _highest(tables: Sequence[Mapping[_K, Decimal]]) -> dict[_K, Decimal]:
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: max(table.get(key, _ZERO) for table in tables) for key in keys}


def _by_variables(products: Sequence[Term]) -> dict[tuple[str, ...], Decimal]:
    names = dict.fromkeys(term.variables for term in products)
    return {name: exact_sum(term.coefficient for term in products if term.variables == name) for name in names}


def _terms(coefficients: Mapping[tuple[str, ...], Decimal]) -> tuple[Term, ...]:
    return tuple(Term(coefficient, variables) for variables, coefficient in coefficients.items())

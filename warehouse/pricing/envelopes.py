"""The lowest and the highest rate that any price of a provider has for each kind of token, image and unit.

Hundreds of prices are looked through for that, so what was found is kept as long as they stay the same ones, and what
makes no difference to any of them (a region that none names) is not told apart.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar
from weakref import WeakKeyDictionary

from cachetools import LRUCache

from warehouse.pricing.book import PriceBook, PriceRow, Shelf
from warehouse.pricing.formula import EXACT, Term
from warehouse.pricing.multiplier import Multiplier
from warehouse.pricing.tariff import BATCH, STANDARD, Facets, Tariff, choose, has_price, tariff, thresholds

Envelope = tuple[Tariff, Tariff | None]
"""What usage costs at least, and at most; no upper one where no price fits such usage."""
_ZERO = Decimal(0)
_NOTHING = Tariff({}, _ZERO, (), {})
_PROVIDERS_KEPT, _KINDS_KEPT = 512, 256
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


def envelope(
    book: PriceBook, provider: str | None, facets: Facets, multiplier: Multiplier | None, *, has_units: bool
) -> Envelope:
    """The envelope of a provider's prices; of a provider that no file has, from nothing to the dearest of all.

    Prompt size and time of day do not matter: every tier and hour counts.
    """
    facets = replace(facets, prompt_tokens=0, minute_of_day=0)
    if not facets.has_images:
        facets = replace(facets, image_quality=None, image_size=None)
    kind = _Kind(facets, has_units, None if multiplier is None else tuple(sorted(multiplier.factors.items())))
    shelf = book.shelf(provider)
    return _envelopes.of_all(book, kind) if shelf is None else _envelopes.of(shelf, kind)


class _Prices:
    """All prices of a provider, and the envelopes that were found for them."""

    def __init__(self, shelf: Shelf) -> None:
        self.rows = [row for dated in shelf.models.values() for row in dated]
        self._plain = [row for row in self.rows if _is_plain(row)]
        self._special = [row for row in self.rows if not _is_plain(row)]
        custom = [row.pricing.custom for row in self._special if row.pricing.custom is not None]
        self._regions = {region for one in custom for region in one.regions}
        modes = {mode for one in custom for modes in one.regions.values() for mode in modes}
        self._modes = modes | {BATCH} if self._special else modes
        self._found: LRUCache[tuple[_Kind, bool], Envelope] = LRUCache(_KINDS_KEPT)
        self._lock = threading.Lock()

    def are_those_of(self, other: "_Prices") -> bool:
        """Whether both are made of the very same prices."""
        if len(self.rows) != len(other.rows):
            return False
        pairs = zip(self.rows, other.rows, strict=True)
        return all(one.pricing is two.pricing and one.default is two.default for one, two in pairs)

    def envelope(self, kind: _Kind) -> Envelope:
        kind = replace(kind, facets=self._told_apart(kind.facets))
        plain = replace(kind, facets=replace(kind.facets, region=None, execution_mode=None))
        found = self._of(plain, self._plain, (plain, True))
        return _joined(found, self._of(kind, self._special, (kind, False))) if self._special else found

    def _of(self, kind: _Kind, rows: Sequence[PriceRow], key: tuple[_Kind, bool]) -> Envelope:
        with self._lock:
            known = self._found.get(key)
        if known is None:
            known = _envelope(one for row in rows for one in _tariffs(row, kind))
            with self._lock:
                self._found[key] = known
        return known

    def _told_apart(self, facets: Facets) -> Facets:
        """The facets without what none of the prices names."""
        mode = (facets.execution_mode or STANDARD).lower()
        return replace(
            facets,
            region=facets.region if facets.region in self._regions else None,
            execution_mode=mode if mode in self._modes else None,
        )


class _Envelopes:
    """The prices of shelves that are in use; and of each provider the latest ones. Safe between threads."""

    def __init__(self) -> None:
        self._of_all: WeakKeyDictionary[PriceBook, LRUCache[_Kind, Envelope]] = WeakKeyDictionary()
        self._of: WeakKeyDictionary[Shelf, _Prices] = WeakKeyDictionary()
        self._latest: LRUCache[str, _Prices] = LRUCache(_PROVIDERS_KEPT)
        self._lock = threading.Lock()

    def of(self, shelf: Shelf, kind: _Kind) -> Envelope:
        with self._lock:
            prices = self._of.get(shelf)
            if prices is None:
                prices = _Prices(shelf)
                # A book is made anew every minute, and mostly of the same prices.
                latest = self._latest.get(shelf.provider)
                if latest is not None and latest.are_those_of(prices):
                    prices = latest
                self._of[shelf] = self._latest[shelf.provider] = prices
        return prices.envelope(kind)

    def of_all(self, book: PriceBook, kind: _Kind) -> Envelope:
        """The envelope of a provider that might be any."""
        with self._lock:
            known = self._of_all.setdefault(book, LRUCache(_KINDS_KEPT)).get(kind)
        if known is None:
            found = (self.of(one, kind)[1] for one in book.shelves(book.providers()) if one is not None)
            known = _NOTHING, _highest(high for high in found if high is not None)
            with self._lock:
                self._of_all[book][kind] = known
        return known


_envelopes = _Envelopes()


def _is_plain(row: PriceRow) -> bool:
    """Whether a price is the same in every region and mode."""
    parts = (row.default, row.pricing.config, *(hours.config for hours in row.pricing.hours))
    return row.pricing.custom is None and all(part is None or part.batch.is_empty for part in parts)


def _tariffs(row: PriceRow, kind: _Kind) -> Iterator[Tariff]:
    """Every tariff that this price could be, of those that can price such a request."""
    if not has_price(row.pricing):
        return
    sizes = {0, *(edge + 1 for edge in thresholds(row.pricing))}
    minutes = {0, *(edge for hours in row.pricing.hours for edge in (hours.start, hours.end))}
    for facets in _facets(kind.facets, sorted(sizes), sorted(minutes)):
        config, _ = choose(row.default, row.pricing, facets)
        found = tariff(config, facets)
        blind = (found.needs_images and not facets.has_images) or (found.needs_units and not kind.has_units)
        if not blind and not (facets.has_images and found.is_free):
            yield found if kind.multiplier is None else kind.multiplier.scaled(found, config.pay_as_you_go)


def _facets(facets: Facets, sizes: list[int], minutes: list[int]) -> Iterator[Facets]:
    for size in sizes:
        for minute in minutes:
            yield replace(facets, prompt_tokens=size, minute_of_day=minute) if size or minute else facets


def _envelope(tariffs: Iterable[Tariff]) -> Envelope:
    """The lowest and the highest of every rate; what one of them does not bill costs nothing there."""
    found = list(tariffs)
    return (_lowest(found), _highest(found)) if found else (_NOTHING, None)


def _joined(one: Envelope, two: Envelope) -> Envelope:
    """The envelope of the prices of both."""
    if one[1] is None or two[1] is None:
        return two if one[1] is None else one
    return _lowest((one[0], two[0])), _highest((one[1], two[1]))


def _lowest(tariffs: Sequence[Tariff]) -> Tariff:
    return Tariff(
        _lowest_of(one.rates for one in tariffs),
        min(one.constant for one in tariffs),
        _terms(_lowest_of(_by_variables(one.products) for one in tariffs)),
        _lowest_of(one.units for one in tariffs),
    )


def _highest(tariffs: Iterable[Tariff]) -> Tariff | None:
    rates: dict[str, Decimal] = {}
    units: dict[str, Decimal] = {}
    products: dict[tuple[str, ...], Decimal] = {}
    constant: Decimal | None = None
    for one in tariffs:
        constant = one.constant if constant is None else max(constant, one.constant)
        _raise(rates, one.rates)
        _raise(units, one.units)
        _raise(products, _by_variables(one.products))
    return None if constant is None else Tariff(rates, constant, _terms(products), units)


def _raise(highest: dict[_K, Decimal], table: Mapping[_K, Decimal]) -> None:
    for key, amount in table.items():
        if amount > highest.get(key, _ZERO):
            highest[key] = amount


def _lowest_of(tables: Iterable[Mapping[_K, Decimal]]) -> dict[_K, Decimal]:
    """The lowest amount of each key that all tables have."""
    lowest: dict[_K, Decimal] | None = None
    for table in tables:
        lowest = dict(table) if lowest is None else {k: min(low, table[k]) for k, low in lowest.items() if k in table}
    return lowest or {}


def _by_variables(products: Iterable[Term]) -> dict[tuple[str, ...], Decimal]:
    found: dict[tuple[str, ...], Decimal] = {}
    for term in products:
        found[term.variables] = EXACT.add(found.get(term.variables, _ZERO), term.coefficient)
    return found


def _terms(coefficients: Mapping[tuple[str, ...], Decimal]) -> tuple[Term, ...]:
    return tuple(Term(coefficient, variables) for variables, coefficient in coefficients.items())

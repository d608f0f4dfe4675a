"""The lowest and the highest rate that any price of a provider has for each kind of token, image and unit.

Thousands of prices are looked through for that, of which most are equal to another one: those are looked at once. What
was found is kept as long as they stay the same ones, and what makes no difference to any of them (a region that none
names) is not told apart.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar
from weakref import WeakKeyDictionary

from cachetools import LRUCache

from warehouse.pricing.book import PriceBook, PriceRow, Shelf
from warehouse.pricing.config import ModelPricing, PricingConfig
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
    kind = _Kind(facets, None if multiplier is None else tuple(sorted(multiplier.factors.items())))
    shelf = book.shelf(provider)
    if shelf is not None:
        return _envelopes.prices_of(shelf, shelf.provider, lambda: _rows_of([shelf])).envelope(
            kind, has_units=has_units
        )
    every = _envelopes.prices_of(book, None, lambda: _rows_of(book.shelves(book.providers())))
    return _NOTHING, every.envelope(kind, has_units=has_units)[1]


def _rows_of(shelves: Iterable[Shelf | None]) -> list[PriceRow]:
    return [row for shelf in shelves if shelf is not None for dated in shelf.models.values() for row in dated]


class _Prices:
    """All prices of a provider, or of all providers, and the envelopes that were found for them."""

    def __init__(self, rows: Sequence[PriceRow]) -> None:
        self.rows = rows
        self._plain, self._special = _distinct(rows)
        custom = [row.pricing.custom for row in self._special if row.pricing.custom is not None]
        self._regions = {region for one in custom for region in one.regions}
        modes = {mode for one in custom for modes in one.regions.values() for mode in modes}
        self._modes = modes | {BATCH} if self._special else modes
        self._found: LRUCache[tuple[_Kind, bool], tuple[Envelope, Envelope]] = LRUCache(_KINDS_KEPT)
        self._lock = threading.Lock()

    def are(self, rows: Sequence[PriceRow]) -> bool:
        """Whether they are the very same prices as those of `rows`."""
        if len(self.rows) != len(rows):
            return False
        pairs = zip(self.rows, rows, strict=True)
        return all(one.pricing is two.pricing and one.default is two.default for one, two in pairs)

    def envelope(self, kind: _Kind, *, has_units: bool) -> Envelope:
        kind = replace(kind, facets=self._told_apart(kind.facets))
        plain = replace(kind, facets=replace(kind.facets, region=None, execution_mode=None))
        found = self._of(plain, self._plain, (plain, True))[has_units]
        return _joined(found, self._of(kind, self._special, (kind, False))[has_units]) if self._special else found

    def _of(self, kind: _Kind, rows: Sequence[PriceRow], key: tuple[_Kind, bool]) -> tuple[Envelope, Envelope]:
        """The envelope for requests that used no units, and the one for those that did."""
        with self._lock:
            known = self._found.get(key)
        if known is None:
            tariffs = [one for row in rows for one in _tariffs(row, kind)]
            without = _envelope([one for one in tariffs if not one.needs_units])
            known = without, _joined(without, _envelope([one for one in tariffs if one.needs_units]))
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
    """The prices of shelves and books that are in use; and the latest ones of each provider. Safe between threads."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Shelf | PriceBook, _Prices] = WeakKeyDictionary()
        self._latest: LRUCache[str | None, _Prices] = LRUCache(_PROVIDERS_KEPT)
        self._lock = threading.Lock()

    def prices_of(
        self, owner: Shelf | PriceBook, provider: str | None, rows_of: Callable[[], list[PriceRow]]
    ) -> _Prices:
        """The prices of a shelf, or (provider None) of a whole book."""
        with self._lock:
            prices = self._of.get(owner)
        if prices is None:
            rows = rows_of()
            with self._lock:
                # A book is made anew every minute, and mostly of the same prices.
                latest = self._latest.get(provider)
                prices = latest if latest is not None and latest.are(rows) else _Prices(rows)
                self._of[owner] = self._latest[provider] = prices
        return prices


_envelopes = _Envelopes()


def _distinct(rows: Iterable[PriceRow]) -> tuple[list[PriceRow], list[PriceRow]]:
    """The prices that are the same in every region and mode, one of those that are equal; and all others.

    Those that are not known are left out.
    """
    plain: dict[Hashable, PriceRow] = {}
    special: list[PriceRow] = []
    defaults: list[PricingConfig] = []
    numbers: dict[int, int] = {}
    for row in rows:
        if not has_price(row.pricing):
            continue
        if not _is_plain(row):
            special.append(row)
            continue
        number = numbers.get(id(row.default))
        if number is None:
            # Most files have the same default, each as an object of its own.
            if row.default not in defaults:
                defaults.append(row.default)
            number = numbers[id(row.default)] = defaults.index(row.default)
        plain.setdefault(_contents(row, number), row)
    return list(plain.values()), special


def _contents(row: PriceRow, default: int) -> Hashable:
    """Equal for equal prices below the same default, if they have rates of tokens alone, as most do."""
    config = row.pricing.config
    if config is None or row.pricing.hours or config.calculate or config.finetune or config.fixed_cost:
        return id(row)
    rates = config.pay_as_you_go
    if rates.units or rates.defaults or rates.image:
        return id(row)
    return (default, *rates.tokens, *rates.tokens.values())


def _is_plain(row: PriceRow) -> bool:
    """Whether a price is the same in every region and mode."""
    config, hours = row.pricing.config, row.pricing.hours
    return (
        row.pricing.custom is None
        and row.default.batch.is_empty
        and (config is None or config.batch.is_empty)
        and not (hours and any(not one.config.batch.is_empty for one in hours))
    )


def _tariffs(row: PriceRow, kind: _Kind) -> Iterator[Tariff]:
    """Every tariff that this price could be, of those that can price such a request, if it used units."""
    for facets in _facets(kind.facets, row.pricing):
        config, _ = choose(row.default, row.pricing, facets)
        found = tariff(config, facets)
        if found.needs_images and not facets.has_images:
            continue
        if not (facets.has_images and found.is_free):
            yield found if kind.multiplier is None else kind.multiplier.scaled(found, config.pay_as_you_go)


def _facets(facets: Facets, pricing: ModelPricing) -> Iterator[Facets]:
    """The facets at every prompt size and time of day that has a price of its own."""
    if pricing.custom is None and not pricing.hours:
        yield facets
        return
    sizes = {0, *(edge + 1 for edge in thresholds(pricing))}
    minutes = {0, *(edge for hours in pricing.hours for edge in (hours.start, hours.end))}
    for size in sorted(sizes):
        for minute in sorted(minutes):
            yield replace(facets, prompt_tokens=size, minute_of_day=minute) if size or minute else facets


def _envelope(tariffs: Sequence[Tariff]) -> Envelope:
    """The lowest and the highest of every rate; what one of them does not bill costs nothing there."""
    return (_lowest(tariffs), _highest(tariffs)) if tariffs else (_NOTHING, None)


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


def _highest(tariffs: Sequence[Tariff]) -> Tariff:
    rates: dict[str, Decimal] = {}
    units: dict[str, Decimal] = {}
    products: dict[tuple[str, ...], Decimal] = {}
    for one in tariffs:
        _raise(rates, one.rates)
        if one.units:
            _raise(units, one.units)
        if one.products:
            _raise(products, _by_variables(one.products))
    return Tariff(rates, max(one.constant for one in tariffs), _terms(products), units)


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

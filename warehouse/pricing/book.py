"""The price book: dated prices of every provider and model, found by name and time.

A row says from when to when a price counts (`effective_from`, `effective_to`) and since when it is known
(`known_from`). Nothing is overwritten: a new price is a new row (see `history.py`). The oldest known price of a model
reaches back to the beginning of time, so that requests older than the book are priced rather than lost.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, Protocol, cast

from warehouse.errors import PricingError
from warehouse.pricing.canonical import canonical, content_hash
from warehouse.pricing.config import ModelPricing, PricingConfig, Problem, ProviderPricing, parse_provider
from warehouse.pricing.formula import Calculation
from warehouse.pricing.names import band_of, model_keys, provider_slug
from warehouse.pricing.tariff import Facets, Tariff, choose, has_price, tariff, thresholds

_TARIFFS_KEPT, _NAMES_KEPT = 256, 4_096


class UnpricedReason(StrEnum):
    """Why a request has no computed cost."""

    UNKNOWN_PROVIDER = "unknown_provider"
    """No price file has this provider, or the record names none."""
    UNKNOWN_MODEL = "unknown_model"
    """The provider's file does not list the model, or the record names none."""
    NO_PRICE = "no_price"
    """The file lists the model and says no price for it; a zero of the provider's default is not a price."""
    PRICE_REFUSED = "price_refused"
    """The model's entry is broken: `gateledger prices sources` says where."""
    NO_USAGE = "no_usage"
    """The record does not say what was used."""
    MISSING_QUANTITY = "missing_quantity"
    """The model is sold by something other than tokens (images, seconds), and the record does not count it."""
    NEGATIVE_USAGE = "negative_usage"
    """A quantity is below zero."""
    COST_TOO_LARGE = "cost_too_large"
    """The cost does not fit DECIMAL(18,12): a million cents or more for one request."""


@dataclass(frozen=True)
class Statement:
    """What a file said of a model, as parsed JSON: its entry, and the entry `default` of the file."""

    entry: Mapping[str, Any]
    defaults: Mapping[str, Any] | None

    @cached_property
    def content(self) -> str:
        """A hash that is equal exactly where entry and defaults give equal prices at equal times."""
        return content_hash(self.entry, self.defaults)


@dataclass(frozen=True)
class PriceRow:
    """One dated price of a model, with what it stands on."""

    provider: str
    model: str
    pricing: ModelPricing
    default: PricingConfig
    source: str
    effective_to: datetime | None = None
    """None: still effective."""
    known_from: datetime | None = None
    """When the price was first seen; None without a history."""
    statement: Statement | None = field(default=None, repr=False, compare=False)

    @property
    def effective_from(self) -> datetime | None:
        """None: from the beginning of time."""
        return self.pricing.effective_from

    @property
    def as_of(self) -> date | None:
        """The day the price was read from its source, where the file says so."""
        return self.pricing.as_of

    def starting(self, effective_from: datetime) -> "PriceRow":
        """The same price from another instant on."""
        return replace(self, pricing=replace(self.pricing, effective_from=effective_from))

    def rates(self) -> Iterator[tuple[str, Decimal]]:
        """Every rate with the unit it is per, named by its place in the price file."""
        yield from _rates((), self.pricing)

    def tariff(self, facets: Facets) -> tuple[PricingConfig, str, Tariff]:
        """The price for such requests, the name of its variant (see `choose`), and its tariff; worked out once."""
        found = self._tariffs.get(facets)
        if found is None:
            config, variant = choose(self.default, self.pricing, facets)
            found = config, variant, tariff(config, facets)
            if len(self._tariffs) >= _TARIFFS_KEPT:
                self._tariffs.clear()
            self._tariffs[facets] = found
        return found

    @cached_property
    def _tariffs(self) -> dict[Facets, tuple[PricingConfig, str, Tariff]]:
        return {}

    @cached_property
    def prices(self) -> str:
        """A short text that is equal for equal prices, whenever they count."""
        prices = (self.pricing.config, self.pricing.custom, self.pricing.hours, self.default)
        return hashlib.sha256(canonical(prices).encode()).hexdigest()[:12]

    @cached_property
    def price_id(self) -> str:
        """Readable and stable: the same provider, model, start and prices always give the same id."""
        start = "start" if self.effective_from is None else self.effective_from.strftime("%Y-%m-%dT%H:%MZ")
        start = start.removesuffix("T00:00Z")
        return f"{self.provider}/{self.model}@{start}#{self.prices}"


@dataclass(frozen=True, slots=True)
class Band:
    """The prices of a model for prompts of more than `above` and at most `up_to` tokens."""

    above: int
    up_to: int | None
    rows: tuple[PriceRow, ...]


@dataclass(frozen=True)
class Listing:
    """All prices of one model: by prompt size, then by time."""

    bands: tuple[Band, ...]

    @cached_property
    def boundaries(self) -> frozenset[datetime]:
        """Instants at which a price changes."""
        return frozenset(row.effective_from for band in self.bands for row in band.rows[1:] if row.effective_from)

    @cached_property
    def thresholds(self) -> frozenset[int]:
        """Prompt sizes above which another price counts."""
        edges = {edge for band in self.bands for edge in (band.above, band.up_to or 0)} - {0}
        return frozenset(edges.union(*(thresholds(row.pricing) for band in self.bands for row in band.rows)))

    @cached_property
    def clock(self) -> frozenset[int]:
        """Minutes of the day (UTC) at which a price changes every day."""
        hours = [hours for band in self.bands for row in band.rows for hours in row.pricing.hours]
        return frozenset(edge for one in hours for edge in (one.start, one.end))

    def row(self, at: datetime | None, prompt_tokens: int = 0) -> PriceRow | None:
        """The price that counts; the newest for a request without a time, None when no band takes the prompt."""
        fitting = [
            b for b in self.bands if b.above < max(prompt_tokens, 1) and (b.up_to is None or prompt_tokens <= b.up_to)
        ]
        if not fitting:
            return None
        rows = max(fitting, key=lambda band: (band.above, -(band.up_to or 0))).rows
        if at is None:
            return rows[-1]
        moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return next((r for r in reversed(rows) if r.effective_from is None or r.effective_from <= moment), rows[0])


class PriceLevel(Protocol):
    """One place that price files come from."""

    @property
    def name(self) -> str: ...

    def providers(self) -> Sequence[str]:
        """Slugs of the providers it has a file for."""
        ...

    def read(self, provider: str) -> bytes | None:
        """The text of a provider's file; None when it has none. Raises: OSError, PricingError."""
        ...


class PriceHistory(Protocol):
    """What was known of prices before; see `history.WarehouseHistory`."""

    def providers(self) -> Sequence[str]:
        """Slugs of the providers it knows."""
        ...

    def dated(self, said: Mapping[str, "Said"]) -> Mapping[str, Mapping[str, tuple[PriceRow, ...]]]:
        """All prices of providers by model and time, given what their files say now."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """What the files of a provider say now, by model."""

    models: Mapping[str, tuple[PriceRow, ...]]
    teaches: bool = True
    """False when a source failed: what the others say instead is not the price of today."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """The prices of one provider, put together from the levels: the first level that knows a model gives its price."""

    provider: str
    models: Mapping[str, tuple[PriceRow, ...]]
    refused: frozenset[str]
    problems: tuple[Problem, ...]

    @cached_property
    def _bands(self) -> dict[str, tuple[Band, ...]]:
        found: dict[str, list[Band]] = {}
        for key, rows in self.models.items():
            if (band := band_of(key)) is not None:
                base, above, up_to = band
                found.setdefault(base, []).append(Band(above, up_to, rows))
        return {base: tuple(bands) for base, bands in found.items()}

    @cached_property
    def _by_folded(self) -> dict[str, str]:
        keys = (*self.models, *self._bands, *self.refused)
        return {key.casefold(): key for key in reversed(keys)}

    def listing(self, model: str) -> Listing | UnpricedReason:
        """The prices of a model by its name in a request. Case counts only between keys that differ by it."""
        found = self._listings.get(model)
        if found is None:
            found = self._found(model)
            if len(self._listings) >= _NAMES_KEPT:
                self._listings.clear()
            self._listings[model] = found
        return found

    @cached_property
    def _listings(self) -> dict[str, Listing | UnpricedReason]:
        return {}

    def _found(self, model: str) -> Listing | UnpricedReason:
        for name in model_keys(self.provider, model):
            known = name in self.models or name in self._bands or name in self.refused
            key = name if known else self._by_folded.get(name.casefold(), name)
            if key in self.models:
                rows = self.models[key]
                return (
                    Listing((Band(0, None, rows),))
                    if any(has_price(r.pricing) for r in rows)
                    else UnpricedReason.NO_PRICE
                )
            if key in self._bands:
                return Listing(self._bands[key])
            if key in self.refused:
                return UnpricedReason.PRICE_REFUSED
        return UnpricedReason.UNKNOWN_MODEL


class PriceBook:
    """Finds prices. Reads a provider's files when first asked for it, once, from all levels, the first one on top.

    With a history every request gets the price of its time; without one only the dates in the files tell.
    """

    def __init__(self, levels: Sequence[PriceLevel], history: PriceHistory | None = None) -> None:
        self._levels, self._history = tuple(levels), history
        self._shelves: dict[str, Shelf | None] = {}
        self._lock = threading.Lock()

    def remembering(self, history: PriceHistory) -> "PriceBook":
        """The book of the same files and all that was known before."""
        return PriceBook(self._levels, history)

    def providers(self) -> tuple[str, ...]:
        """Slugs of all providers that have a price file, or had one."""
        past = self._history.providers() if self._history else ()
        return tuple(sorted({*past, *(provider for level in self._levels for provider in level.providers())}))

    def shelf(self, provider: str | None) -> Shelf | None:
        """The prices of a provider by any of its names; None when no level has a readable file of it."""
        return self.shelves([provider])[0]

    def shelves(self, providers: Iterable[str | None]) -> list[Shelf | None]:
        """The prices of providers by any of their names. What is not read yet is read together: it costs much less."""
        slugs = [provider_slug(provider) for provider in providers]
        with self._lock:
            self._shelves.update(self._load([slug for slug in dict.fromkeys(slugs) if slug not in self._shelves]))
            return [self._shelves[slug] for slug in slugs]

    def listing(self, provider: str | None, model: str | None) -> Listing | UnpricedReason:
        """The prices of a model, or why there are none."""
        shelf = self.shelf(provider)
        if shelf is None:
            return UnpricedReason.UNKNOWN_PROVIDER
        return shelf.listing(model or "")

    def rows(self, provider: str | None = None) -> Iterator[PriceRow]:
        """All dated prices, of one provider or of all, in order of provider, model and time."""
        for shelf in self.shelves(self.providers() if provider is None else (provider,)):
            for _, rows in sorted(shelf.models.items()) if shelf else ():
                yield from rows

    def problems(self) -> list[Problem]:
        """What could not be used in the files read so far."""
        with self._lock:
            return [problem for shelf in self._shelves.values() if shelf for problem in shelf.problems]

    def _load(self, slugs: Sequence[str]) -> dict[str, Shelf | None]:
        found = {slug: self._read(slug) for slug in slugs}
        if self._history is not None:
            said = {slug: one.said for slug, one in found.items() if slug}
            for slug, models in (self._history.dated(said) if said else {}).items():
                found[slug] = replace(found[slug], said=Said(models), known=found[slug].known or bool(models))
        return {slug: one.shelf(slug) for slug, one in found.items()}

    def _read(self, slug: str) -> "_Files":
        """What the levels say of a provider."""
        models: dict[str, tuple[PriceRow, ...]] = {}
        problems: list[Problem] = []
        refused: set[str] = set()
        known, failed = False, False
        for level in self._levels:
            try:
                text = level.read(slug) if slug else None
                if text is None:
                    continue
                parsed, dated = _parsed(slug, text, level.name)
            except (OSError, PricingError) as error:
                problems.append(Problem(slug, "", "", str(error), level.name))
                failed = True
                continue
            known = True
            problems.extend(parsed.problems)
            refused.update(problem.model for problem in parsed.problems)
            models = {**dated, **models}
        return _Files(Said(models, teaches=not failed), known, frozenset(refused), tuple(problems))


@dataclass(frozen=True, slots=True)
class _Files:
    """What was read of one provider."""

    said: Said
    known: bool
    refused: frozenset[str]
    problems: tuple[Problem, ...]

    def shelf(self, provider: str) -> Shelf | None:
        refused = self.refused - self.said.models.keys()
        return Shelf(provider, self.said.models, refused, self.problems) if self.known or self.problems else None


@lru_cache(256)
def _parsed(provider: str, text: bytes, level: str) -> tuple[ProviderPricing, Mapping[str, tuple[PriceRow, ...]]]:
    """A file's prices; books are made anew every minute, files hardly ever. Raises: PricingError."""
    parsed = parse_provider(provider, text, level)
    return parsed, dict(rows_of(parsed, level))


def rows_of(parsed: ProviderPricing, level: str) -> Iterator[tuple[str, tuple[PriceRow, ...]]]:
    """Each model of a file with its dated prices, in order of time."""
    for model, periods in parsed.models.items():
        ends = [*(period.effective_from for period in periods[1:]), None]
        statement = Statement(parsed.raw[model], parsed.raw.get("default"))
        yield (
            model,
            tuple(
                PriceRow(
                    parsed.provider,
                    model,
                    period,
                    parsed.default,
                    f"{level}: {period.source}" if period.source else level,
                    end,
                    statement=statement,
                )
                for period, end in zip(periods, ends, strict=True)
            ),
        )


def _rates(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, Decimal]]:
    """The rates below a path of a price's parts; formulas hold none."""
    if isinstance(value, Decimal):
        yield ".".join(path), value
    elif isinstance(value, Mapping):
        for name, item in cast(Mapping[str, Any], value).items():
            yield from _rates((*path, name), item)
    elif isinstance(value, tuple):
        for index, item in enumerate(cast(tuple[Any, ...], value)):
            yield from _rates((*path, str(index)), item)
    elif is_dataclass(value) and not isinstance(value, Calculation):
        for one in fields(value):
            yield from _rates(path if one.name in _PLAIN else (*path, one.name), getattr(value, one.name))


_PLAIN = frozenset({"config", "pay_as_you_go", "tokens", "units"})
"""Parts of a price that every rate lies in: they say nothing in a unit's name."""

"""Negotiated prices: what an organisation pays instead of the catalogue's price, and the factors on top of it.

Order: negotiated price → the base model's price → the catalogue (merged with the provider's default) → unpriced; then
the multiplier. A value says from when to when it is effective and since when it is known; nothing is overwritten.
Source: dataplane contract 5.7.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, cast

import polars as pl

from warehouse.pricing.applies import Applies, is_named
from warehouse.pricing.book import Listing, PriceBook, UnpricedReason
from warehouse.pricing.config import PricingConfig, Rates
from warehouse.pricing.multiplier import Multiplier
from warehouse.pricing.names import provider_slug
from warehouse.pricing.reservations import Reservation
from warehouse.pricing.tariff import Tariff

AGREED = "#agreed"
"""Column that tells rows apart by the agreements that may hold for them; null for none."""
_OWNER = ("organisation_id", "workspace_slug", "virtual_key", "ai_org")


@dataclass(frozen=True)
class NegotiatedPrice:
    """One version of an agreement on prices. What is None is not agreed here, but perhaps by a wider agreement."""

    id: str
    applies: Applies
    effective_from: datetime
    known_from: datetime
    effective_to: datetime | None = None
    """The first instant at which it no longer holds; None: it still does."""
    model: str | None = None
    """None: every model."""
    price: PricingConfig | None = None
    base_model: str | None = None
    """The model of the catalogue whose price a custom model has when none is agreed."""
    multiplier: Multiplier | None = None
    skips_ptu: bool | None = None

    @property
    def price_id(self) -> str:
        """What a cost that this agreement made is explained by."""
        return f"negotiated/{self.id}"

    def holds_at(self, moment: datetime | None) -> bool:
        """Whether it is effective; a request without a time is priced as the newest."""
        if moment is None:
            return self.effective_to is None
        return self.effective_from <= moment and (self.effective_to is None or moment < self.effective_to)

    def names(self, provider: str, model: str) -> bool:
        """Whether it is about this model by any of its names."""
        return is_named(self.model, provider, model)

    @property
    def rank(self) -> tuple[int, int, int, datetime, datetime, str]:
        """Larger counts first: narrower, then for one model, then effective later, then known later."""
        return (*self.applies.strength, int(self.model is not None), self.effective_from, self.known_from, self.id)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What holds for one model at one moment."""

    listing: Listing | UnpricedReason
    """Where the price is looked up when none is agreed."""
    price: PricingConfig | None = None
    multiplier: Multiplier | None = None
    ids: tuple[str, ...] = ()
    """What took part in the price."""
    free_ptu: str | None = None
    """What makes traffic of provisioned throughput cost nothing."""

    def named(self, price_id: str, variant: str = "") -> str:
        """The price id: what was looked up, then what was agreed on top of it."""
        first = [] if self.price is not None else [price_id]
        names = [*first, *self.ids]
        if variant and self.price is not None:
            names[0] = f"{names[0]}~{variant}"
        return "+".join(names)

    def adjusted(self, tariff: Tariff, rates: Rates) -> Tariff:
        """The tariff after the multiplier."""
        return tariff if self.multiplier is None else self.multiplier.scaled(tariff, rates)


@dataclass(frozen=True, slots=True)
class AgreedListing:
    """All prices of one model for those that have an agreement: stands where a `Listing` of the catalogue would."""

    terms: tuple[NegotiatedPrice, ...]
    """About the model, the one that counts first in front."""
    reservations: tuple[Reservation, ...]
    catalogue: Listing | UnpricedReason
    bases: Mapping[str, Listing | UnpricedReason]
    """Base model → its prices."""

    @property
    def boundaries(self) -> frozenset[datetime]:
        """Instants at which a price changes."""
        agreed = (*self.terms, *self.reservations)
        ends = {edge for one in agreed for edge in (one.effective_from, one.effective_to) if edge}
        return frozenset(ends).union(*(listing.boundaries for listing in self._listings()))

    @property
    def thresholds(self) -> frozenset[int]:
        """Prompt sizes above which another price counts."""
        return frozenset[int]().union(*(listing.thresholds for listing in self._listings()))

    @property
    def clock(self) -> frozenset[int]:
        """Minutes of the day (UTC) at which a price changes every day."""
        return frozenset[int]().union(*(listing.clock for listing in self._listings()))

    def agreement(self, at: datetime | None) -> Agreement:
        """What holds at a moment; for a request without a time, what holds without an end."""
        moment = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
        held = [term for term in self.terms if term.holds_at(moment)]
        priced = next((t for t in held if t.price is not None or t.base_model is not None), None)
        factor = next((term for term in held if term.multiplier is not None), None)
        skip = next((term for term in held if term.skips_ptu is not None), None)
        reserved = next((one for one in self.reservations if one.holds_at(moment)), None)
        free = skip.price_id if skip is not None and skip.skips_ptu else reserved.price_id if reserved else None
        base = priced.base_model if priced is not None and priced.price is None else None
        changes = factor if factor is not None and factor.multiplier and factor.multiplier.factors else None
        return Agreement(
            listing=self.catalogue if base is None else self.bases[base],
            price=priced.price if priced else None,
            multiplier=changes.multiplier if changes else None,
            ids=tuple(dict.fromkeys(term.price_id for term in (priced, changes) if term is not None)),
            free_ptu=free,
        )

    def _listings(self) -> Iterable[Listing]:
        return (one for one in (self.catalogue, *self.bases.values()) if isinstance(one, Listing))


@dataclass(frozen=True)
class Overlay:
    """All agreements of all organisations that pricing must know. An empty one changes nothing."""

    prices: tuple[NegotiatedPrice, ...] = ()
    reservations: tuple[Reservation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.prices or self.reservations)

    @cached_property
    def _ordered(self) -> tuple[NegotiatedPrice | Reservation, ...]:
        prices = sorted(self.prices, key=lambda term: term.rank, reverse=True)
        return (*prices, *self.reservations)

    @cached_property
    def _organisations(self) -> frozenset[str]:
        return frozenset(one.applies.organisation_id for one in self._ordered)

    def agreed(self, frame: pl.DataFrame) -> pl.Series:
        """Per row, as text, which agreements may hold for it; null for none. Columns that are absent count as empty."""
        names = [name for name in _OWNER if name in frame.columns]
        blank = pl.repeat(None, frame.height, dtype=pl.String, eager=True).alias(AGREED)
        if "organisation_id" not in names:
            return blank
        found = frame.select(names).unique().filter(pl.col("organisation_id").is_in(list(self._organisations)))
        if found.is_empty():
            return blank
        texts = pl.Series(AGREED, [self._covering(row) for row in found.iter_rows(named=True)], dtype=pl.String)
        table = found.with_columns(texts)
        return frame.select(names).join(table, on=names, how="left", nulls_equal=True, maintain_order="left")[AGREED]

    def listing(
        self, agreed: str | None, provider: str | None, model: str | None, book: PriceBook
    ) -> Listing | AgreedListing | UnpricedReason:
        """The prices of a model for rows with these agreements (see `agreed`), or why there are none."""
        catalogue = book.listing(provider, model)
        if agreed is None:
            return catalogue
        of_rows = [self._ordered[int(number)] for number in agreed.split(",")]
        slug = provider_slug(provider)
        terms = tuple(t for t in of_rows if isinstance(t, NegotiatedPrice) and t.names(slug, model or ""))
        reserved = tuple(r for r in of_rows if isinstance(r, Reservation) and is_named(r.model, slug, model or ""))
        if not terms and not reserved:
            return catalogue
        bases = {name: book.listing(provider, name) for term in terms if (name := term.base_model) is not None}
        return AgreedListing(terms, reserved, catalogue, bases)

    def _covering(self, row: Mapping[str, Any]) -> str | None:
        owner = [cast("str | None", row.get(name)) for name in _OWNER]
        numbers = [
            str(number)
            for number, one in enumerate(self._ordered)
            if one.applies.covers(owner[0], owner[1], owner[2], owner[3] or "")
        ]
        return ",".join(numbers) or None

"""Which price each row of a frame has: rows that share it form a cell, and each cell is resolved once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from warehouse.pricing.amounts import Index, Mask, Whole
from warehouse.pricing.book import Listing, PriceBook, UnpricedReason
from warehouse.pricing.config import ModelPricing, PricingConfig
from warehouse.pricing.distinct import numbered
from warehouse.pricing.negotiated import AGREED, AgreedListing, Agreement, Overlay
from warehouse.pricing.tariff import Facets, Tariff, choose, has_price, tariff
from warehouse.pricing.units import IMAGES, INPUT_COLUMNS, OUTPUT_COLUMNS
from warehouse.pricing.usage import Counts, summed

FACETS = ("region", "execution_mode", "image_quality", "image_size")
"""Optional text columns that choose among a model's prices."""
PROVISIONED = "provisioned"
"""Execution mode of traffic of provisioned throughput (PTU)."""
NOTHING = Tariff({}, Decimal(0), (), {})
_NAME = "#name"
_LARGEST_TABLE = 1 << 20
_MINUTE_US, _DAY_US = 60_000_000, 86_400_000_000
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_NO_TIME_US = -(2**62 // _DAY_US) * _DAY_US
"""Stands for a row without a time: midnight, before any price."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What all rows of a cell share: a tariff, or why there is none."""

    tariff: Tariff | None = None
    price_id: str | None = None
    reason: UnpricedReason | None = None
    is_ptu: bool = False
    """True for traffic of provisioned throughput that is paid for elsewhere: it costs nothing by agreement."""
    provider: str | None = None
    facets: Facets | None = None
    agreement: Agreement | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing that tells cells apart: its possible values, and which of them each row has."""

    name: str
    size: int
    index: Index


@dataclass(frozen=True, slots=True)
class _Usage:
    """What of rows tells the cells of a name apart."""

    at_us: Whole
    first: datetime | None
    last: datetime | None
    counts: Counts

    def of(self, at: Index) -> "_Usage":
        """That of some rows."""
        return _Usage(self.at_us[at], self.first, self.last, self.counts.of(at))


_Listed = Listing | AgreedListing | UnpricedReason


def cells_of(rows: pl.DataFrame, counts: Counts, book: PriceBook, overlay: Overlay) -> tuple[list[Cell], Index]:
    """The cells of the rows, and the index of each row's cell.

    Shape: needs ai_org, ai_model, created_at, and `AGREED` where there is an overlay.
    """
    name, named = _names(rows)
    book.shelves({row["ai_org"] for row in named})  # what is not read yet is read together
    listings = [overlay.listing(row.get(AGREED), row["ai_org"], row["ai_model"], book) for row in named]
    usage = _usage(rows, counts)
    varies = _varying(listings, usage)
    if varies.all():
        return _told_apart(usage, name, named, listings)
    # Most models have one price for all rows of a frame: only the others' rows are looked at any closer.
    cells = [_resolve(one, usage.first, _facets(of), of["ai_org"]) for one, of in zip(listings, named, strict=True)]
    if not varies.any():
        return cells, name
    at = np.flatnonzero(varies.take(name))
    needed = [one if apart else UnpricedReason.NO_PRICE for one, apart in zip(listings, varies.tolist(), strict=True)]
    more, which = _told_apart(usage.of(at), name[at], named, needed)
    name[at] = which + len(cells)
    return cells + more, name


def _names(rows: pl.DataFrame) -> tuple[Index, list[dict[str, Any]]]:
    """The number of each row's names, and what each number stands for."""
    told = [name for name in (*FACETS, AGREED) if name in rows.columns and rows[name].null_count() < rows.height]
    has_more = np.zeros(rows.height, dtype=np.bool_)
    for column in told:
        has_more |= rows[column].is_not_null().to_numpy()
    at = np.flatnonzero(has_more) if told else np.array([], dtype=np.intp)
    columns = ["ai_org", "ai_model"]
    texts = rows.select(*columns, *told)
    if 2 * at.size > rows.height:
        name, known = numbered(texts)
        return name, [dict(zip(texts.columns, values, strict=True)) for values in known]
    # Most requests are served the usual way: only the others are told apart by how they are.
    name, known = numbered(texts.select(columns))
    named = [dict(zip(columns, values, strict=True)) for values in known]
    if at.size:
        number, known = numbered(texts[pl.Series(at)])
        name[at] = number + len(named)
        named += [dict(zip(texts.columns, values, strict=True)) for values in known]
    return name, named


def _usage(rows: pl.DataFrame, counts: Counts) -> _Usage:
    created = rows["created_at"]
    if not isinstance(created.dtype, pl.Datetime):
        created = created.cast(pl.Datetime("us"))
    at_us = created.dt.cast_time_unit("us").to_physical()
    known = at_us.drop_nulls() if at_us.null_count() else at_us
    if known.is_empty():
        return _Usage(at_us.fill_null(_NO_TIME_US).to_numpy(), None, None, counts)
    numbers = known.to_numpy()
    first, last = (_EPOCH + int(edge) * _MICROSECOND for edge in (numbers.min(), numbers.max()))
    return _Usage(at_us.fill_null(_NO_TIME_US).to_numpy() if known is not at_us else numbers, first, last, counts)


def _varying(listings: Sequence[_Listed], usage: _Usage) -> Mask:
    """Per name, whether its rows may have different prices."""
    if IMAGES in usage.counts:
        return np.ones(len(listings), dtype=np.bool_)
    prompt = sum(usage.counts.most.get(name, 0) for name in INPUT_COLUMNS)
    return np.array(
        [
            not isinstance(one, UnpricedReason)
            and bool(
                one.clock or any(size < prompt for size in one.thresholds) or len(_times(usage, one.boundaries)) > 1
            )
            for one in listings
        ],
        dtype=np.bool_,
    )


def _told_apart(
    usage: _Usage, name: Index, named: Sequence[Mapping[str, Any]], listings: Sequence[_Listed]
) -> tuple[list[Cell], Index]:
    """The cells of rows whose prices differ by more than their names, and the index of each row's cell."""
    known = [listing for listing in listings if not isinstance(listing, UnpricedReason)]
    times = _times(usage, frozenset[datetime]().union(*(listing.boundaries for listing in known)))
    thresholds = frozenset[int]().union(*(listing.thresholds for listing in known))
    prompt = summed(usage.counts, INPUT_COLUMNS if thresholds else (), name.size)
    sizes = _sizes(prompt, thresholds)
    clock = [0, *sorted(frozenset[int]().union(*(listing.clock for listing in known)) - {0})]
    keys, distinct = _combined([_Part(_NAME, len(named), name), *_parts(usage, times, prompt, sizes, clock)])
    cells: list[Cell] = []
    for key in distinct:
        number = key[_NAME]
        facets = _facets(
            named[number],
            prompt_tokens=sizes[key.get("size", 0)],
            minute_of_day=clock[key.get("clock", 0)],
            has_images=bool(key.get("images")),
            has_output_tokens=bool(key.get("outputs")),
        )
        cells.append(_resolve(listings[number], times[key.get("period", 0)], facets, named[number]["ai_org"]))
    return cells, keys


def _facets(named: Mapping[str, Any], **of_rows: Any) -> Facets:
    return Facets(**of_rows, **{facet: named[facet] for facet in FACETS if facet in named})


def _parts(
    usage: _Usage, times: Sequence[datetime | None], prompt: Whole, sizes: Sequence[int], clock: Sequence[int]
) -> list[_Part]:
    """What besides the names tells the rows apart; what all of them share is left out."""
    found: list[_Part] = []
    at_us, counts = usage.at_us, usage.counts
    if len(times) > 1:
        starts = [(time - _EPOCH) // _MICROSECOND for time in times[1:] if time is not None]
        found.append(_Part("period", len(times), _reached([at_us >= start for start in starts])))
    if len(sizes) > 1:
        found.append(_Part("size", len(sizes), _reached([prompt >= size for size in sizes[1:]])))
    if len(clock) > 1:
        of_day = at_us % _DAY_US
        found.append(_Part("clock", len(clock), _reached([of_day >= edge * _MINUTE_US for edge in clock[1:]])))
    if IMAGES in counts:
        outputs = summed(counts, OUTPUT_COLUMNS, at_us.size)
        found.append(_Part("images", 2, _reached([counts[IMAGES] > 0])))
        found.append(_Part("outputs", 2, _reached([outputs > 0])))
    return found


def _combined(parts: Sequence[_Part]) -> tuple[Index, list[dict[str, int]]]:
    """Each row's combination of parts as a number from 0, and what each number stands for."""
    key = parts[0].index
    for part in parts[1:]:
        key = key * part.size + part.index
    numbers, index = _numbers(key, math.prod(part.size for part in parts))
    found: list[dict[str, int]] = []
    for number in numbers:
        rest, values = number, dict[str, int]()
        for part in reversed(parts[1:]):
            rest, values[part.name] = divmod(rest, part.size)
        found.append({parts[0].name: rest, **values})
    return index, found


def _numbers(key: Index, size: int) -> tuple[list[int], Index]:
    """The distinct numbers of an array whose numbers are below `size`, and which of them each row has."""
    if size > _LARGEST_TABLE:
        distinct, index = np.unique(key, return_inverse=True)
        return distinct.tolist(), index
    places = np.zeros(size, dtype=np.intp)
    places[key] = 1
    numbers = np.flatnonzero(places)
    places[numbers] = np.arange(numbers.size)
    return numbers.tolist(), places.take(key)


def _times(usage: _Usage, boundaries: frozenset[datetime]) -> list[datetime | None]:
    """A moment of each price period that the rows reach: the first row's, then every change up to the last row."""
    first, last = usage.first, usage.last
    if first is None or last is None:
        return [None]
    return [first, *(time for time in sorted(boundaries) if first < time <= last)]


def _sizes(prompt: Whole, thresholds: frozenset[int]) -> list[int]:
    """A prompt size of each band that the rows reach."""
    most = int(prompt.max(initial=0))
    return [0, *(size + 1 for size in sorted(thresholds) if size < most)]


def _reached(reached: Sequence[Mask]) -> Index:
    """How many of the conditions hold in each row."""
    counted = reached[0].astype(np.intp)
    for one in reached[1:]:
        counted += one
    return counted


def _resolve(listing: _Listed, at: datetime | None, facets: Facets, provider: str | None) -> Cell:
    """The tariff of a cell, or why it has none."""
    if isinstance(listing, AgreedListing):
        return replace(_agreed(listing.agreement(at), at, facets), provider=provider, facets=facets)
    found = _looked_up(listing, at, facets)
    if isinstance(found, UnpricedReason):
        return Cell(reason=found, provider=provider, facets=facets)
    return Cell(found.tariff, found.price_id, provider=provider, facets=facets)


@dataclass(frozen=True, slots=True)
class _Found:
    """A price of the catalogue."""

    config: PricingConfig
    price_id: str
    tariff: Tariff


def _looked_up(listing: Listing | UnpricedReason, at: datetime | None, facets: Facets) -> _Found | UnpricedReason:
    if isinstance(listing, UnpricedReason):
        return listing
    row = listing.row(at, facets.prompt_tokens)
    if row is None or not has_price(row.pricing):
        return UnpricedReason.NO_PRICE
    config, variant, found = row.tariff(facets)
    return _Found(config, f"{row.price_id}~{variant}" if variant else row.price_id, found)


def _agreed(agreement: Agreement, at: datetime | None, facets: Facets) -> Cell:
    """The tariff by an agreement: what is agreed, else what the catalogue says, times the factors."""
    if agreement.free_ptu is not None and (facets.execution_mode or "").lower() == PROVISIONED:
        return Cell(NOTHING, agreement.free_ptu, is_ptu=True, agreement=agreement)
    if agreement.price is not None:
        config, variant = choose(PricingConfig(), ModelPricing(agreement.price), facets)
        price_id, plain = agreement.named("", variant), tariff(config, facets)
    else:
        found = _looked_up(agreement.listing, at, facets)
        if isinstance(found, UnpricedReason):
            return Cell(reason=found, agreement=agreement)
        config, price_id, plain = found.config, agreement.named(found.price_id), found.tariff
    return Cell(agreement.adjusted(plain, config.pay_as_you_go), price_id, agreement=agreement)

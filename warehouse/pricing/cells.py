"""Which price each row of a frame has: rows that share it form a cell, and each cell is resolved once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

import numpy as np
import polars as pl

from warehouse.pricing.book import Listing, PriceBook, UnpricedReason
from warehouse.pricing.config import ModelPricing, PricingConfig
from warehouse.pricing.negotiated import AGREED, AgreedListing, Agreement, Overlay
from warehouse.pricing.tariff import Facets, Tariff, choose, has_price, tariff
from warehouse.pricing.units import IMAGES, INPUT_COLUMNS, OUTPUT_COLUMNS

FACETS = ("region", "execution_mode", "image_quality", "image_size")
"""Optional text columns that choose among a model's prices."""
PROVISIONED = "provisioned"
"""Execution mode of traffic of provisioned throughput (PTU)."""
NOTHING = Tariff({}, Decimal(0), (), {})
_PAIR, _KEY = "#pair", "#key"
_LARGEST_TABLE = 1 << 20
_MINUTE_US = 60_000_000


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
    index: pl.Series


def cells_of(rows: pl.DataFrame, book: PriceBook, overlay: Overlay) -> tuple[list[Cell], pl.Series]:
    """The cells of the frame, and the index of each row's cell.

    Shape: needs ai_org, ai_model, created_at, and `AGREED` where there is an overlay; bucket columns that are absent
        count as empty.
    """
    told = [name for name in (*FACETS, AGREED) if name in rows.columns and rows[name].null_count() < rows.height]
    names = [_text_part(rows[name]) for name in ("ai_org", "ai_model", *told)]
    pair, distinct = _combined([part for part, _ in names])
    values = {part.name: texts for part, texts in names}
    named = [{name: values[name][index] for name, index in key.items()} for key in distinct]
    book.shelves({row["ai_org"] for row in named})  # what is not read yet is read together
    listings = [overlay.listing(row.get(AGREED), row["ai_org"], row["ai_model"], book) for row in named]
    known = [listing for listing in listings if not isinstance(listing, UnpricedReason)]
    times = _times(rows["created_at"], frozenset[datetime]().union(*(listing.boundaries for listing in known)))
    thresholds = frozenset[int]().union(*(listing.thresholds for listing in known))
    prompt = _sum(rows, INPUT_COLUMNS) if thresholds else pl.Series(dtype=pl.Int64)
    sizes = _sizes(prompt, thresholds)
    clock = [0, *sorted(frozenset[int]().union(*(listing.clock for listing in known)) - {0})]
    parts = [_Part(_PAIR, len(named), pair), *_parts(rows, times, prompt, sizes, clock)]
    keys, distinct = _combined(parts)
    cells: list[Cell] = []
    for key in distinct:
        number = key[_PAIR]
        name = named[number]
        facets = Facets(
            prompt_tokens=sizes[key.get("size", 0)],
            minute_of_day=clock[key.get("clock", 0)],
            has_images=bool(key.get("images")),
            has_output_tokens=bool(key.get("outputs")),
            **{facet: name[facet] for facet in FACETS if facet in name},
        )
        cells.append(_resolve(listings[number], times[key.get("period", 0)], facets, name["ai_org"]))
    return cells, keys


def _text_part(column: pl.Series) -> tuple[_Part, list[str | None]]:
    """A text column as numbers, and the text of each."""
    # Categories of its own: the shared ones would keep every name that a log ever held.
    categories = pl.Categories.random()
    found = column.cast(pl.Categorical(categories))  # the categories live as long as it does
    codes = found.to_physical().cast(pl.UInt32)
    known = (cast(int | None, codes.max()) or 0) + 1
    texts: list[str | None] = [None] * (known + 1)
    for text, code in categories.to_dict().items():
        texts[code] = text
    return _Part(column.name, known + 1, codes.fill_null(known)), texts


def _parts(
    rows: pl.DataFrame, times: Sequence[datetime | None], prompt: pl.Series, sizes: Sequence[int], clock: Sequence[int]
) -> list[_Part]:
    """What besides the names tells the rows of this frame apart; what all of them share is left out."""
    found: list[_Part] = []
    if len(times) > 1:
        found.append(_Part("period", len(times), _reached([rows["created_at"] >= time for time in times[1:]])))
    if len(sizes) > 1:
        found.append(_Part("size", len(sizes), _reached([prompt >= size for size in sizes[1:]])))
    if len(clock) > 1:
        of_day = rows["created_at"].cast(pl.Datetime("us")).to_physical() % (1_440 * _MINUTE_US)
        found.append(_Part("clock", len(clock), _reached([of_day >= edge * _MINUTE_US for edge in clock[1:]])))
    if IMAGES in rows.columns:
        found.append(_Part("images", 2, _reached([rows[IMAGES] > 0])))
        found.append(_Part("outputs", 2, _reached([_sum(rows, OUTPUT_COLUMNS) > 0])))
    return found


def _combined(parts: Sequence[_Part]) -> tuple[pl.Series, list[dict[str, int]]]:
    """Each row's combination of parts as a number from 0, and what each number stands for."""
    size = math.prod(part.size for part in parts)
    key = parts[0].index.cast(pl.UInt32 if size <= _LARGEST_TABLE else pl.UInt64)
    for part in parts[1:]:
        key = key * part.size + part.index.cast(key.dtype)
    numbers, index = _numbered(key, size)
    found: list[dict[str, int]] = []
    for number in numbers:
        rest, values = number, dict[str, int]()
        for part in reversed(parts[1:]):
            rest, values[part.name] = divmod(rest, part.size)
        found.append({parts[0].name: rest, **values})
    return index, found


def _numbered(key: pl.Series, size: int) -> tuple[list[int], pl.Series]:
    """The distinct numbers of a column whose numbers are below `size`, and which of them each row has."""
    if size > _LARGEST_TABLE:
        table = pl.DataFrame({_KEY: key})
        distinct = table.group_by(_KEY).len().select(_KEY).sort(_KEY).with_row_index("cell")
        return distinct[_KEY].to_list(), table.join(distinct, on=_KEY, how="left", maintain_order="left")["cell"]
    codes = key.to_numpy()
    seen = np.zeros(size, dtype=np.bool_)
    seen[codes] = True
    numbers = np.flatnonzero(seen)
    places = np.zeros(size, dtype=np.uint32)
    places[numbers] = np.arange(numbers.size, dtype=np.uint32)
    return numbers.tolist(), pl.Series("cell", places.take(codes, mode="clip"))


def _sum(rows: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    present = [name for name in names if name in rows.columns]
    return rows.select(pl.sum_horizontal(present or [pl.repeat(0, pl.len(), dtype=pl.Int64)]).alias("sum"))["sum"]


def _times(created_at: pl.Series, boundaries: frozenset[datetime]) -> list[datetime | None]:
    """A moment of each price period that the rows reach: the first row's, then every change up to the last row."""
    first, last = cast(datetime | None, created_at.min()), cast(datetime | None, created_at.max())
    if first is None or last is None:
        return [None]
    known = [time if first.tzinfo else time.astimezone(UTC).replace(tzinfo=None) for time in sorted(boundaries)]
    return [first, *(time for time in known if first < time <= last)]


def _sizes(prompt: pl.Series, thresholds: frozenset[int]) -> list[int]:
    """A prompt size of each band that the rows reach."""
    most = cast(int | None, prompt.max()) or 0
    return [0, *(size + 1 for size in sorted(thresholds) if size < most)]


def _reached(reached: Sequence[pl.Series]) -> pl.Series:
    """How many of the conditions hold in each row."""
    counted = reached[0].fill_null(False).cast(pl.UInt16)
    for one in reached[1:]:
        counted = counted + one.fill_null(False).cast(pl.UInt16)
    return counted


def _resolve(
    listing: Listing | AgreedListing | UnpricedReason, at: datetime | None, facets: Facets, provider: str | None
) -> Cell:
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

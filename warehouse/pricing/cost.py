"""Usage rows × price book → the cost columns, the price that made each cost, or why there is none.

Rows are priced by cell: all rows of one provider, model, price period, prompt size and kind share one tariff, so names
are resolved once per cell and money is computed on whole columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import polars as pl

from warehouse.catalog.generations import BUCKETS, COST
from warehouse.pricing.book import Listing, PriceBook, UnpricedReason
from warehouse.pricing.columnar import MONEY, TARIFF, UNITS, costs
from warehouse.pricing.tariff import Facets, Tariff, choose, has_price, tariff
from warehouse.pricing.units import COST_COLUMNS, IMAGES, INPUT_COLUMNS, OUTPUT_COLUMNS
from warehouse.settings import CostPolicy

NOT_BILLED = "rule:failed-without-usage"
"""Price id of a failed request that used nothing: providers do not bill it, so it costs 0 by this rule."""
FACETS = ("region", "execution_mode", "image_quality", "image_size")
"""Optional text columns that choose among a model's prices."""
_HITS = ("hit", "semantic hit")
_BUCKETS = tuple(column.name for column in BUCKETS)
_PAIR, _CELL, _REASON, _NEEDS = "#pair", "#cell", "#reason", "#needs"
_NEEDS_IMAGES, _NEEDS_UNITS, _IS_FREE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class _Cell:
    """What all rows of a cell share: a tariff, or why there is none."""

    tariff: Tariff | None = None
    price_id: str | None = None
    reason: UnpricedReason | None = None


def price(frame: pl.DataFrame, book: PriceBook, policy: CostPolicy) -> pl.DataFrame:
    """The same rows in the same order with all cost columns of the catalog; `usage_known` is gone.

    Shape: needs ai_org, ai_model, created_at, is_success, cache_status, all bucket columns, reported_cost and
        usage_known; takes `extra_units` (see `columnar.UNITS`) and the columns of `FACETS` where they are present,
        which are gone afterwards too.
    Units: cents.
    """
    rows = frame.select(
        *(name for name in ("ai_org", "ai_model", "created_at", *FACETS, UNITS) if name in frame.columns),
        *(pl.col(name).cast(pl.Int64) for name in _BUCKETS),
        pl.col("is_success").fill_null(True),
        pl.col("usage_known").fill_null(False),
        pl.col("reported_cost").cast(MONEY),
        pl.col("cache_status").str.strip_chars().str.to_lowercase().is_in(_HITS).fill_null(False).alias("#hit"),
    )
    cells, keyed = _cells(rows, book)
    tariffs = [cell.tariff for cell in cells if cell.tariff is not None]
    rows = rows.hstack(_by_cell(keyed, cells)).with_columns(_reason(rows.columns).alias(_REASON))
    rows = rows.with_columns(pl.when(pl.col(_REASON).is_null()).then(TARIFF).alias(TARIFF))
    priced = _explained(rows.hstack(costs(rows, tariffs)))
    priced = priced.select(*_money(policy, rows.columns), "price_id", _REASON)
    names = [column.name for column in COST]
    dropped = {"usage_known", UNITS, *FACETS, *names}
    kept = frame.select(name for name in frame.columns if name not in dropped)
    return kept.hstack(priced.rename({_REASON: "unpriced_reason"}).select(names))


def _cells(rows: pl.DataFrame, book: PriceBook) -> tuple[list[_Cell], pl.Series]:
    """The cells of the frame, and the index of each row's cell."""
    names = ["ai_org", "ai_model", *(name for name in FACETS if name in rows.columns)]
    pairs = rows.select(names).unique(maintain_order=True).with_row_index(_PAIR)
    pair = rows.select(names).join(pairs, on=names, how="left", nulls_equal=True, maintain_order="left")[_PAIR]
    named = pairs.to_dicts()
    listings = [book.listing(row["ai_org"], row["ai_model"]) for row in named]
    known = [listing for listing in listings if isinstance(listing, Listing)]
    times = _times(rows["created_at"], frozenset[datetime]().union(*(listing.boundaries for listing in known)))
    prompt = rows.select(pl.sum_horizontal(*INPUT_COLUMNS).alias("prompt"))["prompt"]
    sizes = _sizes(prompt, frozenset[int]().union(*(listing.thresholds for listing in known)))
    keys: dict[str, pl.Series] = {_PAIR: pair}
    if len(times) > 1:
        keys["period"] = _count_reached([rows["created_at"] >= time for time in times[1:]])
    if len(sizes) > 1:
        keys["size"] = _count_reached([prompt >= size for size in sizes[1:]])
    clock = [0, *sorted(frozenset[int]().union(*(listing.clock for listing in known)) - {0})]
    if len(clock) > 1:
        minute = rows["created_at"].dt.hour().cast(pl.Int32) * 60 + rows["created_at"].dt.minute()
        keys["clock"] = _count_reached([minute >= edge for edge in clock[1:]])
    if rows[IMAGES].max():
        keys["images"] = rows[IMAGES].fill_null(0) > 0
        keys["outputs"] = rows.select(pl.sum_horizontal(*OUTPUT_COLUMNS).alias("outputs"))["outputs"] > 0
    table = pl.DataFrame(keys)
    distinct = table.unique(maintain_order=True).with_row_index(_CELL)
    cells: list[_Cell] = []
    for key in distinct.to_dicts():
        facets = Facets(
            prompt_tokens=sizes[key.get("size", 0)],
            minute_of_day=clock[key.get("clock", 0)],
            has_images=key.get("images", False),
            has_output_tokens=key.get("outputs", False),
            **{name: named[key[_PAIR]].get(name) for name in FACETS},
        )
        cells.append(_resolve(listings[key[_PAIR]], times[key.get("period", 0)], facets))
    return cells, table.join(distinct, on=table.columns, how="left", maintain_order="left")[_CELL]


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


def _count_reached(reached: Sequence[pl.Series]) -> pl.Series:
    return pl.DataFrame({str(i): one for i, one in enumerate(reached)}).select(
        pl.sum_horizontal(pl.all().fill_null(False).cast(pl.UInt32)).alias("reached")
    )["reached"]


def _resolve(listing: Listing | UnpricedReason, at: datetime | None, facets: Facets) -> _Cell:
    """The tariff of a cell, or why it has none."""
    if isinstance(listing, UnpricedReason):
        return _Cell(reason=listing)
    row = listing.row(at, facets.prompt_tokens)
    if row is None or not has_price(row.pricing):
        return _Cell(reason=UnpricedReason.NO_PRICE)
    config, variant = choose(row.default, row.pricing, facets)
    return _Cell(tariff(config, facets), f"{row.price_id}~{variant}" if variant else row.price_id)


def _by_cell(cell: pl.Series, cells: Sequence[_Cell]) -> pl.DataFrame:
    """Per row: index of the tariff, price id, reason, and what the tariff needs to be counted."""
    order = iter(range(len(cells)))
    table = pl.DataFrame(
        {
            TARIFF: [None if c.tariff is None else next(order) for c in cells],
            "price_id": [c.price_id for c in cells],
            "#unknown": [None if c.reason is None else c.reason.value for c in cells],
            _NEEDS: [_needs(c.tariff) for c in cells],
        },
        schema={TARIFF: pl.UInt32, "price_id": pl.String, "#unknown": pl.String, _NEEDS: pl.UInt8},
    )
    return table.select(pl.all().gather(cell))


def _needs(tariff: Tariff | None) -> int:
    if tariff is None:
        return 0
    if tariff.needs_images:
        return _NEEDS_IMAGES
    if tariff.needs_units:
        return _NEEDS_UNITS
    return _IS_FREE if tariff.is_free else 0


def _reason(columns: Sequence[str]) -> pl.Expr:
    """Why a row has no computed cost, before its cost is known; null for a row that can be priced."""
    no_units = (pl.col(UNITS).list.len().fill_null(0) == 0) if UNITS in columns else pl.lit(True)
    uncounted = ((pl.col(_NEEDS) == _NEEDS_IMAGES) & pl.col(IMAGES).is_null()) | (
        (pl.col(_NEEDS) == _NEEDS_UNITS) & no_units
    )
    return (
        pl.when(_not_billed(columns))
        .then(pl.lit(NOT_BILLED))
        .when(~pl.col("usage_known"))
        .then(pl.lit(UnpricedReason.NO_USAGE.value))
        .when(pl.any_horizontal(pl.col(*_BUCKETS) < 0))
        .then(pl.lit(UnpricedReason.NEGATIVE_USAGE.value))
        .when(pl.col("#unknown").is_not_null())
        .then("#unknown")
        # Files say 0 per token for image models that they do not track: images of a free model are not free.
        .when((pl.col(_NEEDS) == _IS_FREE) & (pl.col(IMAGES) > 0))
        .then(pl.lit(UnpricedReason.NO_PRICE.value))
        .when(uncounted)
        .then(pl.lit(UnpricedReason.MISSING_QUANTITY.value))
    )


def _used(columns: Sequence[str]) -> pl.Expr:
    """True for a row that used anything that could cost something."""
    used = pl.any_horizontal(pl.col(*_BUCKETS).fill_null(0) != 0)
    return used | (pl.col(UNITS).list.len().fill_null(0) > 0) if UNITS in columns else used


def _not_billed(columns: Sequence[str]) -> pl.Expr:
    return ~pl.col("is_success") & ~_used(columns)


def _explained(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with price id and reason settled, and what the rules say where no price does."""
    free = pl.col(_REASON).eq_missing(NOT_BILLED)
    reason = (
        pl.when(pl.col("#hit") | free)
        .then(None)
        .when(pl.col(_REASON).is_null() & pl.col("computed_cost").is_null())
        .then(pl.lit(UnpricedReason.COST_TOO_LARGE.value))
        .otherwise(_REASON)
    )
    nothing = pl.lit(0).cast(MONEY)
    saved = pl.when(pl.col("#hit")).then(pl.when(free).then(nothing).otherwise("computed_cost"))
    price_id = pl.when(free).then(pl.lit(NOT_BILLED)).when(pl.col("computed_cost").is_not_null()).then("price_id")
    costs_now = [
        pl.when(pl.col("#hit") | free).then(nothing).otherwise(name).alias(name)
        for name in (*COST_COLUMNS, "computed_cost")
    ]
    return rows.with_columns(
        *costs_now, saved.alias("cache_saved_cost"), price_id.alias("price_id"), reason.alias(_REASON)
    )


def _money(policy: CostPolicy, columns: Sequence[str]) -> list[pl.Expr]:
    """The money columns: what counts as cost, and from where."""
    computed, reported = pl.col("computed_cost"), pl.col("reported_cost")
    # Gateways report 0 for what they cannot price: beside real usage, that is no cost but the lack of one.
    meant = pl.when(~((reported == 0) & _used(columns))).then(reported)
    first, second = {
        CostPolicy.COMPUTED_ELSE_REPORTED: (("computed", computed), ("reported", meant)),
        CostPolicy.REPORTED_ELSE_COMPUTED: (("reported", meant), ("computed", computed)),
        CostPolicy.COMPUTED: (("computed", computed), None),
        CostPolicy.REPORTED: (("reported", reported), None),
    }[policy]
    cost = pl.when(pl.col("#hit")).then(pl.lit(0).cast(MONEY)).when(first[1].is_not_null()).then(first[1])
    source = pl.when(pl.col("#hit")).then(pl.lit("cache")).when(first[1].is_not_null()).then(pl.lit(first[0]))
    if second is not None:
        cost = cost.when(second[1].is_not_null()).then(second[1])
        source = source.when(second[1].is_not_null()).then(pl.lit(second[0]))
    own = ("computed_cost", "reported_cost", *COST_COLUMNS, "cache_saved_cost")
    return [cost.alias("cost"), source.alias("cost_source"), *(pl.col(name) for name in own)]

"""Usage rows × price book → the cost columns, the price that made each cost, or why there is none.

Rows are priced by cell (see `cells.py`); money is computed on whole columns (see `columnar.py`). What is here are the
rules about rows: what is not billed, what cannot be priced, and whose cost counts.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl

from warehouse.catalog.generations import BUCKETS, COST
from warehouse.pricing.book import PriceBook, UnpricedReason
from warehouse.pricing.bounds import bounds
from warehouse.pricing.cells import FACETS, NOTHING, Cell, cells_of
from warehouse.pricing.columnar import MONEY, costs
from warehouse.pricing.extras import ROW, TARIFF, metered, units_of, used_units
from warehouse.pricing.negotiated import Overlay
from warehouse.pricing.tariff import Tariff
from warehouse.pricing.units import COST_COLUMNS, IMAGES
from warehouse.settings import CostPolicy

NOT_BILLED = "rule:failed-without-usage"
"""Price id of a failed request that used nothing: providers do not bill it, so it costs 0 by this rule."""
_HITS = frozenset({"hit", "semantic hit"})
_HITS_AS_WRITTEN = ("HIT", "SEMANTIC HIT")
_USUAL = (*_HITS_AS_WRITTEN, "MISS", "SEMANTIC MISS", "REFRESH", "DISABLED", None)
"""Cache statuses as gateways write them; any other is looked at by itself."""
_REASONS = tuple(reason.value for reason in UnpricedReason)
_SOURCES = ("computed", "reported", "cache", "ptu")
_COMPUTED, _REPORTED, _CACHE, _PTU_PAID = range(4)
_OWN = ("computed_cost", "reported_cost", *COST_COLUMNS, "cache_saved_cost")
_CELL, _REASON, _NEEDS, _USED, _FREE, _HIT, _UNKNOWN = (
    "#cell",
    "#reason",
    "#needs",
    "#used",
    "#free",
    "#hit",
    "#unknown",
)
_PTU = "#ptu"
"""True for traffic that provisioned throughput has paid for: it costs nothing, whatever it used."""
_COUNTED, _UNCOUNTED = "#counted", "#uncounted"
_NEEDS_IMAGES, _NEEDS_UNITS, _IS_FREE = 1, 2, 3
_LOOKED_AT = ("ai_org", "ai_model", "created_at", *FACETS)
_ROWS_AT_ONCE = 1 << 18
"""Larger frames are priced in parts, side by side: what a part needs in between stays small."""


def price(frame: pl.DataFrame, book: PriceBook, policy: CostPolicy, overlay: Overlay | None = None) -> pl.DataFrame:
    """The same rows in the same order with all cost columns of the catalog; `usage_known` is gone.

    `overlay` are the agreements that count before the book's prices (see `negotiated.py`).

    Shape: needs ai_org, ai_model, created_at, is_success, cache_status, all bucket columns, reported_cost and
        usage_known; takes the columns of `FACETS` and the lists of additional units (`units.name`, `units.quantity`:
        decimal numbers as text) where they are present; with an overlay also organisation_id, workspace_slug and
        virtual_key.
    Units: cents.
    """

    def part(start: int) -> pl.DataFrame:
        return _priced(frame.slice(start, _ROWS_AT_ONCE), book, policy, overlay or Overlay())

    starts = range(0, max(frame.height, 1), _ROWS_AT_ONCE)
    if len(starts) == 1:
        money = part(0)
    else:
        with ThreadPoolExecutor(pl.thread_pool_size(), "price") as pool:
            money = pl.concat(pool.map(part, starts))
    dropped = {"usage_known", *money.columns}
    return frame.select(name for name in frame.columns if name not in dropped).hstack(money)


def _priced(frame: pl.DataFrame, book: PriceBook, policy: CostPolicy, overlay: Overlay) -> pl.DataFrame:
    """The cost columns of some rows."""
    looked_at = frame.select(name for name in _LOOKED_AT if name in frame.columns)
    counts = _counts(frame)
    if overlay:
        looked_at = looked_at.with_columns(overlay.agreed(frame))
    cells, index = cells_of(looked_at.hstack(counts), book, overlay)
    cell = pl.Series(index.astype(np.uint32))
    units = used_units(frame)
    rows = _by_cell(cell, cells).hstack(_rules(frame, counts, units)).hstack(counts)
    tariffs = [one.tariff for one in cells if one.tariff is not None]
    if (used_meters := metered(units, rows[TARIFF], tariffs)) is not None:
        rows = rows.with_columns(used_meters[0].alias(_COUNTED), used_meters[1].alias(_UNCOUNTED))
    rows = rows.with_columns(_reason(rows).alias(_REASON))
    money = _settled(rows, tariffs, units)
    money = money.select(*_counted(money, policy), *_OWN, *_named(money, cells))
    known = money["cost"] if policy is CostPolicy.COMPUTED else _either(money["cost"], money["computed_cost"])
    usage = pl.DataFrame([cell.alias(_CELL), money["unpriced_reason"]]).hstack(counts)
    return money.hstack(bounds(usage, known, cells, units, book)).select(column.name for column in COST)


def _either(one: pl.Series, other: pl.Series) -> pl.Series:
    return pl.select(pl.coalesce(one, other)).to_series() if one.null_count() else one


def _counts(frame: pl.DataFrame) -> pl.DataFrame:
    """The buckets; those that are empty in the whole frame are left out."""
    names = [column.name for column in BUCKETS if frame[column.name].null_count() < frame.height]
    return frame.select(pl.col(names).cast(pl.Int64))


def _rules(frame: pl.DataFrame, counts: pl.DataFrame, units: pl.DataFrame | None) -> pl.DataFrame:
    """What decides about rows before any price does."""
    least = counts.min().row(0, named=True) if counts.height else {}
    below = [pl.lit(counts[name]) < 0 for name in counts.columns if (least[name] or 0) < 0]
    statuses = frame["cache_status"]
    usual = statuses.is_in(_USUAL)
    unusual = statuses.filter(~usual).unique() if not usual.all() else statuses.head(0)
    hits = [*_HITS_AS_WRITTEN, *(text for text in unusual if text and text.strip().lower() in _HITS)]
    rows = frame.select(
        pl.col("is_success").fill_null(True),
        pl.col("usage_known").fill_null(False),
        pl.col("reported_cost").cast(MONEY),
        (pl.any_horizontal(below).fill_null(False) if below else pl.lit(False)).alias("#negative"),
        pl.col("cache_status").is_in(hits).fill_null(False).alias(_HIT),
    )
    if rows["is_success"].all() and rows["reported_cost"].null_count() == rows.height:
        used = pl.lit(True)  # nobody asks
    else:
        used = pl.lit(_has_used(counts, frame.height, units))
    return rows.with_columns(used.alias(_USED)).with_columns((~pl.col("is_success") & ~pl.col(_USED)).alias(_FREE))


def _has_used(counts: pl.DataFrame, height: int, units: pl.DataFrame | None) -> pl.Series:
    """True for rows that used anything."""
    used = pl.repeat(value=False, n=height, eager=True)
    if counts.columns:
        used = counts.select(pl.any_horizontal(pl.all() != 0).fill_null(False)).to_series()
    return used if units is None else used.scatter(units[ROW], values=True)


def _by_cell(cell: pl.Series, cells: Sequence[Cell]) -> pl.DataFrame:
    """Per row: its cell, the index of its tariff, the reason of a cell without one, and what a tariff needs."""
    order = iter(range(len(cells)))
    table = pl.DataFrame(
        {
            TARIFF: [None if one.tariff is None else next(order) for one in cells],
            _UNKNOWN: [None if one.reason is None else _REASONS.index(one.reason) for one in cells],
            _NEEDS: [_needs(one) for one in cells],
            _PTU: [one.is_ptu for one in cells],
        },
        schema={TARIFF: pl.UInt32, _UNKNOWN: pl.UInt8, _NEEDS: pl.UInt8, _PTU: pl.Boolean},
    )
    # What all cells have in common need not be looked up for every row.
    alike = [name for name in (_UNKNOWN, _NEEDS, _PTU) if table[name].n_unique() <= 1 and table.height]
    return table.select(pl.exclude(alike).gather(cell)).with_columns(
        cell.alias(_CELL), *(pl.lit(table[name][0], dtype=table.schema[name]).alias(name) for name in alike)
    )


def _needs(cell: Cell) -> int:
    if cell.tariff is None:
        return 0
    if cell.tariff.needs_images:
        return _NEEDS_IMAGES
    if cell.tariff.needs_units:
        return _NEEDS_UNITS
    return _IS_FREE if cell.tariff.is_free else 0


def _code(reason: UnpricedReason) -> pl.Expr:
    return pl.lit(_REASONS.index(reason), dtype=pl.UInt8)


def _reason(rows: pl.DataFrame) -> pl.Expr:
    """Why a row has no computed cost, before its cost is known; null for a row that can be priced."""
    needs, images = pl.col(_NEEDS), pl.col(IMAGES) if IMAGES in rows.columns else pl.lit(None, dtype=pl.Int64)
    counted = pl.col(_COUNTED) if _COUNTED in rows.columns else pl.lit(value=False)
    uncounted = ((needs == _NEEDS_IMAGES) & images.is_null()) | ((needs == _NEEDS_UNITS) & ~counted)
    has_uncounted = _UNCOUNTED in rows.columns and rows[_UNCOUNTED].any()
    if has_uncounted:
        # Seconds on a model that is sold by tokens: what was used has no price, so nothing has.
        uncounted = uncounted | (pl.col(_UNCOUNTED) & ~counted & ~_has_counts(rows))
    # Files say 0 per token for image models that they do not track: images of a free model are not free.
    untracked = (needs == _IS_FREE) & (images > 0)
    by_price = has_uncounted or rows[_NEEDS].max() or rows[_UNKNOWN].null_count() < rows.height
    if not by_price and rows["usage_known"].all() and not rows["#negative"].any():
        return pl.lit(None, dtype=pl.UInt8)
    reason = pl.when(pl.col(_FREE) | pl.col(_PTU)).then(pl.lit(None, dtype=pl.UInt8))
    for applies, code in (
        (None if rows["usage_known"].all() else ~pl.col("usage_known"), UnpricedReason.NO_USAGE),
        (pl.col("#negative") if rows["#negative"].any() else None, UnpricedReason.NEGATIVE_USAGE),
    ):
        if applies is not None:
            reason = reason.when(applies).then(_code(code))
    reason = reason.when(pl.col(_UNKNOWN).is_not_null()).then(_UNKNOWN)
    if rows[_NEEDS].max() or has_uncounted:
        reason = reason.when(untracked).then(_code(UnpricedReason.NO_PRICE))
        reason = reason.when(uncounted).then(_code(UnpricedReason.MISSING_QUANTITY))
    return reason.otherwise(None)


def _has_counts(rows: pl.DataFrame) -> pl.Expr:
    """True for rows that used tokens or made images."""
    counted = [pl.col(column.name) > 0 for column in BUCKETS if column.name in rows.columns]
    return pl.any_horizontal(counted).fill_null(value=False) if counted else pl.lit(value=False)


def _settled(rows: pl.DataFrame, tariffs: Sequence[Tariff], units: pl.DataFrame | None) -> pl.DataFrame:
    """Rows with their cost by the rules: hits and failed requests cost nothing, the rest what their tariff says."""
    rows = rows.with_columns(_saved(rows, tariffs, units))
    settled = rows.select(pl.col(_HIT) | pl.col(_FREE) | pl.col(_PTU)).to_series()
    if settled.any():
        nothing = pl.lit(len(tariffs), dtype=pl.UInt32)
        tariff = pl.when(settled).then(nothing).when(pl.col(_REASON).is_null()).then(TARIFF)
        rows = rows.with_columns(tariff.alias(TARIFF), pl.when(~settled).then(_REASON).alias(_REASON))
    elif rows[_REASON].null_count() < rows.height:
        rows = rows.with_columns(pl.when(pl.col(_REASON).is_null()).then(TARIFF).alias(TARIFF))
    rows = rows.hstack(costs(rows.select(_usage(rows)), [*tariffs, NOTHING], units))
    known = rows["computed_cost"]
    if not known.null_count() and not rows[_HIT].any():
        return rows
    lost = pl.col(_REASON).is_null() & pl.col("computed_cost").is_null()
    explains = pl.when(pl.col(_HIT)).then(pl.col("cache_saved_cost")).otherwise("computed_cost").is_not_null()
    return rows.with_columns(
        pl.when(lost).then(_code(UnpricedReason.COST_TOO_LARGE)).otherwise(_REASON).alias(_REASON),
        pl.when(explains).then(_CELL).alias(_CELL),
    )


def _saved(rows: pl.DataFrame, tariffs: Sequence[Tariff], units: pl.DataFrame | None) -> pl.Series:
    """What each hit of the gateway's cache would have cost; null for other rows and where that has no price."""
    saved = pl.repeat(None, rows.height, dtype=MONEY, eager=True).alias("cache_saved_cost")
    if not rows[_HIT].any():
        return saved
    known = rows[_HIT] & rows[_REASON].is_null() & ~rows[_FREE]
    if not known.any():
        return saved
    hits = rows.select(_usage(rows)).filter(known)
    amount = costs(hits, tariffs, units_of(units, known), apart=False)["computed_cost"]
    return saved.scatter(known.arg_true(), amount)


def _usage(rows: pl.DataFrame) -> list[str]:
    """The columns that tell a cost."""
    return [TARIFF, *(column.name for column in BUCKETS if column.name in rows.columns)]


def _named(rows: pl.DataFrame, cells: Sequence[Cell]) -> list[pl.Expr]:
    """Price id and reason as text."""
    ids = pl.Series([*(cell.price_id for cell in cells), NOT_BILLED], dtype=pl.String)
    reasons = pl.Series(_REASONS, dtype=pl.String)
    cell = pl.col(_CELL)
    if rows[_FREE].any():
        cell = pl.when(pl.col(_FREE)).then(pl.lit(len(cells), dtype=pl.UInt32)).otherwise(_CELL)
    reason = pl.lit(reasons).gather(pl.col(_REASON))
    if rows[_REASON].null_count() == rows.height:
        reason = pl.lit(None, dtype=pl.String)
    return [pl.lit(ids).gather(cell).alias("price_id"), reason.alias("unpriced_reason")]


def _counted(rows: pl.DataFrame, policy: CostPolicy) -> list[pl.Expr]:
    """`cost` and `cost_source`: what counts as cost, and from where."""
    computed, reported = pl.col("computed_cost"), pl.col("reported_cost")
    # Gateways report 0 for what they cannot price: beside real usage, that is no cost but the lack of one.
    meant = pl.when(~((reported == 0) & pl.col(_USED))).then(reported)
    order = {
        CostPolicy.COMPUTED_ELSE_REPORTED: ((_COMPUTED, computed), (_REPORTED, meant)),
        CostPolicy.REPORTED_ELSE_COMPUTED: ((_REPORTED, meant), (_COMPUTED, computed)),
        CostPolicy.COMPUTED: ((_COMPUTED, computed),),
        CostPolicy.REPORTED: ((_REPORTED, reported),),
    }[policy]
    if policy is not CostPolicy.REPORTED and rows["reported_cost"].null_count() == rows.height:
        order = ((_COMPUTED, computed),)
    source = pl.when(pl.col(_HIT)).then(pl.lit(_CACHE, dtype=pl.UInt8))
    source = source.when(pl.col(_PTU) & ~pl.col(_FREE)).then(pl.lit(_PTU_PAID, dtype=pl.UInt8))
    for name, amount in order:
        source = source.when(amount.is_not_null()).then(pl.lit(name, dtype=pl.UInt8))
    cost = pl.coalesce(amount for _, amount in order) if len(order) > 1 else order[0][1]
    if order[0][0] == _REPORTED:  # a computed cost is 0 for a hit and for what is paid for already
        cost = pl.when(pl.col(_HIT) | pl.col(_PTU)).then(pl.lit(0).cast(MONEY)).otherwise(cost)
    return [cost.alias("cost"), pl.lit(pl.Series(_SOURCES)).gather(source).alias("cost_source")]

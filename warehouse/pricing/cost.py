"""Usage rows × price book → the cost columns, the price that made each cost, or why there is none.

Rows are priced by cell (see `cells.py`); money is computed on whole columns (see `columnar.py`). What is here are the
rules about rows: what is not billed, what cannot be priced, and whose cost counts.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from warehouse.catalog.generations import BUCKETS, COST
from warehouse.pricing.book import PriceBook, UnpricedReason
from warehouse.pricing.bounds import bounds
from warehouse.pricing.cells import FACETS, NOTHING, Cell, cells_of
from warehouse.pricing.columnar import MONEY, TARIFF, costs
from warehouse.pricing.extras import has_units, metered
from warehouse.pricing.negotiated import Overlay
from warehouse.pricing.tariff import Tariff
from warehouse.pricing.units import COST_COLUMNS, IMAGES, UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN
from warehouse.settings import CostPolicy

NOT_BILLED = "rule:failed-without-usage"
"""Price id of a failed request that used nothing: providers do not bill it, so it costs 0 by this rule."""
_HITS = frozenset({"hit", "semantic hit"})
_REASONS = tuple(reason.value for reason in UnpricedReason)
_SOURCES = ("computed", "reported", "cache", "ptu")
_COMPUTED, _REPORTED, _CACHE, _PTU_PAID = range(4)
_OWN = ("computed_cost", "reported_cost", *COST_COLUMNS, "cache_saved_cost")
_CELL, _REASON, _NEEDS, _USED, _FREE, _HIT = "#cell", "#reason", "#needs", "#used", "#free", "#hit"
_PTU = "#ptu"
"""True for traffic that provisioned throughput has paid for: it costs nothing, whatever it used."""
_COUNTED, _UNCOUNTED = "#counted", "#uncounted"
_NEEDS_IMAGES, _NEEDS_UNITS, _IS_FREE = 1, 2, 3
_LOOKED_AT = ("ai_org", "ai_model", "created_at", *FACETS, UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN)


_COUNTS = frozenset((*(column.name for column in BUCKETS), UNIT_NAME_COLUMN, UNIT_QUANTITY_COLUMN))
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
    rows = _rows(frame)
    if overlay:
        rows = rows.with_columns(overlay.agreed(frame))
    cells, cell = cells_of(rows, book, overlay or Overlay())

    def part(start: int) -> pl.DataFrame:
        return _priced(rows.slice(start, _ROWS_AT_ONCE), cell.slice(start, _ROWS_AT_ONCE), cells, book, policy)

    starts = range(0, max(frame.height, 1), _ROWS_AT_ONCE)
    if len(starts) == 1:
        money = part(0)
    else:
        with ThreadPoolExecutor(pl.thread_pool_size(), "price") as pool:
            money = pl.concat(pool.map(part, starts))
    dropped = {"usage_known", *money.columns}
    return frame.select(name for name in frame.columns if name not in dropped).hstack(money)


def _priced(
    rows: pl.DataFrame, cell: pl.Series, cells: Sequence[Cell], book: PriceBook, policy: CostPolicy
) -> pl.DataFrame:
    """The cost columns of some rows, each of which is in the cell whose index it has."""
    rows = rows.hstack(_by_cell(cell, cells))
    tariffs = [one.tariff for one in cells if one.tariff is not None]
    rows = rows.hstack(metered(rows, tariffs).rename({"counted": _COUNTED, "uncounted": _UNCOUNTED}))
    rows = rows.with_columns(_reason(rows).alias(_REASON))
    money = _settled(rows, tariffs)
    money = money.select(*_counted(money, policy), *_OWN, *_named(cells))
    known = money.select(pl.coalesce("cost", "computed_cost")).to_series()
    money = money.hstack(bounds(rows.with_columns(money["unpriced_reason"]), known, cell, cells, book))
    return money.select(column.name for column in COST)


def _rows(frame: pl.DataFrame) -> pl.DataFrame:
    """What pricing looks at; buckets that are empty in the whole frame are left out."""
    names = [column.name for column in BUCKETS]
    most = frame.select(pl.col(names).max()).row(0, named=True)
    least = frame.select(pl.col(names).min()).row(0, named=True)
    counts = [pl.col(name).cast(pl.Int64) for name in names if most[name] is not None]
    below = [pl.col(name) < 0 for name in names if least[name] is not None and least[name] < 0]
    hits = [status for status in frame["cache_status"].unique() if status and status.strip().lower() in _HITS]
    used = pl.any_horizontal([count != 0 for count in counts]).fill_null(False) if counts else pl.lit(False)
    extra = has_units(frame)
    if extra is not None:
        used = used | extra
    rows = frame.select(
        *(name for name in _LOOKED_AT if name in frame.columns),
        *counts,
        pl.col("is_success").fill_null(True),
        pl.col("usage_known").fill_null(False),
        pl.col("reported_cost").cast(MONEY),
        (pl.any_horizontal(below).fill_null(False) if below else pl.lit(False)).alias("#negative"),
        (pl.col("cache_status").is_in(hits).fill_null(False) if hits else pl.lit(False)).alias(_HIT),
    )
    if rows["is_success"].all() and rows["reported_cost"].null_count() == rows.height:
        used = pl.lit(True)  # nobody asks
    return rows.with_columns(used.alias(_USED)).with_columns((~pl.col("is_success") & ~pl.col(_USED)).alias(_FREE))


def _by_cell(cell: pl.Series, cells: Sequence[Cell]) -> pl.DataFrame:
    """Per row: its cell, the index of its tariff, the reason of a cell without one, and what a tariff needs."""
    order = iter(range(len(cells)))
    table = pl.DataFrame(
        {
            TARIFF: [None if one.tariff is None else next(order) for one in cells],
            "#unknown": [None if one.reason is None else _REASONS.index(one.reason) for one in cells],
            _NEEDS: [_needs(one) for one in cells],
            _PTU: [one.is_ptu for one in cells],
        },
        schema={TARIFF: pl.UInt32, "#unknown": pl.UInt8, _NEEDS: pl.UInt8, _PTU: pl.Boolean},
    )
    return table.select(pl.all().gather(cell)).with_columns(cell.alias(_CELL))


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
    uncounted = ((needs == _NEEDS_IMAGES) & images.is_null()) | ((needs == _NEEDS_UNITS) & ~pl.col(_COUNTED))
    if rows[_UNCOUNTED].any():
        # Seconds on a model that is sold by tokens: what was used has no price, so nothing has.
        uncounted = uncounted | (pl.col(_UNCOUNTED) & ~pl.col(_COUNTED) & ~_has_counts(rows))
    # Files say 0 per token for image models that they do not track: images of a free model are not free.
    untracked = (needs == _IS_FREE) & (images > 0)
    reason = pl.when(pl.col(_FREE) | pl.col(_PTU)).then(pl.lit(None, dtype=pl.UInt8))
    for applies, code in (
        (None if rows["usage_known"].all() else ~pl.col("usage_known"), UnpricedReason.NO_USAGE),
        (pl.col("#negative") if rows["#negative"].any() else None, UnpricedReason.NEGATIVE_USAGE),
    ):
        if applies is not None:
            reason = reason.when(applies).then(_code(code))
    reason = reason.when(pl.col("#unknown").is_not_null()).then("#unknown")
    if rows[_NEEDS].max() or rows[_UNCOUNTED].any():
        reason = reason.when(untracked).then(_code(UnpricedReason.NO_PRICE))
        reason = reason.when(uncounted).then(_code(UnpricedReason.MISSING_QUANTITY))
    return reason.otherwise(None)


def _has_counts(rows: pl.DataFrame) -> pl.Expr:
    """True for rows that used tokens or made images."""
    counted = [pl.col(column.name) > 0 for column in BUCKETS if column.name in rows.columns]
    return pl.any_horizontal(counted).fill_null(value=False) if counted else pl.lit(value=False)


def _settled(rows: pl.DataFrame, tariffs: Sequence[Tariff]) -> pl.DataFrame:
    """Rows with their cost by the rules: hits and failed requests cost nothing, the rest what their tariff says."""
    settled = pl.col(_HIT) | pl.col(_FREE) | pl.col(_PTU)
    nothing = pl.lit(len(tariffs), dtype=pl.UInt32)
    tariff = pl.when(settled).then(nothing).when(pl.col(_REASON).is_null()).then(TARIFF)
    rows = rows.with_columns(_saved(rows, tariffs))
    rows = rows.with_columns(tariff.alias(TARIFF), pl.when(~settled).then(_REASON).alias(_REASON))
    rows = rows.hstack(costs(rows, [*tariffs, NOTHING]))
    lost = pl.col(_REASON).is_null() & pl.col("computed_cost").is_null()
    explains = pl.when(pl.col(_HIT)).then(pl.col("cache_saved_cost")).otherwise("computed_cost").is_not_null()
    return rows.with_columns(
        pl.when(lost).then(_code(UnpricedReason.COST_TOO_LARGE)).otherwise(_REASON).alias(_REASON),
        pl.when(explains).then(_CELL).alias(_CELL),
    )


def _saved(rows: pl.DataFrame, tariffs: Sequence[Tariff]) -> pl.Series:
    """What each hit of the gateway's cache would have cost; null for other rows and where that has no price."""
    known = rows[_HIT] & rows[_REASON].is_null() & ~rows[_FREE]
    saved = pl.repeat(None, rows.height, dtype=MONEY, eager=True).alias("cache_saved_cost")
    if known.any():
        counted = rows.select(name for name in rows.columns if name in _COUNTS or name == TARIFF)
        saved = saved.scatter(known.arg_true(), costs(counted.filter(known), tariffs)["computed_cost"])
    return saved


def _named(cells: Sequence[Cell]) -> list[pl.Expr]:
    """Price id and reason as text."""
    ids = pl.Series([*(cell.price_id for cell in cells), NOT_BILLED], dtype=pl.String)
    reasons = pl.Series(_REASONS, dtype=pl.String)
    cell = pl.when(pl.col(_FREE)).then(pl.lit(len(cells), dtype=pl.UInt32)).otherwise(_CELL)
    return [
        pl.lit(ids).gather(cell).alias("price_id"),
        pl.lit(reasons).gather(pl.col(_REASON)).alias("unpriced_reason"),
    ]


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
    cost = pl.coalesce(amount for _, amount in order)
    if order[0][0] == _REPORTED:  # a computed cost is 0 for a hit and for what is paid for already
        cost = pl.when(pl.col(_HIT) | pl.col(_PTU)).then(pl.lit(0).cast(MONEY)).otherwise(cost)
    return [cost.alias("cost"), pl.lit(pl.Series(_SOURCES)).gather(source).alias("cost_source")]

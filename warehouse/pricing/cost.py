"""Usage rows × price book → the cost columns, the price that made each cost, or why there is none.

Rows are priced by cell (see `cells.py`); money is computed on whole columns (see `columnar.py`). What is here are the
rules about rows: what is not billed, what cannot be priced, and whose cost counts. A rule that no row meets costs no
pass over the rows: its mask is None.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from warehouse.catalog.generations import BUCKETS, COST
from warehouse.pricing.amounts import MONEY, Amounts, Mask, Whole, money, placed, whole_numbers
from warehouse.pricing.book import PriceBook, UnpricedReason
from warehouse.pricing.bounds import bounds
from warehouse.pricing.cells import FACETS, NOTHING, Cell, cells_of
from warehouse.pricing.columnar import costs
from warehouse.pricing.distinct import Index
from warehouse.pricing.extras import ROW, metered, units_of, used_units
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
_NO_REASON = len(_REASONS)
_SOURCES = ("computed", "reported", "cache", "ptu")
_COMPUTED, _REPORTED, _CACHE, _PTU_PAID, _NOWHERE = range(5)
_NEEDS_IMAGES, _NEEDS_UNITS, _IS_FREE = 1, 2, 3
_LOOKED_AT = ("ai_org", "ai_model", "created_at", *FACETS)
_ROWS_AT_ONCE = 1 << 18
"""Larger frames are priced in parts, side by side: what a part needs in between stays small."""
_Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Rules:
    """What decides about rows before any price does. None: about no row of the frame."""

    hit: Mask | None
    """Answered from the gateway's cache."""
    free: Mask | None
    """Failed, and used nothing."""
    ptu: Mask | None
    """Traffic that provisioned throughput has paid for: it costs nothing, whatever it used."""
    unknown: Mask | None
    """What was used is not known."""
    negative: Mask | None

    @property
    def settled(self) -> Mask | None:
        """Rows that cost nothing."""
        return _either(_either(self.hit, self.free), self.ptu)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows on their way to a price."""

    counts: pl.DataFrame
    units: pl.DataFrame | None
    cells: Sequence[Cell]
    cell: Index
    rules: _Rules
    tariff: Index
    """Index into `tariffs`, -1 for none."""

    @property
    def tariffs(self) -> list[Tariff]:
        return [one.tariff for one in self.cells if one.tariff is not None]


@dataclass(frozen=True, slots=True)
class _Costs:
    """What the rules and the prices say."""

    computed: Amounts
    saved: tuple[Whole, Mask] | None
    """What hits would have cost."""
    reason: _Codes | None


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
    counts, units = _counts(frame), used_units(frame)
    if overlay:
        looked_at = looked_at.with_columns(overlay.agreed(frame))
    cells, cell = cells_of(looked_at.hstack(counts), book, overlay)
    rules = _rules(frame, counts, units, np.array([one.is_ptu for one in cells]), cell)
    numbers = iter(range(len(cells)))
    tariff = np.array([-1 if one.tariff is None else next(numbers) for one in cells], dtype=np.intp)
    rows = _Rows(counts, units, cells, cell, rules, tariff.take(cell))
    found = _settled(rows, _reasons(rows))
    computed = found.computed
    reported = frame["reported_cost"].cast(MONEY)
    cost, source = _counted(rows, computed, reported, policy)
    columns = {name: money(amounts, computed.known) for name, amounts in computed.parts.items()}
    free = money(np.zeros(frame.height, dtype=np.int64), computed.known)
    columns = {name: columns.get(name, free) for name in COST_COLUMNS}  # what no tariff bills costs the same nothing
    columns |= {"computed_cost": money(computed.total, computed.known), "reported_cost": reported}
    columns["cost"] = columns["computed_cost"] if cost is None else money(*cost)
    columns["cost_source"] = source
    columns["cache_saved_cost"] = _nothing(frame.height, MONEY) if found.saved is None else money(*found.saved)
    columns["price_id"] = _price_ids(rows, found)
    columns["unpriced_reason"] = _texts(_REASONS, found.reason, frame.height)
    whole, known = cost or (computed.total, computed.known)
    if policy is not CostPolicy.COMPUTED and known is not None:
        whole, known = _first_known((whole, known), (computed.total, computed.known))
    if known is None or known.all():
        columns |= dict.fromkeys(("cost_low", "cost_high"), columns["cost"] if cost is None else money(whole))
    else:
        at = np.flatnonzero(~known)
        missing = counts[pl.Series(at)], cell[at], columns["unpriced_reason"].gather(pl.Series(at))
        low, high = bounds(*missing, cells, units_of(units, at), book)
        columns["cost_low"] = money(*_filled(whole, known, at, low))
        columns["cost_high"] = money(*_filled(whole, known, at, high))
    return pl.DataFrame([columns[column.name].alias(column.name) for column in COST])


def _either(one: Mask | None, other: Mask | None) -> Mask | None:
    return other if one is None else one if other is None else one | other


def _where_any(mask: Mask) -> Mask | None:
    return mask if mask.any() else None


def _nothing(height: int, dtype: pl.DataType | type[pl.String]) -> pl.Series:
    return pl.repeat(None, height, dtype=dtype, eager=True)


def _counts(frame: pl.DataFrame) -> pl.DataFrame:
    """The buckets; those that are empty in the whole frame are left out, but for the first: rows need a column."""
    buckets = frame.select(column.name for column in BUCKETS)
    blank = buckets.null_count().row(0, named=True)
    names = [name for name in buckets.columns if blank[name] < frame.height] or buckets.columns[:1]
    return buckets.select(pl.col(names).cast(pl.Int64))


def _rules(frame: pl.DataFrame, counts: pl.DataFrame, units: pl.DataFrame | None, ptu: Mask, cell: Index) -> _Rules:
    least = counts.min().row(0, named=True) if counts.height else {}
    below = [name for name, count in least.items() if count is not None and count < 0]
    negative = counts.select(pl.any_horizontal(pl.col(below) < 0).fill_null(False)).to_series() if below else None
    known, success = frame.select(
        pl.col("usage_known").fill_null(False), pl.col("is_success").cast(pl.Boolean).fill_null(True)
    )
    free: Mask | None = None
    if not success.all():
        failed = np.flatnonzero(~success.to_numpy())
        free = np.zeros(frame.height, dtype=np.bool_)
        free[failed] = ~_used(counts, units, failed)
    return _Rules(
        hit=_hits(frame["cache_status"]),
        free=None if free is None else _where_any(free),
        ptu=_where_any(ptu.take(cell)) if ptu.any() else None,
        unknown=None if known.all() else ~known.to_numpy(),
        negative=None if negative is None else negative.to_numpy(),
    )


def _hits(statuses: pl.Series) -> Mask | None:
    """True for answers from the gateway's cache."""
    if statuses.null_count() + (statuses == "MISS").sum() == statuses.len():
        return None
    usual = statuses.is_in(_USUAL)
    unusual = statuses.filter(~usual).unique() if not usual.all() else statuses.head(0)
    hits = [*_HITS_AS_WRITTEN, *(text for text in unusual if text and text.strip().lower() in _HITS)]
    return _where_any(statuses.is_in(hits).fill_null(False).to_numpy())


def _used(counts: pl.DataFrame, units: pl.DataFrame | None, at: Index) -> Mask:
    """Whether the rows `at` used anything."""
    used = np.zeros(at.size, dtype=np.bool_)
    some = counts[pl.Series(at)].select(pl.any_horizontal(pl.all() != 0).fill_null(False))
    used |= some.to_series().to_numpy()
    beside = units_of(units, at)
    if beside is not None:
        used[beside[ROW].to_numpy()] = True
    return used


def _needs(cell: Cell) -> int:
    if cell.tariff is None:
        return 0
    if cell.tariff.needs_images:
        return _NEEDS_IMAGES
    if cell.tariff.needs_units:
        return _NEEDS_UNITS
    return _IS_FREE if cell.tariff.is_free else 0


def _reasons(rows: _Rows) -> _Codes | None:
    """Why rows have no computed cost, before their cost is known; None when all can be priced."""
    of_cells = [_NO_REASON if one.reason is None else _REASONS.index(one.reason) for one in rows.cells]
    reason = np.array(of_cells, dtype=np.uint8).take(rows.cell)
    _by_need(rows, reason)
    rules = rows.rules
    # The later a rule stands here the more it counts.
    for mask, code in (
        (rules.negative, _REASONS.index(UnpricedReason.NEGATIVE_USAGE)),
        (rules.unknown, _REASONS.index(UnpricedReason.NO_USAGE)),
        (_either(rules.free, rules.ptu), _NO_REASON),
    ):
        if mask is not None:
            reason[mask] = code
    return reason if (reason != _NO_REASON).any() else None


def _by_need(rows: _Rows, reason: _Codes) -> None:
    """Says of rows that have a tariff why it cannot price them."""
    of_cells = np.array([_needs(one) for one in rows.cells], dtype=np.uint8)
    meters = metered(rows.units, rows.tariff, rows.tariffs)
    images = rows.counts[IMAGES] if IMAGES in rows.counts.columns else None
    if not of_cells.any() and (meters is None or not meters[1].any()):
        return
    needs = of_cells.take(rows.cell)
    counted, uncounted = meters or (None, None)
    missing = needs == _NEEDS_UNITS
    if counted is not None:
        missing &= ~counted
    missing |= (needs == _NEEDS_IMAGES) & (True if images is None else images.is_null().to_numpy())
    if counted is not None and uncounted is not None and uncounted.any():
        # Seconds on a model that is sold by tokens: what was used has no price, so nothing has.
        at = np.flatnonzero(uncounted & ~counted)
        missing[at] |= ~_has_counts(rows.counts[pl.Series(at)])
    open_ = reason == _NO_REASON
    reason[open_ & missing] = _REASONS.index(UnpricedReason.MISSING_QUANTITY)
    if images is not None:
        # Files say 0 per token for image models that they do not track: images of a free model are not free.
        untracked = (needs == _IS_FREE) & (images.fill_null(0) > 0).to_numpy()
        reason[open_ & untracked] = _REASONS.index(UnpricedReason.NO_PRICE)


def _has_counts(counts: pl.DataFrame) -> Mask:
    """True for rows that used tokens or made images."""
    return counts.select(pl.any_horizontal(pl.all() > 0).fill_null(value=False)).to_series().to_numpy()


def _settled(rows: _Rows, reason: _Codes | None) -> _Costs:
    """Costs by the rules: hits and failed requests cost nothing, the rest what their tariff says."""
    rules, tariffs, tariff = rows.rules, rows.tariffs, rows.tariff
    saved = None if rules.hit is None else _saved(rows, rules.hit, reason)
    if reason is not None:
        tariff = np.where(reason == _NO_REASON, tariff, -1)
    if (settled := rules.settled) is not None:
        tariff = np.where(settled, len(tariffs), tariff)
        if reason is not None:
            reason[settled] = _NO_REASON
    computed = costs(rows.counts, tariff, [*tariffs, NOTHING], rows.units)
    if computed.known is not None:
        reason = np.full(tariff.size, _NO_REASON, dtype=np.uint8) if reason is None else reason
        reason[(reason == _NO_REASON) & ~computed.known] = _REASONS.index(UnpricedReason.COST_TOO_LARGE)
    return _Costs(computed, saved, reason)


def _saved(rows: _Rows, hit: Mask, reason: _Codes | None) -> tuple[Whole, Mask]:
    """What each hit of the gateway's cache would have cost; not known for other rows and where that has no price."""
    known = hit if reason is None else hit & (reason == _NO_REASON)
    known = known if rows.rules.free is None else known & ~rows.rules.free
    at = np.flatnonzero(known)
    found = costs(rows.counts[pl.Series(at)], rows.tariff[at], rows.tariffs, units_of(rows.units, at), apart=False)
    return placed(found.total, found.known, at, known.size)


def _price_ids(rows: _Rows, found: _Costs) -> pl.Series:
    """The id of the price that explains each row's cost."""
    ids = [*(cell.price_id for cell in rows.cells), NOT_BILLED, None]
    number, hit = rows.cell, rows.rules.hit
    known = found.computed.known
    if hit is not None and found.saved is not None:
        known = np.where(hit, found.saved[1], True if known is None else known)
    if known is not None:
        number = np.where(known, number, len(rows.cells) + 1)
    if rows.rules.free is not None:
        number = np.where(rows.rules.free, len(rows.cells), number)
    return _texts(ids, number, number.size)


def _texts(texts: Sequence[str | None], index: Index | _Codes | None, height: int) -> pl.Series:
    """The text of each row by its number; a number past the last, or no numbers: null."""
    if index is None:
        return _nothing(height, pl.String)
    return pl.Series([*texts, None], dtype=pl.String).gather(pl.Series(index.astype(np.uint32)))


_Known = tuple[Whole, Mask | None]


def _first_known(one: _Known, other: _Known) -> _Known:
    if one[1] is None:
        return one
    known = None if other[1] is None else one[1] | other[1]
    return np.where(one[1], one[0], other[0]), known


def _filled(whole: Whole, known: Mask, at: Index, missing: _Known) -> _Known:
    """The amounts with those of the rows `at`, which are missing."""
    whole, is_known = whole.copy(), known.copy()
    whole[at] = missing[0]
    is_known[at] = True if missing[1] is None else missing[1]
    return whole, is_known


def _counted(
    rows: _Rows, computed: Amounts, reported: pl.Series, policy: CostPolicy
) -> tuple[_Known | None, pl.Series]:
    """What counts as cost (None: what is computed), and from where it is."""
    is_reported = policy is CostPolicy.REPORTED or reported.null_count() < reported.len()
    order = _order(rows, (computed.total, computed.known), reported if is_reported else None, policy)
    rules, first = rows.rules, order[0]
    if len(order) == 1 and first[1][1] is None and rules.hit is None and rules.ptu is None:
        source = pl.repeat(_SOURCES[first[0]], reported.len(), dtype=pl.String, eager=True)
        return None if first[0] == _COMPUTED else first[1], source
    source = np.full(reported.len(), _NOWHERE, dtype=np.uint8)
    for code, (_, known) in reversed(order):
        source[slice(None) if known is None else known] = code
    if rules.ptu is not None:
        source[rules.ptu if rules.free is None else rules.ptu & ~rules.free] = _PTU_PAID
    if rules.hit is not None:
        source[rules.hit] = _CACHE
    cost = first[1] if len(order) == 1 else _first_known(first[1], order[1][1])
    at_no_cost = _either(rules.hit, rules.ptu)
    if first[0] == _REPORTED and at_no_cost is not None:
        # A computed cost is 0 for a hit and for what is paid for already.
        whole, known = np.where(at_no_cost, 0, cost[0]), cost[1]
        cost = whole, None if known is None else known | at_no_cost
    is_computed = len(order) == 1 and first[0] == _COMPUTED
    return None if is_computed else cost, _texts(_SOURCES, source, reported.len())


def _order(rows: _Rows, computed: _Known, reported: pl.Series | None, policy: CostPolicy) -> list[tuple[int, _Known]]:
    """Which costs count, the first one that is known before the others."""
    if reported is None or policy is CostPolicy.COMPUTED:
        return [(_COMPUTED, computed)]
    whole, known = whole_numbers(reported)
    if policy is CostPolicy.REPORTED:
        return [(_REPORTED, (whole, known))]
    # Gateways report 0 for what they cannot price: beside real usage, that is no cost but the lack of one.
    meant = np.ones(whole.size, dtype=np.bool_) if known is None else known.copy()
    zero = np.flatnonzero(meant & (whole == 0))
    meant[zero] = ~_used(rows.counts, rows.units, zero)
    both = [(_COMPUTED, computed), (_REPORTED, (whole, meant))]
    return both if policy is CostPolicy.COMPUTED_ELSE_REPORTED else both[::-1]

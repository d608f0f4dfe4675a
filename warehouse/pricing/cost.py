"""Usage rows × price book → the cost columns, the price that made each cost, or why there is none.

Rows are priced by cell (see `cells.py`); money is computed on whole columns (see `columnar.py`) and written where it
stays (see `sheet.py`). What is here are the rules about costs: what those of a row are where a price, or another rule,
decides (see `rules.py`), and whose cost counts.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from warehouse.catalog.generations import COST
from warehouse.pricing.amounts import MONEY, Amounts, Codes, Index, Known, Mask, either, first_known, whole_numbers
from warehouse.pricing.book import PriceBook, UnpricedReason
from warehouse.pricing.bounds import bounds
from warehouse.pricing.cells import FACETS, NOTHING, cells_of
from warehouse.pricing.columnar import TOTAL, Room, costs
from warehouse.pricing.extras import Units, units_between, units_of, used_units
from warehouse.pricing.negotiated import Overlay
from warehouse.pricing.rules import NO_REASON, REASONS, Rows, reasons, rows_of, used
from warehouse.pricing.sheet import Sheet
from warehouse.pricing.units import COST_COLUMNS
from warehouse.pricing.usage import Seen, counts_of, seen
from warehouse.settings import CostPolicy

NOT_BILLED = "rule:failed-without-usage"
"""Price id of a failed request that used nothing: providers do not bill it, so it costs 0 by this rule."""
_SOURCES = ("computed", "reported", "cache", "ptu")
_COMPUTED, _REPORTED, _CACHE, _PTU_PAID, _NOWHERE = range(5)
_LOOKED_AT = ("ai_org", "ai_model", "created_at", *FACETS)
_ROWS_AT_ONCE = 1 << 19
"""Larger frames are priced in parts: what a part needs in between stays small."""
_WORTH_A_THREAD = 1 << 16
"""Rows from which on parts side by side are worth what it costs to find the prices of each."""
_BOUND = "#bound"
"""Column of what a row costs at least and at most, where it has a cost, by a policy that does not count all costs."""


@dataclass(frozen=True, slots=True)
class _Pricing:
    """What the parts of a frame are priced by, and where to."""

    book: PriceBook
    policy: CostPolicy
    overlay: Overlay
    found: Seen
    sheet: Sheet

    @property
    def counts_reported(self) -> bool:
        """Whether a reported cost may be what counts."""
        return self.policy is CostPolicy.REPORTED or (
            self.policy is not CostPolicy.COMPUTED and self.found.any_reported
        )

    @property
    def known(self) -> str:
        """The column of what a row costs in any case."""
        if self.policy is CostPolicy.REPORTED:
            return _BOUND
        return "cost" if self.counts_reported else TOTAL


def price(frame: pl.DataFrame, book: PriceBook, policy: CostPolicy, overlay: Overlay | None = None) -> pl.DataFrame:
    """The same rows in the same order with all cost columns of the catalog; `usage_known` is gone.

    `overlay` are the agreements that count before the book's prices (see `negotiated.py`).

    Shape: needs ai_org, ai_model, created_at, is_success, cache_status, all bucket columns, reported_cost and
        usage_known; takes the columns of `FACETS` and the lists of additional units (`units.name`, `units.quantity`:
        decimal numbers as text) where they are present; with an overlay also organisation_id, workspace_slug and
        virtual_key.
    Units: cents.
    """
    pricing = _Pricing(book, policy, overlay or Overlay(), seen(frame), Sheet(frame.height))
    units = used_units(frame)

    parts = _parts(frame.height)

    def part(where: slice) -> bool:
        rows = frame.slice(where.start, where.stop - where.start)
        return _price(rows, where, units_between(units, where.start, where.stop), pricing)

    if len(parts) <= 1:
        bounded = [part(where) for where in parts]
    else:
        with ThreadPoolExecutor(pl.thread_pool_size(), "price") as pool:
            bounded = list(pool.map(part, parts))
    if any(bounded):
        for where in (where for where, was in zip(parts, bounded, strict=True) if not was):
            for name in ("cost_low", "cost_high"):
                pricing.sheet.copy(name, pricing.known, where)
    columns = _columns(pricing, bounded=any(bounded))
    dropped = {"usage_known", *columns}
    kept = [pl.col(name) for name in frame.columns if name not in dropped]
    return frame.select(*kept, *(columns[column.name].alias(column.name) for column in COST))


def _parts(height: int) -> list[slice]:
    """Parts of about the same size."""
    count = max(-(-height // _ROWS_AT_ONCE), min(pl.thread_pool_size(), height // _WORTH_A_THREAD), 1)
    edges = [height * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges) if start < stop]


def _columns(pricing: _Pricing, *, bounded: bool) -> dict[str, pl.Expr]:
    """The cost columns."""
    sheet = pricing.sheet
    free = sheet.money("", TOTAL)  # what no tariff bills costs the same nothing
    computed = sheet.money(TOTAL, TOTAL) if sheet.has(TOTAL) else free
    cost = sheet.money("cost", "cost") if pricing.counts_reported else computed
    known = sheet.money(_BOUND) if pricing.policy is CostPolicy.REPORTED else cost
    return {
        **{name: sheet.money(name, TOTAL) if sheet.has(name) else free for name in COST_COLUMNS},
        "cost": cost,
        "cost_source": sheet.text("cost_source"),
        TOTAL: computed,
        "reported_cost": pl.col("reported_cost").cast(MONEY),
        "cache_saved_cost": sheet.money("cache_saved_cost", "cache_saved_cost")
        if sheet.has("cache_saved_cost")
        else pl.lit(None, dtype=MONEY),
        "cost_low": sheet.money("cost_low") if bounded else known,
        "cost_high": sheet.money("cost_high", "cost_high") if bounded else known,
        "price_id": sheet.text("price_id"),
        "unpriced_reason": sheet.text("unpriced_reason"),
    }


def _price(frame: pl.DataFrame, where: slice, units: Units | None, pricing: _Pricing) -> bool:
    """Writes the cost columns of some rows; True where what they cost lies between bounds for any of them."""
    found, sheet = pricing.found, pricing.sheet
    looked_at = frame.select(name for name in _LOOKED_AT if name in frame.columns)
    counts = counts_of(frame, found)
    if pricing.overlay:
        looked_at = looked_at.with_columns(pricing.overlay.agreed(frame))
    cells, cell = cells_of(looked_at, counts, pricing.book, pricing.overlay)
    rows = rows_of(frame, found, counts, units, cells, cell)
    reason = reasons(rows)
    saved = None if rows.rules.hit is None else _saved(rows, rows.rules.hit, reason, sheet, where)
    computed, reason = _settled(rows, reason, lambda name: sheet.amounts(name, where))
    _put_known(sheet, TOTAL, where, computed.known)
    if reason is not None:
        sheet.write("unpriced_reason", where, REASONS, reason, reason != NO_REASON)
    _put_price_ids(rows, computed.known, saved, sheet, where)
    cost = _put_cost(rows, computed, frame, pricing, where)
    whole, known = first_known(cost, (computed.total, computed.known))
    if pricing.policy is CostPolicy.REPORTED:
        sheet.put(_BOUND, where, whole)
    if known is None or reason is None or known.all():
        return False
    _put_bounds(rows, np.flatnonzero(~known), reason, pricing, where)
    return True


def _put_known(sheet: Sheet, name: str, where: slice, known: Mask | None) -> None:
    if known is not None:
        sheet.mask(name, where, given=True)[:] = known


def _settled(rows: Rows, reason: Codes | None, room: Room) -> tuple[Amounts, Codes | None]:
    """Costs by the rules: hits and failed requests cost nothing, the rest what their tariff says; or why there is
    none."""
    rules, tariffs, tariff = rows.rules, rows.tariffs, rows.tariff
    if reason is not None:
        tariff = np.where(reason == NO_REASON, tariff, -1)
    if (settled := rules.settled) is not None:
        tariff = np.where(settled, len(tariffs), tariff)
        if reason is not None:
            reason[settled] = NO_REASON
        tariffs = [*tariffs, NOTHING]
    computed = costs(rows.counts, tariff, tariffs, rows.units, room=room)
    if computed.known is not None:
        reason = np.full(tariff.size, NO_REASON, dtype=np.uint8) if reason is None else reason
        reason[(reason == NO_REASON) & ~computed.known] = REASONS.index(UnpricedReason.COST_TOO_LARGE)
    return computed, reason


def _saved(rows: Rows, hit: Mask, reason: Codes | None, sheet: Sheet, where: slice) -> Mask:
    """Writes what each hit of the gateway's cache would have cost, where that has a price; says where it has."""
    known = hit if reason is None else hit & (reason == NO_REASON)
    known = known if rows.rules.free is None else known & ~rows.rules.free
    at = np.flatnonzero(known)
    found = costs(rows.counts.of(at), rows.tariff[at], rows.tariffs, units_of(rows.units, at), apart=False)
    sheet.amounts("cache_saved_cost", where)[at] = found.total
    mask = sheet.mask("cache_saved_cost", where, given=False)
    mask[at] = True if found.known is None else found.known
    return mask


def _put_price_ids(rows: Rows, known: Mask | None, saved: Mask | None, sheet: Sheet, where: slice) -> None:
    """Writes the id of the price that explains each row's cost."""
    number, hit, free = rows.cell, rows.rules.hit, rows.rules.free
    if hit is not None and saved is not None:
        known = np.where(hit, saved, True if known is None else known)
    ids = [cell.price_id for cell in rows.cells]
    if free is not None:
        number = np.where(free, len(ids), number)
        known = None if known is None else known | free
    sheet.write("price_id", where, [*ids, NOT_BILLED], number, known)


def _put_cost(rows: Rows, computed: Amounts, frame: pl.DataFrame, pricing: _Pricing, where: slice) -> Known:
    """Writes what counts as cost and from where it is; gives it back."""
    sheet, rules = pricing.sheet, rows.rules
    reported = frame.get_column("reported_cost") if pricing.counts_reported else None
    order = _order(rows, (computed.total, computed.known), reported, pricing.policy)
    cost = order[0][1] if len(order) == 1 else first_known(order[0][1], order[1][1])
    if reported is not None:
        at_no_cost = either(rules.hit, rules.ptu)
        if order[0][0] == _REPORTED and at_no_cost is not None:
            # A computed cost is 0 for a hit and for what is paid for already.
            cost = np.where(at_no_cost, 0, cost[0]), None if cost[1] is None else cost[1] | at_no_cost
        sheet.put("cost", where, cost[0])
        _put_known(sheet, "cost", where, cost[1])
    source, known = order[0]
    if known[1] is None and rules.hit is None and rules.ptu is None:
        sheet.write("cost_source", where, _SOURCES, source)
    else:
        codes = _sources(rows, order)
        sheet.write("cost_source", where, _SOURCES, codes, codes != _NOWHERE)
    return cost


def _sources(rows: Rows, order: list[tuple[int, Known]]) -> Codes:
    """From where each row's cost is."""
    source, rules = np.full(rows.cell.size, _NOWHERE, dtype=np.uint8), rows.rules
    for code, (_, known) in reversed(order):
        source[slice(None) if known is None else known] = code
    if rules.ptu is not None:
        source[rules.ptu if rules.free is None else rules.ptu & ~rules.free] = _PTU_PAID
    if rules.hit is not None:
        source[rules.hit] = _CACHE
    return source


def _order(rows: Rows, computed: Known, reported: pl.Series | None, policy: CostPolicy) -> list[tuple[int, Known]]:
    """Which costs count, the first one that is known before the others."""
    if reported is None:
        return [(_COMPUTED, computed)]
    whole, known = whole_numbers(reported)
    if policy is CostPolicy.REPORTED:
        return [(_REPORTED, (whole, known))]
    # Gateways report 0 for what they cannot price: beside real usage, that is no cost but the lack of one.
    meant = np.ones(whole.size, dtype=np.bool_) if known is None else known.copy()
    zero = np.flatnonzero(meant & (whole == 0))
    meant[zero] = ~used(rows.counts, rows.units, zero)
    both = [(_COMPUTED, computed), (_REPORTED, (whole, meant))]
    return both if policy is CostPolicy.COMPUTED_ELSE_REPORTED else both[::-1]


def _put_bounds(rows: Rows, at: Index, reason: Codes, pricing: _Pricing, where: slice) -> None:
    """Writes what each row costs at least and at most; of the rows `at` it is not known what they cost."""
    sheet = pricing.sheet
    found = bounds(rows.counts.of(at), rows.cell[at], reason[at], rows.cells, units_of(rows.units, at), pricing.book)
    for name, (whole, known) in zip(("cost_low", "cost_high"), found, strict=True):
        sheet.copy(name, pricing.known, where)[at] = whole
        if known is not None:
            sheet.mask(name, where, given=True)[at] = known

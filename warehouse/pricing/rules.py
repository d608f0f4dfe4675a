"""What decides about rows before any price does: what is not billed, and what cannot be priced.

A rule that no row meets costs no pass over the rows: its mask is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from warehouse.pricing.amounts import Codes, Index, Mask, either, where_any
from warehouse.pricing.book import UnpricedReason
from warehouse.pricing.cells import Cell
from warehouse.pricing.distinct import numbered
from warehouse.pricing.extras import Units, metered, units_of
from warehouse.pricing.tariff import Tariff
from warehouse.pricing.units import IMAGES
from warehouse.pricing.usage import MISS, Counts, Seen, any_used, uncounted_images

REASONS = tuple(reason.value for reason in UnpricedReason)
NO_REASON = len(REASONS)
_HITS = frozenset({"hit", "semantic hit"})
_NEEDS_IMAGES, _NEEDS_UNITS, _IS_FREE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rows each rule is about. None: about no row."""

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
        return either(either(self.hit, self.free), self.ptu)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows on their way to a price."""

    counts: Counts
    units: Units | None
    uncounted: Mask | None
    """Rows that do not say how many images they made."""
    cells: Sequence[Cell]
    cell: Index
    rules: Rules
    tariffs: Sequence[Tariff]
    tariff: Index
    """Index into `tariffs`, -1 for none."""


def rows_of(
    frame: pl.DataFrame, found: Seen, counts: Counts, units: Units | None, cells: Sequence[Cell], cell: Index
) -> Rows:
    """The rows of a frame, with the rules and the tariffs that they meet."""
    tariffs = [one.tariff for one in cells if one.tariff is not None]
    if len(tariffs) == len(cells):
        tariff = cell
    else:
        numbers = iter(range(len(tariffs)))
        tariff = np.array([-1 if one.tariff is None else next(numbers) for one in cells], dtype=np.intp).take(cell)
    ptu = np.array([one.is_ptu for one in cells], dtype=np.bool_)
    rules = Rules(
        hit=None if found.all_missed else _hits(frame.get_column("cache_status")),
        free=None if found.all_succeeded else _free(frame.get_column("is_success"), counts, units),
        ptu=where_any(ptu.take(cell)) if ptu.any() else None,
        unknown=None
        if found.all_known
        else where_any(~frame.get_column("usage_known").fill_null(value=False).to_numpy()),
        negative=np.logical_or.reduce([counts[name] < 0 for name in counts.below]) if counts.below else None,
    )
    return Rows(counts, units, uncounted_images(frame, found), cells, cell, rules, tariffs, tariff)


def _hits(statuses: pl.Series) -> Mask | None:
    """Answers from the gateway's cache, whatever case it is written in."""
    others = np.flatnonzero(~(statuses == MISS).fill_null(value=False).to_numpy())
    if not others.size:
        return None
    number, known = numbered(statuses.gather(pl.Series(others)).to_frame())
    is_hit = np.array([bool(text) and text.strip().lower() in _HITS for (text,) in known], dtype=np.bool_)
    if not is_hit.any():
        return None
    hit = np.zeros(statuses.len(), dtype=np.bool_)
    hit[others] = is_hit[number]
    return hit


def _free(success: pl.Series, counts: Counts, units: Units | None) -> Mask | None:
    failed = np.flatnonzero(~success.cast(pl.Boolean).fill_null(value=True).to_numpy())
    free = np.zeros(success.len(), dtype=np.bool_)
    free[failed] = ~used(counts, units, failed)
    return where_any(free)


def used(counts: Counts, units: Units | None, at: Index) -> Mask:
    """Whether the rows `at` used anything."""
    found = any_used((column[at] for column in counts.values()), at.size)
    beside = units_of(units, at)
    if beside is not None:
        found[beside.rows] = True
    return found


def reasons(rows: Rows) -> Codes | None:
    """Why rows have no computed cost, before their cost is known; None when all can be priced."""
    of_cells = [NO_REASON if one.reason is None else REASONS.index(one.reason) for one in rows.cells]
    reason = np.array(of_cells, dtype=np.uint8)[rows.cell] if set(of_cells) != {NO_REASON} else None
    missing, untracked = _by_need(rows)
    rules = rows.rules
    # The later a rule stands here the more it counts; the first two are about rows that nothing else is wrong with.
    for mask, code in (
        (_open(missing, reason), REASONS.index(UnpricedReason.MISSING_QUANTITY)),
        (_open(untracked, reason), REASONS.index(UnpricedReason.NO_PRICE)),
        (rules.negative, REASONS.index(UnpricedReason.NEGATIVE_USAGE)),
        (rules.unknown, REASONS.index(UnpricedReason.NO_USAGE)),
        (either(rules.free, rules.ptu), NO_REASON),
    ):
        if mask is not None and (reason is not None or code != NO_REASON):
            reason = np.full(rows.cell.size, NO_REASON, dtype=np.uint8) if reason is None else reason
            reason[mask] = code
    return reason if reason is not None and (reason != NO_REASON).any() else None


def _open(mask: Mask | None, reason: Codes | None) -> Mask | None:
    return mask if mask is None or reason is None else mask & (reason == NO_REASON)


def _needs(cell: Cell) -> int:
    if cell.tariff is None:
        return 0
    if cell.tariff.needs_images:
        return _NEEDS_IMAGES
    if cell.tariff.needs_units:
        return _NEEDS_UNITS
    return _IS_FREE if cell.tariff.is_free else 0


def _by_need(rows: Rows) -> tuple[Mask | None, Mask | None]:
    """The rows whose tariff needs to know more, and those that their free tariff cannot mean."""
    of_cells = np.array([_needs(one) for one in rows.cells], dtype=np.uint8)
    meters = metered(rows.units, rows.tariff, rows.tariffs)
    if not of_cells.any() and (meters is None or not meters[1].any()):
        return None, None
    needs = of_cells.take(rows.cell)
    counted, uncounted = meters or (None, None)
    missing = needs == _NEEDS_UNITS
    if counted is not None:
        missing &= ~counted
    if rows.uncounted is not None:
        missing |= (needs == _NEEDS_IMAGES) & rows.uncounted
    if counted is not None and uncounted is not None and uncounted.any():
        # Seconds on a model that is sold by tokens: what was used has no price, so nothing has.
        at = np.flatnonzero(uncounted & ~counted)
        missing[at] |= ~any_used((column[at] for column in rows.counts.values()), at.size)
    # Files say 0 per token for image models that they do not track: images of a free model are not free.
    images = rows.counts.get(IMAGES)
    untracked = None if images is None else where_any((needs == _IS_FREE) & (images > 0))
    return where_any(missing), untracked

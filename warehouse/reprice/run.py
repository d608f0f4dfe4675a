"""One re-pricing: day by day the stored requests are priced again, and where the cost differs, corrected.

It can be killed anywhere and simply run again: what was written but not yet borne by rows is settled first, and rows
that bear their correction have nothing left to correct.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl

from warehouse.engines.base import Engine
from warehouse.errors import InvalidInput
from warehouse.query.conditions import MILLISECOND, to_millisecond
from warehouse.reprice import corrections
from warehouse.reprice.differences import Difference, Differences, changes_of
from warehouse.reprice.rows import Selection, days_of, frames_of

Pricer = Callable[[pl.DataFrame], pl.DataFrame]
"""Stored rows → the same rows with the cost columns that they would have today."""
FLUSH_ROWS = 200_000
"""Corrections that are held before they are written; a day has fewer as a rule."""


@dataclass(frozen=True, slots=True)
class RepriceReport:
    """What a re-pricing found and did. Units: cents."""

    reprice_id: str
    corrected_at: datetime
    days: int
    rows: int
    """Requests that were priced again."""
    corrections: int
    """Requests whose cost differs; written unless it was a dry run."""
    settled: int
    """Corrections of an earlier run that was killed, which rows bear now."""
    overtaken: int
    """Corrections whose rows changed or vanished meanwhile; run again."""
    is_dry: bool
    differences: tuple[Difference, ...]

    @property
    def old_cost(self) -> Decimal:
        return sum((one.old_cost for one in self.differences), Decimal(0))

    @property
    def new_cost(self) -> Decimal:
        return sum((one.new_cost for one in self.differences), Decimal(0))

    @property
    def difference(self) -> Decimal:
        return self.new_cost - self.old_cost


def reprice(
    engine: Engine,
    pricer: Pricer,
    selection: Selection,
    now: datetime,
    *,
    is_dry: bool = False,
    on_day: Callable[[date, int], None] | None = None,
) -> RepriceReport:
    """Price the selected requests again and correct those whose cost differs; with `is_dry` only say which.

    One at a time: two would only get in each other's way, though no row would bear a wrong cost.

    Raises: InvalidInput, WarehouseError; what was corrected until then stays, and the next run goes on.
    """
    if selection.since > selection.until:
        raise InvalidInput(f"since ({selection.since.isoformat()}) is after until ({selection.until.isoformat()})")
    settled = 0 if is_dry else corrections.settle(engine)
    run = _Run(engine, pricer, selection, _after_all(engine, now), is_dry=is_dry)
    for day in days_of(engine, selection):
        run.day(day)
        if on_day is not None:
            on_day(day, run.rows)
    return run.report(settled)


def _after_all(engine: Engine, now: datetime) -> datetime:
    """Now, or just after the newest correction where a clock went back: corrections have an order."""
    newest = corrections.newest_correction(engine)
    at = to_millisecond(now)
    return at if newest is None else max(at, newest.astimezone(UTC) + MILLISECOND)


class _Run:
    """What one run has seen and done so far."""

    def __init__(
        self, engine: Engine, pricer: Pricer, selection: Selection, corrected_at: datetime, *, is_dry: bool
    ) -> None:
        self._engine, self._pricer, self._selection = engine, pricer, selection
        self._at, self._is_dry = corrected_at, is_dry
        self._id = f"{corrected_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(6)}"
        self._differences = Differences()
        self._held: list[pl.DataFrame] = []
        self._held_rows = self._days = self._changed = self._borne = self.rows = 0

    def day(self, day: date) -> None:
        """Price the requests of a day again, and write their corrections."""
        self._days += 1
        for stored in frames_of(self._engine, self._selection, day):
            changes = changes_of(stored, self._pricer(stored))
            self.rows += stored.height
            self._changed += changes.height
            self._differences.add(changes)
            if changes.height and not self._is_dry:
                self._held.append(changes)
                self._held_rows += changes.height
            if self._held_rows >= FLUSH_ROWS:
                self._flush()
        self._flush()

    def report(self, settled: int) -> RepriceReport:
        return RepriceReport(
            reprice_id=self._id,
            corrected_at=self._at,
            days=self._days,
            rows=self.rows,
            corrections=self._changed,
            settled=settled,
            overtaken=0 if self._is_dry else self._changed - self._borne,
            is_dry=self._is_dry,
            differences=self._differences.all(),
        )

    def _flush(self) -> None:
        if self._held:
            changes = pl.concat(self._held, how="vertical_relaxed")
            self._held, self._held_rows = [], 0
            self._borne += corrections.write(self._engine, changes, self._id, self._at)

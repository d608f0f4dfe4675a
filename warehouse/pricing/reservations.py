"""Reserved throughput (PTU): a fixed amount per hour, day or month, spread evenly over its period.

What a reservation costs between two instants is the difference of two running totals, each rounded to 12 digits once:
so the costs of any windows that lie side by side sum exactly to the cost of the whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from warehouse.pricing.applies import Applies
from warehouse.pricing.formula import EXACT

COST_STEP = Decimal("0.000000000001")
_HOUR, _DAY, _MICROSECOND = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = 12


class Period(StrEnum):
    """What the amount of a reservation is for. A day is 24 hours, a month a calendar month, both UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True)
class Reservation:
    """One version of a reservation. Units: cents per period."""

    id: str
    applies: Applies
    amount_cents: Decimal
    per: Period
    effective_from: datetime
    known_from: datetime
    effective_to: datetime | None = None
    model: str | None = None
    """None: every model."""
    name: str = ""
    agreement_id: str = ""
    """What all its versions share."""

    @property
    def price_id(self) -> str:
        """What the zero cost of the traffic it pays for is explained by."""
        return f"reservation/{self.id}"

    def holds_at(self, moment: datetime | None) -> bool:
        """Whether it is effective at that moment."""
        if moment is None:
            return self.effective_to is None
        return self.effective_from <= moment and (self.effective_to is None or moment < self.effective_to)

    def cost_cents(self, since: datetime, until: datetime) -> Decimal:
        """What it costs from `since` up to, not including, `until`. Units: cents, 12 digits."""
        start = max(since, self.effective_from)
        end = until if self.effective_to is None else min(until, self.effective_to)
        if start >= end:
            return Decimal(0)
        return EXACT.subtract(self._total(end), self._total(start))

    def _total(self, at: datetime) -> Decimal:
        """What it would have cost from the epoch to `at`, rounded once."""
        whole, part, of = _elapsed(at.astimezone(UTC), self.per)
        exact = EXACT.multiply(self.amount_cents, Decimal(whole * of + part))
        return EXACT.divide(exact, Decimal(of)).quantize(COST_STEP, ROUND_HALF_EVEN, EXACT)


def reserved_cents(reservations: Iterable[Reservation], since: datetime, until: datetime) -> Decimal:
    """What all of them cost from `since` up to, not including, `until`; each counts once."""
    total = Decimal(0)
    for one in reservations:
        total = EXACT.add(total, one.cost_cents(since, until))
    return total


def _elapsed(at: datetime, per: Period) -> tuple[int, int, int]:
    """Whole periods since the epoch, then the part of the one begun as (microseconds, of how many)."""
    if per is Period.MONTH:
        start = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        end = (start + timedelta(days=32)).replace(day=1)
        months = (at.year - _EPOCH.year) * _MONTHS + at.month - 1
        return months, (at - start) // _MICROSECOND, (end - start) // _MICROSECOND
    length = _HOUR if per is Period.HOUR else _DAY
    whole, rest = divmod(at - _EPOCH, length)
    return whole, rest // _MICROSECOND, length // _MICROSECOND

"""When a limit will be used up, if usage goes on as lately. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

_DAY_S = Decimal(86_400)
_STEP = Decimal("0.000001")
_FARTHEST_DAYS = 366 * 1000


def days_left(credit_limit: Decimal, usage: Decimal, per_day: Decimal | None) -> Decimal | None:
    """How many days the rest lasts; None where nothing is used, where nothing is left, and for ever."""
    left = credit_limit - usage
    if not per_day or per_day < 0 or left <= 0:
        return None
    days = left / per_day
    return None if days > _FARTHEST_DAYS else days


def first_of(days: Iterable[Decimal]) -> Decimal | None:
    """The fewest of some days, to a tenth of a second; None of none."""
    first = min(days, default=None)
    return None if first is None else first.quantize(_STEP)


def exhausts_at(days: Decimal | None, next_reset_at: datetime | None, now: datetime) -> datetime | None:
    """When so many days are over; None when the limit starts anew before."""
    if days is None:
        return None
    at = now + timedelta(seconds=float(days * _DAY_S))
    return None if next_reset_at is not None and at >= next_reset_at else at

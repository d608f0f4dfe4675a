"""When usage starts at 0 again. Pure. Source: dataplane contract 7.3, DECISIONS "weekly reset", "usage window"."""

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

SUNDAY, MONDAY = 6, 0
WEEK_DAYS = 7


def next_reset(
    limit: Mapping[str, Any], *, started_at: datetime, after: datetime, weekday: int = SUNDAY
) -> datetime | None:
    """The first reset after `after`, always 00:00 UTC; None when the limit has no schedule.

    The first reset that a client named counts; without a period it is the only one. Later ones are whole periods
    from it. Without one: months begin on the 1st, weeks on `weekday`, and N days are counted from `started_at`.
    """
    named = _instant(limit.get("next_usage_reset_at"))
    if named is not None and named > after:
        return named
    if (days := limit.get("periodic_reset_days")) is not None:
        return _stepped(named or _midnight(started_at), days, after)
    match limit.get("periodic_reset"):
        case "weekly":
            return _stepped(named or _back_to(weekday, after), WEEK_DAYS, after)
        case "monthly":
            return _months_from(named or _midnight(after).replace(day=1), after)
        case _:
            return None


def caught_up(
    limit: Mapping[str, Any], *, started_at: datetime, due: datetime, now: datetime
) -> tuple[datetime, datetime | None]:
    """The last reset that is not after `now`, and the one after it; `due` is the first that was missed.

    Whoever comes late starts the period when it should have started, so that every row counts in its own.
    """
    last, following = due, next_reset(limit, started_at=started_at, after=due)
    while following is not None and following <= now:
        last, following = following, next_reset(limit, started_at=started_at, after=following)
    return last, following


def _stepped(start: datetime, days: int, after: datetime) -> datetime:
    steps = max(0, (after - start) // timedelta(days=days)) + 1
    return start + timedelta(days=days) * steps


def _months_from(start: datetime, after: datetime) -> datetime:
    months = max(1, (after.year - start.year) * 12 + after.month - start.month)
    found = _plus_months(start, months)
    return found if found > after else _plus_months(start, months + 1)


def _plus_months(start: datetime, months: int) -> datetime:
    # The 31st becomes the last day of a shorter month, and the 31st again after it.
    years, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + years, month + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


def _back_to(weekday: int, moment: datetime) -> datetime:
    day = _midnight(moment)
    return day - timedelta(days=(day.weekday() - weekday) % WEEK_DAYS)


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

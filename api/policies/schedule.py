"""When the counters of a usage policy start at 0 again. Weeks begin on Mondays. Source: dataplane contract 7.3."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from api.analytics.rendering import instant
from api.errors import InvalidRequest
from api.limits.resets import MONDAY, next_reset
from api.policies.rows import Policy


def write(row: Policy, wanted: Mapping[str, Any], now: datetime) -> None:
    """Give a policy its schedule: `periodic_reset`, `periodic_reset_days`, `next_usage_reset_at`.

    Raises: InvalidRequest when the first reset is not ahead.
    """
    first: datetime | None = wanted["next_usage_reset_at"]
    if first is not None:
        first = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if first <= now and first != row.next_usage_reset_at:
            raise InvalidRequest("next_usage_reset_at: 00:00 UTC of its day must be in the future")
    is_same = (row.periodic_reset, row.periodic_reset_days) == (
        wanted["periodic_reset"],
        wanted["periodic_reset_days"],
    )
    if is_same and first == row.next_usage_reset_at:
        return
    row.periodic_reset, row.periodic_reset_days = wanted["periodic_reset"], wanted["periodic_reset_days"]
    if first is not None and first == row.next_usage_reset_at and not is_same:
        first = None  # the reset that was computed for the schedule before
    row.first_reset_at = first
    row.next_usage_reset_at = next_reset(_limit(row, first), started_at=now, after=now, weekday=MONDAY)


def boundaries(row: Policy, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The last reset that was due by now, if any was, and the next one after it."""
    due, ahead = None, row.next_usage_reset_at
    while ahead is not None and ahead <= now:
        due = ahead
        ahead = next_reset(_limit(row, row.first_reset_at or due), started_at=due, after=due, weekday=MONDAY)
    return due, ahead


def to_millisecond(moment: datetime) -> datetime:
    """The instant in UTC without what is finer than a millisecond, as rows are stored."""
    utc = moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def _limit(row: Policy, first: datetime | None) -> dict[str, Any]:
    return {
        "periodic_reset": row.periodic_reset,
        "periodic_reset_days": row.periodic_reset_days,
        "next_usage_reset_at": None if first is None else instant(first),
    }

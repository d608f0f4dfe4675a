"""What clients write as time, as UTC instants. Source: dataplane contract 1.2, DECISIONS "time range"."""

import re
from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo

from api.errors import InvalidRequest

MIN, MAX, ZONE = "time_of_generation_min", "time_of_generation_max", "tz"

_LOST_PLUS = re.compile(r"(?P<time>.*:\S*) (?P<offset>\d\d:?\d\d)")
"""A `+` that was sent without percent-encoding arrives as a space."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_LAST_MOMENT = time(23, 59, 59, 999_999)
_LATEST = datetime(9998, 12, 31, tzinfo=UTC)
"""What is asked beyond is taken to this: people write the end of the calendar for "always", and a question needs room
after its time."""


def parse_range(since: str | None, until: str | None, zone: str | None) -> tuple[datetime, datetime]:
    """Both ends of the time asked for, in UTC and both inclusive.

    A date alone is its whole day. Where a value has no offset, `tz` gives the zone, else the offset of the start,
    else UTC. Raises: InvalidRequest.
    """
    first, last = _parsed(MIN, since), _parsed(MAX, until)
    named = _zone(zone)
    offset = first.tzinfo if isinstance(first, datetime) else None
    assumed = named or offset or UTC
    start, end = _instant(MIN, first, time.min, assumed), _instant(MAX, last, _LAST_MOMENT, assumed)
    if start > end:
        raise InvalidRequest(f"{MIN} ({since}) is after {MAX} ({until})")
    return start, end


def zone_of(since: str | None, zone: str | None) -> tzinfo:
    """What buckets of time follow: the zone `tz`, else the offset that the start is written with, else UTC."""
    first = _parsed(MIN, since)
    return _zone(zone) or (first.tzinfo if isinstance(first, datetime) else None) or UTC


def parse_instant(name: str, value: str) -> datetime:
    """One instant in UTC; a date alone is its end, and UTC where there is no offset. Raises: InvalidRequest."""
    return _instant(name, _parsed(name, value), _LAST_MOMENT, UTC)


def parse_start(name: str, value: str) -> datetime:
    """One instant in UTC; a date alone is its start, and UTC where there is no offset. Raises: InvalidRequest."""
    return _instant(name, _parsed(name, value), time.min, UTC)


def _parsed(name: str, value: str | None) -> datetime | date:
    text = (value or "").strip()
    if not text:
        raise InvalidRequest(f"{name} is required: an ISO 8601 time such as 2026-02-23T14:20:31+05:30, or a date")
    lost = _LOST_PLUS.fullmatch(text)
    repaired = f"{lost['time']}+{lost['offset']}" if lost else text
    try:
        return date.fromisoformat(repaired) if _DATE.fullmatch(repaired) else datetime.fromisoformat(repaired)
    except ValueError:
        raise InvalidRequest(
            f"{name}: '{text[:60]}' is not an ISO 8601 time such as 2026-02-23T14:20:31+05:30, or a date"
        ) from None


def _zone(name: str | None) -> tzinfo | None:
    text = (name or "").strip()
    if not text:
        return None
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise InvalidRequest(f"{ZONE}: '{text[:60]}' is not a time zone such as Asia/Kolkata") from None


def _instant(name: str, value: datetime | date, of_day: time, assumed: tzinfo) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.combine(value, of_day)
    try:
        found = (moment if moment.tzinfo else moment.replace(tzinfo=assumed)).astimezone(UTC)
    except OverflowError:
        raise InvalidRequest(f"{name}: {value.isoformat()} is outside the years 1 to 9999") from None
    return min(found, _LATEST)

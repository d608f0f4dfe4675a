"""What clients write as time becomes two UTC instants, or an error that says what is wrong."""

from datetime import UTC, datetime

import pytest

from api.analytics.instants import parse_range
from api.errors import InvalidRequest

LAST = {"hour": 23, "minute": 59, "second": 59, "microsecond": 999_999}


def at(*parts: int, **named: int) -> datetime:
    return datetime(*parts, **named, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "zone", "start", "end"),
    [
        ("2026-02-23T14:20:31+05:30", "2026-02-24T00:00:00Z", None, at(2026, 2, 23, 8, 50, 31), at(2026, 2, 24)),
        (
            "2026-02-23T14:20:31 05:30",
            "2026-02-23 23:00:00 05:30",
            None,
            at(2026, 2, 23, 8, 50, 31),
            at(2026, 2, 23, 17, 30),
        ),
        (
            "2026-02-23T14:20:31.123 0530",
            "2026-02-24",
            None,
            at(2026, 2, 23, 8, 50, 31, 123_000),
            at(2026, 2, 24, 18, 29, 59, 999_999),
        ),
        (
            "2026-02-23T14:20:31-08:00",
            "2026-02-23T14:20:31-08:00",
            None,
            at(2026, 2, 23, 22, 20, 31),
            at(2026, 2, 23, 22, 20, 31),
        ),
        ("2024-07-25", "2024-07-25", None, at(2024, 7, 25), at(2024, 7, 25, **LAST)),
        ("2024-07-25 05:30", "2024-07-25 06:30", None, at(2024, 7, 25, 5, 30), at(2024, 7, 25, 6, 30)),
        ("2026-03-29", "2026-03-29", "Europe/Berlin", at(2026, 3, 28, 23), at(2026, 3, 29, 21, 59, 59, 999_999)),
        ("2026-03-29T00:00:00", "2026-03-29T03:00:00", "Europe/Berlin", at(2026, 3, 28, 23), at(2026, 3, 29, 1)),
        (
            "2026-03-29T00:00:00+09:00",
            "2026-03-29",
            "Europe/Berlin",
            at(2026, 3, 28, 15),
            at(2026, 3, 29, 21, 59, 59, 999_999),
        ),
        ("  2024-07-25  ", "2024-07-25T12:00", " UTC ", at(2024, 7, 25), at(2024, 7, 25, 12)),
    ],
)
def test_time_is_understood(since: str, until: str, zone: str | None, start: datetime, end: datetime) -> None:
    assert parse_range(since, until, zone) == (start, end)


@pytest.mark.parametrize(
    ("since", "until", "zone", "says"),
    [
        (None, "2024-07-25", None, "time_of_generation_min is required"),
        ("2024-07-25", "  ", None, "time_of_generation_max is required"),
        ("yesterday", "2024-07-25", None, "time_of_generation_min: 'yesterday'"),
        ("2024-02-30", "2024-07-25", None, "time_of_generation_min: '2024-02-30'"),
        ("2024-07-26", "2024-07-25", None, "is after"),
        ("2024-07-25T10:00:00Z", "2024-07-25T09:59:59Z", None, "is after"),
        ("0001-01-01T00:00:00+14:00", "2024-07-25", None, "outside the years"),
        ("2024-07-25", "9999-12-31", "America/New_York", "outside the years"),
        ("2024-07-25", "2024-07-26", "Mars/Olympus", "tz: 'Mars/Olympus'"),
        ("2024-07-25", "2024-07-26", "../../etc/passwd", "tz: '../../etc/passwd'"),
        ("2024-07-25", "2024-07-26", "America", "tz: 'America'"),
    ],
)
def test_a_wrong_time_is_explained(since: str | None, until: str | None, zone: str | None, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says.replace("(", r"\(")) as error:
        parse_range(since, until, zone)
    assert error.value.code == "AB01"


def test_milliseconds_of_the_last_moment_of_a_day_are_included() -> None:
    _, end = parse_range("2024-07-25", "2024-07-25", None)
    assert end >= datetime(2024, 7, 25, 23, 59, 59, 999_000, tzinfo=UTC)

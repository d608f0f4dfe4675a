"""Buckets of time as people in a zone see them: days of 23 and 25 hours, half-hour zones, days that never were."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories.series_oracle import buckets_of
from warehouse.errors import InvalidInput, UnknownName
from warehouse.query.calendar import GRANULARITIES, MOST_BUCKETS, edges_of, granularity_for, granularity_named

BERLIN, KATHMANDU, LORD_HOWE = (ZoneInfo(name) for name in ("Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"))
HOUR = timedelta(hours=1)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def hours(since: datetime, until: datetime, granularity: str, zone: tzinfo) -> list[float]:
    edges = edges_of(since, until, granularity_named(granularity), zone)
    return [(end - start) / HOUR for start, end in pairwise(edges)]


@pytest.mark.parametrize(
    ("span", "name"),
    [
        (timedelta(0), "minute"),
        (timedelta(hours=1), "minute"),
        (timedelta(hours=1, seconds=1), "5m"),
        (timedelta(hours=6), "5m"),
        (timedelta(hours=72), "hour"),
        (timedelta(hours=72, microseconds=1), "day"),
        (timedelta(days=90), "day"),
        (timedelta(days=91), "week"),
        (timedelta(days=366), "week"),
        (timedelta(days=367), "month"),
        (timedelta(days=36_700), "month"),
    ],
)
def test_the_width_by_the_span(span: timedelta, name: str) -> None:
    assert granularity_for(at(1950, 1, 1), at(1950, 1, 1) + span).name == name


def test_an_unknown_width_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="Allowed: minute, 5m, 15m, hour, day, week, month"):
        granularity_named("second")


@pytest.mark.parametrize(
    ("since", "until", "granularity", "zone", "widths"),
    [
        (at(2026, 3, 28), at(2026, 3, 30, 12), "day", BERLIN, [24, 23, 24]),
        (at(2026, 10, 24), at(2026, 10, 26, 12), "day", BERLIN, [24, 25, 24]),
        (at(2026, 3, 28, 23), at(2026, 3, 29, 21, 59), "hour", BERLIN, [1] * 23),
        (at(2026, 10, 24, 22), at(2026, 10, 25, 22, 59), "hour", BERLIN, [1] * 25),
        (at(2026, 3, 23), at(2026, 4, 5), "week", BERLIN, [167, 168]),
        (at(2026, 3, 1), at(2026, 4, 30), "month", BERLIN, [743, 720]),
        (at(2024, 2, 1), at(2024, 3, 15), "month", KATHMANDU, [29 * 24, 31 * 24]),
        (at(2026, 4, 4, 13), at(2026, 4, 4, 16), "hour", LORD_HOWE, [1, 1.5, 1]),
        (at(2026, 10, 3, 13), at(2026, 10, 3, 16), "hour", LORD_HOWE, [1, 1, 1, 0.5, 1]),
        (at(2011, 12, 29, 12), at(2012, 1, 1), "day", ZoneInfo("Pacific/Apia"), [24, 24, 24]),
        (at(2026, 3, 28, 12), at(2026, 3, 29, 12), "day", ZoneInfo("Asia/Beirut"), [24, 23]),
        (at(2026, 2, 1), at(2026, 2, 1), "minute", UTC, [1 / 60]),
    ],
)
def test_widths_where_clocks_change(
    since: datetime, until: datetime, granularity: str, zone: tzinfo, widths: list[float]
) -> None:
    assert hours(since, until, granularity, zone) == pytest.approx(widths)


def test_buckets_start_where_the_zone_says() -> None:
    kathmandu = edges_of(at(2026, 2, 1), at(2026, 2, 1, 2), granularity_named("hour"), KATHMANDU)
    assert kathmandu == (at(2026, 1, 31, 23, 15), at(2026, 2, 1, 0, 15), at(2026, 2, 1, 1, 15), at(2026, 2, 1, 2, 15))
    monday = edges_of(at(2026, 2, 25), at(2026, 2, 25), granularity_named("week"), timezone(timedelta(hours=-3)))
    assert monday == (at(2026, 2, 23, 3), at(2026, 3, 2, 3))


ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Africa/Cairo",
)
spans = st.tuples(st.integers(0, 366 * 24 * 60), st.integers(1, 4 * 24 * 60), st.sampled_from(ZONES))


@given(spans, st.sampled_from([granularity.name for granularity in GRANULARITIES if granularity.name != "minute"]))
@settings(deadline=None, max_examples=60)
def test_buckets_are_those_of_the_wall_clock_and_hold_all_the_time(
    span: tuple[int, int, str], granularity: str
) -> None:
    start, length, name = span
    since = at(2026, 1, 1) + timedelta(minutes=start)
    until, zone = since + timedelta(minutes=length), ZoneInfo(name)
    edges = edges_of(since, until, granularity_named(granularity), zone)
    assert list(edges[:-1]) == buckets_of(since, until, granularity, zone)
    assert edges[0] <= since
    assert edges[-2] <= until < edges[-1]


def test_more_points_than_can_be_drawn_are_refused() -> None:
    since = at(2026, 1, 1)
    last = since + timedelta(minutes=MOST_BUCKETS) - timedelta(milliseconds=1)
    assert len(edges_of(since, last, granularity_named("minute"), BERLIN)) == MOST_BUCKETS + 1
    for until in (last + timedelta(milliseconds=1), at(9999, 12, 31)):
        with pytest.raises(InvalidInput, match="at most 10,000"):
            edges_of(since, until, granularity_named("minute"), BERLIN)
    with pytest.raises(InvalidInput, match="the end of the calendar"):
        edges_of(at(1, 1, 1), at(1, 1, 2), granularity_named("week"), ZoneInfo("America/New_York"))

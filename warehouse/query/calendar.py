"""Time cut into buckets as a person in a zone sees it: which width for which span, and where each bucket starts.

A bucket is known by the UTC instant it starts at. Buckets of an hour or less follow the zone's wall clock, so a day on
which clocks are put back has 25 of an hour; days, weeks (from Monday) and months start at the zone's midnight, and
where a zone skips midnight at the first instant of the day.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from warehouse.errors import InvalidInput, UnknownName

MOST_BUCKETS = 10_000
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_CLOCK_ZERO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Granularity:
    """One width of buckets. `up_to` is the longest span that gets it when none is asked for; None: only on request."""

    name: str
    width: timedelta
    up_to: timedelta | None
    description: str


_ALWAYS = timedelta.max

GRANULARITIES: tuple[Granularity, ...] = (
    Granularity("minute", timedelta(minutes=1), timedelta(hours=1), "One minute."),
    Granularity("5m", timedelta(minutes=5), timedelta(hours=6), "Five minutes."),
    Granularity("15m", timedelta(minutes=15), None, "A quarter of an hour; only on request."),
    Granularity("hour", timedelta(hours=1), timedelta(hours=72), "One hour."),
    Granularity("day", _DAY, timedelta(days=90), "A calendar day of the zone: 23 or 25 hours where clocks change."),
    Granularity("week", timedelta(days=7), timedelta(days=366), "A calendar week of the zone, from Monday."),
    Granularity("month", timedelta(days=28), _ALWAYS, "A calendar month of the zone."),
)
"""The narrowest first. Source: dataplane contract 1.7. `width` of a month is its shortest."""

_BY_NAME = {granularity.name: granularity for granularity in GRANULARITIES}


def granularity_named(name: str) -> Granularity:
    """The granularity of that name. Raises: UnknownName with the allowed ones."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnknownName("granularity", name, _BY_NAME) from None


def granularity_for(since: datetime, until: datetime) -> Granularity:
    """The granularity of a span when none is asked for."""
    span = until - since
    return next(each for each in GRANULARITIES if each.up_to is not None and span <= each.up_to)


def edges_of(since: datetime, until: datetime, granularity: Granularity, zone: tzinfo) -> tuple[datetime, ...]:
    """Where the buckets that hold the time from `since` to `until` (inclusive) start, and where the last one ends.

    Raises: InvalidInput when there are too many, or where the calendar ends.
    """
    if (until - since) / granularity.width > MOST_BUCKETS * 1.2:
        raise _too_many(granularity, round((until - since) / granularity.width))
    try:
        edges = _edges(since.astimezone(UTC), until.astimezone(UTC), granularity, zone)
    except OverflowError:
        raise InvalidInput("buckets cannot be made at the end of the calendar, the years 1 and 9999") from None
    if len(edges) - 1 > MOST_BUCKETS:
        raise _too_many(granularity, len(edges) - 1)
    return edges


def _too_many(granularity: Granularity, count: int) -> InvalidInput:
    return InvalidInput(
        f"granularity {granularity.name} makes about {count:,} points of this time; at most {MOST_BUCKETS:,} are "
        f"drawn; take a wider one of {', '.join(_BY_NAME)}, or less time"
    )


@lru_cache(256)
def _edges(since: datetime, until: datetime, granularity: Granularity, zone: tzinfo) -> tuple[datetime, ...]:
    made = (
        _days(since, until, granularity, zone) if granularity.width >= _DAY else _clock(since, until, granularity, zone)
    )
    # Sorted and distinct: a day that a zone left out has no width.
    edges = sorted(set(made))
    first = bisect_right(edges, since) - 1
    last = bisect_right(edges, until)
    return tuple(edges[first : last + 1])


def _clock(since: datetime, until: datetime, granularity: Granularity, zone: tzinfo) -> Iterator[datetime]:
    """Every instant at which the zone's wall clock comes to a whole multiple of the width, or jumps over one."""
    width, shown = granularity.width, None
    # Clocks change at whole seconds, and are looked for from one.
    for start, end, offset in _pieces(since.replace(microsecond=0) - _DAY, until + _DAY, zone):
        past = (start + offset - _CLOCK_ZERO) % width
        if shown is not None and start + offset - past > shown:
            yield start
        at = start if not past else start - past + width
        while at < end:
            yield at
            at += width
        shown = at - width + offset


def _pieces(since: datetime, until: datetime, zone: tzinfo) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """The time in which the zone's offset stays the same: start, end (exclusive), offset."""
    start, offset, at = since, _offset(since, zone), since
    while at < until:
        after = min(at + _DAY, until)
        if _offset(after, zone) != offset:
            change = _first(at, after, lambda instant, old=offset: _offset(instant, zone) != old)
            yield start, change, offset
            start, offset = change, _offset(change, zone)
        at = after
    yield start, until, offset


def _days(since: datetime, until: datetime, granularity: Granularity, zone: tzinfo) -> Iterator[datetime]:
    """The first instant of each day, week or month, from the one of `since` to the one after `until`."""
    day = since.astimezone(zone).date()
    if granularity.name == "week":
        day -= day.weekday() * _DAY
    elif granularity.name == "month":
        day = day.replace(day=1)
    while True:
        start = _first_instant(day, zone)
        yield start
        if start > until:
            return
        day = _next_month(day) if granularity.name == "month" else day + granularity.width


def _next_month(day: date) -> date:
    return (day + timedelta(days=31)).replace(day=1)


def _first_instant(day: date, zone: tzinfo) -> datetime:
    """When a day begins in a zone."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    early, late = sorted(midnight.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if early == late or early.astimezone(zone).date() >= day:
        return early
    return _first(early, late, lambda instant: instant.astimezone(zone).date() >= day)


def _first(low: datetime, high: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """The first whole second after `low` from which on something holds that holds at `high`."""
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _offset(instant: datetime, zone: tzinfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()

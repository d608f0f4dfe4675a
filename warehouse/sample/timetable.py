"""When the sample's requests come: working hours, quiet weekends, some growth, and never one too many."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from warehouse.sample.draws import Draws

_HOUR = timedelta(hours=1)
_BY_HOUR = (
    *(0.22, 0.18, 0.16, 0.15, 0.17, 0.24, 0.38, 0.62),
    *(0.92, 1.18, 1.32, 1.36, 1.28, 1.34, 1.42, 1.44),
    *(1.36, 1.18, 0.96, 0.78, 0.66, 0.54, 0.42, 0.31),
)
_BY_WEEKDAY = (1.0, 1.08, 1.1, 1.07, 0.96, 0.42, 0.36)
_GROWTH = 0.35
_JITTER = 0.3
MAX_SLOT_ROWS = 32_768


@dataclass(frozen=True, slots=True)
class Slot:
    """A piece of one hour (UTC): how many records lie in [start, end), and the number of the first."""

    hour: datetime
    start: datetime
    end: datetime
    first_row: int
    rows: int


def slots(rows: int, days: int, until: datetime, draws: Draws) -> Iterator[Slot]:
    """The pieces of [until - days, until) in order; together they hold exactly `rows` records."""
    until = until.astimezone(UTC)
    until = until.replace(microsecond=until.microsecond // 1000 * 1000)
    since = until - timedelta(days=days)
    hours = list(_hours(since, until))
    weights = [_weight(start, end, since, until, draws) for start, end in hours]
    row = 0
    for (start, end), count in zip(hours, shares(rows, weights), strict=True):
        yield from _pieces(start, end, row, count)
        row += count


def batches(planned: Iterable[Slot]) -> Iterator[list[Slot]]:
    """Consecutive slots that together hold up to about `MAX_SLOT_ROWS` records, empty ones left out."""
    batch: list[Slot] = []
    for slot in planned:
        if batch and slot.first_row + slot.rows - batch[0].first_row > MAX_SLOT_ROWS:
            yield batch
            batch = []
        if slot.rows:
            batch.append(slot)
    if batch:
        yield batch


def shares(total: int, weights: list[float]) -> list[int]:
    """Whole numbers in proportion to the weights that add up to the total exactly (largest remainders)."""
    whole = math.fsum(weights)
    exact = [total * weight / whole for weight in weights]
    counts = [math.floor(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda at: (counts[at] - exact[at], at))
    missing = total - sum(counts)
    for at in order[:missing] if missing >= 0 else ():
        counts[at] += 1
    return counts


def _hours(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    start = since
    while start < until:
        end = min(start.replace(minute=0, second=0, microsecond=0) + _HOUR, until)
        yield start, end
        start = end


def _weight(start: datetime, end: datetime, since: datetime, until: datetime, draws: Draws) -> float:
    age = (start - since) / (until - since)
    noise = draws.key(f"hour/{start:%Y-%m-%dT%H}") / 2**64
    busy = _BY_HOUR[start.hour] * _BY_WEEKDAY[start.weekday()]
    return busy * (1 + _GROWTH * age) * (1 - _JITTER / 2 + _JITTER * noise) * ((end - start) / _HOUR)


def _pieces(start: datetime, end: datetime, row: int, count: int) -> Iterator[Slot]:
    hour = start.replace(minute=0, second=0, microsecond=0)
    number = math.ceil(count / MAX_SLOT_ROWS)
    length = (end - start) // timedelta(milliseconds=1)
    for at, rows in enumerate(shares(count, [1.0] * number) if number else ()):
        first = start + timedelta(milliseconds=length * at // number)
        last = start + timedelta(milliseconds=length * (at + 1) // number)
        yield Slot(hour, first, last, row, rows)
        row += rows

"""The days that Dagster knows: one partition a UTC day, from a first day up to today."""

import os
from datetime import UTC, date, datetime, timedelta

from dagster import DailyPartitionsDefinition

from warehouse.engines.base import Window
from warehouse.reprice.rows import Selection

FIRST_DAY_VARIABLE = "GATELEDGER_FIRST_DAY"
DEFAULT_FIRST_DAY = "2023-01-01"


def daily(first_day: date) -> DailyPartitionsDefinition:
    """Partitions from `first_day` to today, today included."""
    return DailyPartitionsDefinition(start_date=first_day.isoformat(), end_offset=1)


def day_of(partition_key: str) -> date:
    """The UTC day that a partition key names."""
    return date.fromisoformat(partition_key)


def window_of(day: date) -> Window:
    """All instants of a UTC day; both ends inclusive."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Window(start, start + timedelta(days=1) - timedelta(microseconds=1))


def selection_of(since: str, until: str, provider: str, model: str) -> Selection:
    """The requests that the texts of a run's configuration name; a day alone is the whole day."""
    first = datetime.fromisoformat(since) if since else datetime(1970, 1, 1)  # noqa: DTZ001 - UTC is set below
    last = datetime.fromisoformat(until) if until else datetime(9000, 1, 1)  # noqa: DTZ001
    if len(until) == len(DEFAULT_FIRST_DAY):
        last += timedelta(days=1) - timedelta(milliseconds=1)
    first, last = (one if one.tzinfo else one.replace(tzinfo=UTC) for one in (first, last))
    return Selection(first, last, provider or None, model or None)


DAYS = daily(day_of(os.environ.get(FIRST_DAY_VARIABLE) or DEFAULT_FIRST_DAY))

"""The days that Dagster knows: one partition a UTC day, from a first day up to today."""

import os
from datetime import UTC, date, datetime, timedelta

from dagster import DailyPartitionsDefinition

from warehouse.engines.base import Window

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


DAYS = daily(day_of(os.environ.get(FIRST_DAY_VARIABLE) or DEFAULT_FIRST_DAY))

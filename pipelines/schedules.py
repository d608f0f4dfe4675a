"""What runs by the clock, in UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.jobs import keep_api_keys, load_logs, maintain_warehouse, refresh_limits, refresh_prices

CATCH_UP = timedelta(hours=2)
"""For so long after midnight the day before is loaded too: its last objects come late."""


@dg.schedule(job=load_logs, cron_schedule="5 * * * *", execution_timezone="UTC")
def hourly_load(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Today's logs, and shortly after midnight yesterday's once more."""
    now = context.scheduled_execution_time.astimezone(UTC) if context.scheduled_execution_time else datetime.now(UTC)
    for day in dict.fromkeys((now.date(), (now - CATCH_UP).date())):
        yield dg.RunRequest(partition_key=day.isoformat(), run_key=f"{now.isoformat()}:{day.isoformat()}")


daily_prices = dg.ScheduleDefinition(job=refresh_prices, cron_schedule="30 0 * * *", execution_timezone="UTC")

hourly_maintenance = dg.ScheduleDefinition(job=maintain_warehouse, cron_schedule="45 * * * *", execution_timezone="UTC")

api_key_upkeep = dg.ScheduleDefinition(
    name="api_key_upkeep", job=keep_api_keys, cron_schedule="*/5 * * * *", execution_timezone="UTC"
)

# Each resets whatever is due, so one that was missed is caught up by the next of any kind.
weekly_resets = dg.ScheduleDefinition(
    name="weekly_resets", job=refresh_limits, cron_schedule="0 0 * * 0", execution_timezone="UTC"
)
monthly_resets = dg.ScheduleDefinition(
    name="monthly_resets", job=refresh_limits, cron_schedule="0 0 1 * *", execution_timezone="UTC"
)
daily_resets = dg.ScheduleDefinition(
    name="daily_resets", job=refresh_limits, cron_schedule="0 0 * * *", execution_timezone="UTC"
)
"""For resets every so many days, and first resets that were named."""

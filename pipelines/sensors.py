"""What runs when something arrives."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from pipelines.jobs import load_logs, send_messages, write_log_export
from pipelines.resources import Ledger

LOOKBACK_DAYS = 3


@dg.sensor(
    job=load_logs,
    minimum_interval_seconds=60,
    description="Loads a day as soon as the log store has new objects for it.",
)
def new_gateway_logs(ledger: Ledger) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run for each of the last days that has objects no load has read; older days are for a backfill."""
    if not ledger.watches():
        yield dg.SkipReason("LOG_STORE_URL is not set")
        return
    today = ledger.now().date()
    quiet = True
    for back in range(LOOKBACK_DAYS):
        day = today - timedelta(days=back)
        found = ledger.inventory(day)
        if found.new_objects:
            quiet = False
            yield dg.RunRequest(partition_key=day.isoformat(), run_key=f"{day.isoformat()}:{found.new_fingerprint}")
    if quiet:
        yield dg.SkipReason(f"nothing new in the last {LOOKBACK_DAYS} days")


@dg.sensor(
    job_name=write_log_export.name,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes an export as soon as it is started, and goes on with one whose worker died.",
)
def started_exports(ledger: Ledger) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run for each export that waits: anew when its worker died, and every hour while nobody could take it."""
    due = ledger.due_exports()
    hour = f"{ledger.now():%Y%m%dT%H}"
    for export in due:
        config = {"ops": {"write_export": {"config": {"export_id": export.id}}}}
        yield dg.RunRequest(run_key=f"{export.id}:{export.wait}:{hour}", run_config=config)
    if not due:
        yield dg.SkipReason("no export waits")


@dg.sensor(
    job_name=send_messages.name,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends alerts and mails that wait although no server sends them.",
)
def waiting_messages(ledger: Ledger) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run a minute while messages are overdue."""
    late = ledger.overdue_messages()
    if late:
        yield dg.RunRequest(run_key=f"messages:{ledger.now():%Y%m%dT%H%M}")
    else:
        yield dg.SkipReason("no message is overdue")

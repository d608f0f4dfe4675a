"""What runs when something arrives."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from pipelines.jobs import load_logs
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

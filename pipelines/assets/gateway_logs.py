"""What lies in the log store, day by day."""

from typing import Any

import dagster as dg

from pipelines.metadata import describe_inventory
from pipelines.partitions import DAYS, day_of
from pipelines.resources import Ledger


@dg.asset(
    partitions_def=DAYS,
    group_name="logs",
    kinds={"json"},
    description="Log objects of one day in the log store (LOG_STORE_URL), and how many of them are new.",
)
def gateway_logs(context: dg.AssetExecutionContext, ledger: Ledger) -> dg.MaterializeResult[Any]:
    """How many objects the day has, how large they are, and how many no run has loaded yet."""
    return dg.MaterializeResult(metadata=describe_inventory(ledger.inventory(day_of(context.partition_key))))

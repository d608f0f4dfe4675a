"""The request rows: priced, deduplicated, committed."""

from typing import Any

import dagster as dg

from pipelines.assets.gateway_logs import gateway_logs
from pipelines.assets.prices import model_prices
from pipelines.metadata import describe_load
from pipelines.partitions import DAYS, day_of
from pipelines.resources import WRITES, Ledger


@dg.asset(
    partitions_def=DAYS,
    deps=[gateway_logs, model_prices],
    group_name="logs",
    kinds={"polars"},
    pool=WRITES,
    description="One row per LLM request. A run loads what its day has new; a repeat stores nothing.",
)
def generations(context: dg.AssetExecutionContext, ledger: Ledger) -> dg.MaterializeResult[Any]:
    """The day's new objects as rows; received = stored + duplicates + rejected."""
    return dg.MaterializeResult(
        metadata=describe_load(ledger.load_day(day_of(context.partition_key), context.log.info))
    )

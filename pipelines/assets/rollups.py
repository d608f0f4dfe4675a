"""What is derived of the rows: sums by day and hour, and requests with feedback; rebuilt where rows changed."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.assets.generations import generations
from pipelines.metadata import describe_rollups
from pipelines.partitions import DAYS, day_of, window_of
from pipelines.resources import WRITES, Ledger
from warehouse.catalog.rated import DERIVED
from warehouse.rollups import build_rollups


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            rollup.name,
            deps=[generations],
            group_name="rollups",
            description=rollup.dataset.description,
            partitions_def=DAYS,
        )
        for rollup in DERIVED.values()
    ],
    partitions_def=DAYS,
    pool=WRITES,
)
def rollups(context: dg.AssetExecutionContext, ledger: Ledger) -> Iterator[dg.MaterializeResult[Any]]:
    """All that is derived of the day, made equal to what its rows make."""
    built = build_rollups(ledger.engine(), window_of(day_of(context.partition_key)))
    for rollup in DERIVED.values():
        yield dg.MaterializeResult(asset_key=rollup.name, metadata=describe_rollups(built, rollup.name))

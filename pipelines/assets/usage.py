"""What is used of limits, by the rows."""

from typing import Any

import dagster as dg

from pipelines.assets.generations import generations
from pipelines.metadata import describe_limits
from pipelines.partitions import DAYS
from pipelines.resources import Ledger


@dg.asset(
    partitions_def=DAYS,
    deps=[generations],
    group_name="limits",
    description="Usage of all limits until now, counted again after the rows of a day were loaded.",
)
def usage_of_limits(ledger: Ledger) -> dg.MaterializeResult[Any]:
    """Every limit in the period that it should be in, with what was used of it; alerts wait to be sent."""
    return dg.MaterializeResult(metadata=describe_limits(ledger.refresh_limits()))

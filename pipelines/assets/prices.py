"""The price book in force."""

from typing import Any

import dagster as dg

from pipelines.metadata import describe_book
from pipelines.resources import Ledger


@dg.asset(group_name="prices", kinds={"python"}, description="Prices in force: local files over shipped files.")
def model_prices(ledger: Ledger) -> dg.MaterializeResult[Any]:
    """What the price book holds, and which files could not be used."""
    return dg.MaterializeResult(metadata=describe_book(ledger.book()))

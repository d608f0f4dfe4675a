"""What can be run by hand, by schedule or by the sensor."""

import dagster as dg

from pipelines.assets.gateway_logs import gateway_logs
from pipelines.assets.generations import generations
from pipelines.assets.prices import model_prices
from pipelines.assets.rollups import rollups
from pipelines.resources import WRITES, Ledger

load_logs = dg.define_asset_job(
    "load_logs",
    selection=dg.AssetSelection.assets(gateway_logs, generations, rollups),
    executor_def=dg.in_process_executor,
    description="Load what is new in the log store for a day, and bring its rollups up to date.",
)

refresh_prices = dg.define_asset_job(
    "refresh_prices",
    selection=dg.AssetSelection.assets(model_prices),
    executor_def=dg.in_process_executor,
    description="Read the price files and report what is in force.",
)


@dg.op(pool=WRITES)
def tidy(context: dg.OpExecutionContext, ledger: Ledger) -> None:
    """Compact, checkpoint and sweep the warehouse."""
    for done in ledger.engine().maintain(ledger.now()):
        context.log.info(done)


@dg.job(executor_def=dg.in_process_executor, description="Compact, checkpoint and sweep the warehouse.")
def maintain_warehouse() -> None:
    """One op: it runs beside loads and queries without harm."""
    tidy()

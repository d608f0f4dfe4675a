"""What can be run by hand, by schedule or by the sensor."""

import dagster as dg

from pipelines.assets.gateway_logs import gateway_logs
from pipelines.assets.generations import generations
from pipelines.assets.prices import model_prices
from pipelines.assets.rollups import rollups
from pipelines.assets.usage import usage_of_limits
from pipelines.metadata import describe_key_upkeep, describe_limits, describe_repricing, describe_reset
from pipelines.partitions import selection_of
from pipelines.resources import EXPORTS, WRITES, Ledger
from warehouse.rollups import build_rollups

load_logs = dg.define_asset_job(
    "load_logs",
    selection=dg.AssetSelection.assets(gateway_logs, generations, rollups, usage_of_limits),
    executor_def=dg.in_process_executor,
    description="Load what is new in the log store for a day, bring its rollups up to date, count usage limits.",
)

refresh_prices = dg.define_asset_job(
    "refresh_prices",
    selection=dg.AssetSelection.assets(model_prices),
    executor_def=dg.in_process_executor,
    description="Read the price files and report what is in force.",
)


class RepriceConfig(dg.Config):
    """Which requests are priced again; empty: all of them."""

    since: str = ""
    until: str = ""
    provider: str = ""
    model: str = ""
    dry_run: bool = False


@dg.op(pool=WRITES)
def correct(context: dg.OpExecutionContext, ledger: Ledger, config: RepriceConfig) -> None:
    """Correct what stored requests cost, by the prices known now, and bring rollups up to date."""
    selection = selection_of(config.since, config.until, config.provider, config.model)
    found = ledger.reprice(selection, is_dry=config.dry_run, say=context.log.info)
    context.add_output_metadata(describe_repricing(found))
    if not config.dry_run:
        build_rollups(ledger.engine(), selection.window)
        ledger.refresh_limits()


@dg.job(executor_def=dg.in_process_executor, description="Price stored requests again and correct what differs.")
def reprice_requests() -> None:
    """One op: it can be killed anywhere and run again."""
    correct()


@dg.op(pool=WRITES)
def tidy(context: dg.OpExecutionContext, ledger: Ledger) -> None:
    """Look up which requests have new feedback; compact, checkpoint and sweep all tables; forget old audit records."""
    if days := ledger.rate_requests():
        context.log.info("looked %s days through for requests with feedback", days)
    for done in (*ledger.forget_old_audit_records(), *ledger.engine().maintain(ledger.now())):
        context.log.info(done)


@dg.job(
    executor_def=dg.in_process_executor,
    description="Look up what has new feedback; compact, checkpoint and sweep the warehouse.",
)
def maintain_warehouse() -> None:
    """One op: it runs beside loads and queries without harm."""
    tidy()


@dg.op
def keep_up_keys(context: dg.OpExecutionContext, ledger: Ledger) -> None:
    """Expire the API keys whose time is over, and give those a new secret whose policy says so."""
    context.add_output_metadata(describe_key_upkeep(ledger.keep_up_keys()))


@dg.job(executor_def=dg.in_process_executor, description="Expire and rotate the API keys that are due.")
def keep_api_keys() -> None:
    """One op: what was missed is caught up, and a second run does nothing."""
    keep_up_keys()


@dg.op
def send_waiting(context: dg.OpExecutionContext, ledger: Ledger) -> None:
    """Send the alerts and mails that are due."""
    context.add_output_metadata(dict(sorted(ledger.send_messages().items())))


@dg.job(executor_def=dg.in_process_executor, description="Send the alerts and mails that wait.")
def send_messages() -> None:
    """One op: it may run beside servers that do the same, and what it was at when it was killed comes back."""
    send_waiting()


@dg.op
def count_usage(context: dg.OpExecutionContext, ledger: Ledger) -> None:
    """Start the usage limits anew that are due, and count all of them from the warehouse."""
    context.add_output_metadata(describe_limits(ledger.refresh_limits()))


@dg.job(executor_def=dg.in_process_executor, description="Reset the usage limits that are due, and count them all.")
def refresh_limits() -> None:
    """One op: what was missed is caught up, and a second run, also at the same time, resets and alerts nothing more."""
    count_usage()


class ResetConfig(dg.Config):
    """What is reset: a key, workspace, virtual key or integration by its id, or one limit."""

    entity_id: str


@dg.op
def reset_usage(context: dg.OpExecutionContext, ledger: Ledger, config: ResetConfig) -> None:
    """Usage starts at 0 now; when the limit is reset by itself stays as it is."""
    context.add_output_metadata(describe_reset(ledger.reset_limits(config.entity_id)))


@dg.job(executor_def=dg.in_process_executor, description="Reset the usage limits of one entity by hand.")
def reset_limits() -> None:
    """One op: it resets anew each time it runs."""
    reset_usage()


class ExportConfig(dg.Config):
    """Which export is written."""

    export_id: str


@dg.op(pool=EXPORTS)
def write_export(context: dg.OpExecutionContext, ledger: Ledger, config: ExportConfig) -> None:
    """Write one export. One that failed says why itself, so that only what breaks here fails the run."""
    outcome = ledger.write_export(config.export_id, context.log.info)
    context.add_output_metadata({"export": config.export_id, "outcome": outcome.value})


@dg.job(executor_def=dg.in_process_executor, description="Write an export of logs that somebody started.")
def write_log_export() -> None:
    """One op: it can be killed anywhere; the next run goes on after the last part."""
    write_export()

"""Everything Dagster knows of gateledger: `dagster dev --module-name pipelines.definitions`."""

import dagster as dg

from pipelines import checks
from pipelines.assets.gateway_logs import gateway_logs
from pipelines.assets.generations import generations
from pipelines.assets.prices import model_prices
from pipelines.assets.rollups import rollups
from pipelines.assets.usage import usage_of_limits
from pipelines.jobs import (
    keep_api_keys,
    load_logs,
    maintain_warehouse,
    refresh_limits,
    refresh_prices,
    reprice_requests,
    reset_limits,
    send_messages,
    write_log_export,
)
from pipelines.resources import Ledger
from pipelines.schedules import (
    api_key_upkeep,
    daily_prices,
    daily_resets,
    hourly_load,
    hourly_maintenance,
    monthly_resets,
    weekly_resets,
)
from pipelines.sensors import new_gateway_logs, started_exports, waiting_messages

defs = dg.Definitions(
    assets=[model_prices, gateway_logs, generations, rollups, usage_of_limits],
    asset_checks=[checks.books_balance, checks.unpriced_rows, checks.rows_are_fresh, checks.rollups_equal_rows],
    jobs=[
        load_logs,
        refresh_prices,
        maintain_warehouse,
        reprice_requests,
        keep_api_keys,
        refresh_limits,
        reset_limits,
        write_log_export,
        send_messages,
    ],
    schedules=[
        hourly_load,
        daily_prices,
        hourly_maintenance,
        api_key_upkeep,
        weekly_resets,
        monthly_resets,
        daily_resets,
    ],
    sensors=[new_gateway_logs, started_exports, waiting_messages],
    resources={"ledger": Ledger()},
    executor=dg.in_process_executor,
)

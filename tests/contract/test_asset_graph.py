"""What Dagster is given: the graph as text, so that a change of it is seen."""

import ast
from pathlib import Path

import pytest

from pipelines.definitions import defs
from warehouse.catalog.rated import DERIVED

ASSETS = Path(__file__).resolve().parents[2] / "pipelines" / "assets"
MAX_BODY_LINES = 15

ROLLUP_NAMES = sorted(rollup.name for rollup in DERIVED.values())


def test_the_graph_of_assets() -> None:
    graph = {
        node.key.to_user_string(): sorted(parent.to_user_string() for parent in node.parent_keys)
        for node in defs.resolve_asset_graph().asset_nodes
    }
    assert graph == {
        "model_prices": [],
        "gateway_logs": [],
        "generations": ["gateway_logs", "model_prices"],
        "usage_of_limits": ["generations"],
        **{name: ["generations"] for name in ROLLUP_NAMES},
    }


def test_days_are_partitions_except_for_prices() -> None:
    partitioned = {
        node.key.to_user_string() for node in defs.resolve_asset_graph().asset_nodes if node.partitions_def is not None
    }
    assert partitioned == {"gateway_logs", "generations", "usage_of_limits", *ROLLUP_NAMES}


def test_everything_that_has_to_hold_is_checked() -> None:
    checks = {(key.asset_key.to_user_string(), key.name) for key in defs.resolve_asset_graph().asset_check_keys}
    assert checks == {
        ("generations", "books_balance"),
        ("generations", "unpriced_rows"),
        ("generations", "rows_are_fresh"),
        *((name, "equals_rows") for name in ROLLUP_NAMES),
    }


def test_jobs_schedules_and_sensors() -> None:
    repository = defs.get_repository_def()
    assert {schedule.name: schedule.cron_schedule for schedule in repository.schedule_defs} == {
        "hourly_load": "5 * * * *",
        "refresh_prices_schedule": "30 0 * * *",
        "maintain_warehouse_schedule": "45 * * * *",
        "api_key_upkeep": "*/5 * * * *",
        "weekly_resets": "0 0 * * 0",
        "monthly_resets": "0 0 1 * *",
        "daily_resets": "0 0 * * *",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "new_gateway_logs",
        "started_exports",
        "waiting_messages",
    }
    assert {
        "load_logs",
        "refresh_prices",
        "maintain_warehouse",
        "write_log_export",
        "refresh_limits",
        "reset_limits",
    } <= set(repository.job_names)


def test_what_writes_shares_one_pool() -> None:
    pools = {node.key.to_user_string(): node.pools for node in defs.resolve_asset_graph().asset_nodes if node.pools}
    assert pools == {name: {"warehouse_writes"} for name in ("generations", *ROLLUP_NAMES)}


@pytest.mark.parametrize("path", sorted(ASSETS.glob("*.py")), ids=lambda path: path.stem)
def test_assets_are_thin(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert node.body[-1].end_lineno - node.body[0].lineno + 1 <= MAX_BODY_LINES, node.name

"""What belongs to the whole test run: the servers of its databases, and which tests make sense on each of them."""

from pathlib import Path

import pytest

from tests.factories import databases

ATTACK = Path(__file__).parent / "attack"
"""What is attacked there is the API in front of the database."""
ANSWERED_BY_THE_WAREHOUSE = frozenset(
    {
        "test_analytics_query_api",
        "test_api_ingest",
        "test_api_tenancy",
        "test_error_shape",
        "test_exports_places",
        "test_exports_tenancy",
        "test_feedback_api",
        "test_graphs_api",
        "test_logs_and_traces",
        "test_logs_api",
        "test_logs_kept",
        "test_model_configs",
        "test_openapi",
        "test_otel_api",
        "test_permissions",
        "test_policies_backtest",
        "test_price_chain_ingest",
        "test_recorded_requests",
        "test_sdk_analytics",
        "test_sdk_feedback_exports",
        "test_sdk_logs",
        "test_sdk_requests",
        "test_traces_api",
    }
)
"""Modules that make an installation, but in which the relational database does next to nothing, or nothing that
`test_role_matrix` does not have it do too."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What `-m "control_plane …"` leaves out is not imported either, which takes seconds in every process."""
    asked = config.option.markexpr
    if collection_path.suffix != ".py" or not asked.startswith("control_plane"):
        return None
    if ATTACK in collection_path.parents or collection_path.stem in ANSWERED_BY_THE_WAREHOUSE:
        return True if "not one_database" in asked else None
    return None if "installed" in collection_path.read_text() else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that makes an installation is `control_plane`; `one_database` too where the database makes no
    difference. `make test-databases` leaves those out, `make test-databases EVERY=1` does not."""
    for item in items:
        if getattr(getattr(item, "module", None), "installed", None) is None and ATTACK not in item.path.parents:
            continue
        if item.get_closest_marker("one_database"):
            continue  # it brings a database of its own
        item.add_marker(pytest.mark.control_plane)
        if item.path.stem in ANSWERED_BY_THE_WAREHOUSE or ATTACK in item.path.parents:
            item.add_marker(pytest.mark.one_database)
    # What mostly waits comes first: at the end every worker would wait for it. The others stay in their random order.
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


def pytest_sessionfinish() -> None:
    """Stop the servers that this process uses, unless another one still does."""
    databases.OPENED.close()

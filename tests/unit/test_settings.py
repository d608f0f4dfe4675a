"""Settings come from the variables they are named after, and from no other."""

from pathlib import Path

import pytest

from api.settings import ApiSettings
from warehouse.settings import WarehouseSettings

FOREIGN = {"HOME": "/elsewhere", "HOST": "somewhere", "SHELL": "/bin/sh", "WAREHOUSE": "x", "QUERY_THREADS": "99"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATELEDGER_HOME", "WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "GATELEDGER_HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)


def test_variables_of_other_programs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ApiSettings()
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    assert ApiSettings() == before
    assert ApiSettings().home == Path(".gateledger")


def test_our_variables_and_the_contracts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GATELEDGER_HOME": "/data",
        "CLICKHOUSE_HOST": "ch.example",
        "CLICKHOUSE_PASSWORD": "s/3cret",
        "CLICKHOUSE_TLS": "true",
        "MODEL_CONFIGS_PRICING_LOCAL_PATH": "/prices",
        "LOG_STORE_FILE_PATH_FORMAT": "v2",
    }.items():
        monkeypatch.setenv(name, value)
    settings = WarehouseSettings()
    assert settings.home == Path("/data")
    assert settings.resolved_warehouse_url() == "clickhouses://default:s%2F3cret@ch.example:8123/default"
    assert settings.model_configs_pricing_local_path == Path("/prices")
    assert settings.log_store_file_path_format == "v2"
    assert "s/3cret" not in repr(settings)


def test_fields_can_be_given_by_name() -> None:
    settings = WarehouseSettings(home=Path("/here"), query_threads=3, clickhouse_host=None)
    assert (settings.home, settings.query_threads) == (Path("/here"), 3)
    assert settings.resolved_warehouse_url() == "/here/lake"

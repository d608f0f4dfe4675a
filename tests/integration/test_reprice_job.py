"""The Dagster job that corrects costs, with the settings of a run."""

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
from sqlglot import exp

from api.cli.local import Local
from pipelines.definitions import defs
from pipelines.partitions import selection_of
from pipelines.resources import Ledger
from tests.factories.prices import default, entry
from warehouse.catalog.functions import column
from warehouse.catalog.rollups import ROLLUP_OF
from warehouse.ingest.load import LoadOptions
from warehouse.ingest.source import Source
from warehouse.rollups import stale_days


def write_prices(folder: Path, rate: float, **dates: str) -> None:
    folder.mkdir(exist_ok=True)
    model = {**entry(request_token=rate, response_token=rate), **dates}
    (folder / "acme.json").write_text(json.dumps({"default": default(), "m-1": model}))


def records(day: str) -> bytes:
    row = {"created_at": f"{day}T10:00:00Z", "ai_org": "acme", "ai_model": "m-1", "req_units": 100, "res_units": 10}
    return b"\n".join(json.dumps(row | {"id": f"{day}-{n}", "response_status_code": 200}).encode() for n in range(5))


def test_the_job_corrects_what_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "LOG_STORE_URL"):
        monkeypatch.delenv(name, raising=False)
    prices = tmp_path / "prices"
    monkeypatch.setenv("GATELEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODEL_CONFIGS_PRICING_LOCAL_PATH", str(prices))
    write_prices(prices, 0.5)
    local = Local()
    local.initialise("Acme", "owner@example.com", new_key=False)
    data = records("2026-02-01") + b"\n" + records("2026-02-02")
    source = Source("records", len(data), lambda: io.BytesIO(data))
    assert local.loader().load([source], LoadOptions(), datetime.now(UTC)).stored == 10
    write_prices(prices, 0.25, effective_from="2026-01-01")
    config = {"ops": {"correct": {"config": {"since": "2026-02-02", "provider": "acme", "model": "m-1"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("reprice_requests")
        ran = job.execute_in_process(run_config=config, instance=instance, resources={"ledger": Ledger()})
    assert ran.success
    events = ran.events_for_node("correct")
    metadata = next(event.step_output_data.metadata for event in events if event.is_successful_output)
    assert (metadata["corrections"].value, metadata["new cents"].value) == (5, "137.500000000000")
    tree = exp.select(column("id"), column("cost")).from_("generations")
    costs = {row["id"]: row["cost"] for row in local.engine.query(tree).to_pylist()}
    assert {cost for id_, cost in costs.items() if id_.startswith("2026-02-01")} == {Decimal(55)}
    assert {cost for id_, cost in costs.items() if id_.startswith("2026-02-02")} == {Decimal("27.5")}
    assert stale_days(local.engine, ROLLUP_OF["rollup_day_model"], selection_of("2026-02-02", "", "", "").window) == []
    local.close()


def test_a_day_alone_is_the_whole_day() -> None:
    day = selection_of("2026-02-01", "2026-02-02", "", "")
    assert day.since == datetime(2026, 2, 1, tzinfo=UTC)
    assert day.until == datetime(2026, 2, 3, tzinfo=UTC) - timedelta(milliseconds=1)
    assert (day.provider, day.model) == (None, None)
    moment = selection_of("", "2026-02-02T10:00:00+02:00", "acme", "m-1")
    assert moment.until == datetime(2026, 2, 2, 8, tzinfo=UTC)
    assert moment.since.year == 1970

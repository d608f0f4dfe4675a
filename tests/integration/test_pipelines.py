"""The jobs, checks, schedule and sensor over a real log store and the embedded lake, in one process."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow.compute as pc
import pytest
from sqlglot import exp

from api.cli.local import Local
from pipelines.definitions import defs
from pipelines.resources import Ledger
from pipelines.schedules import hourly_load
from pipelines.sensors import new_gateway_logs
from tests.factories.rows import as_feedbacks
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.rated import DERIVED, RATED
from warehouse.engines.base import Batch
from warehouse.rollups import stale_days
from warehouse.sample.spec import SampleSpec
from warehouse.sample.write import write_sample

UNTIL = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
ROWS, DAYS = 400, 2


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    for name in ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "MODEL_CONFIGS_PRICING_LOCAL_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATELEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOG_STORE_URL", str(tmp_path / "logs"))
    (tmp_path / "logs").mkdir()
    local = Local()
    local.initialise("Acme", "owner@example.com", new_key=False)
    yield local
    local.close()


@pytest.fixture
def logs(local: Local, tmp_path: Path) -> list[date]:
    tenant = local.sample_tenant()
    assert tenant is not None
    write_sample(
        SampleSpec(
            rows=ROWS,
            days=DAYS,
            seed=5,
            until=UNTIL,
            organisation_id=tenant.organisation_id,
            workspaces=tenant.workspaces,
        ),
        tmp_path / "logs",
    )
    return [(UNTIL - timedelta(days=back)).date() for back in range(DAYS, 0, -1)]


def run_day(day: date, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("load_logs").execute_in_process(
        partition_key=day.isoformat(), instance=instance, resources={"ledger": Ledger()}, raise_on_error=False
    )


def materialized(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    return {
        (evaluation.asset_key.to_user_string(), evaluation.check_name): evaluation.passed
        for evaluation in result.get_asset_check_evaluations()
    }


def rows(local: Local) -> int:
    tree = exp.select("id").from_(exp.to_table(GENERATIONS.name))
    return local.engine.query(tree).num_rows


def test_each_day_is_loaded_once_and_its_books_balance(local: Local, logs: list[date]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = [run_day(day, instance) for day in logs]
        assert all(result.success for result in first)
        stored = [materialized(result, "generations")["stored"] for result in first]
        assert all(stored)
        assert sum(stored) == ROWS == rows(local)
        for result in first:
            of_day = materialized(result, "generations")
            assert of_day["received"] == of_day["stored"] + of_day["duplicates"] + of_day["rejected"]
            inventory = materialized(result, "gateway_logs")
            assert inventory["new objects"] == inventory["objects"] > 0
        assert checks(first[-1]) == {
            ("generations", "books_balance"): True,
            ("generations", "unpriced_rows"): True,
            ("generations", "rows_are_fresh"): True,
            **{(rollup.name, "equals_rows"): True for rollup in DERIVED.values()},
        }

        again = run_day(logs[0], instance)
        assert again.success
        assert materialized(again, "generations")["received"] == 0
        assert materialized(again, "gateway_logs")["new objects"] == 0
        assert rows(local) == ROWS


def test_a_check_fails_when_rows_and_rollup_differ(local: Local, logs: list[date]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert all(run_day(day, instance).success for day in logs)
        rollup = next(rollup for rollup in DERIVED.values() if rollup.name == "rollup_day_model")
        held = local.engine.query(exp.select(exp.Star()).from_(exp.to_table(rollup.name)))
        index = held.schema.get_field_index("requests")
        wrong = held.set_column(index, "requests", pc.add(held["requests"], 1))
        of_day = wrong.filter(pc.equal(wrong["day"], logs[0]))
        local.engine.replace_days(rollup.dataset, [logs[0]], of_day.cast(held.schema))
        evaluated = run_day(logs[1], instance)
        assert checks(evaluated)["rollup_day_model", "equals_rows"] is False
        assert checks(evaluated)["rollup_day_api_key", "equals_rows"] is True


def test_the_sensor_asks_for_days_with_new_objects_and_for_no_others(local: Local, logs: list[date]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        def asked() -> dict[str, str]:
            context = dg.build_sensor_context(
                instance=instance, resources={"ledger": Ledger()}, repository_def=defs.get_repository_def()
            )
            found = new_gateway_logs.evaluate_tick(context).run_requests or []
            return {request.partition_key: request.run_key for request in found}

        before = asked()
        assert set(before) == {day.isoformat() for day in logs}
        assert asked() == before, "the same new objects have the same run key"
        assert run_day(logs[0], instance).success
        assert set(asked()) == {logs[1].isoformat()}


def test_without_a_log_store_the_sensor_says_so(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOG_STORE_URL")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, resources={"ledger": Ledger()}, repository_def=defs.get_repository_def()
        )
        assert "LOG_STORE_URL" in str(new_gateway_logs.evaluate_tick(context).skip_message)


@pytest.mark.parametrize(
    ("at", "days"),
    [
        ("2026-03-01T12:05:00+00:00", ["2026-03-01"]),
        ("2026-03-01T01:05:00+00:00", ["2026-03-01", "2026-02-28"]),
    ],
)
def test_the_hour_after_midnight_takes_yesterday_along(at: str, days: list[str]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime.fromisoformat(at),
            repository_def=defs.get_repository_def(),
        )
        asked = hourly_load.evaluate_tick(context).run_requests or []
    assert [request.partition_key for request in asked] == days


def test_maintenance_finds_the_requests_with_new_feedback(local: Local, logs: list[date]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert run_day(logs[0], instance).success
        assert stale_days(local.engine, RATED) == []
        given = {"organisation_id": "org", "created_at": UNTIL, "id": "given-now", "trace_id": "a", "value": 1}
        assert local.engine.append(FEEDBACKS, as_feedbacks([given]), Batch("given")).stored == 1
        assert stale_days(local.engine, RATED) == logs[:1]
        job = defs.resolve_job_def("maintain_warehouse")
        assert job.execute_in_process(instance=instance, resources={"ledger": Ledger()}).success
        assert stale_days(local.engine, RATED) == []


def test_maintenance_and_prices_run(local: Local, logs: list[date]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert run_day(logs[0], instance).success
        before = rows(local)
        for job in ("maintain_warehouse", "refresh_prices"):
            ran = defs.resolve_job_def(job).execute_in_process(instance=instance, resources={"ledger": Ledger()})
            assert ran.success
        assert rows(local) == before

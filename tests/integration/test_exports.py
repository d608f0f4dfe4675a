"""Exports written by real processes: killed, taken over, cancelled, run by Dagster; with logs from the store."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlglot import exp

from api.app import utc_now
from api.cli.local import Local
from api.exports import running
from api.exports.payloads import Payloads
from api.exports.rows import Export
from api.exports.running import LEASE, ExportRunner, Outcome
from api.exports.storage import ExportStorage
from api.logs.objects import LogObjects
from pipelines.definitions import defs
from pipelines.resources import Ledger
from pipelines.sensors import started_exports
from tests.factories import rows
from tests.factories.app import Installation, auth, installed, serving, store
from tests.factories.databases import URL_OF_HOME
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.open import open_engine
from warehouse.ingest.kept_objects import object_path
from warehouse.logstore.paths import PathFormat
from warehouse.logstore.store import LogStore

ROOT = Path(__file__).parents[2]
COUNT = 1500
UNSET = ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "LOG_STORE_URL", "LOG_STORE", "LOG_EXPORTS_BUCKET")


@dataclass
class World:
    here: Installation
    client: TestClient
    ids: list[str]
    environment: dict[str, str]

    def call(self, method: str, path: str, content: Any = None) -> Any:
        answer = self.client.request(method, f"/v1/logs/exports{path}", json=content, headers=auth(self.here.admin_key))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def started(self, **content: Any) -> str:
        made = self.call("POST", "", {"filters": {}, "requested_data": ["id"], **content})["id"]
        self.call("POST", f"/{made}/start")
        return made

    def item(self, export_id: str) -> Any:
        return self.call("GET", f"/{export_id}")

    def lines(self, export_id: str) -> list[Any]:
        url = self.call("GET", f"/{export_id}/download")["signed_url"]
        return [json.loads(line) for line in self.client.get(url).content.splitlines()]

    def worker(self, export_id: str, pause_s: float = 0.05) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.integration.export_worker", export_id]
        environment = {**self.environment, "PAUSE_S": str(pause_s)}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def runner(self, after: timedelta = timedelta()) -> ExportRunner:
        parts = self.client.app.state.services  # type: ignore[attr-defined]
        return ExportRunner(
            parts.settings,
            parts.database,
            parts.engine,
            parts.exports,
            Payloads(parts.logs),
            lambda: parts.clock() + after,
        )

    def forget_lease(self, export_id: str) -> None:
        """As time does."""
        with self.here.database.transaction() as session:
            session.execute(update(Export).where(Export.id == export_id).values(lease_until=None))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[World]:
    for name in (
        "WAREHOUSE_URL",
        "DATABASE_URL",
        "CLICKHOUSE_HOST",
        "LOG_STORE_URL",
        "LOG_STORE",
        "LOG_EXPORTS_BUCKET",
    ):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    monkeypatch.setenv("GATELEDGER_HOME", str(home))
    with installed(home) as here, serving(here, clock=utc_now) as client:
        if home in URL_OF_HOME:
            monkeypatch.setenv("DATABASE_URL", URL_OF_HOME[home].render_as_string(hide_password=False))
        table = rows.generations(81, COUNT)
        place = table.schema.get_field_index("organisation_id")
        owner = pa.array([here.first.organisation_id] * COUNT)
        store(client, GENERATIONS, table.set_column(place, table.schema.field(place), owner))
        ordered = sorted(table.select(["created_at", "id"]).to_pylist(), key=lambda row: (row["created_at"], row["id"]))
        yield World(here, client, [row["id"] for row in ordered], dict(os.environ))


@pytest.mark.slow
def test_a_killed_export_is_finished_by_another_without_a_row_lost_or_twice(world: World) -> None:
    export_id = world.started()
    told: list[int] = []
    for kill_after in (2, 4, 1):
        process = world.worker(export_id)
        assert process.stdout is not None
        told += [int(process.stdout.readline()) for _ in range(kill_after)]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        item = world.item(export_id)
        assert (item["status"], item["total_records"]) == ("in_progress", COUNT)
        assert item["written_records"] >= told[-1]
        assert world.runner().due() == []
        assert world.runner().run(export_id) is Outcome.NOT_DUE
        # Until the lease is over, nobody touches it.
        assert [due.id for due in world.runner(after=LEASE + timedelta(seconds=1)).due()] == [export_id]
        world.forget_lease(export_id)
    assert told[-1] > 0
    assert world.runner().run(export_id) is Outcome.SUCCESS
    assert [line["id"] for line in world.lines(export_id)] == world.ids
    item = world.item(export_id)
    assert (item["status"], item["written_records"], item["total_records"]) == ("success", COUNT, COUNT)
    left = [path for path in (world.here.settings.home / "exports").rglob("*") if path.is_file()]
    assert [path.name for path in left] == [f"export-{export_id}.jsonl"]


def test_what_arrives_meanwhile_is_not_part_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PART_ROWS", 100)
    export_id = world.started()
    late = rows.generations(82, 50, prefix="late")
    for name, values in (
        ("organisation_id", [world.here.first.organisation_id] * 50),
        ("ingested_at", [world.runner().clock().replace(tzinfo=None) + timedelta(hours=1)] * 50),
    ):
        place = late.schema.get_field_index(name)
        late = late.set_column(place, late.schema.field(place), pa.array(values, late.schema.field(place).type))
    store(world.client, GENERATIONS, late, "late")
    assert world.runner().run(export_id) is Outcome.SUCCESS
    assert [line["id"] for line in world.lines(export_id)] == world.ids


@pytest.mark.slow
def test_a_cancelled_export_stops_and_can_be_started_again(world: World) -> None:
    export_id = world.started(format="csv")
    process = world.worker(export_id, pause_s=1)
    assert process.stdout is not None
    assert [int(process.stdout.readline()) for _ in range(2)] == [0, 120]
    world.call("POST", f"/{export_id}/cancel")
    assert process.communicate(timeout=30)[0].splitlines()[-1] == "taken away"
    item = world.item(export_id)
    assert item["status"] == "stopped"
    assert item["written_records"] < COUNT
    assert world.runner().run(export_id) is Outcome.NOT_DUE
    world.call("PUT", f"/{export_id}", {"format": "jsonl"})
    world.call("POST", f"/{export_id}/start")
    assert world.runner().run(export_id) is Outcome.SUCCESS
    assert [line["id"] for line in world.lines(export_id)] == world.ids


def test_a_failed_export_says_why_and_can_be_started_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    export_id = world.started()
    runner = world.runner()
    folder = world.here.settings.home / "not-a-folder"
    folder.write_text("a file")
    monkeypatch.setenv("LOG_EXPORTS_BUCKET", str(folder))
    broken = ExportStorage(world.here.settings.model_copy(update={"log_exports_bucket": str(folder)}), {})
    runner.storage = broken
    assert runner.run(export_id) is Outcome.FAILED
    item = world.item(export_id)
    assert item["status"] == "failed"
    assert "not-a-folder" in item["error"]
    world.call("POST", f"/{export_id}/start")
    assert world.item(export_id)["error"] is None
    assert world.runner().run(export_id) is Outcome.SUCCESS
    assert [line["id"] for line in world.lines(export_id)] == world.ids


def test_requests_and_responses_come_from_the_log_store(world: World) -> None:
    settings = world.here.settings
    opened, _ = LogObjects(settings.warehouse, {}).opened()
    engine = open_engine(settings.warehouse)
    names = ("id", "created_at", "workspace_slug", "log_store_file_path_format")
    table = engine.query(exp.select(*names).from_(GENERATIONS.name)).to_pylist()
    engine.close()
    kept: dict[str, Any] = {}
    for number, row in enumerate(table):
        if number % 4 == 0 and row["workspace_slug"] in {"default", "prod", "search"}:
            put_log(opened, world.here.first.organisation_id, row, kept)
    assert len(kept) > 50
    export_id = world.started(requested_data=["response", "id", "request"], filters={"page_size": 1000})
    assert world.runner().run(export_id) is Outcome.SUCCESS
    lines = world.lines(export_id)
    assert [line["id"] for line in lines] == world.ids[:1000]
    for line in lines:
        log = kept.get(line["id"], {"request": None, "response": None})
        assert line == {"response": log["response"], "id": line["id"], "request": log["request"]}


def put_log(to: LogStore, organisation_id: str, row: dict[str, Any], kept: dict[str, Any]) -> None:
    form = PathFormat(row["log_store_file_path_format"]) if row["log_store_file_path_format"] else PathFormat.V2
    path = object_path(form, organisation_id, row["workspace_slug"] or "none", row["created_at"], row["id"])
    log = {"request": {"body": {"n": row["id"], "ж": '\n"'}}, "response": {"status": 200, "body": [row["id"]]}}
    to.put(path, json.dumps(log).encode())
    kept[row["id"]] = log


def test_dagster_writes_what_was_started(world: World) -> None:
    export_id = world.started()
    with dg.DagsterInstance.ephemeral() as instance:
        with dg.build_sensor_context(instance=instance, resources={"ledger": Ledger()}) as context:
            [request] = list(started_exports(context))
        assert isinstance(request, dg.RunRequest)
        job = defs.resolve_job_def("write_log_export")
        ran = job.execute_in_process(run_config=request.run_config, instance=instance, resources={"ledger": Ledger()})
        assert ran.success
        with dg.build_sensor_context(instance=instance, resources={"ledger": Ledger()}) as context:
            assert isinstance(next(iter(started_exports(context))), dg.SkipReason)
    assert [line["id"] for line in world.lines(export_id)] == world.ids


def test_exports_are_written_by_hand_too(world: World) -> None:
    export_id = world.started(format="parquet")
    command = [sys.executable, "-m", "api.cli", "exports", "run", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env=world.environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == {"exports": {export_id: "success"}}
    assert world.item(export_id)["written_records"] == COUNT
    assert Local().exports.due() == []

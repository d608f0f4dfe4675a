"""Limits on a running server: rows that come in are counted, the clock resets, and by hand it works too."""

import json
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlglot import exp
from typer.testing import CliRunner

from api.cli.app import cli
from api.cli.local import Local
from api.limits import service
from api.limits.rows import Limit
from api.limits.schemas import parse_usage_limits
from api.workspaces.administration import entity_of
from api.workspaces.service import default_of
from pipelines.definitions import defs
from pipelines.resources import Ledger
from tests.factories.app import NOW, Installation, auth, installed, serving
from tests.factories.rows import as_generations
from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.catalog.functions import column
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, scan

SUNDAY = datetime(2026, 4, 5, tzinfo=UTC)


class Clock:
    """The time it is; moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def eventually(check: Callable[[], Any], timeout_s: float = 60) -> Any:
    """What `check` returns once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def row(id_: str, at: datetime, key: str, cents: float) -> dict[str, Any]:
    return {
        "id": id_,
        "created_at": at.isoformat().replace("+00:00", "Z"),
        "ai_org": "nobody-knows",
        "ai_model": "unpriced-model",
        "api_key_id": key,
        "req_units": 10,
        "res_units": 2,
        "cost": cents,
        "response_status_code": 200,
        "is_success": 1,
    }


@pytest.fixture
def here(tmp_path: Path) -> Generator[Installation]:
    with installed(tmp_path / "home", limits_interval_s=0.1) as installation:
        yield installation


def test_what_comes_in_counts_and_the_clock_resets(here: Installation) -> None:
    clock = Clock()
    with serving(here, clock) as client:
        api = _Api(client, here)
        limits = {"credit_limit": 10, "alert_threshold": 5, "periodic_reset": "weekly"}
        key = api.post("/v1/api-keys/workspace/service", name="Robot", workspace_id=api.workspace, usage_limits=limits)
        raw, id_ = key["key"], key["id"]
        clock.now = NOW + timedelta(hours=2)
        api.ingest(row("a", NOW + timedelta(hours=1), id_, 1234.5))
        told = eventually(lambda: _used(api.get(f"/v1/api-keys/{id_}"), 12.345))
        assert (told["status"], told["usage_limits"]["is_exhausted_alerts_sent"]) == ("exhausted", True)
        itself = client.get("/v1/api-keys/self", headers=auth(raw)).json()
        assert itself["status"] == "exhausted"
        assert itself["usage_limits"]["current_usage"] == 12.345
        assert itself["next_usage_reset_at"] == "2026-04-05T00:00:00.000Z"
        clock.now = SUNDAY + timedelta(minutes=5)
        told = eventually(lambda: _used(api.get(f"/v1/api-keys/{id_}"), 0))
        assert (told["status"], told["last_reset_at"]) == ("active", "2026-04-05T00:00:00.000Z")
        assert told["usage_limits"]["next_usage_reset_at"] == "2026-04-12T00:00:00.000Z"
        client.delete(f"/v1/api-keys/{id_}", headers=auth(here.admin_key)).raise_for_status()
        assert eventually(lambda: api.entities() == [])


def _used(key: dict[str, Any], usage: float) -> dict[str, Any] | None:
    return key if key["usage_limits"]["current_usage"] == usage else None


class _Api:
    """Calls by the owner."""

    def __init__(self, client: TestClient, here: Installation) -> None:
        self._client, self._here = client, here
        self.workspace = here.first.workspace_slug

    def get(self, path: str) -> Any:
        return self._client.get(path, headers=auth(self._here.admin_key)).json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self._client.post(path, json=body, headers=auth(self._here.admin_key))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ingest(self, *rows: dict[str, Any]) -> None:
        path = "/v1/ingest/generations"
        answer = self._client.post(path, json=list(rows), headers=auth(self._here.admin_key))
        assert answer.status_code == 200, answer.text

    def entities(self) -> list[str]:

        with self._here.database.transaction(writes=False) as session:
            return list(session.scalars(select(Limit.entity_id)))


class TestByHand:
    @pytest.fixture
    def local(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Local]:
        for name in ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "LOG_STORE_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("GATELEDGER_HOME", str(tmp_path / "home"))
        local = Local()
        local.initialise("Acme", "owner@example.com", new_key=False)
        yield local
        local.close()

    @pytest.fixture
    def workspace(self, local: Local) -> str:
        """The id of a workspace with a limit of 10 USD a month, of which 7 were used half an hour ago."""

        now = datetime.now(UTC)
        spent_at, set_at = now - timedelta(minutes=30), now - timedelta(hours=1)
        wanted = parse_usage_limits([{"credit_limit": 10, "alert_threshold": 5}], shape="array")
        owner = local.ownership()
        with local.session(writes=True) as session:
            found = default_of(session, owner.organisation_id)
            service.write(session, entity_of(found), wanted, set_at)
        spent = {"id": "r", "organisation_id": owner.organisation_id, "workspace_slug": owner.workspace_slug}
        spent |= {"created_at": spent_at, "cost": 700, "total_units": 5}
        local.engine.append(GENERATIONS, as_generations([spent]), Batch("r"))
        return found.id

    def test_jobs_may_run_again_and_say_what_they_did(self, local: Local, workspace: str) -> None:
        first, again = (_job("refresh_limits", "count_usage") for _ in range(2))
        assert (first["limits"], first["changed"], first["crossed"]) == (1, 1, 1)
        assert workspace in str(first["limits that were crossed"])
        assert (again["limits"], again["changed"], again["crossed"]) == (1, 0, 0)
        reset = _job("reset_limits", "reset_usage", {"entity_id": workspace})
        assert (reset["limits"], reset[f"workspace {workspace} cost"]) == (1, "until it is reset by hand")
        assert _job("refresh_limits", "count_usage")["changed"] == 0

    def test_commands(self, local: Local, workspace: str) -> None:
        assert _run("refresh") == {"limits": 1, "changed": 1, "started_anew": 0, "crossed": 1}
        [shown] = _run("list", "--entity", workspace)["data"]
        assert (shown["current_usage"], shown["status"], shown["entity_type"]) == (7, "active", "workspace")
        assert shown["exhausts_at"] is not None
        assert _run("list", "--status", "exhausted")["total"] == 0
        [shown] = _run("reset", shown["id"])["data"]
        assert (shown["current_usage"], shown["last_reset_at"]) == (0, shown["period_started_at"])

        local.close()
        told = local.engine.query(exp.select(column("reason")).from_(scan(AUDIT_LOGS.name)))
        assert any("usage reset by hand: 7" in reason for reason in told["reason"].to_pylist())

    def test_what_there_is_not_is_told(self, local: Local) -> None:
        ran = CliRunner().invoke(cli, ["limits", "reset", "nothing"])
        assert "no limit with the id 'nothing'" in str(ran.exception)
        ran = CliRunner().invoke(cli, ["limits", "list", "--status", "odd"])
        assert "not one of active, exhausted" in str(ran.exception)


def _run(*arguments: str) -> Any:
    ran = CliRunner().invoke(cli, ["limits", *arguments, "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def _job(name: str, op: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    with dg.DagsterInstance.ephemeral() as instance:
        done = defs.resolve_job_def(name).execute_in_process(
            instance=instance,
            resources={"ledger": Ledger()},
            run_config={"ops": {op: {"config": config}}} if config else {},
        )
        assert done.success
        outputs = [event for event in done.all_events if event.event_type_value == "STEP_OUTPUT"]
        [output] = outputs
        metadata = output.step_output_data.metadata
        return {key: value.value for key, value in metadata.items()}

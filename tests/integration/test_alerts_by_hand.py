"""Alerts and mails at the command line and as a Dagster job, where no server runs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlglot import exp
from typer.testing import CliRunner

from api.alerts.outbox import enqueue
from api.cli.app import cli
from api.cli.local import Local
from api.limits.machine import Crossing
from pipelines.definitions import defs
from pipelines.resources import Ledger
from pipelines.sensors import waiting_messages
from tests.factories.smtp_server import HOST, Post, smtp_server
from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.engines.base import scan

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


@pytest.fixture
def post() -> Iterator[tuple[Post, int]]:
    with smtp_server() as running:
        yield running


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, post: tuple[Post, int]) -> Iterator[Local]:
    for name in ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "LOG_STORE_URL", "GATELEDGER_ALERT_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    mail = {"SMTP_MAIL": "ON", "SMTP_HOST": HOST, "SMTP_PORT": str(post[1]), "SMTP_FROM": "ledger@acme.example"}
    for name, value in {"GATELEDGER_HOME": str(tmp_path / "home"), **mail}.items():
        monkeypatch.setenv(name, value)
    made = Local()
    made.initialise("Acme", "owner@acme.example", new_key=False)
    yield made
    made.close()


def crossed(local: Local, limit_id: str = "limit-1") -> None:
    """A limit was crossed two minutes ago."""
    then = datetime.now(UTC) - timedelta(minutes=2)
    owner = local.ownership()
    crossing = Crossing(
        organisation_id=owner.organisation_id,
        workspace_id=None,
        entity_type="workspace",
        entity_id="ws",
        entity_name="Shared",
        value_key=None,
        limit_id=limit_id,
        kind="exhausted",
        type="cost",
        usage=Decimal("10.5"),
        credit_limit=Decimal(10),
        alert_threshold=None,
        period_started_at=then,
    )
    with local.session(writes=True) as session:
        assert enqueue(session, [crossing], then) == 1


def run(*arguments: str) -> dict[str, Any]:
    ran = CliRunner().invoke(cli, ["alerts", *arguments, "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_commands(local: Local, post: tuple[Post, int]) -> None:
    crossed(local)
    shown = run("list")
    assert shown["counts"] == {"waiting": 2}
    assert [(one["kind"], one["usage"], one["credit_limit"]) for one in shown["alerts"]] == [("exhausted", 10.5, 10)]
    post[0].refuse.append("554 never")
    assert run("send") == {"revived": 0, "messages": {"dead": 1, "sent": 1}}
    [dead] = run("list", "--status", "dead")["messages"]
    assert (dead["recipient"], dead["last_error"]) == ("owner@acme.example", "the server answered 554")
    assert run("send", "--again", "--message", dead["id"]) == {"revived": 1, "messages": {"sent": 1}}
    assert run("list")["counts"] == {"sent": 2}
    [(message, recipients)] = post[0].mails
    assert recipients == ["owner@acme.example"]
    assert message["Message-ID"] == f"<{dead['id']}@acme.example>"
    text = CliRunner().invoke(cli, ["alerts", "list"]).stdout
    assert "2 sent" in text
    told = local.engine.query(exp.select("reason").from_(scan(AUDIT_LOGS.name)))["reason"].to_pylist()
    assert len(told) == 1
    assert told[0].startswith("kind=exhausted type=cost usage=10.5 credit_limit=10 ")


def test_a_status_that_is_none_is_told(local: Local) -> None:
    ran = CliRunner().invoke(cli, ["alerts", "list", "--status", "odd"])
    assert "not one of waiting, sent, skipped, dead" in str(ran.exception)


def test_the_sensor_asks_for_a_run_while_nobody_sends(local: Local, post: tuple[Post, int]) -> None:
    def asked() -> list[Any]:
        with dg.build_sensor_context(resources={"ledger": Ledger()}) as context:
            return list(waiting_messages(context))  # type: ignore[arg-type]

    assert isinstance(asked()[0], dg.SkipReason)
    crossed(local)
    assert isinstance(asked()[0], dg.RunRequest)
    with dg.DagsterInstance.ephemeral() as instance:
        ran = defs.resolve_job_def("send_messages").execute_in_process(
            instance=instance, resources={"ledger": Ledger()}
        )
    [outputs] = [event.step_output_data.metadata for event in ran.all_events if event.is_successful_output]
    assert {name: value.value for name, value in outputs.items()} == {"sent": 2}
    assert len(post[0].mails) == 1
    assert isinstance(asked()[0], dg.SkipReason)

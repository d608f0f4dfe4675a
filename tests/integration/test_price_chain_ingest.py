"""A server takes records whatever its price sources do: all are stored, and none has a wrong price."""

import threading
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from tests.factories.app import Installation, auth, installed, serving
from tests.factories.model_files import ModelFileHost, model_file_host, price_file
from warehouse.pricing import origins
from warehouse.pricing import sources as chain

PROXY, LOCAL, TOKENS = 3, 7, 15
TROUBLES = ("error", "slow", "drip", "html", "truncated", "cut", "huge", "error-object", "empty", "list")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Generator[ModelFileHost]:
    monkeypatch.setattr(chain, "PROXY_PATIENCE_S", 60.0)
    monkeypatch.setattr(origins, "READ_TIMEOUT_S", 30.0)
    monkeypatch.setattr(origins, "MAX_BYTES", 1 << 20)
    with model_file_host() as running:
        running.files["pricing/acme.json"] = price_file(PROXY, "m")
        yield running


@pytest.fixture
def here(host: ModelFileHost, tmp_path: Path) -> Generator[Installation]:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "acme.json").write_text(price_file(LOCAL, "m"))
    with installed(tmp_path / "home") as installation:
        warehouse = installation.settings.warehouse
        warehouse.model_configs_proxy_fetch_enabled = True
        warehouse.model_configs_proxy_url = SecretStr(host.url)
        warehouse.model_configs_pricing_local_path = tmp_path / "local"
        yield installation


def test_records_are_stored_and_priced_through_every_trouble(
    here: Installation, host: ModelFileHost, clock: Clock
) -> None:
    with serving(here, clock) as client:
        host.misbehave = "error"
        send(client, here, clock, "before")
        assert totals(client, here, clock, 1) == LOCAL * TOKENS
        clock.now += timedelta(hours=2)
        host.misbehave = ""
        send(client, here, clock, "well")
        assert totals(client, here, clock, 2) == (LOCAL + PROXY) * TOKENS
        for number, trouble in enumerate(TROUBLES, start=1):
            clock.now += timedelta(hours=2)
            host.misbehave = trouble
            proxy = client.app.state.services.sources.levels()[0]  # type: ignore[attr-defined]
            proxy._patience_s = 0.3 if trouble in ("slow", "drip") else 60.0
            send(client, here, clock, trouble)
            expected = (LOCAL + PROXY * (number + 1)) * TOKENS
            assert totals(client, here, clock, number + 2) == expected, f"{trouble}: what the proxy said before counts"


def send(client: TestClient, here: Installation, clock: Clock, row_id: str) -> None:
    row = {
        "id": row_id, "created_at": clock.now.strftime("%Y-%m-%d %H:%M:%S"), "ai_org": "acme", "ai_model": "m",
        "is_success": True, "response_status_code": 200, "req_units": 10, "res_units": 5, "total_units": TOKENS,
    }  # fmt: skip
    answer = client.post("/v1/ingest/generations", json=[row], headers=auth(here.admin_key))
    assert answer.status_code == 200, answer.text


def totals(client: TestClient, here: Installation, clock: Clock, requests: int) -> Decimal:
    """The cost of all rows, once so many are there."""
    window = f"time_of_generation_min=2026-05-01&time_of_generation_max={clock.now:%Y-%m-%dT%H:%M:%SZ}"
    group: dict[str, Any] = {}
    for _ in range(1500):
        answer = client.get(f"/v1/analytics/groups/model?{window}&columns=cost", headers=auth(here.admin_key)).json()
        group = answer["data"][0] if answer["data"] else {}
        if group.get("requests") == requests:
            return Decimal(str(group["cost"]))
        time.sleep(0.02)
    raise AssertionError(f"{requests} rows were expected: {group}; {threading.enumerate()}")

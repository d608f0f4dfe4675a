"""What keeps a service running: readiness, metrics, refusals in numbers, logs without secrets, and a stop in order."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api import structured_log
from api.api_keys.service import new_raw_key
from api.operations.settings import OperationsSettings
from tests.factories.app import Installation, auth, installed, serving
from tests.factories.databases import variables_of
from tests.factories.gateway import free_port

ROOT = Path(__file__).parents[2]
SECRET = "hush-hush-hush-1234567890"


@pytest.fixture
def here(tmp_path: Path) -> Generator[Installation]:
    with installed(tmp_path) as installation:
        yield installation


@pytest.fixture
def client(here: Installation) -> Generator[TestClient]:
    with serving(here) as running:
        yield running


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Name and label values of every sample → its value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TestMetrics:
    def test_requests_are_counted_by_template_and_nobody_is_named(self, client: TestClient, here: Installation) -> None:
        for _ in range(3):
            client.get("/v1/pricing/negotiated", headers=auth(here.admin_key))
        client.post("/v2/pricing/negotiated/secret-id/end", json={}, headers=auth(here.admin_key))
        client.get("/wp-admin.php")
        client.request("BREW", "/v1/pricing/negotiated")
        client.get("/v1/pricing/negotiated", headers=auth(new_raw_key()))
        client.get("/v1/audit-logs", headers=auth(here.admin_key))
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = samples(answer.text)
        requests = "gateledger_http_requests_total"
        assert found[requests, "GET", "/v1/pricing/negotiated", "200"] == 3
        assert found[requests, "GET", "/v1/pricing/negotiated", "401"] == 1
        assert found[requests, "POST", "/v1/pricing/negotiated/{id}/end", "404"] == 1
        assert found[requests, "GET", "none", "404"] == 1
        assert found[requests, "OTHER", "/v1/pricing/negotiated", "405"] == 1
        assert found["gateledger_http_request_seconds_count", "GET", "/v1/pricing/negotiated"] == 4
        assert found["gateledger_http_requests_under_way",] == 1
        assert found["gateledger_auth_failures_total", "unknown"] == 1
        assert found["gateledger_key_lookups_total", "memory"] >= 1
        assert found["gateledger_key_lookups_total", "database"] >= 1
        assert found["gateledger_warehouse_query_seconds_count",] >= 1
        assert ("gateledger_spool_lag_seconds", "audit") in found
        for name in (here.first.organisation_id, here.first.workspace_slug, "secret-id", "wp-admin", "Acme"):
            assert name not in answer.text

    def test_what_waits_in_a_spool_is_told(self, here: Installation) -> None:
        waiting = here.settings.model_copy(update={"spool_interval_s": 600})
        with serving(Installation(waiting, here.database, here.first)) as client:
            client.post("/v1/ingest/generations", json=[{"id": "a"}], headers=auth(here.admin_key))
            client.post("/v1/pricing/negotiated", json={}, headers=auth(here.admin_key))
            found = samples(client.get("/metrics").text)
            for spool in ("records", "audit"):
                assert found["gateledger_spool_segments", spool] == 1
                assert found["gateledger_spool_bytes", spool] > 100

    def test_they_can_be_switched_off(self, tmp_path: Path) -> None:
        with installed(tmp_path / "off", operations=OperationsSettings(metrics=False)) as here, serving(here) as client:
            answer = client.get("/metrics")
            assert (answer.status_code, answer.json()["data"]["errorCode"]) == (404, "AB02")


class TestHealth:
    def test_ready_names_what_it_needs(self, client: TestClient) -> None:
        answer = client.get("/health/ready")
        assert answer.status_code == 200
        assert answer.json()["checks"] == {"database": "ok", "warehouse": "ok", "migrations": "ok"}

    def test_not_ready_without_the_schema_but_alive(self, client: TestClient, here: Installation) -> None:
        with here.database.connection() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"]["migrations"] == "failed"
        assert client.get("/health/live").json() == {**answer.json(), "status": "success", "checks": {}}

    def test_a_newer_schema_is_no_reason_to_stop_serving(self, client: TestClient, here: Installation) -> None:
        with here.database.connection() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        assert client.get("/health/ready").status_code == 200

    def test_a_stopping_server_is_alive_and_not_ready(self, client: TestClient) -> None:
        client.app.state.services.operations.stopping.ask()  # type: ignore[attr-defined]
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()["checks"]) == (503, {"server": "stopping"})
        assert client.get("/health/live").status_code == 200


class TestRefusals:
    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Generator[tuple[TestClient, Installation]]:
        limits = OperationsSettings(refusal_limit=3, trusted_proxies="127.0.0.0/8")
        with installed(tmp_path / "guarded", operations=limits) as here, serving(here) as client:
            inner = TestClient(client.app, client=("127.0.0.1", 1), raise_server_exceptions=False)
            inner.app_state = client.app_state
            yield inner, here

    def test_guessing_is_slowed_down_and_a_good_key_is_not(self, guarded: tuple[TestClient, Installation]) -> None:
        client, here = guarded
        statuses: list[int] = []
        for _ in range(6):
            answer = client.get("/v1/pricing/negotiated", headers=auth(new_raw_key()))
            statuses.append(answer.status_code)
        assert statuses == [401, 401, 401, 429, 429, 429]
        assert answer.json()["data"]["errorCode"] == "AB06"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert client.get("/v1/pricing/negotiated", headers=auth(here.admin_key)).status_code == 200
        elsewhere = {**auth(new_raw_key()), "x-forwarded-for": "203.0.113.9"}
        assert client.get("/v1/pricing/negotiated", headers=elsewhere).status_code == 401
        assert samples(client.get("/metrics").text)["gateledger_auth_failures_total", "limited"] == 3


class TestLogs:
    @pytest.fixture
    def stream(self) -> Iterator[io.StringIO]:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        stream = io.StringIO()
        structured_log.configure("info", stream)
        try:
            yield stream
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)

    def test_a_line_names_request_and_organisation_and_no_secret(
        self, stream: io.StringIO, client: TestClient, here: Installation
    ) -> None:
        headers = {**auth(here.admin_key), "x-request-id": "trace-me-12345"}
        client.get(f"/v1/pricing/negotiated?token={SECRET}", headers=headers)
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        [line] = [line for line in lines if line["event"] == "request"]
        assert (line["request_id"], line["organisation_id"]) == ("trace-me-12345", here.first.organisation_id)
        assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/pricing/negotiated", 200)
        assert SECRET not in stream.getvalue()

    @pytest.mark.parametrize("given", ["short", "x" * 65, "with space in it", 'quote"quote"q', "../../etc/passwd"])
    def test_an_odd_request_id_is_not_taken_over(self, client: TestClient, given: str) -> None:
        answer = client.get("/health/live", headers={"x-request-id": given})
        assert answer.headers["x-request-id"] != given
        assert len(answer.headers["x-request-id"]) == 36

    def test_secrets_are_taken_out_wherever_they_stand(self, stream: io.StringIO) -> None:
        logger = logging.getLogger("api.test")
        raw = new_raw_key()
        logger.info("asked with %s", raw, extra={"api_key": SECRET, "settings": {"dbPassword": SECRET}})
        try:
            raise RuntimeError(f"cannot reach postgres://user:{SECRET}@db.example/x with {raw}")
        except RuntimeError:
            logger.exception("failed")
        assert SECRET not in stream.getvalue()
        assert raw not in stream.getvalue()
        assert "cannot reach postgres://*****@db.example/x" in stream.getvalue()


@dataclass(frozen=True)
class Served:
    url: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def served(home: Path, *, workers: int = 1, **environment: str) -> Iterator[Served]:
    """`gateledger serve` as an operator runs it."""
    port = free_port()
    command = [sys.executable, "-m", "api.cli", "serve", "--port", str(port), "--workers", str(workers)]
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    variables = {**inherited, **variables_of(home), "GATELEDGER_HOME": str(home), **environment}
    log = home / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=output, stderr=output, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_ready(url, process, log)
        yield Served(url, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health/ready", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.mark.slow
def test_a_stop_finishes_what_is_under_way_and_ends_well(here: Installation) -> None:
    slow = b"{" + b" " * 200_000 + b"}"

    def body() -> Iterator[bytes]:
        for start in range(0, len(slow), 20_000):
            yield slow[start : start + 20_000]
            time.sleep(0.1)

    with served(here.settings.home, GATELEDGER_STOP_DELAY_S="2") as server, httpx.Client(timeout=30) as kept:
        assert kept.get(f"{server.url}/health/ready").status_code == 200
        answers: list[httpx.Response] = []
        headers = {**auth(here.admin_key), "content-type": "application/json"}
        url = f"{server.url}/v1/pricing/negotiated"
        caller = threading.Thread(
            target=lambda: answers.append(httpx.post(url, content=body(), headers=headers, timeout=30))
        )
        caller.start()
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        assert kept.get(f"{server.url}/health/ready").json()["checks"] == {"server": "stopping"}
        assert kept.get(f"{server.url}/health/live").status_code == 200
        caller.join()
        assert [answer.status_code for answer in answers] == [400]  # an agreement needs more than {}
        assert server.process.wait(40) == 0
    with serving(here) as client:
        span = {"start_time": "2026-01-01", "end_time": "2100-01-01"}
        records = client.get("/v1/audit-logs", params=span, headers=auth(here.admin_key)).json()["records"]
        assert [record["response_status_code"] for record in records] == [400], "what was spooled is loaded at the stop"


@pytest.mark.slow
def test_workers_share_their_numbers(here: Installation) -> None:
    with served(here.settings.home, workers=2) as server:
        for _ in range(20):
            assert httpx.get(f"{server.url}/v1/pricing/negotiated", headers=auth(here.admin_key)).status_code == 200
        for _ in range(4):
            found = samples(httpx.get(f"{server.url}/metrics").text)
            assert found["gateledger_http_requests_total", "GET", "/v1/pricing/negotiated", "200"] == 20
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(40) == 0

"""A backfill through the real webserver and daemon: runs start side by side, every row is stored once."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.factories.command import Command

ROOT = Path(__file__).resolve().parents[2]
DAYS, ROWS = 3, 600
STARTED_WITHIN_S, ENDED_WITHIN_S, STOPPED_WITHIN_S = 180, 420, 60

LAUNCH = """mutation($p: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $p) { __typename ... on LaunchBackfillSuccess { backfillId } }
}"""
RUNS = """query($b: String!) {
  runsOrError(filter: {tags: [{key: "dagster/backfill", value: $b}]}) { ... on Runs { results { status } } }
}"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(port: int, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


@contextmanager
def pipelines(environment: dict[str, str], port: int) -> Iterator[None]:
    """`gateledger pipelines`, stopped by Ctrl-C; nothing of it may stay."""
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "pipelines", "--port", str(port)],
        env=environment,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                ask(port, "{version}")
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert process.poll() is None
                assert time.monotonic() < deadline, "the webserver did not come up"
                time.sleep(0.5)
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        yield
        process.send_signal(signal.SIGINT)
        assert process.wait(STOPPED_WITHIN_S) == 0
        _, alive = psutil.wait_procs(family, timeout=STOPPED_WITHIN_S)
        assert alive == []
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOPPED_WITHIN_S)


@pytest.mark.slow
@pytest.mark.waits
@pytest.mark.timeout(900)
def test_a_backfill_with_runs_side_by_side(tmp_path: Path) -> None:
    gateledger = Command(tmp_path / "home", tmp_path, environment={"LOG_STORE_URL": str(tmp_path / "logs")})
    gateledger.json("init")
    until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=10)
    gateledger.json(
        "sample",
        "--rows",
        str(ROWS),
        "--days",
        str(DAYS),
        "--to",
        str(tmp_path / "logs"),
        "--until",
        until.isoformat(),
    )
    days = [(until - timedelta(days=back)).date().isoformat() for back in range(DAYS, 0, -1)]
    port = free_port()
    with pipelines(gateledger.environment, port):
        selector = {
            "repositorySelector": {
                "repositoryName": "__repository__",
                "repositoryLocationName": "pipelines.definitions",
            },
            "partitionSetName": "load_logs_partition_set",
        }
        launched = ask(port, LAUNCH, p={"selector": selector, "partitionNames": days})["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess"
        deadline = time.monotonic() + ENDED_WITHIN_S
        while True:
            found = ask(port, RUNS, b=launched["backfillId"])["runsOrError"]["results"]
            statuses = [run["status"] for run in found]
            if len(statuses) == DAYS and not set(statuses) & {"QUEUED", "NOT_STARTED", "STARTING", "STARTED"}:
                break
            assert time.monotonic() < deadline, statuses
            time.sleep(1)
    assert statuses == ["SUCCESS"] * DAYS
    answer = gateledger.json("query", "--by", "workspace")
    assert sum(row["requests"] for row in answer["data"]) == ROWS
    assert gateledger.json("ingest", str(tmp_path / "logs"))["stored"] == 0

"""The unmodified Python SDK gives feedback, changes it, and exports logs, against a live server and its worker."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from portkey_ai import Portkey
from portkey_ai.api_resources.exceptions import BadRequestError, NotFoundError, PermissionDeniedError

from api.cli.local import Local
from api.permissions import KeyKind
from tests.factories.app import Installation, installed
from tests.factories.databases import URL_OF_HOME
from tests.factories.server import LiveServer, live_server

UNSET = ("WAREHOUSE_URL", "DATABASE_URL", "CLICKHOUSE_HOST", "LOG_STORE_URL", "LOG_STORE", "LOG_EXPORTS_BUCKET")
WAIT_S = 20


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("sdk-exports")) as installation:
        yield installation


@pytest.fixture(scope="module")
def server(here: Installation) -> Generator[LiveServer]:
    with live_server(here.settings.home) as running:
        yield running


@contextmanager
def sdk(server: LiveServer, key: str) -> Generator[Portkey]:
    client = Portkey(api_key=key, base_url=f"{server.url}/v1")
    with closing(client), closing(client.openai_client):
        yield client


def until(asked: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while asked() != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert asked() == wanted


def test_feedback(here: Installation, server: LiveServer) -> None:
    workspace = here.workspace("Rated")
    key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=workspace.id)
    day = time.strftime("%Y-%m-%d", time.gmtime())

    def scores() -> dict[int, int]:
        query = f"time_of_generation_min={day}&time_of_generation_max={day}"
        path = f"{server.url}/v1/analytics/graphs/feedbacks/scores?{query}"
        points = httpx.get(path, headers={"x-portkey-api-key": key}).json()["data_points"]
        return {point["score"]: point["total"] for point in points}

    with sdk(server, key) as client:
        one = client.feedback.create(trace_id="t-1", value=4, weight=0.5, metadata={"_user": "anna"})
        assert (one.status, len(one.feedback_ids)) == ("success", 1)
        many = client.feedback.bulk_create(
            feedbacks=[{"trace_id": "t-1", "value": -2}, {"trace_id": "t-2", "value": 9, "weight": 0.1}]
        )
        assert len(many.feedback_ids) == 2
        changed = client.feedback.update(feedback_id=one.feedback_ids[0], value=7)
        assert changed.feedback_ids == one.feedback_ids
        until(scores, {7: 1, -2: 1, 9: 1})
        with pytest.raises(BadRequestError, match="value"):
            client.feedback.create(trace_id="t-1", value=11)
        with pytest.raises(NotFoundError, match="no feedback"):
            client.feedback.update(feedback_id="00000000-0000-4000-8000-000000000000", value=1)
    with sdk(server, here.admin_key) as client, pytest.raises(PermissionDeniedError, match="permissions"):
        client.feedback.create(trace_id="t-1", value=1)


def test_exports(here: Installation, server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    home = here.settings.home
    monkeypatch.setenv("GATELEDGER_HOME", str(home))
    if home in URL_OF_HOME:
        monkeypatch.setenv("DATABASE_URL", URL_OF_HOME[home].render_as_string(hide_password=False))
    workspace = here.workspace("Exported")
    key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=workspace.id)
    logs = [
        {
            "request": {"url": "https://llm.example/v1/chat/completions", "body": {"model": "gpt-4o", "n": number}},
            "response": {"status": 200, "body": {"model": "gpt-4o", "usage": {"prompt_tokens": number}}},
            "metadata": {"trace_id": f"t-{number}"},
        }
        for number in range(20)
    ]
    headers = {"x-portkey-api-key": key}
    sent = httpx.post(f"{server.url}/v1/logs", json=logs, headers=headers).json()["log_ids"]
    with sdk(server, key) as client:
        wanted = ["id", "trace_id", "request", "response", "ai_model"]

        def create() -> Any:
            # The types of the SDK want whole filters; its documents send a few.
            filters: Any = {"ai_model": "gpt-4o"}
            return client.logs.exports.create(
                filters=filters,
                workspace_id=workspace.id,
                description="all",
                requested_data=wanted,  # type: ignore[arg-type]
            )

        until(lambda: create().total, 20)
        export_id = create().id
        item = client.logs.exports.retrieve(export_id=export_id)
        assert (item.status, item.total_records, item.requested_data) == ("draft", 20, wanted)
        assert item.created_by
        listed = client.logs.exports.list(workspace_id=workspace.id)
        assert listed.data is not None
        assert export_id in {each["id"] if isinstance(each, dict) else each.id for each in listed.data}
        client.logs.exports.update(export_id=export_id, filters={"ai_model": "gpt-4o"}, requested_data=wanted)  # type: ignore[arg-type]
        with pytest.raises(BadRequestError, match="draft"):
            client.logs.exports.download(export_id=export_id)
        assert "started" in client.logs.exports.start(export_id=export_id).message
        assert "cancelled" in client.logs.exports.cancel(export_id=export_id).message
        assert client.logs.exports.retrieve(export_id=export_id).status == "stopped"
        client.logs.exports.start(export_id=export_id)
        local = Local()
        assert [local.exports.run(due.id).value for due in local.exports.due()] == ["success"]
        local.close()
        assert client.logs.exports.retrieve(export_id=export_id).status == "success"
        url = client.logs.exports.download(export_id=export_id).signed_url
    assert url.startswith(server.url)
    found = {line["id"]: line for line in map(json.loads, httpx.get(url).content.splitlines())}
    assert set(found) == set(sent)
    for log_id, log in zip(sent, logs, strict=True):
        line = found[log_id]
        assert line["trace_id"] == log["metadata"]["trace_id"]
        assert line["request"]["body"] == log["request"]["body"]
        assert line["response"]["body"] == log["response"]["body"]
        assert list(line) == wanted


def test_the_worker_needs_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATELEDGER_HOME", str(tmp_path))
    local = Local()
    local.initialise("Acme", "owner@example.com", new_key=False)
    assert local.exports.due() == []
    local.close()

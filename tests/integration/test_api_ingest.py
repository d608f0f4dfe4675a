"""A record that was taken is on disk before the answer and in the analytics a moment later, whoever sent it how."""

import gzip
import json
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from tests.factories.app import NOW, Installation, auth, installed, serving
from tests.factories.server import live_server
from warehouse.engines.base import Engine
from warehouse.errors import WarehouseError

TIME = "time_of_generation_min=2026-01-01&time_of_generation_max=2026-12-31"
SECRET = "sk-hush-hush-hush-hush-1234567890"


@pytest.fixture
def here(tmp_path: Path) -> Generator[Installation]:
    with installed(tmp_path) as installation:
        yield installation


@pytest.fixture
def client(here: Installation) -> Generator[TestClient]:
    with serving(here) as running:
        yield running


def row(id_: str, **fields: Any) -> dict[str, Any]:
    """An analytics row as a gateway writes it."""
    return {
        "id": id_,
        "created_at": "2026-04-01T10:00:00.000Z",
        "ai_org": "openai",
        "ai_model": "gpt-4o",
        "req_units": 1000,
        "res_units": 200,
        "response_status_code": 200,
        "is_success": 1,
        **fields,
    }


def counted(client: TestClient, key: str, by: str = "model", columns: str = "total_tokens,cost") -> dict[str, Any]:
    """Group → its row of the answer."""
    answer = client.get(f"/v1/analytics/groups/{by}?{TIME}&columns={columns}&page_size=100", headers=auth(key))
    assert answer.status_code == 200, answer.text
    return {line[by]: line for line in answer.json()["data"]}


def eventually(check: Callable[[], Any], timeout_s: float = 20) -> Any:
    """What `check` returns once it is true."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = check()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def total(client: TestClient, key: str) -> int:
    return sum(line["requests"] for line in counted(client, key).values())


BODIES: dict[str, tuple[Callable[[list[dict[str, Any]]], bytes], dict[str, str]]] = {
    "array": (lambda rows: json.dumps(rows).encode(), {}),
    "ndjson": (lambda rows: "\n".join(map(json.dumps, rows)).encode(), {"content-type": "application/x-ndjson"}),
    "gzip": (lambda rows: gzip.compress(json.dumps(rows).encode()), {"content-encoding": "gzip"}),
    "zstd": (lambda rows: zstandard.compress(json.dumps(rows).encode()), {"content-encoding": "zstd"}),
}


def test_rows_sent_in_every_way_are_counted_once(client: TestClient, here: Installation) -> None:
    for name, (pack, headers) in BODIES.items():
        rows = [row(f"{name}-{number}") for number in range(3)]
        for _ in range(2):
            answer = client.post("/v1/ingest/generations", content=pack(rows), headers=auth(here.admin_key) | headers)
            assert answer.status_code == 200, answer.text
            assert answer.json() == {
                "status": "success",
                "success": True,
                "message": "Logs successfully saved",
                "log_ids": [one["id"] for one in rows],
            }
    assert eventually(lambda: total(client, here.admin_key) >= 12)
    eventually(lambda: not client.app.state.services.spool.backlog()[0])  # type: ignore[attr-defined]
    found = counted(client, here.admin_key)
    assert found["gpt-4o"]["requests"] == 12
    assert found["gpt-4o"]["total_tokens"] == 12 * 1200
    assert counted(client, here.admin_key, "workspace")[here.first.workspace_slug]["requests"] == 12


def test_a_record_is_on_disk_when_the_answer_comes(client: TestClient, here: Installation) -> None:
    engine: Engine = client.app.state.services.engine  # type: ignore[attr-defined]
    original = engine.append
    engine.append = lambda *_: (_ for _ in ()).throw(WarehouseError("away"))  # type: ignore[method-assign]
    answer = client.post("/v1/ingest/generations", json=[row("kept")], headers=auth(here.admin_key))
    assert answer.json()["log_ids"] == ["kept"]
    assert any(b"kept" in path.read_bytes() for path in here.settings.spool_folder.iterdir() if path.is_file())
    time.sleep(0.3)
    assert total(client, here.admin_key) == 0
    engine.append = original  # type: ignore[method-assign]
    assert eventually(lambda: total(client, here.admin_key) == 1), "the drain recovers on its own"


def test_ownership_is_of_the_key(client: TestClient, here: Installation) -> None:
    other = here.organisation("Other")
    other_key = here.key(organisation_id=other)
    prod = here.workspace("Prod", slug="prod")
    prod_key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=prod.id)
    default = here.first.workspace_slug
    sent = [
        (here.admin_key, row("a", workspace_slug="prod")),
        (here.admin_key, row("b")),
        (here.admin_key, row("c", organisation_id=other)),
        (here.admin_key, row("d", workspace_slug="absent")),
        (prod_key, row("e")),
        (prod_key, row("f", workspace_slug=default)),
        (prod_key, row("g", organisation_id=other)),
        (other_key, row("h", organisation_id=here.first.organisation_id)),
        (other_key, row("i")),
    ]
    for key, record in sent:
        assert client.post("/v1/ingest/generations", json=record, headers=auth(key)).status_code == 200
    assert eventually(lambda: not client.app.state.services.spool.backlog()[0])  # type: ignore[attr-defined]
    found = {name: line["requests"] for name, line in counted(client, here.admin_key, "workspace").items()}
    assert found == {"prod": 2, default: 1}
    assert total(client, other_key) == 1
    kept = b"".join(path.read_bytes() for path in here.settings.quarantine_folder.rglob("*") if path.is_file())
    for id_ in ("c", "d", "f", "g", "h"):
        assert json.dumps(id_).encode() in kept.replace(b"\\", b"")


def test_log_objects_hooks_and_feedback_have_their_paths(client: TestClient, here: Installation) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    log = {
        "request": {
            "method": "POST",
            "url": "https://api.openai.com/v1/chat/completions",
            "headers": {"Authorization": f"Bearer {SECRET}"},
            "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
        },
        "response": {"status": 200, "body": {"model": "gpt-4o", "usage": usage}, "response_time": 210},
        "metadata": {"_user": "u1"},
    }
    feedback = {"trace_id": "t1", "value": 5, "weight": 0.5, "created_at": "2026-04-01T10:00:00Z"}
    ids = client.post("/v1/ingest/logs", json=[log, log], headers=auth(here.admin_key)).json()["log_ids"]
    assert len(set(ids)) == 2
    assert client.post("/v1/ingest/feedbacks", json=feedback, headers=auth(here.admin_key)).status_code == 200
    assert client.post("/v1/ingest/hook", json=log, headers=auth(here.admin_key)).status_code == 200
    for path in here.settings.home.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert eventually(lambda: total(client, here.admin_key) >= 2)
    assert counted(client, here.admin_key)["gpt-4o"]["total_tokens"] >= 24


@pytest.mark.parametrize(
    ("content", "headers", "says"),
    [
        (b"", {}, "empty"),
        (b"not json", {}, "Line 1: "),
        (b'[{"a":1}, 3]', {}, "Record 1 is not a JSON object"),
        (b'{"a":1}\n{"b"', {}, "Line 2"),
        (b"\x1f\x8bbroken", {}, "not whole gzip data"),
        (b"{}", {"content-encoding": "br"}, "allowed: gzip, zstd"),
    ],
)
def test_what_is_no_list_of_records_is_refused_whole(
    client: TestClient, here: Installation, content: bytes, headers: dict[str, str], says: str
) -> None:
    answer = client.post("/v1/ingest/generations", content=content, headers=auth(here.admin_key) | headers)
    assert answer.status_code == 400
    assert says in answer.json()["data"]["message"]
    assert client.app.state.services.spool.backlog()[0] == 0  # type: ignore[attr-defined]


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    with installed(tmp_path, ingest_limit_bytes=1 << 20) as here, serving(here) as client:
        for bomb in (gzip.compress(bytes(50 << 20)), zstandard.compress(bytes(50 << 20))):
            answer = client.post("/v1/ingest/generations", content=bomb, headers=auth(here.admin_key))
            assert answer.status_code == 413
            assert answer.json()["data"]["errorCode"] == "AB01"


def test_the_owner_is_written_once_for_many_requests(client: TestClient, here: Installation) -> None:
    owners = client.app.state.services.owners  # type: ignore[attr-defined]
    gatekeeper = client.app.state.services.gatekeeper  # type: ignore[attr-defined]
    caller = gatekeeper.look_up(here.admin_key, NOW)
    with here.database.transaction(writes=False) as session:
        first = owners.of(session, caller)
        assert owners.of(session, caller) is first
    here.workspace("New", slug="new")
    with here.database.transaction(writes=False) as session:
        assert "new" in owners.of(session, caller).known[caller.organisation_id]


def test_a_stop_loads_what_was_taken(tmp_path: Path) -> None:
    with installed(tmp_path, spool_interval_s=600) as here:
        with serving(here) as client:
            client.post("/v1/ingest/generations", json=[row("last")], headers=auth(here.admin_key))
            assert total(client, here.admin_key) == 0
        with serving(here) as client:
            assert total(client, here.admin_key) == 1


@pytest.mark.slow
def test_nothing_taken_is_lost_when_a_server_is_killed(tmp_path: Path) -> None:
    with installed(tmp_path) as here:
        taken: list[str] = []
        for round_ in range(2):
            with live_server(tmp_path, workers=2) as server:
                for number in range(20):
                    rows = [row(f"{round_}-{number}-{index}") for index in range(4)]
                    answer = httpx.post(f"{server.url}/v1/ingest/generations", json=rows, headers=auth(here.admin_key))
                    taken += answer.json()["log_ids"]
                server.kill()
        with serving(here) as client:
            assert eventually(lambda: total(client, here.admin_key) >= len(taken))
            eventually(lambda: not client.app.state.services.spool.backlog()[0])  # type: ignore[attr-defined]
            assert total(client, here.admin_key) == len(taken) == 160

"""Every change is in the audit log before its answer leaves, whatever becomes of the server then."""

import errno
import json
import logging
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.testclient import TestClient

from api.api_keys.service import hash_of, new_raw_key
from api.app import create_app
from api.dependencies import Db, Trail
from api.errors import Conflict, Unauthorised
from api.masking import LONGEST_BODY_BYTES
from api.permissions import PUBLIC, needs
from api.routing import Router, gates
from tests.factories.app import NOW, Installation, auth, installed, serving
from tests.factories.server import live_server

SECRET = "hush-hush-hush-1234567890"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJwb3J0a2V5X29pZCI6IngifQ.c2lnbmF0dXJlLW9mLWEtdG9rZW4tYnQ"


def sample() -> Router:
    """Routes that do what a resource's routes do."""
    router = Router("sample")

    @router.post("/sample", permission=needs("workspaces.create"))
    def make(trail: Trail, session: Db, fail: str = "") -> dict[str, str]:
        if fail == "conflict":
            raise Conflict("it exists")
        if fail == "crash":
            raise RuntimeError("broken")
        return {"id": "made-1"}

    @router.put("/sample/{id}", permission=needs("workspace_service_api_keys.update"))
    def change(id: str, trail: Trail, body: dict[str, Any]) -> dict[str, str]:  # noqa: A002
        trail.resource("things", f"{id}-found")
        trail.action("rotate")
        trail.workspace("ws-1")
        return {}

    @router.delete("/sample/{id}", permission=needs("workspaces.delete") | needs("workspaces.update"))
    def drop(id: str) -> dict[str, str]:  # noqa: A002
        return {}

    @router.post("/open/sample", permission=PUBLIC)
    def accept(trail: Trail, organisation: str = "") -> dict[str, str]:
        if organisation:
            trail.by_user(organisation, "user-1")
        return {"id": "accepted-1"}

    @router.post("/sample/ask", permission=needs("workspaces.list"), audited=False)
    async def ask() -> Response:
        return Response(b"{}", media_type="application/json")

    return router


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("audit")) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(here: Installation) -> Generator[TestClient]:
    app: FastAPI = create_app(here.settings, clock=lambda: NOW)
    app.router.routes.extend(gates([sample()], body_limit_bytes=4 << 20, large_body_limit_bytes=4 << 20))
    with TestClient(app, raise_server_exceptions=False) as running:
        yield running


def found(client: TestClient, key: str, request_id: str, timeout_s: float = 20) -> dict[str, Any]:
    """The record of a request, once it is in the warehouse."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = client.get("/v1/audit-logs", params={"request_id": request_id}, headers=auth(key))
        assert answer.status_code == 200, answer.text
        if answer.json()["records"]:
            [record] = answer.json()["records"]
            return record
        time.sleep(0.05)
    raise AssertionError(f"no record of {request_id}")


def request_id(answer: httpx.Response) -> str:
    return answer.headers["x-portkey-request-id"]


def test_a_change_is_recorded_with_who_what_and_outcome(client: TestClient, here: Installation) -> None:
    body = {"name": "x", "apiKey": SECRET, "config": json.dumps({"auth": {"password": SECRET}})}
    headers = {**auth(here.admin_key), "x-request-id": "my-own-request-1", "cookie": f"a={SECRET}"}
    answer = client.post(f"/v2/sample?token={SECRET}&page=2", json=body, headers=headers)
    assert answer.status_code == 200
    assert request_id(answer) == answer.headers["x-request-id"] == "my-own-request-1"
    record = found(client, here.admin_key, "my-own-request-1")
    assert record | {"request_headers": "", "query_params": "", "request_body": ""} == {
        **record,
        "request_headers": "",
        "query_params": "",
        "request_body": "",
        "method": "POST",
        "uri": "/v2/sample",
        "action": "create",
        "resource_type": "workspaces",
        "resource_id": "made-1",
        "response_status_code": 200,
        "organisation_id": here.first.organisation_id,
        "user_type": "api_key",
        "timestamp": "2026-04-02T12:30:00.000Z",
        "reason": None,
    }
    assert record["user_id"] == record["api_key_id"]
    assert SECRET not in json.dumps(record)
    assert here.admin_key not in json.dumps(record)
    assert json.loads(record["query_params"]) == {"token": "*****", "page": "2"}
    assert json.loads(record["request_body"])["name"] == "x"
    assert json.loads(record["request_headers"])["x-portkey-api-key"].startswith("gl*****")


def test_a_handler_may_say_more(client: TestClient, here: Installation) -> None:
    record = found(
        client, here.admin_key, request_id(client.put("/v1/sample/7", json={}, headers=auth(here.admin_key)))
    )
    assert (record["resource_type"], record["resource_id"]) == ("things", "7-found")
    assert (record["action"], record["workspace_id"]) == ("rotate", "ws-1")
    record = found(client, here.admin_key, request_id(client.delete("/v1/sample/8", headers=auth(here.admin_key))))
    assert (record["resource_type"], record["resource_id"], record["action"]) == ("workspaces", "8", "delete")


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda client, key: client.post("/v1/sample?fail=conflict", json={"a": 1}, headers=auth(key)), 409),
        (lambda client, key: client.post("/v1/sample?fail=crash", json={"a": 1}, headers=auth(key)), 500),
        (lambda client, key: client.put("/v1/sample/1", json=[1], headers=auth(key)), 400),
        (lambda client, key: client.put("/v1/sample/1", content=b'{"a', headers=auth(key)), 400),
        (lambda client, key: client.post("/v1/sample", content=b"x" * (5 << 20), headers=auth(key)), 413),
    ],
    ids=["conflict", "crash", "wrong type", "no JSON", "too large"],
)
def test_failures_are_recorded_too(
    client: TestClient, here: Installation, call: Callable[[TestClient, str], httpx.Response], status: int
) -> None:
    answer = call(client, here.admin_key)
    assert answer.status_code == status
    assert found(client, here.admin_key, request_id(answer))["response_status_code"] == status


def test_what_was_forbidden_is_recorded_with_what_was_wanted(client: TestClient, here: Installation) -> None:
    key = here.key(scopes=["workspaces.list"])
    answer = client.post("/v1/sample", json={"role": "owner"}, headers=auth(key))
    record = found(client, here.admin_key, request_id(answer))
    assert record["response_status_code"] == 403
    assert json.loads(record["request_body"]) == {"role": "owner"}


def test_a_route_without_a_key_says_itself_whom_it_is_about(client: TestClient, here: Installation) -> None:
    own = here.first.organisation_id
    record = found(client, here.admin_key, request_id(client.post(f"/v1/open/sample?organisation={own}")))
    assert (record["user_id"], record["user_type"], record["resource_id"]) == ("user-1", "user", "accepted-1")
    spool = client.app.state.services.operations.audit_spool  # type: ignore[attr-defined]
    while spool.backlog()[0]:
        time.sleep(0.05)
    client.post("/v1/open/sample")
    client.post("/v1/sample/ask", headers=auth(here.admin_key))
    client.get("/v1/audit-logs", headers=auth(here.admin_key))
    client.post("/v1/sample", headers=auth(new_raw_key()))
    assert spool.backlog() == (0, 0)


def test_bodies_are_cut_or_described(client: TestClient, here: Installation) -> None:
    long = {"text": "x" * 100_000, "password": SECRET}
    huge = json.dumps({"text": "x" * LONGEST_BODY_BYTES}).encode()
    for sent, says in (
        (json.dumps(long).encode(), "…[cut: "),
        (huge, f"[application/json of {len(huge)} bytes, not kept]"),
    ):
        headers = {**auth(here.admin_key), "content-type": "application/json"}
        answer = client.put("/v1/sample/1", content=sent, headers=headers)
        record = found(client, here.admin_key, request_id(answer))
        assert says in record["request_body"]
        assert len(record["request_body"]) < 20_000
        assert SECRET not in record["request_body"]


class TestRefusedTokens:
    """A token that is refused names its organisation itself; it is believed only as far as that one exists."""

    @pytest.fixture
    def refuse(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        gatekeeper = client.app.state.services.gatekeeper  # type: ignore[attr-defined]
        others = gatekeeper.look_up

        def with_organisation(organisation_id: str) -> None:
            def look_up(credential: str, now: object) -> object:
                if credential != TOKEN:
                    return others(credential, now)
                reason = f"Error Verifying JWT token: Signing Key Not Found ({credential})"
                raise Unauthorised(reason=reason, organisation_id=organisation_id)

            monkeypatch.setattr(gatekeeper, "look_up", look_up)

        return with_organisation

    def test_it_is_recorded_even_when_nothing_would_change(
        self, client: TestClient, here: Installation, refuse: Callable[[str], None]
    ) -> None:
        refuse(here.first.organisation_id)
        answer = client.get("/v1/pricing/negotiated", headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 401
        assert answer.json()["data"]["message"] == "Unauthorised Request"
        record = found(client, here.admin_key, request_id(answer))
        assert record["reason"] == f"Error Verifying JWT token: Signing Key Not Found (ey****{TOKEN[-2:]})"
        assert record["response_status_code"] == 401
        assert record["user_id"] is None
        assert json.loads(record["request_headers"])["authorization"] == f"Bearer ey****{TOKEN[-2:]}"
        assert TOKEN not in json.dumps(record)

    def test_an_organisation_that_does_not_exist_gets_no_record(
        self, client: TestClient, refuse: Callable[[str], None]
    ) -> None:
        spool = client.app.state.services.operations.audit_spool  # type: ignore[attr-defined]
        while spool.backlog()[0]:
            time.sleep(0.05)
        refuse("00000000-0000-4000-8000-000000000000")
        assert client.post("/v1/sample", headers=auth(TOKEN)).status_code == 401
        assert spool.backlog() == (0, 0)


def test_a_full_disk_puts_the_record_into_the_log_and_keeps_the_answer(
    client: TestClient, here: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = client.app.state.services.operations.audit_spool  # type: ignore[attr-defined]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool, "append", full)
    with caplog.at_level(logging.ERROR, "api.audit"):
        assert client.post("/v1/sample", json={"password": SECRET}, headers=auth(here.admin_key)).status_code == 200
    [line] = [record for record in caplog.records if record.name == "api.audit"]
    assert line.audit_record["resource_id"] == "made-1"  # type: ignore[attr-defined]
    assert SECRET not in json.dumps(line.audit_record)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_server_that_is_killed_after_an_answer_has_its_record(tmp_path: Path) -> None:
    with installed(tmp_path) as here:
        told: set[str] = set()
        for _ in range(2):
            with live_server(tmp_path, workers=2, GATELEDGER_SPOOL_INTERVAL_S="0.2") as server:
                for number in range(12):
                    wrong = {"name": f"{number}", "nonsense": True}
                    answer = httpx.post(f"{server.url}/v1/pricing/negotiated", json=wrong, headers=auth(here.admin_key))
                    assert answer.status_code == 400
                    told.add(request_id(answer))
                server.kill()
        span = {"start_time": "2026-01-01", "end_time": "2100-01-01"}
        with serving(here) as client:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                page = client.get("/v1/audit-logs", params=span, headers=auth(here.admin_key)).json()
                if page["total"] >= len(told):
                    break
                time.sleep(0.05)
            assert {record["request_id"] for record in page["records"]} == told
            assert page["total"] == len(told) == 24


def test_keys_are_hashed_not_kept(here: Installation) -> None:
    for path in here.settings.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert here.admin_key.encode() not in content
            assert SECRET.encode() not in content, path
    assert hash_of(here.admin_key)

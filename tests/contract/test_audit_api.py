"""The audit log on the wire, who may read it, and which changes are not in it."""

import json
import re
from collections.abc import Generator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from api.app import ROUTERS
from api.audit import ACTIONS, OTHER_ACTION, recorded
from api.permissions import KeyKind
from api.routing import READING_METHODS
from tests.factories.app import NOW, Installation, auth, installed, serving, store
from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.storage.tables import arrow_schema

NOT_AUDITED = {
    ("POST", "/v1/ingest/generations"),
    ("POST", "/v1/ingest/logs"),
    ("POST", "/v1/ingest/feedbacks"),
    ("POST", "/v1/ingest/hook"),
    ("POST", "/v1/logs"),
    ("POST", "/v1/otel/v1/traces"),
    ("POST", "/v1/otel/v1/logs"),
    ("POST", "/v1/logs/otel/v1/traces"),
    ("POST", "/v1/logs/otel/v1/logs"),
    ("POST", "/v1/feedback"),
    ("PUT", "/v1/feedback/{id}"),
    ("POST", "/v1/analytics/query"),
    ("POST", "/v1/policies/evaluate"),
    ("POST", "/v1/policies/settle"),
    ("POST", "/v1/policies/backtest"),
}
"""What gateways and applications send, and a question: records, not changes. A new entry here is a decision."""

CONTRACT_FIELDS = {
    "timestamp", "method", "uri", "request_id", "request_body", "query_params", "request_headers", "user_id",
    "user_type", "organisation_id", "workspace_id", "response_status_code", "resource_type", "action", "client_ip",
    "country",
}  # fmt: skip
CLIENT_FIELDS = {
    "id", "action", "actor_id", "actor_email", "actor_name", "resource_type", "resource_id", "resource_name",
    "workspace_id", "organisation_id", "metadata", "ip_address", "user_agent", "created_at",
}  # fmt: skip
"""What the admin MCP client reads of an item of `data`."""


def test_every_route_that_changes_something_is_audited_but_these() -> None:
    routes = [route for router in ROUTERS for route in router.declared]
    silent = {(route.method, route.path) for route in routes if not route.audited}
    assert {route for route in silent if route[0] not in READING_METHODS} == NOT_AUDITED


def test_every_audited_route_says_what_it_does_in_the_contracts_words() -> None:
    for route in (route for router in ROUTERS for route in router.declared if route.audited):
        told = recorded(route.permission, route.method, route.tag)
        assert told.action in ACTIONS | {OTHER_ACTION}, route.path
        assert re.fullmatch(r"[a-z_]+", told.resource_type.replace(" ", "_")), route.path


def rows_of(organisation_id: str, *, count: int = 5, start: datetime = NOW, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "organisation_id": organisation_id,
            "timestamp": (start - timedelta(hours=number // 2)).replace(tzinfo=None),  # every two share an instant
            "id": f"{organisation_id[:8]}-{number}",
            "user_id": f"u{number}",
            "user_type": "user",
            "api_key_id": f"k{number}",
            "method": "POST",
            "uri": "/v1/api-keys",
            "action": "create",
            "resource_type": "api_keys",
            "resource_id": f"r{number}",
            "response_status_code": 200,
            "request_headers": json.dumps({"user-agent": "a client"}),
            "client_ip": "198.51.100.7",
            **fields,
        }
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("audit")) as installation:
        yield installation


@pytest.fixture(scope="module")
def other(here: Installation) -> str:
    return here.organisation("Other")


@pytest.fixture(scope="module")
def client(here: Installation, other: str) -> Generator[TestClient]:
    own = here.first.organisation_id
    rows = rows_of(own)
    rows[0] |= {"user_id": here.first.owner_user_id, "country": "DE", "workspace_id": here.first.workspace_id}
    rows[1] |= {"response_status_code": 403, "action": "delete", "method": "DELETE", "resource_type": "workspaces"}
    rows[2] |= {"user_type": "api_key", "workspace_id": here.first.workspace_slug, "resource_type": "model_catalog"}
    old = rows_of(own, count=1, start=NOW - timedelta(days=40), id="old")
    with serving(here) as running:
        table = pa.Table.from_pylist([*rows, *old, *rows_of(other)], schema=arrow_schema(AUDIT_LOGS))
        store(running, AUDIT_LOGS, table)
        yield running


def listed(client: TestClient, here: Installation, **query: Any) -> Mapping[str, Any]:
    answer = client.get("/v1/audit-logs", params=query, headers=auth(here.admin_key))
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(client: TestClient, here: Installation, **query: Any) -> list[str]:
    return [record["id"].rpartition("-")[2] for record in listed(client, here, **query)["records"]]


def test_the_envelope_is_both_clients_envelope(client: TestClient, here: Installation) -> None:
    answer = listed(client, here)
    assert answer["object"] == "list"
    assert answer["total"] == 5
    assert (answer["current_page"], answer["page_size"]) == (0, 100)
    assert answer["records"] == answer["data"]
    for record in answer["records"]:
        assert record.keys() >= CONTRACT_FIELDS | CLIENT_FIELDS
    first = next(record for record in answer["records"] if record["user_id"] == here.first.owner_user_id)
    assert first["timestamp"] == first["created_at"] == "2026-04-02T12:30:00.000Z"
    assert first["actor_id"] == here.first.owner_user_id
    assert first["actor_email"] == "owner@acme.example"
    assert first["ip_address"] == first["client_ip"] == "198.51.100.7"
    assert first["user_agent"] == "a client"
    assert first["metadata"] == {"method": "POST", "uri": "/v1/api-keys", "response_status_code": 200}
    assert first["country"] == "DE"
    assert isinstance(first["request_headers"], str)


def test_the_newest_come_first_and_pages_are_stable(client: TestClient, here: Installation) -> None:
    assert ids(client, here) == ["1", "0", "3", "2", "4"]
    for number, size in (("current_page", "page_size"), ("currentPage", "pageSize")):
        pages = [ids(client, here, **{number: page, size: 2}) for page in range(4)]
        assert pages == [["1", "0"], ["3", "2"], ["4"], []]
    assert listed(client, here, current_page=2, page_size=2)["total"] == 5


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"method": "delete"}, ["1"]),
        ({"method": "POST,DELETE"}, ["1", "0", "3", "2", "4"]),
        ({"uri": "/v1/api-keys", "action": "delete"}, ["1"]),
        ({"uri": "/v1/other"}, []),
        ({"user_id": "u3"}, ["3"]),
        ({"actor_id": "u3"}, ["3"]),
        ({"actor_id": "k4"}, ["4"]),
        ({"user_type": "api_key"}, ["2"]),
        ({"response_status_code": "403"}, ["1"]),
        ({"resource_type": "workspace"}, ["1"]),
        ({"resource_type": "virtual_key"}, ["2"]),
        ({"resource_type": "api_keys", "resource_id": "r3"}, ["3"]),
        ({"client_ip": "198.51.100.7", "country": "de"}, ["0"]),
        ({"start_time": "2026-04-02T12:00:00Z"}, ["1", "0"]),
        ({"end_time": "2026-04-02T10:59:00Z"}, ["4"]),
        ({"start_time": "2026-04-02", "end_time": "2026-04-02"}, ["1", "0", "3", "2", "4"]),
        ({"start_time": "2026-01-01", "end_time": "2026-03-01"}, ["old"]),
        ({"request_id": "none"}, []),
        ({"workspace_id": "", "action": " "}, ["1", "0", "3", "2", "4"]),
    ],
    ids=str,
)
def test_filters(client: TestClient, here: Installation, query: dict[str, str], expected: list[str]) -> None:
    assert ids(client, here, **query) == expected


def test_a_workspace_is_found_by_id_and_slug(client: TestClient, here: Installation) -> None:
    for reference in (here.first.workspace_id, here.first.workspace_slug):
        assert ids(client, here, workspace_id=reference) == ["0", "2"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"method": "STEAL"}, "method: 'STEAL' is not allowed; allowed: POST, PUT, DELETE"),
        ({"user_type": "robot"}, "user_type: 'robot' is not allowed; allowed: user, api_key"),
        ({"response_status_code": "4xx"}, "response_status_code: '4xx'"),
        ({"start_time": "yesterday"}, "start_time: 'yesterday'"),
        ({"start_time": "2026-04-03", "end_time": "2026-04-01"}, "is after end_time"),
        ({"page_size": "101"}, "page_size"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_said(client: TestClient, here: Installation, query: dict[str, str], says: str) -> None:
    answer = client.get("/v1/audit-logs", params=query, headers=auth(here.admin_key))
    assert answer.status_code == 400
    assert answer.json()["data"]["errorCode"] == "AB01"
    assert says in answer.json()["data"]["message"]


def test_nobody_reads_another_organisations_log(client: TestClient, here: Installation, other: str) -> None:
    own = here.first.organisation_id
    assert {record["organisation_id"] for record in listed(client, here)["records"]} == {own}
    assert listed(client, here, organisation_id=own)["total"] == 5
    for name in ("organisation_id", "organization_id"):
        refused = client.get("/v1/audit-logs", params={name: other}, headers=auth(here.admin_key))
        assert (refused.status_code, refused.json()["data"]["errorCode"]) == (403, "AB03")
    theirs = client.get("/v1/audit-logs", headers=auth(here.key(organisation_id=other))).json()
    assert {record["organisation_id"] for record in theirs["records"]} == {other}
    sly = {"user_id": f"x' OR organisation_id = '{other}", "uri": "') OR 1=1 --", "workspace_id": "%"}
    for name, value in sly.items():
        assert listed(client, here, **{name: value})["total"] == 0


def test_only_admin_keys_read_it(client: TestClient, here: Installation) -> None:
    for kind in (KeyKind.WORKSPACE_SERVICE, KeyKind.WORKSPACE_USER):
        user = here.first.owner_user_id if kind is KeyKind.WORKSPACE_USER else None
        key = here.key(kind, workspace_id=here.first.workspace_id, user_id=user)
        assert client.get("/v1/audit-logs", headers=auth(key)).status_code == 403
    key = here.key(scopes=["workspaces.list"])
    assert client.get("/v1/audit-logs", headers=auth(key)).status_code == 403


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with installed(tmp_path, audit_logs_enabled=False) as here, serving(here) as client:
        refused = client.get("/v1/audit-logs", headers=auth(here.admin_key))
        assert refused.status_code == 403
        assert "AUDIT_LOGS_ENABLED" in refused.json()["data"]["message"]
        client.post("/v1/pricing/negotiated", json={}, headers=auth(here.admin_key))
        assert client.app.state.services.operations.audit_spool.backlog() == (0, 0)  # type: ignore[attr-defined]

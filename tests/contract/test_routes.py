"""Every spelling of a path is the same route, no path redirects, and every answer carries a request id."""

import re
from collections.abc import Generator
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from api.app import ROUTERS
from tests.factories.app import Installation, auth, installed, serving

TIME = "time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"
PREFIXES = ("/v1", "/v2", "/albus/v1", "/albus/v2")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("routes")) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(here: Installation) -> Generator[TestClient]:
    with serving(here) as running:
        yield running


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", ["/analytics/groups/model", "/logs/groups/model"])
def test_every_prefix_is_the_same_route(client: TestClient, here: Installation, prefix: str, path: str) -> None:
    answer = client.get(f"{prefix}{path}?{TIME}&", headers=auth(here.admin_key))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"object": "list", "total": 0, "data": []}
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/health", "/v1/health", "/v2/health", "/albus/health", "/albus/v2/health"])
def test_health_needs_no_key(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["service"]) == ("success", "gateledger")
    assert body["checks"]["database"] == body["checks"]["warehouse"] == "ok"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", body["version"])


@pytest.mark.parametrize(
    "path", ["/v1/analytics/groups/model/", "/v1", "/v1/", "/v3/health", "/albus", "/docs", "/redoc"]
)
def test_nothing_redirects_and_no_page_loads_from_elsewhere(client: TestClient, here: Installation, path: str) -> None:
    answer = client.get(path, headers=auth(here.admin_key), follow_redirects=False)
    assert answer.status_code == 404
    assert answer.json()["data"]["errorCode"] == "AB02"


@pytest.mark.parametrize("path", ["/health", "/v1/analytics/groups/model", "/absent", "/openapi.json"])
def test_every_answer_has_its_own_request_id(client: TestClient, path: str) -> None:
    ids = {client.get(path).headers["x-portkey-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(UUID(text) for text in ids)


def test_a_bare_question_mark_is_no_parameter(client: TestClient, here: Installation) -> None:
    answer = client.get("/v1/analytics/groups/model?", headers=auth(here.admin_key))
    assert answer.status_code == 400
    assert "time_of_generation_min is required" in answer.json()["data"]["message"]


def test_no_prefix_is_registered_twice() -> None:
    paths = [route.path for router in ROUTERS for route in router.declared]
    assert not [path for path in paths if path.startswith(("/v2", "/albus"))]
    assert "/v1/analytics/groups/{groupBy}" in paths

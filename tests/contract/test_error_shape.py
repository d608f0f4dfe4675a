"""One error shape, whatever goes wrong: codes and statuses of contract 1.3, and nothing of our insides."""

import logging
from collections.abc import Callable, Generator
from enum import StrEnum
from typing import Any, Literal

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api import errors
from api.app import ROUTERS
from api.edge import Edge
from api.errors import Code
from api.permissions import KeyKind
from api.route_index import RouteIndex
from tests.factories.app import Installation, auth, installed, serving
from warehouse.errors import InvalidInput, QueryTooLarge, UnknownName, WarehouseBusy, WarehouseError

SECRET = "hunter2-secret"


def assert_shape(body: Any) -> tuple[str, str]:
    """(code, message) of a body that has the one shape and nothing else."""
    assert set(body) == {"success", "data", "error"}
    assert body["success"] is False
    assert set(body["data"]) == {"message", "errorCode"}
    assert body["error"] == {"message": body["data"]["message"], "code": body["data"]["errorCode"]}
    assert body["data"]["message"]
    return body["data"]["errorCode"], body["data"]["message"]


CASES: list[tuple[Callable[[], Exception], int, Code, str]] = [
    (lambda: errors.InvalidRequest("name: wrong"), 400, Code.INVALID, "name: wrong"),
    (lambda: InvalidInput("limit is wrong"), 400, Code.INVALID, "limit is wrong"),
    (lambda: UnknownName("column", "costs", ["cost"]), 400, Code.INVALID, "Did you mean cost"),
    (lambda: errors.BodyTooLarge(7), 413, Code.INVALID, "at most 7 bytes"),
    (lambda: errors.Forbidden(), 403, Code.FORBIDDEN, "enough permissions"),
    (lambda: RuntimeError(SECRET), 500, Code.INTERNAL, "went wrong"),
    (lambda: RecursionError(SECRET), 500, Code.INTERNAL, "went wrong"),
    (lambda: errors.Unauthorised(), 401, Code.UNAUTHORISED, "Unauthorised Request"),
    (lambda: errors.RateLimited("slow down"), 429, Code.RATE_LIMITED, "slow down"),
    (lambda: errors.Conflict("exists"), 409, Code.CONFLICT, "exists"),
    (lambda: errors.NotFound("absent"), 404, Code.NOT_FOUND, "absent"),
    (lambda: errors.PlanExhausted("nothing left"), 402, Code.EXHAUSTED, "nothing left"),
    (lambda: WarehouseBusy(3), 503, Code.INTERNAL, "try again in 3 s"),
    (lambda: QueryTooLarge("The query took too long."), 400, Code.INVALID, "Ask for less time"),
    (lambda: WarehouseError(SECRET), 503, Code.INTERNAL, "warehouse cannot answer"),
    (lambda: OperationalError(SECRET, {}, Exception(SECRET)), 503, Code.INTERNAL, "database cannot answer"),
    (lambda: IntegrityError(SECRET, {}, Exception(SECRET)), 409, Code.CONFLICT, "exists already"),
    (lambda: PoolTimeout(SECRET), 503, Code.INTERNAL, "database cannot answer"),
]


@pytest.mark.parametrize(("make", "status", "code", "says"), CASES)
def test_each_error_has_its_status_and_code(make: Callable[[], Exception], status: int, code: Code, says: str) -> None:
    app = FastAPI(openapi_url=None)
    errors.install(app)
    app.add_middleware(Edge, index=RouteIndex(()))

    @app.get("/")
    def fail() -> None:
        raise make()

    logging.disable(logging.CRITICAL)
    try:
        answer = TestClient(app).get("/")
    finally:
        logging.disable(logging.NOTSET)
    assert answer.status_code == status
    found, message = assert_shape(answer.json())
    assert found == code
    assert says in message
    assert SECRET not in answer.text + str(answer.headers)
    assert "Traceback" not in answer.text
    assert answer.headers["x-portkey-request-id"]
    # The edge answers so itself for what passes the framework by; what nobody expects is for its last net.
    direct = errors.answer_to(Request({"type": "http", "method": "GET", "path": "/", "headers": []}), make())
    assert direct is None or (direct.status_code, direct.body) == (status, answer.content)
    assert (direct is None) == (status == 500)
    if status == 503:
        assert "Retry-After" in answer.headers or "warehouse cannot" in message


def test_every_code_of_the_contract_has_a_status() -> None:
    assert {code.value for code in errors.STATUS} == {f"AB0{number}" for number in range(1, 10)}
    assert {errors.STATUS[code] for code in Code} == {400, 401, 402, 403, 404, 409, 429, 500}


def test_a_body_that_does_not_fit_its_schema_says_where() -> None:
    class Wanted(BaseModel):
        password: int

    app = FastAPI(openapi_url=None)
    errors.install(app)

    @app.post("/")
    def take(body: Wanted) -> None: ...

    client = TestClient(app)
    code, message = assert_shape(client.post("/", json={"password": SECRET}).json())
    assert code == "AB01"
    assert message.startswith("Invalid request. password: ")
    assert SECRET not in message


@pytest.mark.parametrize(
    ("content", "type_", "says"),
    [
        (b"", "application/json", "A body is required."),
        (b"[]", "application/json", "The body must be a JSON object."),
        (b"null", "application/json", "The body must be a JSON object."),
        (b'{"number": 1}', "application/x-www-form-urlencoded", "its Content-Type must say so: application/json."),
        (b'{"number":', "application/json", "The body is not JSON: Expecting value, at character 10."),
        (b"\xff", "application/json", "The body cannot be read: it is not UTF-8, or nested too deeply."),
        (b"[" * 100_000, "application/json", "The body cannot be read: it is not UTF-8, or nested too deeply."),
        (b'{"number": "x"}', "application/json", "number: Input should be a valid integer"),
        (b'{"number": 1, "unit": "s"}', "application/json", "unit: Input should be 'min' or 'hour'."),
    ],
)
def test_a_body_that_cannot_be_understood_says_what_it_must_be(content: bytes, type_: str, says: str) -> None:
    class Unit(StrEnum):
        MINUTE, HOUR = "min", "hour"

    class Wanted(BaseModel):
        number: int
        unit: Literal[Unit.MINUTE, Unit.HOUR] = Unit.MINUTE

    app = FastAPI(openapi_url=None)
    errors.install(app)

    @app.post("/")
    def take(body: Wanted) -> None: ...

    answer = TestClient(app).post("/", content=content, headers={"content-type": type_})
    code, message = assert_shape(answer.json())
    assert (answer.status_code, code) == (400, "AB01")
    assert message.startswith("Invalid request. ")
    assert says in message


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Installation]:
    with installed(tmp_path_factory.mktemp("errors"), ingest_limit_bytes=2048) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(here: Installation) -> Generator[TestClient]:
    with serving(here) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/absent", 404, "AB02"),
        ("GET", "/v1/absent", 404, "AB02"),
        ("POST", "/v1/analytics/groups/model", 405, "AB02"),
        ("DELETE", "/health", 405, "AB02"),
        ("GET", "/v1/analytics/groups/model", 401, "AB05"),
        ("GET", "/v1/analytics/groups/%00%ff", 401, "AB05"),
        ("BREW", "/v1/analytics/groups/model", 405, "AB02"),
        ("GET", "/v1/%2e%2e/%2e%2e/etc/passwd", 404, "AB02"),
    ],
)
def test_errors_of_the_framework_have_the_shape_too(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, assert_shape(answer.json())[0]) == (status, code)
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    "path", sorted({route.path for router in ROUTERS for route in router.declared if route.large_body})
)
def test_a_body_over_the_limit_is_refused_before_it_is_read(client: TestClient, here: Installation, path: str) -> None:
    key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)
    big = b'[{"a":"' + b"x" * 4000 + b'"}]'
    for content in (big, iter([big[:2000], big[2000:]])):
        answer = client.post(path, content=content, headers=auth(key))
        assert answer.status_code == 413
        assert assert_shape(answer.json())[0] == "AB01"


def test_null_bytes_and_odd_text_in_a_query_are_answered(client: TestClient, here: Installation) -> None:
    time = "time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"
    for odd in ("%00", "%ff%fe", "'%20OR%201=1%20--", "%F0%9F%9A%80", "a" * 5000, "{{7*7}}", "${jndi:x}"):
        for name in ("workspace_slug", "configs", "trace_id", "columns", "order_by", "group_by", "metadata", "tz"):
            answer = client.get(f"/v1/analytics/groups/model?{time}&{name}={odd}", headers=auth(here.admin_key))
            assert answer.status_code in (200, 400, 403), (name, odd, answer.text)
            if answer.status_code != 200:
                assert_shape(answer.json())

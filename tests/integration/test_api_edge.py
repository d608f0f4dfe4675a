"""What every request passes: a transaction committed before the answer, the key cache, logs; and health."""

import io
import json
import logging
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import select

from api import structured_log
from api.api_keys import service as api_keys
from api.api_keys.rows import ApiKey
from api.app import ROUTERS, create_app
from api.dependencies import Caller, Db, Now
from api.errors import Conflict, NotFound, Unauthorised
from api.health.service import Health
from api.organisations.rows import Organisation
from api.organisations.service import create as create_organisation
from api.paging import ListAnswer, Page, paged
from api.permissions import PUBLIC, needs
from api.principal import Gatekeeper
from api.routing import Router
from tests.factories.app import NOW, Installation, auth, installed, serving
from warehouse.errors import ConfigurationError

TIME = "time_of_generation_min=2026-01-01&time_of_generation_max=2026-02-01"


@pytest.fixture
def here(tmp_path: Path) -> Generator[Installation]:
    with installed(tmp_path) as installation:
        yield installation


def names(here: Installation) -> set[str]:
    with here.database.transaction(writes=False) as session:
        return set(session.scalars(select(Organisation.name)))


def sample_resource() -> Router:
    """A resource as any other: what it does shows what the gate does."""
    router = Router("sample")

    @router.post("/sample/{name}", permission=needs("organisation_users.create"))
    def make(name: str, session: Db, now: Now, caller: Caller, fail: str = "") -> dict[str, str]:
        made = create_organisation(session, name=name, now=now)
        if fail == "conflict":
            raise Conflict("it exists")
        if fail == "crash":
            raise RuntimeError("secret-of-the-crash")
        if fail == "twice":
            session.add(Organisation(id=made.id, name="twice", created_at=now, last_updated_at=now))
        return {"id": made.id, "by": caller.key_id}

    @router.get("/sample", permission=PUBLIC)
    def list_(page: Annotated[Page, paged(default=20, largest=30)]) -> ListAnswer[int]:
        return ListAnswer[int](total=100, data=[page.number, page.size, page.offset])

    return router


@pytest.fixture
def client(here: Installation) -> Generator[TestClient]:
    app = create_app(here.settings, clock=lambda: NOW, routers=[*ROUTERS, sample_resource()])
    with TestClient(app) as running:
        yield running


class TestTransactions:
    def test_what_a_handler_did_is_committed_before_the_answer(self, client: TestClient, here: Installation) -> None:
        answer = client.post("/v1/sample/first", headers=auth(here.admin_key))
        assert answer.status_code == 200
        assert "first" in names(here)

    @pytest.mark.parametrize(("fail", "status"), [("conflict", 409), ("crash", 500), ("twice", 409)])
    def test_what_failed_leaves_nothing_behind(
        self, client: TestClient, here: Installation, fail: str, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = client.post(f"/v1/sample/gone?fail={fail}", headers=auth(here.admin_key))
        assert answer.status_code == status
        assert "secret-of-the-crash" not in answer.text
        assert names(here) == {"Acme"}
        assert client.post("/v1/sample/after", headers=auth(here.admin_key)).status_code == 200
        assert names(here) == {"Acme", "after"}

    def test_many_writers_at_once_all_succeed(self, client: TestClient, here: Installation) -> None:
        with ThreadPoolExecutor(8) as pool:
            paths = [f"/v1/sample/many-{number}" for number in range(24)]
            answers = list(pool.map(lambda path: client.post(path, headers=auth(here.admin_key)).status_code, paths))
        assert answers == [200] * 24
        assert len(names(here)) == 25

    def test_who_may_not_does_not_reach_the_handler(self, client: TestClient, here: Installation) -> None:
        assert client.post("/v1/sample/x").status_code == 401
        assert client.post("/v1/sample/x", headers=auth(here.key(scopes=["logs.list"]))).status_code == 403
        assert names(here) == {"Acme"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [0, 20, 0]),
        ("current_page=2&page_size=10", [2, 10, 20]),
        ("currentPage=1&pageSize=5", [1, 5, 5]),
        ("current_page=&pageSize=7", [0, 7, 0]),
    ],
)
def test_both_spellings_of_pages(client: TestClient, query: str, found: list[int]) -> None:
    assert client.get(f"/v1/sample?{query}").json() == {"object": "list", "total": 100, "data": found}
    assert client.get("/v1/sample?pageSize=31").json()["data"]["errorCode"] == "AB01"


def test_a_key_is_remembered_for_a_moment_and_not_longer(here: Installation) -> None:
    clock = {"s": 0.0}
    gatekeeper = Gatekeeper(here.database, ttl_s=0.9, timer=lambda: clock["s"])
    key = here.key()
    assert gatekeeper.remembered(key, NOW) is None
    principal = gatekeeper.look_up(key, NOW)
    assert gatekeeper.remembered(key, NOW) == principal
    with here.database.transaction() as session:
        api_keys.find(session, here.first.organisation_id, principal.key_id).deleted_at = NOW
    clock["s"] = 0.8
    assert gatekeeper.remembered(key, NOW) is not None
    clock["s"] = 0.9
    assert gatekeeper.remembered(key, NOW) is None
    with pytest.raises(Unauthorised):
        gatekeeper.look_up(key, NOW)
    gatekeeper.look_up(here.admin_key, NOW)
    gatekeeper.forget_all()
    assert gatekeeper.remembered(here.admin_key, NOW) is None


def test_keys_are_found_in_their_organisation_only(here: Installation) -> None:
    with here.database.transaction() as session:
        row = session.scalars(select(ApiKey)).one()
        assert api_keys.find(session, here.first.organisation_id, row.id) is row
        with pytest.raises(NotFound):
            api_keys.find(session, "another", row.id)
        row.deleted_at = NOW
        session.flush()
        with pytest.raises(NotFound):
            api_keys.find(session, here.first.organisation_id, row.id)


class TestHealth:
    def test_a_part_that_fails_is_named_without_its_reason(self, here: Installation) -> None:
        def broken() -> bool:
            raise OSError("password=hunter2")

        checks = {"database": lambda: True, "warehouse": broken, "log_store": lambda: None, "redis": lambda: False}
        logging.disable(logging.CRITICAL)
        try:
            health = Health(checks)
            assert health.results() == {
                "database": "ok",
                "warehouse": "failed",
                "log_store": "not configured",
                "redis": "failed",
            }
        finally:
            logging.disable(logging.NOTSET)

    def test_strangers_cannot_load_the_stores_by_asking(self) -> None:
        asked: list[int] = []
        clock = {"s": 0.0}
        health = Health({"x": lambda: not asked.append(1)}, keep_s=2, timer=lambda: clock["s"])
        assert [health.results() for _ in range(50)][-1] == {"x": "ok"}
        assert len(asked) == 1
        clock["s"] = 2.0
        health.results()
        assert len(asked) == 2

    def test_a_log_store_that_is_gone_makes_it_degraded(self, tmp_path: Path) -> None:
        logs = tmp_path / "logs"
        logs.mkdir()
        with installed(tmp_path / "home") as here:
            warehouse = here.settings.warehouse.model_copy(update={"log_store_url": SecretStr(str(logs))})
            settings = here.settings.model_copy(update={"warehouse": warehouse})
            with serving(Installation(settings, here.database, here.first)) as client:
                assert client.get("/health").json()["checks"]["log_store"] == "ok"
                logs.rmdir()
                client.app.state.services.health._kept = None  # type: ignore[attr-defined]
                answer = client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "degraded"
        assert answer.json()["checks"] == {"database": "ok", "warehouse": "ok", "log_store": "failed"}
        assert str(logs) not in answer.text


def test_a_full_warehouse_says_when_to_come_back(here: Installation) -> None:
    warehouse = here.settings.warehouse.model_copy(update={"query_concurrency": 1, "query_queue": 0})
    settings = here.settings.model_copy(update={"warehouse": warehouse})
    with serving(Installation(settings, here.database, here.first)) as client:
        engine: Any = client.app.state.services.engine  # type: ignore[attr-defined]
        with engine._turns.turn(1):
            answer = client.get(f"/v1/analytics/groups/model?{TIME}", headers=auth(here.admin_key))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["data"]["errorCode"] == "AB04"
        assert client.get(f"/v1/analytics/groups/model?{TIME}", headers=auth(here.admin_key)).status_code == 200


class TestLogs:
    def test_a_crash_is_logged_once_with_its_request_id(self, client: TestClient, here: Installation) -> None:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        stream = io.StringIO()
        try:
            structured_log.configure("info", stream)
            answer = client.post("/v1/sample/x?fail=crash", headers=auth(here.admin_key))
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        crashes = [line for line in lines if "exception" in line]
        assert len(crashes) == 1
        assert "secret-of-the-crash" in crashes[0]["exception"]
        request_id = answer.headers["x-portkey-request-id"]
        assert {line["request_id"] for line in lines if line["logger"].startswith("api.")} == {request_id}
        access = next(line for line in lines if line["event"] == "request")
        assert (access["method"], access["path"], access["status"]) == ("POST", "/v1/sample/x", 500)
        assert here.admin_key not in stream.getvalue()

    def test_an_unknown_level_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="allowed: DEBUG, INFO"):
            structured_log.configure("loud")

"""Requests that cross each other on databases whose writers run side by side: none is lost, none fails."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import select

from api.app import create_app
from api.db import Database
from api.dependencies import Caller, Db
from api.migrations import upgrade
from api.organisations.rows import Organisation
from api.organisations.service import bootstrap
from api.permissions import needs
from api.routing import Router, gates
from api.users.rows import User
from tests.factories.app import NOW, OWNER, Installation, auth, database_settings, settings_in
from tests.factories.databases import SERVERS

WRITERS = 8


@pytest.fixture(params=["mariadb", "postgresql"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    url = SERVERS.new_database(request.param)
    with closing(Database(url)) as database:
        upgrade(database)
        with database.transaction() as session:
            first = bootstrap(session, organisation="Acme", owner_email=OWNER, now=NOW, new_key=False)
        settings = settings_in(
            tmp_path, database=database_settings(SecretStr(url.render_as_string(hide_password=False)))
        )
        yield Installation(settings, database, first)


def serving(here: Installation, router: Router) -> TestClient:
    app = create_app(here.settings, clock=lambda: NOW)
    app.router.routes.extend(gates([router], body_limit_bytes=1000, large_body_limit_bytes=1000))
    return TestClient(app)


def test_what_is_read_and_written_back_is_not_lost(here: Installation) -> None:
    router = Router("sample")

    @router.put("/sample/{name}", permission=needs("organisation_users.create"))
    def change(name: str, session: Db, caller: Caller) -> dict[str, str]:
        organisation = session.get_one(Organisation, caller.organisation_id)
        organisation.settings = {**organisation.settings, name: True}
        return {}

    with serving(here, router) as client, ThreadPoolExecutor(WRITERS) as pool:
        paths = [f"/v1/sample/setting-{number}" for number in range(3 * WRITERS)]
        answers = list(pool.map(lambda path: client.put(path, headers=auth(here.admin_key)).status_code, paths))
    assert answers == [200] * len(paths)
    with here.database.transaction(writes=False) as session:
        assert len(session.get_one(Organisation, here.first.organisation_id).settings) == len(paths)


def test_a_deadlock_is_tried_again(here: Installation) -> None:
    """Two organisations take two users in opposite orders, each holding one before it asks for the other."""
    router = Router("sample")
    both_hold_one = threading.Barrier(2)
    attempts: list[str] = []

    @router.post("/sample/{order}", permission=needs("organisation_users.create"))
    def rename(order: str, session: Db) -> dict[str, str]:
        attempts.append(order)
        first, second = (("a", "b"), ("b", "a"))[order == "backwards"]
        _renamed(session, first, order)
        if len(attempts) <= 2:
            both_hold_one.wait(20)
        _renamed(session, second, order)
        return {"order": order}

    other_key = here.key(organisation_id=here.organisation("Other"))
    with here.database.transaction() as session:
        for name in ("a", "b"):
            session.add(User(id=name, email=f"{name}@x.example", created_at=NOW, last_updated_at=NOW))
    with serving(here, router) as client, ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(client.post, f"/v1/sample/{order}", headers=auth(key))
            for order, key in (("forwards", here.admin_key), ("backwards", other_key))
        ]
        assert [answer.result().status_code for answer in asked] == [200, 200]
    assert len(attempts) == 3, "one of them was undone by the database, and done again"
    with here.database.transaction(writes=False) as session:
        names = session.scalars(select(User.first_name).where(User.id.in_(["a", "b"]))).all()
    assert len(set(names)) == 1


def _renamed(session: Db, user_id: str, name: str) -> None:
    session.get_one(User, user_id).first_name = name
    session.flush()

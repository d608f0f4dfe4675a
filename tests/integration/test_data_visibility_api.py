"""What people see of the data: their own rows, all rows, or nothing, as the settings say now."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of
from api.organisations.rows import Organisation
from api.permissions import KeyKind
from api.settings import AdminKeyScope
from api.workspaces.rows import Workspace
from tests.factories import rows
from tests.factories.app import NOW, Installation, auth, installed, serving, store
from warehouse.catalog.generations import GENERATIONS

TIME = {"time_of_generation_min": "2026-03-01", "time_of_generation_max": "2026-05-01"}
GROUPS = "/v1/analytics/groups/model"


@dataclass(frozen=True)
class World:
    """Ada and Bob in one workspace, and a row of each in every way a row can be theirs."""

    here: Installation
    client: TestClient
    keys: Mapping[str, str]

    def settle(
        self, settings: Mapping[str, bool], workspace: Mapping[str, bool] | None = None, **overrides: bool
    ) -> None:
        """What the organisation and the workspace have set."""
        with self.here.database.transaction() as session:
            organisation = session.get_one(Organisation, self.here.first.organisation_id)
            organisation.security_settings = dict(settings)
            organisation.workspace_overrides = overrides
            place = session.get_one(Workspace, self.here.first.workspace_id)
            place.security_settings = dict(workspace) if workspace else None

    def seen(self, who: str, path: str = GROUPS, **query: str) -> set[str]:
        """The models of the rows that somebody sees; each row has its own."""
        answer = self.client.get(path, params={**TIME, **query}, headers=auth(self.keys[who]))
        assert answer.status_code == 200, answer.text
        return {row.get("model") or row["ai_model"] for row in answer.json()["data"]}

    def status(self, who: str, path: str = GROUPS) -> int:
        return self.client.get(path, params=TIME, headers=auth(self.keys[who])).status_code

    def key_id(self, who: str) -> str:
        with self.here.database.transaction(writes=False) as session:
            return session.query(ApiKey).filter_by(key_hash=hash_of(self.keys[who])).one().id


def generation(here: Installation, model: str, **fields: Any) -> dict[str, Any]:
    """A request without a cost, so that it is to be seen among the unpriced too."""
    return {
        "organisation_id": here.first.organisation_id,
        "workspace_slug": here.first.workspace_slug,
        "id": model,
        "created_at": NOW - timedelta(days=3),
        "ai_org": "openai",
        "ai_model": model,
        "response_status_code": 200,
        "unpriced_reason": "no price",
        **fields,
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("visibility"), key_cache_s=0) as here, serving(here) as client:
        place = here.first.workspace_id
        users = {
            "ada": here.colleague("ada@acme.example", place, "member"),
            "bob": here.colleague("bob@acme.example", place, "manager"),
            "eve": here.colleague("eve@acme.example", place, "admin"),
            "amy": here.colleague("amy@acme.example", place, "member", "admin"),
        }
        keys = {
            name: here.key(KeyKind.WORKSPACE_USER, workspace_id=place, user_id=user) for name, user in users.items()
        }
        keys["ada's old"] = here.key(KeyKind.WORKSPACE_USER, workspace_id=place, user_id=users["ada"])
        keys["service"] = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=place)
        keys["admin"] = here.admin_key
        world = World(here, client, keys)
        with here.database.transaction() as session:
            session.query(ApiKey).filter_by(id=world.key_id("ada's old")).one().deleted_at = NOW
        table = rows.as_generations(
            [
                generation(here, "by-ada", user_id=users["ada"]),
                generation(here, "by-adas-key", api_key_id=world.key_id("ada")),
                generation(here, "by-adas-old-key", api_key_id=world.key_id("ada's old")),
                generation(here, "by-bob", user_id=users["bob"], api_key_id=world.key_id("bob")),
                generation(here, "by-service", api_key_id=world.key_id("service")),
                generation(here, "by-nobody"),
                generation(here, "elsewhere", workspace_slug="other", user_id=users["ada"]),
            ]
        )
        store(client, GENERATIONS, table)
        yield world


ADAS = {"by-ada", "by-adas-key", "by-adas-old-key"}
ALL = ADAS | {"by-bob", "by-service", "by-nobody"}


def test_everybody_sees_everything_by_default(world: World) -> None:
    world.settle({})
    for who in ("ada", "bob", "eve", "amy", "service"):
        assert world.seen(who) == ALL
    assert world.seen("admin") == ALL | {"elsewhere"}


@pytest.mark.parametrize(("setting", "who", "own"), [("members", "ada", ADAS), ("managers", "bob", {"by-bob"})])
def test_who_may_not_see_all_data_sees_its_own(world: World, setting: str, who: str, own: set[str]) -> None:
    world.settle({f"{setting}ViewAllData": False})
    assert world.seen(who) == own
    assert world.seen(who, "/v1/logs/groups/model") == own
    assert world.seen(who, "/v1/pricing/unpriced") == own
    for other in {"ada", "bob", "eve", "amy", "service"} - {who}:
        assert world.seen(other) == ALL
    world.settle({})
    assert world.seen(who) == ALL


def test_naming_keys_narrows_and_never_widens(world: World) -> None:
    world.settle({"membersViewAllData": False})
    keys = {name: world.key_id(name) for name in ("ada", "ada's old", "bob", "service")}
    assert world.seen("ada", api_key_ids=",".join(keys.values())) == {"by-adas-key", "by-adas-old-key"}
    assert world.seen("ada", api_key_ids=keys["bob"]) == set()
    assert world.seen("ada", api_key_ids=keys["ada"]) == {"by-adas-key"}
    assert world.seen("ada", workspace_slug="other") == ADAS


def test_a_workspace_says_it_for_itself_where_it_may(world: World) -> None:
    world.settle({}, {"membersViewAllData": False})
    assert world.seen("ada") == ALL
    world.settle({}, {"membersViewAllData": False}, data_visibility=True)
    assert world.seen("ada") == ADAS
    world.settle({"membersViewAllData": False}, {"membersViewAllData": True}, data_visibility=True)
    assert world.seen("ada") == ALL
    world.settle({"membersViewAllData": False}, None, data_visibility=True)
    assert world.seen("ada") == ADAS


@pytest.mark.parametrize(("setting", "who"), [("membersViewAnalytics", "ada"), ("managersViewAnalytics", "bob")])
def test_who_may_not_see_analytics_is_refused_at_once(world: World, setting: str, who: str) -> None:
    world.settle({setting: False})
    for path in (GROUPS, "/v1/logs/groups/model", "/v1/pricing/unpriced", "/v1/analytics/graphs/cost"):
        assert world.status(who, path) == 403
    assert [world.status(other) for other in {"ada", "bob", "eve", "amy", "service", "admin"} - {who}] == [200] * 5
    world.settle({setting.replace("Analytics", "LogMetadata"): False})
    assert world.status(who) == world.status(who, "/v1/logs/groups/model") == 403
    world.settle({})
    assert world.status(who) == 200


def test_a_role_that_changes_counts_at_once(world: World) -> None:
    here = world.here
    user = here.colleague("kim@acme.example", here.first.workspace_id, "member")
    key = here.key(KeyKind.WORKSPACE_USER, workspace_id=here.first.workspace_id, user_id=user)
    kim = World(here, world.client, {"kim": key})
    world.settle({"membersViewAllData": False, "membersViewAnalytics": True})
    assert kim.seen("kim") == set()
    answer = world.client.put(
        f"/v1/admin/workspaces/{here.first.workspace_id}/users/{user}",
        json={"role": "admin"},
        headers=auth(here.admin_key),
    )
    assert answer.status_code == 200, answer.text
    assert kim.seen("kim") == ALL


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("archived"), key_cache_s=0) as here, serving(here) as client:
        gone = here.workspace("Gone", slug="gone")
        keys = {"admin": here.admin_key, "own": here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=gone.id)}
        keys["other"] = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)
        with here.database.transaction() as session:
            session.get_one(Workspace, gone.id).status = "archived"
        table = [generation(here, "of-gone", workspace_slug="gone"), generation(here, "of-shared")]
        store(client, GENERATIONS, rows.as_generations(table))
        yield World(here, client, {**keys, "id": gone.id})


class TestArchivedWorkspaces:
    """Their rows stay; only who looks at the whole organisation sees them. Source: dataplane contract 6.8."""

    def test_an_organisation_key_sees_them(self, archived: World) -> None:
        assert archived.seen("admin") == {"of-gone", "of-shared"}
        assert archived.seen("admin", workspace_slug="gone") == {"of-gone"}
        assert archived.seen("admin", workspace_slug=archived.keys["id"]) == {"of-gone"}

    def test_a_key_of_another_workspace_does_not(self, archived: World) -> None:
        assert archived.seen("other", workspace_slug="gone") == {"of-shared"}

    def test_its_own_keys_are_refused(self, archived: World) -> None:
        assert archived.status("own") == 401


def test_an_organisation_key_may_be_held_to_the_default_workspace(tmp_path: Path) -> None:
    with (
        installed(tmp_path, admin_key_scope=AdminKeyScope.DEFAULT_WORKSPACE) as here,
        serving(here) as client,
    ):
        table = [generation(here, "here"), generation(here, "there", workspace_slug="other")]
        store(client, GENERATIONS, rows.as_generations(table))
        assert World(here, client, {"admin": here.admin_key}).seen("admin") == {"here"}


def test_a_change_counts_at_once_although_callers_are_remembered(tmp_path: Path) -> None:
    with installed(tmp_path, key_cache_s=60) as here, serving(here) as client:
        place = here.first.workspace_id
        user = here.colleague("kim@acme.example", place)
        keys = {"kim": here.key(KeyKind.WORKSPACE_USER, workspace_id=place, user_id=user), "admin": here.admin_key}
        world = World(here, client, keys)
        store(client, GENERATIONS, rows.as_generations([generation(here, "by-nobody")]))

        def put(path: str, body: dict[str, Any]) -> None:
            answer = client.put(path, json=body, headers=auth(here.admin_key))
            assert answer.status_code == 200, answer.text

        organisation, workspace = "/v1/admin/organisation", f"/v1/admin/workspaces/{place}"
        assert world.seen("kim") == {"by-nobody"}
        put(organisation, {"security_settings": {"membersViewAnalytics": False}})
        assert world.status("kim") == 403
        put(organisation, {"workspace_overrides": {"analytics": True, "data_visibility": True}})
        assert world.status("kim") == 403
        put(workspace, {"security_settings": {"membersViewAnalytics": True, "membersViewAllData": False}})
        assert world.seen("kim") == set()
        put(f"{workspace}/users/{user}", {"role": "manager"})
        assert world.seen("kim") == {"by-nobody"}
        put(organisation, {"security_settings": {"managersViewAnalytics": False}})
        assert world.status("kim") == 403

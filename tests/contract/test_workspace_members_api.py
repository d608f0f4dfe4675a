"""`/admin/workspaces/{ws}/users` over HTTP: shapes, both bodies, roles that nobody exceeds, tenants."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind, scopes_of
from api.rights import effective_scopes
from api.security_settings.registry import SETTINGS
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, Installation, installed, serving
from tests.factories.tenant import Tenant, new_tenant, refused

LATER = NOW + timedelta(minutes=1)
DEFAULTS = {setting.key: setting.default for setting in SETTINGS}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, TestClient]]:
    with installed(tmp_path_factory.mktemp("members"), key_cache_s=0) as here, serving(here, lambda: LATER) as client:
        yield here, client


@pytest.fixture
def tenant(app: tuple[Installation, TestClient]) -> Tenant:
    return new_tenant(*app)


@pytest.fixture
def workspace(tenant: Tenant) -> Workspace:
    return tenant.workspace()


def path(workspace: Workspace, user_id: str = "") -> str:
    return f"/v1/admin/workspaces/{workspace.id}/users" + (f"/{user_id}" if user_id else "")


def roles(tenant: Tenant, workspace: Workspace) -> dict[str, str]:
    return {one["id"]: one["role"] for one in tenant.get(path(workspace))["data"]}


class TestShapes:
    def test_a_member(self, tenant: Tenant, workspace: Workspace) -> None:
        ada = tenant.member("ada")
        body = {"users": [{"id": ada, "role": "manager"}], "workspace_id": workspace.id}
        answer = tenant.call("POST", path(workspace), body)
        assert (answer.status_code, answer.json()) == (200, {})
        kind = KeyKind.WORKSPACE_USER
        wanted = {
            "object": "workspace-user",
            "id": ada,
            "user_id": ada,
            "first_name": "",
            "last_name": "",
            "org_role": "member",
            "role": "manager",
            "created_at": "2026-04-02T12:31:00.000Z",
            "last_updated_at": "2026-04-02T12:31:00.000Z",
            "status": "active",
            "workspace_id": workspace.id,
            "email": tenant.email("ada"),
            "scopes": sorted(effective_scopes(kind, scopes_of(kind), "member", "manager", DEFAULTS)),
            "settings": None,
        }
        assert tenant.get(path(workspace, ada)) == wanted
        assert tenant.get(path(workspace)) == {"object": "list", "total": 1, "data": [wanted]}
        assert tenant.get(f"/v1/admin/workspaces/{workspace.slug}")["users"] == [wanted]

    @pytest.mark.parametrize("prefix", ["/v1/workspaces", "/v2/workspaces", "/v2/admin/workspaces"])
    def test_other_paths_and_the_slug(self, tenant: Tenant, workspace: Workspace, prefix: str) -> None:
        ada = tenant.member("ada")
        there = f"{prefix}/{workspace.slug}/users"
        assert tenant.call("POST", there, {"user_id": ada, "role": "admin"}).json() == {}
        assert tenant.get(there) == tenant.get(path(workspace))
        assert tenant.call("PUT", f"{there}/{ada}", {"role": "member", "user_id": ada}).json() == {}
        assert tenant.get(f"{there}/{ada}")["role"] == "member"
        assert tenant.call("DELETE", f"{there}/{ada}").json() == {}
        assert refused(tenant.call("GET", f"{there}/{ada}"))[:2] == (404, "AB08")

    def test_filters_and_pages(self, tenant: Tenant, workspace: Workspace) -> None:
        ids = [tenant.person(f"p{number}", workspace)[0] for number in range(5)]
        boss = tenant.person("boss", workspace, "admin")[0]
        assert [one["id"] for one in tenant.get(f"{path(workspace)}?role=admin")["data"]] == [boss]
        assert [one["id"] for one in tenant.get(f"{path(workspace)}?role=ws-admin")["data"]] == [boss]
        by_mail = tenant.get(f"{path(workspace)}?email={tenant.email('P0').upper()}")["data"]
        assert [one["id"] for one in by_mail] == ids[:1]
        whole = [one["id"] for one in tenant.get(path(workspace))["data"]]
        assert whole == sorted([*ids, boss], reverse=True)
        for number, size in (("current_page", "page_size"), ("currentPage", "pageSize")):
            pages = [tenant.get(f"{path(workspace)}?{number}={page}&{size}=4") for page in range(2)]
            assert [page["total"] for page in pages] == [6, 6]
            assert [one["id"] for page in pages for one in page["data"]] == whole
        wrong = refused(tenant.call("GET", f"{path(workspace)}?role=owner"))
        assert wrong == (400, "AB01", "role: 'owner' is not one of admin, manager, member")


class TestAdding:
    def test_all_or_none(self, tenant: Tenant, workspace: Workspace) -> None:
        ada, stranger = tenant.member("ada"), new_tenant(tenant.here, tenant.client).member("x")
        users = [{"id": ada, "role": "member"}, {"id": stranger, "role": "member"}]
        status, code, message = refused(tenant.call("POST", path(workspace), {"users": users}))
        assert (status, code) == (400, "AB01")
        assert message == f"users: '{stranger}' is not in the organisation; invite the user first"
        assert roles(tenant, workspace) == {}

    def test_twice_is_once(self, tenant: Tenant, workspace: Workspace) -> None:
        ada = tenant.member("ada")
        for _ in range(2):
            body = {"users": [{"id": ada, "role": "member"}, {"id": ada, "role": "ws-member"}]}
            assert tenant.call("POST", path(workspace), body).json() == {}
        assert roles(tenant, workspace) == {ada: "member"}
        other = refused(tenant.call("POST", path(workspace), {"user_id": ada, "role": "admin"}))
        assert other[:2] == (409, "AB07")
        twice = {"users": [{"id": ada, "role": "member"}, {"id": ada, "role": "admin"}]}
        assert refused(tenant.call("POST", path(workspace), twice))[:2] == (400, "AB01")
        assert roles(tenant, workspace) == {ada: "member"}

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({}, "users: an array of {id, role}, or user_id and role"),
            ({"users": []}, "users: an array of {id, role}"),
            ({"user_id": "x"}, "users: an array of {id, role}"),
            ({"users": [{"id": "x"}]}, "users.0.role: Field required"),
            ({"users": [{"id": "x", "role": "owner"}]}, "users.0.role: Input should be 'admin', 'manager' or 'member'"),
            ({"users": [{"id": "x\u0000", "role": "admin"}]}, "users.0.id: must not contain control"),
            ({"users": {"id": "x", "role": "admin"}}, "users: Input should be a valid list"),
        ],
    )
    def test_what_is_wrong_is_told(self, tenant: Tenant, workspace: Workspace, body: Any, said: str) -> None:
        status, code, message = refused(tenant.call("POST", path(workspace), body))
        assert (status, code) == (400, "AB01")
        assert said in message


class TestRoles:
    def test_a_manager_gives_and_takes_no_role_above_the_own(self, tenant: Tenant, workspace: Workspace) -> None:
        manager = tenant.person("manager", workspace, "manager")[1]
        boss = tenant.person("boss", workspace, "admin")[0]
        ada, bob = tenant.member("ada"), tenant.member("bob")

        def call(method: str, user_id: str = "", **body: Any) -> tuple[int, str]:
            answer = tenant.call(method, path(workspace, user_id), body or None, key=manager)
            return (200, "") if answer.status_code == 200 else refused(answer)[:2]

        assert call("POST", user_id="", users=[{"id": ada, "role": "manager"}]) == (200, "")
        assert call("POST", users=[{"id": bob, "role": "member"}]) == (200, "")
        assert call("PUT", bob, role="manager") == (200, "")
        for refusal in (
            call("POST", users=[{"id": tenant.member("eve"), "role": "admin"}]),
            call("PUT", bob, role="admin"),
            call("PUT", boss, role="member"),
            call("DELETE", boss),
        ):
            assert refusal == (403, "AB03")
        assert call("DELETE", bob) == (200, "")
        assert roles(tenant, workspace)[boss] == "admin"

    @pytest.mark.parametrize(("role", "may"), [("admin", True), ("manager", True), ("member", False)])
    def test_who_adds(self, tenant: Tenant, workspace: Workspace, role: str, may: bool) -> None:
        key = tenant.person(role, workspace, role)[1]
        body = {"user_id": tenant.member("new"), "role": "member"}
        assert tenant.call("POST", path(workspace), body, key=key).status_code == (200 if may else 403)
        assert tenant.call("GET", path(workspace), key=key).status_code == 200

    def test_managers_may_be_held_back(self, tenant: Tenant, workspace: Workspace) -> None:
        tenant.settings(security_settings={"managersWriteWsUsers": False})
        body = {"user_id": tenant.member("new"), "role": "member"}
        for role, status in (("manager", 403), ("admin", 200)):
            key = tenant.person(role, workspace, role)[1]
            assert tenant.call("POST", path(workspace), body, key=key).status_code == status

    def test_admins_of_the_organisation_need_no_place(self, tenant: Tenant, workspace: Workspace) -> None:
        boss = tenant.member("boss", "admin")
        body = {"user_id": tenant.member("new"), "role": "admin"}
        assert tenant.call("POST", path(workspace), body, key=tenant.user_key(boss, workspace)).status_code == 200

    def test_a_service_key_goes_by_its_scopes(self, tenant: Tenant, workspace: Workspace) -> None:
        body = {"user_id": tenant.member("new"), "role": "admin"}
        adding = tenant.service_key(workspace, ["workspace_users.create"])
        reading = tenant.service_key(workspace, ["workspace_users.read"])
        assert tenant.call("POST", path(workspace), body, key=reading).status_code == 403
        assert tenant.call("POST", path(workspace), body, key=adding).status_code == 200


class TestLeaving:
    def test_keys_in_the_workspace_go_with_the_place(self, tenant: Tenant, workspace: Workspace) -> None:
        ada, key = tenant.person("ada", workspace)
        other = tenant.workspace("Other")
        tenant.join(ada, other)
        elsewhere = tenant.user_key(ada, other)
        assert tenant.works(key)
        assert tenant.call("DELETE", path(workspace, ada)).json() == {}
        assert (tenant.works(key), tenant.works(elsewhere)) == (False, True)
        assert refused(tenant.call("DELETE", path(workspace, ada)))[:2] == (404, "AB08")
        assert tenant.get(f"/v1/admin/users/{ada}")["workspace_ids"] == [other.slug]


class TestTenants:
    def test_another_workspace_or_organisation(self, tenant: Tenant, workspace: Workspace) -> None:
        ada = tenant.person("ada", workspace)[0]
        stranger = new_tenant(tenant.here, tenant.client)
        keys = (stranger.admin_key, tenant.service_key(tenant.workspace("Other")))
        calls = [
            ("GET", "", None),
            ("POST", "", {"user_id": ada, "role": "admin"}),
            ("GET", ada, None),
            ("PUT", ada, {"role": "admin"}),
            ("DELETE", ada, None),
        ]
        for key in keys:
            for method, user_id, body in calls:
                assert refused(tenant.call(method, path(workspace, user_id), body, key=key))[:2] == (403, "AB03")
        assert roles(tenant, workspace) == {ada: "member"}

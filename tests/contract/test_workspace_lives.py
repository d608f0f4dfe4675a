"""Workspaces over HTTP: who may change which setting, and what becomes of one that is deleted."""

from collections.abc import Generator
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.api_keys.rows import ApiKey
from api.errors import Conflict
from api.workspaces import archiving
from api.workspaces.archiving import Holding
from api.workspaces.rows import Workspace
from tests.factories.app import NOW, Installation, installed, serving
from tests.factories.tenant import Tenant, new_tenant, refused

WORKSPACES = "/v1/admin/workspaces"
LATER = NOW + timedelta(minutes=1)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, TestClient]]:
    with (
        installed(tmp_path_factory.mktemp("workspaces"), key_cache_s=0) as here,
        serving(here, lambda: LATER) as client,
    ):
        yield here, client


@pytest.fixture
def tenant(app: tuple[Installation, TestClient]) -> Tenant:
    return new_tenant(*app)


def made(tenant: Tenant, **body: Any) -> dict[str, Any]:
    answer = tenant.call("POST", WORKSPACES, {"name": "Prod", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def changed(tenant: Tenant, workspace: str, **body: Any) -> dict[str, Any]:
    answer = tenant.call("PUT", f"{WORKSPACES}/{workspace}", body)
    assert answer.status_code == 200, answer.text
    seen = tenant.get(f"{WORKSPACES}/{workspace}")
    assert {**answer.json(), "users": seen["users"]} == seen
    return seen


class TestSettings:
    def test_a_workspace_sets_what_the_organisation_lets_it(self, tenant: Tenant) -> None:
        tenant.settings(workspace_overrides={"configs": True, "api_keys": True})
        told = made(tenant, security_settings={"membersWriteConfigs": True}, settings={"user_api_key_count": 3})
        assert told["security_settings"]["membersWriteConfigs"] is True
        assert told["settings"]["user_api_key_count"] == 3
        seen = changed(tenant, told["id"], security_settings={"membersWriteConfigs": None})
        assert seen["security_settings"]["membersWriteConfigs"] is False
        assert seen["settings"]["user_api_key_count"] == 3

    def test_nobody_lifts_the_setting_that_holds_them_back(self, tenant: Tenant) -> None:
        tenant.settings(workspace_overrides={"workspaces": True})
        workspace = tenant.workspace()
        _, manager = tenant.person("manager", workspace, "manager")
        _, admin = tenant.person("admin", workspace, "admin")
        body = {"security_settings": {"managersWriteWsUsers": False}}
        path = f"{WORKSPACES}/{workspace.id}"
        assert refused(tenant.call("PUT", path, body, key=manager))[:2] == (403, "AB03")
        assert tenant.call("PUT", path, body, key=admin).status_code == 200

    def test_managers_set_no_rules_for_keys(self, tenant: Tenant) -> None:
        tenant.settings(workspace_overrides={"api_keys": True, "logs": True})
        workspace = tenant.workspace()
        manager = tenant.person("manager", workspace, "manager")[1]
        path = f"{WORKSPACES}/{workspace.id}"
        for body in ({"user_api_key_count": 9}, {"debug_log": 0, "user_api_key_max_ttl": 5}, None):
            assert refused(tenant.call("PUT", path, {"settings": body}, key=manager))[:2] == (403, "AB03")
        read = tenant.get(path, key=manager)["settings"]
        assert tenant.call("PUT", path, {"settings": {**read, "debug_log": 0}}, key=manager).status_code == 200
        assert tenant.get(path)["settings"]["debug_log"] == 0

    def test_roles_that_may_edit_a_workspace(self, tenant: Tenant) -> None:
        workspace = tenant.workspace()
        path, body = f"{WORKSPACES}/{workspace.id}", {"description": "x", "usage_limits": [{"credit_limit": 5}]}
        status = {
            role: tenant.call("PUT", path, body, key=tenant.person(role, workspace, role)[1]).status_code
            for role in ("admin", "manager", "member")
        }
        assert status == {"admin": 200, "manager": 200, "member": 403}
        tenant.settings(security_settings={"managersUpdateWs": False})
        assert tenant.call("PUT", path, body, key=tenant.person("m2", workspace, "manager")[1]).status_code == 403


class TestDeleting:
    def test_what_is_deleted_is_archived_and_its_keys_count_no_more(self, tenant: Tenant) -> None:
        told = made(tenant)
        with tenant.here.database.transaction(writes=False) as session:
            workspace = session.get_one(Workspace, told["id"])
        key, other = tenant.service_key(workspace), tenant.service_key(tenant.workspace("Other"))
        assert tenant.works(key)
        assert tenant.call("DELETE", f"{WORKSPACES}/{told['slug']}").json() == {}
        assert not tenant.works(key)
        assert tenant.works(other)
        for method, body in (("GET", None), ("PUT", {"name": "x"}), ("DELETE", None)):
            assert refused(tenant.call(method, f"{WORKSPACES}/{told['id']}", body))[:2] == (403, "AB03")
        assert refused(tenant.call("GET", f"{WORKSPACES}/{told['id']}/users"))[:2] == (403, "AB03")
        with tenant.here.database.transaction(writes=False) as session:
            row = session.get_one(Workspace, told["id"])
            assert (row.status, row.archived_at) == ("archived", LATER)
            assert [one.deleted_at for one in session.query(ApiKey).filter_by(workspace_id=row.id)] == [LATER]

    def test_another_name_deletes_nothing(self, tenant: Tenant) -> None:
        told = made(tenant)
        refusal = refused(tenant.call("DELETE", f"{WORKSPACES}/{told['id']}", {"name": "prod"}))
        assert refusal == (400, "AB01", "name: is not the name of this workspace; nothing was deleted")
        assert tenant.get(f"{WORKSPACES}/{told['id']}")["status"] == "active"

    def test_the_default_workspace_stays(self, tenant: Tenant) -> None:
        default = next(one for one in tenant.get(WORKSPACES)["data"] if one["is_default"])
        for body in (None, {"force_delete": True}):
            refusal = refused(tenant.call("DELETE", f"{WORKSPACES}/{default['id']}", body))
            assert refusal == (409, "AB07", "The default workspace cannot be deleted.")

    def test_what_blocks_must_go_first_unless_it_is_forced(self, tenant: Tenant) -> None:
        workspace = tenant.workspace()
        tenant.service_key(workspace)
        keys = archiving.HOLDINGS[0]
        blocking = (Holding("Virtual Keys", blocks=True, count=keys.count, end=keys.end),)
        with tenant.here.database.transaction() as session:
            row = session.get_one(Workspace, workspace.id)
            assert archiving.what_blocks(session, row) == []
            with pytest.raises(Conflict, match="Please ensure that all Virtual Keys are deleted"):
                archiving.archive(session, row, now=NOW, holdings=blocking)
            archiving.archive(session, row, now=NOW, is_forced=True, holdings=blocking)
            assert row.status == "archived"
            assert archiving.what_blocks(session, row, blocking) == []


class TestTrail:
    def test_the_audit_log_names_the_workspace_by_its_id(
        self, tenant: Tenant, app: tuple[Installation, TestClient]
    ) -> None:
        workspace = tenant.workspace()
        ada = tenant.member("ada")
        path = f"{WORKSPACES}/{workspace.slug}"
        assert tenant.call("PUT", path, {"description": "x"}).status_code == 200
        assert tenant.call("POST", f"{path}/users", {"user_id": ada, "role": "member"}).status_code == 200
        assert tenant.call("DELETE", f"{path}/users/{ada}").status_code == 200
        assert tenant.call("DELETE", path).status_code == 200
        records = recorded(tenant, workspace.id, 4)
        assert {(one["method"], one["action"], one["resource_type"], one["resource_id"]) for one in records} == {
            ("PUT", "update", "workspaces", workspace.id),
            ("POST", "create", "workspaces", workspace.id),
            ("DELETE", "delete", "workspaces", ada),
            ("DELETE", "delete", "workspaces", workspace.id),
        }


def recorded(tenant: Tenant, workspace_id: str, count: int) -> list[dict[str, Any]]:
    """The audit records of a workspace, once so many are loaded."""
    span = "start_time=2026-01-01T00:00:00Z&end_time=2026-12-31T00:00:00Z"
    end = monotonic() + 20
    while True:
        records = tenant.get(f"/v1/audit-logs?{span}&workspace_id={workspace_id}")["records"]
        if len(records) >= count:
            return records
        assert monotonic() < end, records
        sleep(0.05)

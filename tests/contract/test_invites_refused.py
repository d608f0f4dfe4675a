"""What an invite may not be: beyond what the caller may give, to nowhere, twice, or another organisation's."""

from collections.abc import Generator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.metadata_schema import API_KEY_SCHEMA
from api.permissions import KeyKind, scopes_of
from tests.factories.app import Installation, installed, serving
from tests.factories.tenant import Tenant, new_tenant, refused

INVITES = "/v1/admin/users/invites"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Installation, TestClient]]:
    with installed(tmp_path_factory.mktemp("invites"), key_cache_s=0) as here, serving(here) as client:
        yield here, client


@pytest.fixture
def tenant(app: tuple[Installation, TestClient]) -> Tenant:
    return new_tenant(*app)


def invited(tenant: Tenant) -> dict[str, Any]:
    answer = tenant.call("POST", INVITES, {"email": tenant.email("new"), "role": "member"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def accept(tenant: Tenant, told: dict[str, Any]) -> Any:
    return tenant.client.post(f"/v1/invites/{told['invite_link'].rpartition('/')[2]}/accept")


def test_only_scopes_that_the_caller_may_give(tenant: Tenant) -> None:
    workspace = tenant.workspace()
    body = {
        "email": tenant.email("x"),
        "role": "member",
        "workspaces": [{"id": workspace.id, "role": "member"}],
        "workspace_api_key_details": {"scopes": ["logs.view"]},
    }
    inviting = {"organisation_users.create"}
    making = {"workspace_user_api_keys.create"}
    assert refused(tenant.call("POST", INVITES, body, key=tenant.key(inviting)))[:2] == (403, "AB03")
    status, code, message = refused(tenant.call("POST", INVITES, body, key=tenant.key(inviting | making)))
    assert (status, code) == (403, "AB03")
    assert "logs.view" in message
    assert tenant.call("POST", INVITES, body, key=tenant.key(inviting | making | {"logs.view"})).status_code == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role": "owner"}, "role: Input should be 'admin' or 'member'"),
        ({"role": None}, "role"),
        ({"email": "nobody"}, "email: 'nobody' is not an e-mail address"),
        ({"email": "a@b.example\r\nBcc: c@d.example"}, "is not an e-mail address"),
        ({"email": "a@b.example, c@d.example"}, "is not an e-mail address"),
        ({"email": "a\u0000@b.example"}, "is not an e-mail address"),
        ({"first_name": "a\nb"}, "first_name: must not contain control"),
        ({"workspaces": [{"id": "x", "role": "owner"}]}, "workspaces.0.role"),
        ({"workspaces": [{"role": "member"}]}, "workspaces.0.id: Field required"),
        ({"workspace_api_key_details": {"scopes": ["logs.view"]}}, "name the workspaces"),
    ],
)
def test_what_is_wrong_is_told(tenant: Tenant, change: dict[str, Any], said: str) -> None:
    body = {"email": tenant.email("x"), "role": "member", **change}
    status, code, message = refused(tenant.call("POST", INVITES, body))
    assert (status, code) == (400, "AB01")
    assert said in message
    assert tenant.get(INVITES)["total"] == 0


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"scopes": ["everything"]}, "Unknown scope of a workspace-user key 'everything'"),
        ({"scopes": ["workspace_user_api_keys.create"]}, "Unknown scope"),
        ({"scopes": "logs.view"}, "workspace_api_key_details.scopes"),
        ({}, "workspace_api_key_details.scopes: Field required"),
        ({"scopes": [], "expiry": "2026-01-01T00:00:00Z"}, "workspace_api_key_details.expiry: must be in the fut"),
        ({"scopes": [], "metadata": {"a": 1}}, "workspace_api_key_details.metadata.a"),
        ({"scopes": [], "metadata": {"stage": "x"}}, "workspace_api_key_details.metadata.stage: 'x' is not one of"),
    ],
)
def test_what_is_wrong_with_keys_is_told(tenant: Tenant, details: dict[str, Any], said: str) -> None:
    schema = {"type": "object", "properties": {"stage": {"enum": ["dev"]}}}
    tenant.settings(settings={API_KEY_SCHEMA: schema})
    body = {
        "email": tenant.email("x"),
        "role": "member",
        "workspaces": [{"id": tenant.workspace().id, "role": "member"}],
        "workspace_api_key_details": details,
    }
    status, code, message = refused(tenant.call("POST", INVITES, body))
    assert (status, code) == (400, "AB01")
    assert said in message


def test_one_open_invite_per_person(tenant: Tenant) -> None:
    told = invited(tenant)
    body = {"email": told["email"], "role": "member"}
    assert refused(tenant.call("POST", INVITES, body))[:2] == (409, "AB07")
    tenant.call("DELETE", f"{INVITES}/{told['id']}")
    assert tenant.call("POST", INVITES, body).status_code == 200


def test_workspaces_twice_archived_or_elsewhere(tenant: Tenant) -> None:
    workspace, other = tenant.workspace(), new_tenant(tenant.here, tenant.client)
    body = {"email": tenant.email("x"), "role": "member"}
    twice = [{"id": workspace.id, "role": "member"}, {"id": workspace.slug, "role": "admin"}]
    assert refused(tenant.call("POST", INVITES, {**body, "workspaces": twice}))[:2] == (400, "AB01")
    theirs = [{"id": other.workspace().id, "role": "member"}]
    assert refused(tenant.call("POST", INVITES, {**body, "workspaces": theirs}))[:2] == (403, "AB03")
    tenant.call("DELETE", f"/v1/admin/workspaces/{workspace.id}")
    assert refused(tenant.call("POST", INVITES, {**body, "workspaces": twice[:1]}))[:2] == (403, "AB03")


def test_people_from_scim_are_invited_there(tenant: Tenant) -> None:
    told = invited(tenant)
    tenant.settings(settings={"scim_organisation_provisioning": True})
    body = {"email": tenant.email("x"), "role": "member"}
    path = f"{INVITES}/{told['id']}"
    for answer in (
        tenant.call("POST", INVITES, body),
        tenant.call("POST", f"{path}/resend"),
        tenant.call("DELETE", path),
        accept(tenant, told),
    ):
        assert refused(answer)[:2] == (403, "AB03")
    assert tenant.get(path)["status"] == "pending"


def test_others_invites(tenant: Tenant) -> None:
    theirs = invited(new_tenant(tenant.here, tenant.client))
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/resend")):
        assert refused(tenant.call(method, f"{INVITES}/{theirs['id']}{path}"))[:2] == (404, "AB08")
        assert refused(tenant.call(method, f"{INVITES}/absent{path}"))[:2] == (404, "AB08")


@pytest.mark.parametrize("kind", [KeyKind.WORKSPACE_SERVICE, KeyKind.WORKSPACE_USER])
def test_workspace_keys_invite_nobody(tenant: Tenant, kind: KeyKind) -> None:
    workspace = tenant.workspace()
    key = tenant.service_key(workspace) if kind is KeyKind.WORKSPACE_SERVICE else tenant.person(
        "p", workspace, "admin"
    )[1]  # fmt: skip
    body = {"email": tenant.email("x"), "role": "member"}
    assert refused(tenant.call("POST", INVITES, body, key=key))[:2] == (403, "AB03")
    assert "organisation_users.create" not in scopes_of(kind)

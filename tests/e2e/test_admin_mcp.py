"""The unmodified npm client `portkey-admin-mcp` against a live server: tools for people, workspaces, keys, audit."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.factories.admin_mcp import AdminMcp, ToolRefused, admin_mcp
from tests.factories.app import Installation, auth, installed
from tests.factories.parts import needed
from tests.factories.server import LiveServer, live_server

URL = "https://ledger.example"
DENIED = "You do not have enough permissions"
AUDIT_WAIT_S = 20
TOOLS = {
    *("list_all_users", "get_user", "update_user", "delete_user", "invite_user", "list_user_invites"),
    *("get_user_invite", "resend_user_invite", "delete_user_invite", "list_workspaces", "get_workspace"),
    *("create_workspace", "update_workspace", "delete_workspace", "add_workspace_member", "list_workspace_members"),
    *("get_workspace_member", "update_workspace_member", "remove_workspace_member", "create_api_key"),
    *("list_api_keys", "get_api_key", "update_api_key", "delete_api_key", "rotate_api_key", "list_audit_logs"),
}


@dataclass(frozen=True)
class World:
    """A live server, and the client with an admin key for it."""

    here: Installation
    server: LiveServer
    client: AdminMcp

    def call(self, tool: str, **arguments: Any) -> Any:
        return self.client.call(tool, **arguments)

    def refused(self, tool: str, why: str, **arguments: Any) -> None:
        with pytest.raises(ToolRefused, match=why):
            self.client.call(tool, **arguments)

    def status(self, key: str) -> int:
        return httpx.get(f"{self.server.url}/v1/api-keys/self", headers=auth(key)).status_code


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    home = tmp_path_factory.mktemp("admin-mcp")
    with (
        installed(home) as here,
        live_server(home, CONTROL_PLANE_URL=URL) as server,
        needed(admin_mcp(home, f"{server.url}/v1", here.key())) as client,
    ):
        yield World(here, server, client)


def test_the_client_has_the_tools(world: World) -> None:
    assert world.client.tools() >= TOOLS


def test_users(world: World) -> None:
    ids = {world.here.member(f"u{number}@acme.example") for number in range(3)}
    pages = [world.call("list_all_users", page_size=2, current_page=page) for page in range(8)]
    assert len({page["total"] for page in pages}) == 1
    assert ids <= {user["id"] for page in pages for user in page["users"]}
    user, gone, _ = sorted(ids)
    world.call("update_user", user_id=user, role="admin", first_name="Ada")
    seen = world.call("get_user", user_id=user)
    assert (seen["role"], seen["name"]) == ("admin", "Ada")
    assert [one["id"] for one in world.call("list_all_users", role="admin")["users"]] == [user]
    assert [one["id"] for one in world.call("list_all_users", email=seen["email"])["users"]] == [user]
    world.call("delete_user", user_id=gone)
    world.refused("get_user", f"There is no user '{gone}'", user_id=gone)
    absent = str(uuid4())
    world.refused("get_user", f"There is no user '{absent}'", user_id=absent)
    owner = world.call("list_all_users", role="owner")["users"][0]["id"]
    world.refused("delete_user", "owner", user_id=owner)


def test_invites(world: World) -> None:
    workspace = world.here.workspace("For invites")
    places = [{"id": workspace.slug, "role": "admin"}]
    wanted = {"email": "i@acme.example", "role": "member", "workspaces": places}
    told = world.call("invite_user", **wanted, workspace_api_key_details={"name": "k", "scopes": ["completions.write"]})
    assert told["invite_link"].startswith(f"{URL}/invite/")
    world.refused("invite_user", "is invited already", **wanted)
    listed = world.call("list_user_invites", email="i@acme.example", status="pending")
    assert [one["id"] for one in listed["invites"]] == [told["invite_id"]]
    seen = world.call("get_user_invite", invite_id=told["invite_id"])
    assert (seen["status"], seen["role"]) == ("pending", "member")
    world.call("resend_user_invite", invite_id=told["invite_id"])
    token = told["invite_link"].removeprefix(f"{URL}/invite/")
    assert httpx.post(f"{world.server.url}/v1/invites/{token}/accept").status_code != 200, "the link before counts on"
    world.call("delete_user_invite", invite_id=told["invite_id"])
    assert world.call("get_user_invite", invite_id=told["invite_id"])["status"] == "cancelled"
    world.here.member("inside@acme.example")
    world.refused("invite_user", "is a member of the organisation already", **wanted | {"email": "inside@acme.example"})


def test_an_accepted_invite(world: World) -> None:
    workspace = world.here.workspace("For joining")
    told = world.call(
        "invite_user",
        email="joins@acme.example",
        role="member",
        workspaces=[{"id": workspace.id, "role": "manager"}],
    )
    token = told["invite_link"].removeprefix(f"{URL}/invite/")
    joined = httpx.post(f"{world.server.url}/v1/invites/{token}/accept").raise_for_status().json()
    member = world.call("get_workspace_member", workspace_id=workspace.slug, user_id=joined["user_id"])
    assert (member["workspace_role"], member["organization_role"]) == ("manager", "member")
    assert world.call("get_user_invite", invite_id=told["invite_id"])["status"] == "accepted"


def test_workspaces(world: World) -> None:
    made = world.call(
        "create_workspace",
        name="From MCP",
        description="d",
        metadata={"team": "core"},
        usage_limits=[{"type": "cost", "credit_limit": 10, "alert_threshold": 8}],
        rate_limits=[{"type": "requests", "unit": "rpm", "value": 60}],
    )["workspace"]
    assert made["defaults"]["metadata"] == {"team": "core"}
    assert [one["id"] for one in world.call("list_workspaces", exact_name="From MCP")["workspaces"]] == [made["id"]]
    world.call(
        "update_workspace",
        workspace_id=made["id"],
        name="Renamed",
        usage_limits=[{"type": "cost", "credit_limit": 20, "periodic_reset_days": 5}],
    )
    seen = world.call("get_workspace", workspace_id=made["slug"])
    assert (seen["id"], seen["name"], seen["description"]) == (made["id"], "Renamed", "d")
    stored = httpx.get(
        f"{world.server.url}/v1/admin/workspaces/{made['id']}", headers=auth(world.here.admin_key)
    ).json()
    limit = stored["usage_limits"][0]
    assert (limit["credit_limit"], limit["periodic_reset_days"]) == (20, 5)
    assert stored["rate_limits"][0]["value"] == 60
    world.call("delete_workspace", workspace_id=made["id"])
    world.refused("get_workspace", DENIED, workspace_id=made["id"])
    assert made["id"] in {one["id"] for one in world.call("list_workspaces", status="archived")["workspaces"]}


def test_the_shared_workspace_stays(world: World) -> None:
    world.refused("delete_workspace", "default workspace", workspace_id=world.here.first.workspace_id)


def test_members(world: World) -> None:
    workspace, user = world.here.workspace("For members"), world.here.member("member@acme.example")
    place = {"workspace_id": workspace.id, "user_id": user}
    world.call("add_workspace_member", **place, role="manager")
    listed = world.call("list_workspace_members", workspace_id=workspace.slug, role="manager")
    assert (listed["total"], [one["id"] for one in listed["members"]]) == (1, [user])
    world.call("update_workspace_member", **place, role="member")
    assert world.call("get_workspace_member", **place)["workspace_role"] == "member"
    world.call("remove_workspace_member", **place)
    world.refused("get_workspace_member", "There is no user", **place)
    stranger = world.here.member("stranger@other.example", world.here.organisation("Other"))
    world.refused("add_workspace_member", ".", workspace_id=workspace.id, user_id=stranger, role="member")


def test_a_life_of_a_key(world: World) -> None:
    workspace = world.here.workspace("For keys")
    made = world.call(
        "create_api_key",
        type="workspace",
        sub_type="service",
        name="From MCP",
        workspace_id=workspace.slug,
        scopes=["completions.write"],
        credit_limit=5,
        alert_threshold=3,
        rate_limit_rpm=10,
        default_metadata={"team": "core"},
        alert_emails=["alerts@acme.example"],
        expires_at="2099-01-01T00:00:00Z",
    )
    assert world.status(made["key"]) == 200
    seen = world.call("get_api_key", id=made["id"])
    assert (seen["type"], seen["workspace_id"], seen["status"]) == ("workspace-service", workspace.id, "active")
    assert (seen["usage_limits"]["credit_limit"], seen["usage_limits"]["alert_threshold"]) == (5, 3)
    assert seen["rate_limits"] == [{"type": "requests", "unit": "rpm", "value": 10}]
    assert seen["defaults"]["metadata"] == {"team": "core"}
    assert [one["id"] for one in world.call("list_api_keys", workspace_id=workspace.id)["api_keys"]] == [made["id"]]
    world.call("update_api_key", id=made["id"], name="Renamed", expires_at=None, credit_limit=7)
    changed = world.call("get_api_key", id=made["id"])
    assert (changed["name"], changed["expires_at"], changed["usage_limits"]["credit_limit"]) == ("Renamed", None, 7)
    assert changed["rate_limits"] == seen["rate_limits"]
    rotated = world.call("rotate_api_key", id=made["id"])
    assert rotated["id"] == made["id"]
    assert {world.status(made["key"]), world.status(rotated["key"])} == {200}, "the key before counts for a while"
    world.refused("rotate_api_key", "was rotated already", id=made["id"])
    world.call("delete_api_key", id=made["id"])
    world.refused("get_api_key", DENIED, id=made["id"])
    assert {world.status(made["key"]), world.status(rotated["key"])} == {401}


def test_refused_keys(world: World) -> None:
    workspace = world.here.workspace("For refusals")
    wanted: dict[str, Any] = {"type": "workspace", "sub_type": "service", "name": "k", "workspace_id": workspace.id}
    world.refused("create_api_key", "Unknown scope", **wanted, scopes=["nonsense.write"])
    stranger = world.here.member("no-place@acme.example")
    for_user = wanted | {"sub_type": "user", "user_id": stranger}
    world.refused("create_api_key", ".", **for_user, scopes=["completions.write"])
    assert world.call("list_api_keys", workspace_id=workspace.id)["total"] == 0


def test_a_key_that_does_not_count(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("wrong-key")
    with (
        needed(admin_mcp(home, f"{world.server.url}/v1", "gl_" + "x" * 43)) as client,
        pytest.raises(ToolRefused, match="Unauthorised"),
    ):
        client.call("list_workspaces")


def test_audit_logs(world: World) -> None:
    made = world.call("create_workspace", name="Watched")["workspace"]
    world.call("update_workspace", workspace_id=made["id"], description="seen")
    world.call("delete_workspace", workspace_id=made["id"])
    deadline = time.monotonic() + AUDIT_WAIT_S
    while True:
        found = world.call("list_audit_logs", resource_id=made["id"])
        if found["total"] >= 3 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert [one["action"] for one in found["audit_logs"]] == ["delete", "update", "create"]
    told = found["audit_logs"][0]
    assert (told["resource_type"], told["workspace_id"]) == ("workspaces", made["id"])
    assert told["metadata"] == {
        "method": "DELETE",
        "uri": f"/v1/admin/workspaces/{made['id']}",
        "response_status_code": 200,
    }
    one = world.call("list_audit_logs", resource_id=made["id"], action="update", resource_type="workspace", page_size=1)
    assert (one["total"], one["audit_logs"][0]["action"]) == (1, "update")
    by_caller = world.call("list_audit_logs", actor_id=told["actor_id"], workspace_id=made["id"])
    assert by_caller["total"] == 3
    assert world.call("list_audit_logs", resource_id=made["id"], end_time="2020-01-01T00:00:00Z")["total"] == 0
    world.refused("list_audit_logs", "is not an ISO 8601 time", start_time="nonsense")

"""The unmodified Python SDK's `admin.*` against a live server: people, invites, workspaces, members, and its errors."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from portkey_ai import Portkey
from portkey_ai.api_resources.exceptions import (
    APIStatusError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
)

from tests.factories.app import Installation, installed
from tests.factories.server import LiveServer, live_server

URL = "https://ledger.example"


@dataclass(frozen=True)
class World:
    """A live server and the SDK with its admin key."""

    here: Installation
    server: LiveServer
    sdk: Portkey

    def invited(self, email: str, **fields: Any) -> Any:
        return self.sdk.admin.users.invites.create(email=email, role="member", **fields)

    def accept(self, link: str) -> dict[str, Any]:
        token = link.removeprefix(f"{URL}/invite/")
        return httpx.post(f"{self.server.url}/v1/invites/{token}/accept").raise_for_status().json()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    home = tmp_path_factory.mktemp("sdk-admin")
    with installed(home) as here, live_server(home, CONTROL_PLANE_URL=URL) as server:
        client = Portkey(api_key=here.key(), base_url=f"{server.url}/v1")
        with closing(client), closing(client.openai_client):
            yield World(here, server, client)


def test_workspaces(world: World) -> None:
    workspaces = world.sdk.admin.workspaces
    user = world.here.member("w@acme.example")
    made = workspaces.create(name="SDK", description="d", defaults={"metadata": {"a": "b"}}, users=[user])
    assert (made.object, made.name, made.users, made.defaults["metadata"]) == ("workspace", "SDK", None, {"a": "b"})
    seen = workspaces.retrieve(workspace_id=made.slug)
    assert (seen.id, seen.is_default, [one["id"] for one in seen.users]) == (made.id, 0, [user])
    assert [one.id for one in workspaces.list(exact_name="SDK").data] == [made.id]
    assert [one.id for one in workspaces.list(name="SD", page_size=1, current_page=0).data] == [made.id]
    assert workspaces.list(exact_name="sdk").total == 0
    changed = workspaces.update(workspace_id=made.id, name="SDK 2")
    assert (changed.name, changed.description, changed.defaults["metadata"]) == ("SDK 2", "d", {"a": "b"})
    with pytest.raises(BadRequestError, match="is not the name of this workspace"):
        workspaces.delete(workspace_id=made.id, name="SDK")
    workspaces.delete(workspace_id=made.id, name="SDK 2")
    with pytest.raises(PermissionDeniedError):
        workspaces.retrieve(workspace_id=made.id)
    assert [one["id"] for one in workspaces.list(status="archived").model_dump()["data"]] == [made.id]


def test_members(world: World) -> None:
    members = world.sdk.admin.workspaces.users
    workspace, user = world.here.workspace("Members"), world.here.member("m@acme.example")
    members.create(workspace_id=workspace.slug, users=[{"id": user, "role": "manager"}])
    seen = members.retrieve(workspace_id=workspace.id, user_id=user)
    assert (seen.object, seen.role, seen.org_role, seen.status) == ("workspace-user", "manager", "member", "active")
    assert "analytics.view" in seen.scopes
    members.update(workspace_id=workspace.id, user_id=user, role="member")
    listed = members.list(workspace_id=workspace.id, role="member", page_size=10)
    assert [one["id"] for one in listed.model_dump()["data"]] == [user]
    members.delete(workspace_id=workspace.id, user_id=user)
    with pytest.raises(APIStatusError) as gone:
        members.retrieve(workspace_id=workspace.id, user_id=user)
    assert gone.value.status_code == 404


def test_invites_and_users(world: World) -> None:
    workspace = world.here.workspace("Invites")
    invites, users = world.sdk.admin.users.invites, world.sdk.admin.users
    told = world.invited(
        "i@acme.example",
        workspaces=[{"id": workspace.slug, "role": "admin"}],
        workspace_api_key_details={"scopes": ["analytics.view"]},
    )
    assert told.invite_link.startswith(f"{URL}/invite/")
    with pytest.raises(ConflictError, match="is invited already"):
        world.invited("i@acme.example")
    seen = invites.retrieve(invite_id=told.id)
    assert (seen.object, seen.status, seen.accepted_at) == ("invite", "pending", None)
    assert [one.id for one in invites.list(email="i@acme.example", status="pending").data] == [told.id]
    again = invites.resend(invite_id=told.id).model_dump()
    joined = world.accept(again["inviteLink"])
    assert invites.retrieve(invite_id=told.id).status == "accepted"
    user = users.retrieve(user_id=joined["user_id"])
    assert (user.email, user.role, user.workspace_ids) == ("i@acme.example", "member", [workspace.slug])
    users.update(user_id=user.id, role="admin")
    assert [one.id for one in users.list(role="admin").data] == [user.id]
    with pytest.raises(BadRequestError, match="the user is 'admin' already"):
        users.update(user_id=user.id, role="admin")
    users.delete(user_id=user.id)
    with pytest.raises(NotFoundError):
        users.retrieve(user_id=user.id)
    key = joined["api_keys"][0]["key"]
    refused = httpx.get(f"{world.server.url}/v1/pricing/unpriced", headers={"x-portkey-api-key": key})
    assert refused.status_code == 401
    log = world.server.log.read_text()
    for secret in (told.invite_link, again["inviteLink"], key):
        assert secret.rpartition("/")[2] not in log


def test_an_invite_taken_back(world: World) -> None:
    told = world.invited("back@acme.example")
    world.sdk.admin.users.invites.delete(invite_id=told.id)
    assert world.sdk.admin.users.invites.retrieve(invite_id=told.id).status == "cancelled"


def test_pages_of_users(world: World) -> None:
    ids = {world.here.member(f"p{number}@acme.example") for number in range(5)}
    pages = [world.sdk.admin.users.list(page_size=3, current_page=page) for page in range(4)]
    assert len({page.total for page in pages}) == 1
    assert ids <= {one.id for page in pages for one in page.data}

"""The unmodified Python SDK's `api_keys.*` against a live server: create, read, list, change, delete, and errors."""

import asyncio
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from portkey_ai import AsyncPortkey, Portkey
from portkey_ai.api_resources.exceptions import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
)

from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed
from tests.factories.server import LiveServer, live_server


@dataclass(frozen=True)
class World:
    """An installation and a live server over it."""

    here: Installation
    server: LiveServer

    @contextmanager
    def sdk(self, key: str | None = None) -> Generator[Portkey]:
        """The SDK; it does not close the OpenAI client within itself."""
        client = Portkey(api_key=key or self.here.admin_key, base_url=f"{self.server.url}/v1")
        with closing(client), closing(client.openai_client):
            yield client

    def status(self, key: str) -> int:
        return httpx.get(f"{self.server.url}/v1/api-keys/self", headers=auth(key)).status_code


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    home = tmp_path_factory.mktemp("sdk-keys")
    with installed(home) as here, live_server(home) as server:
        yield World(here, server)


def test_a_life_of_a_key(world: World) -> None:
    with world.sdk() as client:
        made = client.api_keys.create(
            type="workspace",
            sub_type="service",
            name="From the SDK",
            description="A description",
            workspace_id=world.here.first.workspace_slug,
            scopes=["completions.write", "logs.list"],
            usage_limits={"credit_limit": 10, "alert_threshold": 5, "periodic_reset": "monthly"},
            rate_limits=[{"type": "requests", "unit": "rpm", "value": 60}],
            defaults={"metadata": {"team": "search"}},
            expires_at="2099-01-01T00:00:00Z",
        )
        assert made.object == "api-key"
        assert made.id
        assert made.key
        assert world.status(made.key) == 200

        found = client.api_keys.retrieve(id=made.id)
        assert (found.name, found.type, found.status) == ("From the SDK", "workspace-service", "active")
        assert found.workspace_id == world.here.first.workspace_id
        assert found.key == f"{made.key[:2]}*****{made.key[-3:]}"
        assert found.scopes == ["completions.write", "logs.list"]
        assert found.usage_limits is not None
        assert found.usage_limits["credit_limit"] == 10
        assert found.rate_limits == [{"type": "requests", "unit": "rpm", "value": 60}]
        assert found.defaults == {"metadata": {"team": "search"}, "config_id": None, "allow_config_override": True}

        client.api_keys.update(id=made.id, name="Renamed", usage_limits={"credit_limit": 20.5}, expires_at=None)
        found = client.api_keys.retrieve(id=made.id)
        assert (found.name, found.description) == ("Renamed", "A description")
        assert found.usage_limits is not None
        assert found.usage_limits["credit_limit"] == 20.5
        assert found["expires_at"] is None

        client.api_keys.delete(id=made.id)
        assert world.status(made.key) == 401
        with pytest.raises(PermissionDeniedError):
            client.api_keys.retrieve(id=made.id)


def test_every_kind(world: World) -> None:
    place = {"workspace_id": world.here.first.workspace_id}
    user = world.here.colleague("sdk@acme.example", world.here.first.workspace_id)
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("organisation", "service", {"scopes": ["analytics.view"]}),
        ("workspace", "service", {**place, "scopes": ["analytics.view"]}),
        (
            "workspace",
            "user",
            {**place, "user_id": user, "scopes": ["logs.list"]},
        ),
    ]
    with world.sdk() as client:
        for type_, sub_type, fields in asked:
            made = client.api_keys.create(type=type_, sub_type=sub_type, name=f"{type_} {sub_type}", **fields)
            assert client.api_keys.retrieve(id=made.id).type == f"{type_}-{sub_type}"


def test_lists(world: World) -> None:
    workspace = world.here.workspace("Listed", slug="listed")
    with world.sdk() as client:
        ids = {
            client.api_keys.create(
                type="workspace", sub_type="service", name=f"Key {number}", workspace_id="listed", scopes=[]
            ).id
            for number in range(5)
        }
        pages = [
            client.api_keys.list(workspace_id=workspace.id, page_size=2, current_page=number) for number in range(3)
        ]
        assert {page.total for page in pages} == {5}
        assert {page.object for page in pages} == {"list"}
        data = [item for page in pages for item in page.data or []]
        assert {item["id"] for item in data} == ids
        assert [item["created_at"] for item in data] == sorted((item["created_at"] for item in data), reverse=True)
        assert all("*****" in item["key"] for item in data)
        assert (client.api_keys.list().total or 0) > 5


def test_the_async_client(world: World) -> None:
    async def live() -> None:
        client = AsyncPortkey(api_key=world.here.admin_key, base_url=f"{world.server.url}/v1")
        try:
            made = await client.api_keys.create(
                type="workspace",
                sub_type="service",
                name="Async",
                workspace_id=world.here.first.workspace_id,
                scopes=["completions.write"],
            )
            await client.api_keys.update(id=made.id or "", description="Changed")
            assert (await client.api_keys.retrieve(id=made.id)).description == "Changed"
            assert (await client.api_keys.list(page_size=1)).total
            await client.api_keys.delete(id=made.id)
        finally:
            await client.openai_client.close()
            await client.close()

    asyncio.run(live())


def test_a_rotation_counts_at_once(world: World) -> None:
    with world.sdk() as client:
        made = client.api_keys.create(
            type="workspace",
            sub_type="service",
            name="Rotated",
            workspace_id=world.here.first.workspace_id,
            scopes=["completions.write"],
        )
        rotated = client.post(f"/api-keys/{made.id}/rotate", key_transition_period_ms=1_800_000).model_dump()
        assert rotated["id"] == made.id
        assert [world.status(raw) for raw in (made.key or "", rotated["key"])] == [200, 200]
        with pytest.raises(ConflictError, match="was rotated already"):
            client.post(f"/api-keys/{made.id}/rotate", key_transition_period_ms=1_800_000)


class TestErrors:
    """The SDK turns our answers into its own exceptions, with our message."""

    def test_what_is_wrong(self, world: World) -> None:
        asked: dict[str, Any] = {
            "type": "workspace",
            "sub_type": "service",
            "name": "x",
            "workspace_id": world.here.first.workspace_id,
        }
        with world.sdk() as client:
            with pytest.raises(BadRequestError, match="unknown field 'limit'; allowed: type, credit_limit"):
                client.api_keys.create(**asked, usage_limits={"limit": 5})
            with pytest.raises(BadRequestError, match="everything"):
                client.api_keys.create(**asked, scopes=["everything"])
            with pytest.raises(BadRequestError, match="organisation/service, workspace/service, workspace/user"):
                client.api_keys.create(type="organisation", sub_type="user", name="x", scopes=[])

    def test_what_is_not_there(self, world: World) -> None:
        with world.sdk() as client, pytest.raises(NotFoundError, match="There is no API key"):
            client.api_keys.retrieve(id="00000000-0000-4000-8000-000000000000")

    def test_who_may_not(self, world: World) -> None:
        key = world.here.key(
            KeyKind.WORKSPACE_SERVICE, workspace_id=world.here.first.workspace_id, scopes=["logs.list"]
        )
        with world.sdk(key) as client, pytest.raises(PermissionDeniedError, match="enough permissions"):
            client.api_keys.list()
        with world.sdk("gl_" + "x" * 43) as client, pytest.raises(AuthenticationError):
            client.api_keys.list()

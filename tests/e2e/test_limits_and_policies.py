"""Budgets from end to end: clients set them, requests use them up, a gateway hears of it, a reset opens them again.

The unmodified npm client `portkey-admin-mcp`, the unmodified Python SDK and plain HTTP against one live server.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from portkey_ai import Portkey

from tests.factories.admin_mcp import AdminMcp, ToolRefused, admin_mcp
from tests.factories.app import Installation, auth, installed
from tests.factories.parts import needed
from tests.factories.server import LiveServer, live_server

PATIENCE_S = 120
TOOLS = {
    *("list_rate_limits", "get_rate_limit", "create_rate_limit", "update_rate_limit", "delete_rate_limit"),
    *("list_usage_limits", "get_usage_limit", "create_usage_limit", "update_usage_limit", "delete_usage_limit"),
    *("list_usage_limit_entities", "reset_usage_limit_entity"),
}
TEN_USD = {"prompt_tokens": 0, "completion_tokens": 1_000_000, "total_tokens": 1_000_000}
"""Of gpt-4o, whose million of output tokens costs 10 USD."""


@dataclass(frozen=True)
class World:
    """A live server, and the client with an admin key for it."""

    here: Installation
    server: LiveServer
    client: AdminMcp

    def call(self, tool: str, **arguments: Any) -> Any:
        return self.client.call(tool, **arguments)

    def post(self, path: str, key: str, body: Any) -> httpx.Response:
        return httpx.post(f"{self.server.url}/v1{path}", headers=auth(key), json=body, timeout=60)

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.server.url}/v1{path}", headers=auth(self.here.admin_key), timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def spend_ten_usd(self, key: str, user: str) -> None:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        log = {
            "request": {"url": "https://llm.example/v1/chat/completions", "provider": "openai", "body": body},
            "response": {"status": 200, "body": {"model": "gpt-4o", "usage": TEN_USD}, "response_time": 210},
            "metadata": {"_user": user},
        }
        assert self.post("/logs", key, log).status_code == 200


def eventually(found: Callable[[], Any], expected: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while found() != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found() == expected


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    home = tmp_path_factory.mktemp("limits")
    with (
        installed(home) as here,
        live_server(home) as server,
        needed(admin_mcp(home, f"{server.url}/v1", here.key())) as client,
    ):
        yield World(here, server, client)


def test_the_client_has_the_tools(world: World) -> None:
    assert world.client.tools() >= TOOLS


def test_a_key_is_used_up_and_opened_again(world: World) -> None:
    workspace = world.here.workspace("Keys with budgets")
    asked = {"type": "workspace", "sub_type": "service", "name": "Spender", "workspace_id": workspace.slug}
    scopes = ["completions.write", "logs.write", "workspace_service_api_keys.read"]
    made = world.call("create_api_key", **asked, scopes=scopes, credit_limit=15, alert_threshold=9)

    def limit() -> tuple[Any, ...]:
        # The client leaves out what is used.
        seen = world.get(f"/api-keys/{made['id']}")
        told = seen["usage_limits"]
        return seen["status"], told["current_usage"], told["is_threshold_alerts_sent"], told["is_exhausted_alerts_sent"]

    assert limit() == ("active", 0, False, False)
    world.spend_ten_usd(made["key"], "ann")
    eventually(limit, ("active", 10, True, False))
    assert world.post("/policies/evaluate", made["key"], {"model": "gpt-4o"}).status_code == 200
    world.spend_ten_usd(made["key"], "ann")
    eventually(limit, ("exhausted", 20, True, True))
    eventually(lambda: world.post("/policies/evaluate", made["key"], {"model": "gpt-4o"}).status_code, 412)
    refused = world.post("/policies/evaluate", made["key"], {"model": "gpt-4o"})
    assert refused.json()["limit"]["entity_id"] == made["id"]

    with Portkey(api_key=world.here.admin_key, base_url=f"{world.server.url}/v1") as sdk:
        sdk.api_keys.update(id=made["id"], usage_limits={"credit_limit": 30, "alert_threshold": 9})
        assert limit()[:2] == ("active", 20)
        assert world.post("/policies/evaluate", made["key"], {"model": "gpt-4o"}).status_code == 200
        sdk.api_keys.update(id=made["id"], usage_limits={"credit_limit": 30}, reset_usage=True)
    assert limit() == ("active", 0, False, False)


def test_a_life_of_a_usage_policy(world: World) -> None:
    workspace = world.here.workspace("Policies")
    key = _spender(world, workspace.slug)
    made = world.call(
        "create_usage_limit",
        name="Ten dollars a person",
        conditions=[{"key": "metadata._user", "value": ["ann", "bob"]}, {"key": "model", "value": "@openai/*"}],
        group_by=[{"key": "metadata._user"}],
        type="cost",
        credit_limit=10,
        alert_threshold=5,
        periodic_reset="monthly",
        workspace_id=workspace.id,
    )
    seen = world.call("get_usage_limit", id=made["id"])
    assert (seen["name"], seen["credit_limit"], seen["periodic_reset"]) == ("Ten dollars a person", 10, "monthly")
    assert seen["conditions"][0] == {"key": "metadata._user", "value": ["ann", "bob"]}
    assert [one["id"] for one in world.call("list_usage_limits", workspace_id=workspace.id)["usage_limits"]] == [
        made["id"]
    ]
    world.spend_ten_usd(key, "ann")
    world.spend_ten_usd(key, "eve")

    def counters(**filters: Any) -> list[tuple[str, float]]:
        found = world.call("list_usage_limit_entities", limit_id=made["id"], **filters)["entities"]
        return [(one["value_key"], one["current_usage"]) for one in found]

    eventually(counters, [("metadata._user:ann", 10)])
    assert counters(status="exhausted", search="ann") == [("metadata._user:ann", 10)]
    assert counters(status="active") == []
    asked = {"provider": "openai", "model": "gpt-4o"}

    def status_for(user: str) -> int:
        return world.post("/policies/evaluate", key, {**asked, "metadata": {"_user": user}}).status_code

    eventually(lambda: status_for("ann"), 412)
    assert [status_for(user) for user in ("ann", "bob", "eve")] == [412, 200, 200]
    (entity,) = world.call("list_usage_limit_entities", limit_id=made["id"])["entities"]
    world.call("reset_usage_limit_entity", limit_id=made["id"], entity_id=entity["id"])
    assert status_for("ann") == 200
    world.call("update_usage_limit", id=made["id"], credit_limit=50, alert_threshold=None, name="Fifty")
    changed = world.call("get_usage_limit", id=made["id"], include_usage=True)
    assert (changed["credit_limit"], changed["alert_threshold"], changed["name"]) == (50, None, "Fifty")
    assert changed["value_key_usage_map"]["metadata._user:ann"]["current_usage"] == 0
    world.call("delete_usage_limit", id=made["id"])
    assert world.call("list_usage_limits", workspace_id=workspace.id)["total"] == 0
    assert world.call("get_usage_limit", id=made["id"], status="archived")["status"] == "archived"


def test_a_life_of_a_rate_policy(world: World) -> None:
    workspace = world.here.workspace("Rates")
    key = _spender(world, workspace.slug)
    made = world.call(
        "create_rate_limit",
        conditions=[{"key": "api_key", "value": "*"}],
        group_by=[{"key": "metadata._user"}],
        type="requests",
        unit="rpw",
        value=2,
        workspace_id=workspace.id,
    )
    seen = world.call("get_rate_limit", id=made["id"])
    assert (seen["type"], seen["unit"], seen["value"], seen["status"]) == ("requests", "rpw", 2, "active")

    def asked(user: str) -> httpx.Response:
        return world.post("/policies/evaluate", key, {"model": "gpt-4o", "metadata": {"_user": user}})

    assert [asked("ann").status_code for _ in range(3)] == [200, 200, 429]
    assert int(asked("ann").headers["Retry-After"]) > 0
    assert asked("bob").status_code == 200
    world.call("update_rate_limit", id=made["id"], value=1000, name="Many")
    assert asked("ann").status_code == 200
    assert [one["name"] for one in world.call("list_rate_limits", workspace_id=workspace.id)["rate_limits"]] == ["Many"]
    world.call("delete_rate_limit", id=made["id"])
    assert world.call("list_rate_limits", workspace_id=workspace.id)["total"] == 0


def test_what_is_wrong_is_told(world: World) -> None:
    wanted = {"conditions": [{"key": "api_key", "value": "*"}], "group_by": [{"key": "api_key"}], "type": "cost"}
    workspace = world.here.workspace("Wrong")
    for why, given in (
        ("alert_threshold", {"credit_limit": 5, "alert_threshold": 6, "workspace_id": workspace.id}),
        ("credit_limit", {"credit_limit": 0, "workspace_id": workspace.id}),
        ("colour", {"credit_limit": 5, "workspace_id": workspace.id, "conditions": [{"key": "colour", "value": "x"}]}),
    ):
        with pytest.raises(ToolRefused, match=why):
            world.call("create_usage_limit", **{**wanted, **given})


def _spender(world: World, workspace: str) -> str:
    asked = {"type": "workspace", "sub_type": "service", "name": "Spender", "workspace_id": workspace}
    return world.call("create_api_key", **asked, scopes=["completions.write", "logs.write"])["key"]

"""`/policies` over HTTP: shapes, strict conditions, aliases of clients, whose policies, and what an update keeps."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.identifiers import new_id
from api.permissions import KeyKind
from api.policies.entities import hash_of
from api.policies.rows import PolicyEntity
from tests.factories.app import NOW, Installation, auth, installed, serving

USAGE, RATE = "/v1/policies/usage-limits", "/v1/policies/rate-limits"
BUDGET = {
    "name": "Per user",
    "conditions": [{"key": "metadata._user", "value": "*"}],
    "group_by": [{"key": "metadata._user"}],
    "type": "cost",
    "credit_limit": 50,
    "alert_threshold": 40,
    "periodic_reset": "monthly",
}
PACE = {
    "conditions": [{"key": "model", "value": "@openai/*", "excludes": "@openai/gpt-4o"}],
    "group_by": [{"key": "api_key"}],
    "type": "requests",
    "unit": "rpm",
    "value": 100,
}


@dataclass
class World:
    here: Installation
    client: TestClient
    key: str
    other: str
    """A key of another workspace."""

    def call(self, method: str, path: str, content: Any = None, *, key: str = "", status: int = 200) -> Any:
        answer = self.client.request(method, path, json=content, headers=auth(key or self.key))
        assert answer.status_code == status, answer.text
        return answer.json()

    def made(self, path: str = USAGE, **changes: Any) -> dict[str, Any]:
        return self.call("POST", path, {**(BUDGET if path == USAGE else PACE), **changes})

    def refused(self, message: str, path: str = USAGE, **changes: Any) -> None:
        body = {**(BUDGET if path == USAGE else PACE), **changes}
        told = self.call("POST", path, body, status=400)
        assert told["data"]["errorCode"] == "AB01"
        assert message in told["data"]["message"]

    def counter(self, policy_id: str, user: str, usage: str, **fields: Any) -> str:
        """A counter as a refresh leaves it."""
        row = PolicyEntity(
            id=new_id(),
            organisation_id=self.here.first.organisation_id,
            policy_id=policy_id,
            value_key=f"metadata._user:{user}",
            group_values=[user],
            values_hash=hash_of([user]),
            current_usage=Decimal(usage),
            counts_from=NOW,
            created_at=NOW,
            last_updated_at=NOW,
            **fields,
        )
        with self.here.database.transaction() as session:
            session.add(row)
        return row.id


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("policies")) as here, serving(here) as client:
        elsewhere = here.workspace("Elsewhere")
        key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)
        yield World(here, client, key, here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=elsewhere.id))


def test_a_usage_policy_comes_back_as_it_was_written(world: World) -> None:
    made = world.made(description="a\nb", unknown="ignored")
    read = world.call("GET", f"{USAGE}/{made['id']}")
    assert made == read
    assert {name: read[name] for name in BUDGET} == BUDGET
    assert (
        read
        | {
            "object": "policy_usage_limits",
            "description": "a\nb",
            "status": "active",
            "workspace_id": world.here.first.workspace_id,
            "organisation_id": world.here.first.organisation_id,
            "next_usage_reset_at": "2026-05-01T00:00:00.000Z",
            "periodic_reset_days": None,
            "last_reset_at": None,
            "unpriced": "nothing",
            "created_at": "2026-04-02T12:30:00.000Z",
        }
        == read
    )
    assert "value_key_usage_map" not in read
    listed = world.call("GET", f"{USAGE}?type=cost&page_size=1000")
    assert listed["object"] == "list"
    assert read in listed["data"]
    assert read not in world.call("GET", f"{USAGE}?type=tokens&page_size=1000")["data"]


def test_a_rate_policy_comes_back_as_it_was_written(world: World) -> None:
    made = world.made(RATE, name="")
    read = world.call("GET", f"{RATE}/{made['id']}")
    assert made == read
    assert {name: read[name] for name in PACE} == PACE
    assert (read["object"], read["target"], read["name"]) == ("policy_rate_limits", "llm", None)
    world.call("PUT", f"{RATE}/{made['id']}", {"unit": "rpw", "value": 7, "name": "Weekly"})
    read = world.call("GET", f"{RATE}/{made['id']}")
    assert (read["unit"], read["value"], read["name"]) == ("rpw", 7, "Weekly")
    assert read in world.call("GET", f"{RATE}?unit=rpw&type=requests&target=llm")["data"]
    assert world.call("DELETE", f"{RATE}/{made['id']}") == {}
    assert world.call("GET", f"{RATE}/{made['id']}", status=404)["data"]["errorCode"] == "AB08"
    assert world.call("GET", f"{RATE}/{made['id']}?status=archived")["status"] == "archived"
    assert [one["id"] for one in world.call("GET", f"{RATE}?status=archived")["data"]] == [made["id"]]
    # Each kind under its own path.
    world.call("GET", f"{USAGE}/{made['id']}?status=archived", status=404)


def test_the_spellings_of_other_clients(world: World) -> None:
    conditions = [
        {"field": "api_key", "operator": "is", "value": ["a", "b"]},
        {"field": "model", "operator": "is_not", "value": "@openai/gpt-4o"},
    ]
    made = world.made(conditions=conditions, group_by=["api_key", "model"])
    assert made["conditions"] == [
        {"key": "api_key", "value": ["a", "b"]},
        {"key": "model", "value": "*", "excludes": "@openai/gpt-4o"},
    ]
    assert made["group_by"] == [{"key": "api_key"}, {"key": "model"}]
    assert world.call("POST", "/v2/policies/usage-limits", BUDGET)["object"] == "policy_usage_limits"
    tools = {"target": "mcp_tools", "conditions": [{"key": "mcp_tool", "value": "*"}], "group_by": ["mcp_server"]}
    assert world.made(RATE, **tools)["target"] == "mcp_tools"


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("conditions: must be an array of 1 to", {"conditions": []}),
        ("conditions: must be an array of 1 to", {"conditions": None}),
        ("group_by: must be an array of 1 to", {"group_by": {}}),
        ("conditions[0].key: 'team' is not one of api_key", {"conditions": [{"key": "team", "value": "a"}]}),
        ("conditions[0].key: 'metadata.'", {"conditions": [{"key": "metadata.", "value": "a"}]}),
        ("conditions[0].key: 'mcp_tool'", {"conditions": [{"key": "mcp_tool", "value": "a"}]}),
        ("conditions[0].value: must be a text", {"conditions": [{"key": "api_key"}]}),
        ("conditions[0].value[1]: must be a text", {"conditions": [{"key": "api_key", "value": ["a", 1]}]}),
        ("'*' stands at the end", {"conditions": [{"key": "model", "value": "gpt-*-mini"}]}),
        ("conditions[0].operator", {"conditions": [{"key": "model", "value": "a", "operator": "like"}]}),
        ("group_by[1]: 'model' is named twice", {"group_by": ["model", {"key": "model"}]}),
        ("credit_limit", {"credit_limit": 0}),
        ("credit_limit", {"credit_limit": "50"}),
        ("credit_limit: must be at least 100 for tokens", {"type": "tokens"}),
        ("are whole numbers", {"type": "requests", "credit_limit": 50.5}),
        ("alert_threshold: must be less than credit_limit", {"alert_threshold": 50}),
        ("give one of them, not both", {"periodic_reset_days": 3}),
        ("periodic_reset_days", {"periodic_reset": None, "periodic_reset_days": 366}),
        ("must be in the future", {"next_usage_reset_at": "2026-04-02T23:00:00Z"}),
        ("type", {"type": "money"}),
        ("name", {"name": "x" * 256}),
    ],
)
def test_what_cannot_be_a_usage_policy(world: World, message: str, changes: dict[str, Any]) -> None:
    world.refused(message, **changes)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("value", {"value": 0}),
        ("value", {"value": 1.5}),
        ("unit", {"unit": "rps"}),
        ("type", {"type": "cost"}),
        ("conditions[0].key: 'mcp_tool'", {"conditions": [{"key": "mcp_tool", "value": "a"}]}),
        ("group_by[0].key: 'model'", {"target": "mcp_tools", "conditions": [{"key": "api_key", "value": "*"}],
                                      "group_by": ["model"]}),
    ],
)  # fmt: skip
def test_what_cannot_be_a_rate_policy(world: World, message: str, changes: dict[str, Any]) -> None:
    world.refused(message, RATE, **changes)


def test_an_update_keeps_what_it_does_not_name_and_null_clears(world: World) -> None:
    path = f"{USAGE}/{world.made()['id']}"
    world.call("PUT", path, {"credit_limit": 80, "alert_threshold": None})
    read = world.call("GET", path)
    assert (read["credit_limit"], read["alert_threshold"], read["name"]) == (80, None, "Per user")
    world.call("PUT", path, {"periodic_reset_days": 10})
    read = world.call("GET", path)
    assert (read["periodic_reset"], read["periodic_reset_days"]) == (None, 10)
    assert read["next_usage_reset_at"] == "2026-04-12T00:00:00.000Z"
    world.call("PUT", path, {"periodic_reset": "weekly"})  # policies begin their weeks on Mondays
    assert world.call("GET", path)["next_usage_reset_at"] == "2026-04-06T00:00:00.000Z"
    world.call("PUT", path, {"next_usage_reset_at": "2026-04-09T17:00:00+02:00"})
    assert world.call("GET", path)["next_usage_reset_at"] == "2026-04-09T00:00:00.000Z"
    world.call("PUT", path, {"periodic_reset": None, "next_usage_reset_at": None, "unpriced": "upper_bound"})
    read = world.call("GET", path)
    assert (read["periodic_reset"], read["next_usage_reset_at"], read["unpriced"]) == (None, None, "upper_bound")
    other = [{"key": "provider", "value": "openai"}]
    assert world.call("PUT", path, {"conditions": other, "group_by": BUDGET["group_by"]})["conditions"] == other
    for refused in ({"type": "tokens"}, {"group_by": ["model"]}, {"credit_limit": None}, {"alert_threshold": 90}):
        assert world.call("PUT", path, refused, status=400)["data"]["errorCode"] == "AB01"
    assert world.call("PUT", path, {"status": "archived"})["status"] == "archived"
    assert world.call("PUT", path, {"status": "active"})["status"] == "active"


def test_counters_are_listed_searched_and_set_back(world: World) -> None:
    made = world.made()
    path = f"{USAGE}/{made['id']}"
    told = {"is_threshold_alert_sent": True, "is_exhausted_alert_sent": True, "status": "exhausted"}
    ann, bob = world.counter(made["id"], "ann_1", "50.125", **told), world.counter(made["id"], "bob%", "0.5")
    shown = world.call("GET", f"{path}?include_usage=true")["value_key_usage_map"]
    assert shown["metadata._user:ann_1"] == {
        "current_usage": 50.125, "status": "exhausted", "is_threshold_alerts_sent": True,
        "is_exhausted_alerts_sent": True,
    }  # fmt: skip
    assert {one["id"] for one in world.call("GET", f"{path}/entities")["data"]} == {ann, bob}
    assert [one["id"] for one in world.call("GET", f"{path}/entities?status=exhausted")["data"]] == [ann]
    for search, found in (("_1", [ann]), ("%", [bob]), ("user:bob", [bob]), ("zoe", [])):
        listed = world.call("GET", f"{path}/entities?search={search.replace('%', '%25')}")
        assert [one["id"] for one in listed["data"]] == found
        assert listed["total"] == len(found)
    entry = world.call("GET", f"{path}/entities?status=exhausted")["data"][0]
    assert entry["value_key"] == "metadata._user:ann_1"
    assert entry["entity_id"] == entry["id"]
    assert entry["usage"] == entry["current_usage"] == 50.125
    assert world.call("PUT", f"{path}/entities/{ann}/reset") == {"success": True}
    assert world.call("POST", f"{path}/entities/reset", {"entity_id": bob}) == {"success": True}
    for one in world.call("GET", f"{path}/entities")["data"]:
        assert (one["current_usage"], one["status"], one["last_reset_at"]) == (0, "active", "2026-04-02T12:30:00.000Z")
        assert not one["is_threshold_alerts_sent"]
    world.call("PUT", f"{path}/entities/{uuid4()}/reset", status=404)
    world.call("PUT", f"{USAGE}/{world.made()['id']}/entities/{ann}/reset", status=404)


def test_counters_tell_how_long_they_will_last(world: World) -> None:
    made = world.made()
    path = f"{USAGE}/{made['id']}"
    assert made["forecast"] == {"usage_per_day": None, "exhausts_at": None}
    world.counter(made["id"], "ann", "30", usage_per_day=Decimal("2.5"))
    world.counter(made["id"], "bob", "30", usage_per_day=Decimal("0.5"))
    world.counter(made["id"], "eve", "30")

    def told() -> dict[str, Any]:
        found = {one["value_key"]: one["forecast"] for one in world.call("GET", f"{path}/entities")["data"]}
        return {key.removeprefix("metadata._user:"): forecast for key, forecast in found.items()}

    assert told() == {
        "ann": {"usage_per_day": 2.5, "exhausts_at": "2026-04-10T12:30:00.000Z"},
        "bob": {"usage_per_day": 0.5, "exhausts_at": None},  # the month is over before
        "eve": {"usage_per_day": None, "exhausts_at": None},
    }
    world.call("PUT", path, {"credit_limit": 45})
    assert told()["ann"]["exhausts_at"] == "2026-04-08T12:30:00.000Z"
    assert world.call("GET", path)["forecast"]["exhausts_at"] == "2026-04-08T12:30:00.000Z"


def test_counters_of_a_rate_are_listed_searched_and_set_back(world: World) -> None:
    made = world.made(RATE, conditions=[{"key": "metadata.team", "value": "*"}], group_by=["metadata.team", "provider"],
                      type="tokens", unit="rph", value=100)  # fmt: skip
    path = f"{RATE}/{made['id']}/entities"
    assert world.call("GET", path) == {"object": "list", "total": 0, "data": []}
    for team, tokens in (("red", 100), ("red_1", 40), ("%\x1fgreen", 7)):
        facts = {"metadata": {"team": team}, "estimated_tokens": tokens, "provider": "openai"}
        world.call("POST", "/v1/policies/evaluate", facts)
    world.call("POST", "/v1/policies/evaluate", {"metadata": {"team": "red"}, "provider": "openai"}, status=429)
    listed = world.call("GET", path)
    assert [(one["value_key"], one["current_usage"], one["usage"], one["status"]) for one in listed["data"]] == [
        ("metadata.team:red|provider:openai", 100, 100, "exhausted"),
        ("metadata.team:red_1|provider:openai", 40, 40, "active"),
        ("metadata.team:%|provider:green\x1fopenai", 7, 7, "active"),
    ]
    full, red, _ = listed["data"]
    assert (full["entity_id"], full["limit_id"], full["resets_at"]) == (
        full["id"], made["id"], "2026-04-02T13:00:00.000Z")  # fmt: skip
    assert world.call("GET", f"{path}?status=exhausted") == {"object": "list", "total": 1, "data": [full]}
    assert world.call("GET", f"{path}?search=red_") == {"object": "list", "total": 1, "data": [red]}
    assert world.call("GET", f"{path}?page_size=1&current_page=1") == {"object": "list", "total": 3, "data": [red]}
    assert world.call("PUT", f"{path}/{full['id']}/reset") == {"success": True}
    assert world.call("POST", f"{path}/reset", {"entity_id": red["id"]}) == {"success": True}
    assert [one["current_usage"] for one in world.call("GET", path)["data"]] == [7]
    world.call("POST", "/v1/policies/evaluate", {"metadata": {"team": "red"}, "provider": "openai"})
    for absent in (uuid4(), red["id"]):
        assert world.call("PUT", f"{path}/{absent}/reset", status=404)["data"]["errorCode"] == "AB08"
    world.call("GET", path, key=world.other, status=403)
    world.call("GET", f"{USAGE}/{made['id']}/entities", status=404)


def test_a_value_is_set_back_by_an_update(world: World) -> None:
    made = world.made()
    path = f"{USAGE}/{made['id']}"
    world.counter(made["id"], "ann", "7")
    world.counter(made["id"], "bob", "7")
    world.call("PUT", path, {"reset_usage_for_value": "ann"})
    usage = {one["value_key"]: one["current_usage"] for one in world.call("GET", f"{path}/entities")["data"]}
    assert usage == {"metadata._user:ann": 0, "metadata._user:bob": 7}
    world.call("PUT", path, {"reset_usage_for_value": "metadata._user:bob"})
    assert world.call("PUT", path, {"reset_usage_for_value": "zoe"}, status=404)["data"]["errorCode"] == "AB08"


def test_a_higher_limit_makes_counters_active_and_alerts_anew(world: World) -> None:
    made = world.made()
    path = f"{USAGE}/{made['id']}"
    told = {"is_threshold_alert_sent": True, "is_exhausted_alert_sent": True, "status": "exhausted"}
    world.counter(made["id"], "ann", "50", **told)

    def seen() -> tuple[Any, ...]:
        one = world.call("GET", f"{path}/entities")["data"][0]
        return one["status"], one["is_threshold_alerts_sent"], one["is_exhausted_alerts_sent"]

    world.call("PUT", path, {"alert_threshold": 45})
    assert seen() == ("exhausted", False, True)
    world.call("PUT", path, {"credit_limit": 60})
    assert seen() == ("active", False, False)
    world.call("PUT", path, {"credit_limit": 50})
    assert seen() == ("exhausted", False, False)


def test_whose_policies_they_are(world: World) -> None:
    mine = world.made()["id"]
    admin = world.here.admin_key
    for key in (world.other,):
        told = world.call("GET", f"{USAGE}/{mine}", key=key, status=403)
        assert told["data"]["errorCode"] == "AB03"
        assert world.call("GET", USAGE, key=key)["data"] == []
        world.call("DELETE", f"{USAGE}/{mine}", key=key, status=403)
        here = world.here.first.workspace_id
        world.call("POST", USAGE, {**BUDGET, "workspace_id": here}, key=key, status=403)
        world.call("GET", f"{USAGE}?workspace_id={here}", key=key, status=403)
    stranger = world.here.organisation("Strangers")
    foreign = world.here.key(organisation_id=stranger)
    assert world.call("GET", f"{USAGE}/{mine}", key=foreign, status=404)["data"]["errorCode"] == "AB08"
    told = world.call("POST", USAGE, BUDGET, key=admin, status=400)
    assert "workspace_id" in told["data"]["message"]
    slug = world.here.first.workspace_slug
    named = world.call("POST", USAGE, {**BUDGET, "workspace_id": slug}, key=admin)
    assert named["workspace_id"] == world.here.first.workspace_id
    everywhere = world.call("POST", USAGE, {**BUDGET, "organisation_id": world.here.first.organisation_id}, key=admin)
    assert everywhere["workspace_id"] is None
    world.call("GET", f"{USAGE}/{everywhere['id']}", status=403)
    world.call("POST", USAGE, {**BUDGET, "organisation_id": stranger}, key=admin, status=403)
    assert named in world.call("GET", f"{USAGE}?workspace_id={slug}&page_size=1000", key=admin)["data"]


def test_policies_end_with_their_workspace(world: World) -> None:
    admin, place = world.here.admin_key, world.here.workspace("Ending")
    paths = {USAGE: BUDGET, RATE: PACE}
    made = {
        path: world.call("POST", path, {**body, "workspace_id": place.id}, key=admin) for path, body in paths.items()
    }
    world.call("DELETE", f"/v1/admin/workspaces/{place.id}", {"name": place.name}, key=admin)
    for path, policy in made.items():
        world.call("GET", f"{path}/{policy['id']}", key=admin, status=404)
        assert world.call("GET", f"{path}/{policy['id']}?status=archived", key=admin)["status"] == "archived"


def test_policies_can_be_switched_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    with installed(tmp_path_factory.mktemp("off"), policy_enabled=False) as here, serving(here) as client:
        answer = client.get(USAGE, headers=auth(here.admin_key))
        assert answer.status_code == 403
        assert "POLICY_ENABLED=OFF" in answer.json()["data"]["message"]


def test_the_clock_of_a_schedule_is_utc(world: World) -> None:
    later = (NOW + timedelta(days=3)).isoformat()
    made = world.made(periodic_reset=None, periodic_reset_days=30, next_usage_reset_at=later)
    assert made["next_usage_reset_at"] == "2026-04-05T00:00:00.000Z"

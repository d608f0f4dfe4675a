"""`/policies/evaluate` and `/settle`: what is checked, how it is refused, and what concurrent requests take."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.limits import upkeep as limit_upkeep
from api.limits.schemas import parse_usage_limits
from api.limits.service import Entity
from api.limits.service import write as write_limits
from api.permissions import KeyKind
from api.policies import gate as gates
from api.policies import refresh
from tests.factories import rows
from tests.factories.app import NOW, Installation, auth, installed, serving, store
from warehouse.catalog.generations import GENERATIONS

USAGE, RATE = "/v1/policies/usage-limits", "/v1/policies/rate-limits"


@dataclass
class World:
    here: Installation
    client: TestClient
    clock: list[datetime]
    key: str
    numbers: Any = field(default_factory=lambda: count(1))

    def ask(self, *, key: str = "", **facts: Any) -> httpx.Response:
        return self.client.post("/v1/policies/evaluate", json=facts, headers=auth(key or self.key))

    def allowed(self, **facts: Any) -> dict[str, Any]:
        answer = self.ask(**facts)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, status: int, **facts: Any) -> httpx.Response:
        answer = self.ask(**facts)
        assert answer.status_code == status, answer.text
        assert answer.json()["success"] is False
        return answer

    def settled(self, status: int = 200, **content: Any) -> None:
        answer = self.client.post("/v1/policies/settle", json=content, headers=auth(self.key))
        assert answer.status_code == status, answer.text

    def make(self, path: str, **policy: Any) -> str:
        answer = self.client.post(path, json=policy, headers=auth(self.key))
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def case(self) -> str:
        """A value that only one test has."""
        return f"case-{next(self.numbers)}"

    def budget(self, usd: float, **policy: Any) -> tuple[str, dict[str, Any]]:
        """A budget of its own, and the facts of its requests."""
        case = self.case()
        conditions = [{"key": "metadata.case", "value": case}]
        made = {"conditions": conditions, "group_by": ["metadata.case"], "type": "cost", "credit_limit": usd, **policy}
        return self.make(USAGE, **made), {"metadata": {"case": case}}

    def spend(self, id_: str, usd: str, case: str, **fields: Any) -> None:
        record = {
            "organisation_id": self.here.first.organisation_id,
            "workspace_slug": self.here.first.workspace_slug,
            "created_at": self.clock[0],
            "id": id_,
            "metadata.key": ["case"],
            "metadata.value": [case],
            "cost": Decimal(usd) * 100,
            **fields,
        }
        store(self.client, GENERATIONS, rows.as_generations([record]), id_)

    def refresh(self) -> None:
        parts = self.client.app.state.services  # type: ignore[attr-defined]
        refresh.refresh_all(parts.database, parts.engine, self.clock[0])

    def later(self, **time: float) -> None:
        self.clock[0] += timedelta(**time)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    clock = [NOW]
    # Counted and ended by hand, so that a test says when.
    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch, installed(folder, limits_interval_s=3600) as here:
        patch.setattr(gates, "LOOK_S", 3600.0)
        with serving(here, lambda: clock[0]) as client:
            key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)
            yield World(here, client, clock, key)


def rate(**policy: Any) -> tuple[str, dict[str, Any]]:
    return RATE, {"type": "requests", "unit": "rpm", **policy}


def usage(**policy: Any) -> tuple[str, dict[str, Any]]:
    return USAGE, {"type": "cost", **policy}


HEAVY = {"estimated_cost": 1e9, "estimated_tokens": 10**9}
GPT = {"provider": "openai", "model": "gpt-4o"}
CLAUDE = {"provider": "anthropic", "model": "claude-3-5-sonnet-20241022"}
ALL_KEYS = [{"key": "api_key", "value": "*"}]
EXAMPLES: dict[int, tuple[tuple[str, dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]] = {
    1: (rate(conditions=ALL_KEYS, group_by=["workspace_id"], value=1), [{}], []),
    2: (rate(conditions=[{"key": "metadata._user", "value": "*"}], group_by=["metadata._user"], value=1),
        [{"metadata": {"_user": "ann"}}], [{"metadata": {"team": "ads"}}, {}]),
    3: (usage(conditions=[{"key": "metadata._user", "value": "*"}], group_by=["metadata._user"], credit_limit=50,
              periodic_reset="monthly"),
        [{"metadata": {"_user": "ann"}, **HEAVY}], [{**HEAVY}]),
    4: (rate(conditions=[{"key": "provider", "value": "openai"}], group_by=["workspace_id"], value=1),
        [GPT], [CLAUDE]),
    5: (rate(conditions=[{"key": "model", "value": "@openai/gpt-4o"}], group_by=["workspace_id"], value=100000,
             type="tokens"),
        [{**GPT, **HEAVY}, {"model": "@openai/gpt-4o", **HEAVY}], [{**CLAUDE, **HEAVY}, {"model": "gpt-4o", **HEAVY}]),
    6: (rate(conditions=[{"key": "model", "value": "@anthropic/*"}], group_by=["provider"], value=50000,
             type="tokens"),
        [{**CLAUDE, **HEAVY}], [{**GPT, **HEAVY}]),
    7: (usage(conditions=[{"key": "virtual_key", "value": "*"}], group_by=["virtual_key"], credit_limit=100,
              periodic_reset="weekly"),
        [{"virtual_key": "main", **HEAVY}], [{**GPT, **HEAVY}]),
    8: (rate(conditions=[{"key": "config", "value": "production-config"}], group_by=["config"], value=1),
        [{"config": "production-config"}], [{"config": "production"}, {}]),
    9: (rate(conditions=[{"key": "api_key", "value": ["pk_1", "pk_2"]},
                         {"key": "model", "value": ["@openai/gpt-4o", "@anthropic/claude-3-5-sonnet-20241022"]}],
             group_by=["api_key"], value=1),
        [{"api_key_id": "pk_1", **GPT}, {"api_key_id": "pk_2", **CLAUDE}],
        [{"api_key_id": "pk_3", **GPT}, {"api_key_id": "pk_1", "provider": "openai", "model": "o1"}]),
    10: (rate(conditions=[{"key": "model", "value": "@openai/*", "excludes": "@openai/gpt-4o"}], group_by=["model"],
              value=1),
         [{"provider": "openai", "model": "o1"}, {"provider": "openai", "model": "gpt-4o-mini"}], [GPT, CLAUDE]),
    11: (usage(conditions=[{"key": "metadata._user", "value": "*"}], group_by=["metadata._user", "model"],
               credit_limit=10, periodic_reset="monthly"),
         [{"metadata": {"_user": "ann"}, **GPT, **HEAVY}, {"metadata": {"_user": "ann"}, **CLAUDE, **HEAVY}],
         [{**GPT, **HEAVY}]),
    12: (usage(conditions=[{"key": "metadata._team", "value": "*"}], group_by=["metadata._team", "provider"],
               credit_limit=500000, type="tokens", periodic_reset="weekly"),
         [{"metadata": {"_team": "ads"}, **GPT, **HEAVY}], [{"metadata": {"_team": ""}, **GPT, **HEAVY}]),
    13: (rate(conditions=[{"key": "api_key", "value": "*", "excludes": ["pk_internal_1", "pk_internal_2"]}],
              group_by=["api_key"], value=1),
         [{"api_key_id": "pk_9"}], [{"api_key_id": "pk_internal_1"}, {"api_key_id": "pk_internal_2"}]),
    14: (rate(conditions=[{"key": "metadata._tier", "value": "premium"},
                          {"key": "model", "value": ["@openai/gpt-4o", "@openai/o1-preview"]}],
              group_by=["metadata._user"], value=1, unit="rph"),
         [{"metadata": {"_tier": "premium", "_user": "ann"}, **GPT}, {"metadata": {"_tier": "premium"}, **GPT}],
         [{"metadata": {"_tier": "free"}, **GPT}, {"metadata": {"_tier": "premium"}, **CLAUDE}]),
    15: (rate(target="mcp_tools", conditions=ALL_KEYS, group_by=["workspace_id"], value=1),
         [{"target": "mcp_tools", "mcp_tool": "send"}], [GPT]),
}  # fmt: skip
"""The use cases of the public policies page: the policy (some with a smaller number, so that one request uses it up),
requests that it is about, and requests that it is not about."""


@pytest.mark.parametrize("number", EXAMPLES)
def test_the_examples_of_the_public_page(world: World, number: int) -> None:
    (path, policy), about, others = EXAMPLES[number]
    made = world.make(path, name=f"Use case {number}", **policy)
    world.later(days=7)  # a window of its own
    try:
        for facts in about:
            if "estimated_cost" not in facts:
                world.allowed(**facts)
            told = world.refused(412 if path == USAGE else 429, **facts).json()
            assert told["limit"]["entity_id"] == made
            group = policy["group_by"][0]
            assert told["limit"]["value_key"].startswith(f"{group}:")
        for facts in others:
            for _ in range(2):
                assert made not in {one["entity_id"] for one in world.allowed(**facts)["limits"]}
    finally:
        assert world.client.delete(f"{path}/{made}", headers=auth(world.key)).status_code == 200
    world.allowed(**about[0])


def test_a_budget_is_refused_with_its_numbers_and_its_reset(world: World) -> None:
    policy, facts = world.budget(10, name="Ten", periodic_reset="monthly")
    world.spend("b-1", "9.5", facts["metadata"]["case"])
    world.later(seconds=1)
    world.refresh()
    limit = world.allowed(**facts)["limits"][0]
    assert limit | {"current_usage": 9.5, "remaining": 0.5, "credit_limit": 10, "kind": "usage_limit"} == limit
    world.allowed(**facts, estimated_cost=0.5)
    answer = world.refused(412, **facts, estimated_cost=0.500001)
    told = answer.json()
    assert told["data"] == {"message": told["error"]["message"], "errorCode": "AB09"}
    assert "9.5 of 10 USD" in told["data"]["message"]
    assert told["limit"]["entity_id"] == policy
    world.spend("b-2", "0.5", facts["metadata"]["case"])
    world.later(seconds=1)
    world.refresh()
    answer = world.refused(412, **facts)
    assert answer.json()["limit"]["entity_id"] == policy, answer.text
    resets_at = datetime.fromisoformat(answer.json()["limit"]["resets_at"])
    assert (resets_at.day, resets_at.hour) == (1, 0)
    wait_s = int(answer.headers["retry-after"])
    assert 0 <= (world.clock[0] + timedelta(seconds=wait_s) - resets_at).total_seconds() < 1
    world.later(seconds=wait_s)  # the reset counts at its instant, before anybody counts
    world.allowed(**facts)


def test_rates_count_requests_and_tokens_of_a_window(world: World) -> None:
    case = world.case()
    facts = {"metadata": {"case": case}}
    about = {"conditions": [{"key": "metadata.case", "value": case}], "group_by": ["metadata.case"]}
    world.make(RATE, **about, type="requests", unit="rpm", value=3)
    world.make(RATE, **about, type="tokens", unit="rph", value=100)
    world.clock[0] = world.clock[0].replace(minute=0, second=50)
    for _ in range(2):
        world.allowed(**facts, estimated_tokens=20)
    world.allowed(**facts, dry_run=True)
    world.refused(429, **facts, estimated_tokens=61)  # takes nothing of the requests either
    world.allowed(**facts, estimated_tokens=20)
    answer = world.refused(429, **facts)
    assert answer.headers["retry-after"] == "10"
    assert answer.json()["data"]["errorCode"] == "AB06"
    world.later(seconds=10)
    reserved = world.allowed(**facts, estimated_tokens=40, reserve=True)["reservation_id"]
    world.refused(429, **facts, estimated_tokens=1)
    world.settled(reservation_id=reserved, tokens=10)
    world.allowed(**facts, estimated_tokens=30)


def test_what_is_reserved_is_held_until_its_row_is_counted(world: World) -> None:
    _, facts = world.budget(10)
    reserved = world.allowed(**facts, estimated_cost=6, reserve=True, log_id="held-1")
    world.refused(412, **facts, estimated_cost=5, reserve=True)
    world.settled(reservation_id=reserved["reservation_id"], cost=2.5)
    world.allowed(**facts, estimated_cost=7.5)
    world.refused(412, **facts, estimated_cost=7.6)
    world.spend("held-1", "2.5", facts["metadata"]["case"])
    gate = world.client.app.state.services.policies  # type: ignore[attr-defined]
    gate.end_counted()
    world.later(seconds=1)
    world.refresh()
    world.refused(412, **facts, estimated_cost=5.1)  # twice for a moment rather than not at all
    gate.end_counted()
    world.later(seconds=4)
    limit = world.allowed(**facts, estimated_cost=7.5)["limits"][0]
    assert limit["current_usage"] == 2.5
    world.refused(412, **facts, estimated_cost=7.6)


def test_what_is_reserved_of_a_limit_ends_though_the_next_count_finds_nothing_new(world: World) -> None:
    gate = world.client.app.state.services.policies  # type: ignore[attr-defined]
    parts = world.client.app.state.services  # type: ignore[attr-defined]
    place = world.here.workspace(f"Reserved {world.case()}")
    limits = {"usage_limits": [{"type": "cost", "credit_limit": 10}]}
    made = world.client.put(f"/v1/admin/workspaces/{place.id}", headers=auth(world.here.admin_key), json=limits)
    assert made.status_code == 200
    key = world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=place.id)
    world.later(seconds=1)
    reserved = world.ask(key=key, estimated_cost=4, reserve=True, log_id="limited-1").json()["reservation_id"]
    world.client.post("/v1/policies/settle", json={"reservation_id": reserved, "cost": 4}, headers=auth(key))
    world.spend("limited-1", "4", "limited", workspace_slug=place.slug)
    world.later(seconds=1)
    limit_upkeep.refresh_all(parts.database, parts.engine, world.clock[0])
    gate.snapshots.look()
    world.later(seconds=1)
    gate.end_counted()  # the row is found after it was counted
    assert world.ask(key=key, estimated_cost=6).status_code == 412
    world.later(seconds=1)
    assert limit_upkeep.refresh_all(parts.database, parts.engine, world.clock[0]).changed == 0
    gate.end_counted()
    world.later(seconds=4)
    assert world.ask(key=key, estimated_cost=6).status_code == 200


def test_a_reservation_ends_by_itself_or_with_nothing_used(world: World) -> None:
    _, facts = world.budget(10)
    first = world.allowed(**facts, estimated_cost=10, reserve=True, reserve_s=60)
    world.refused(412, **facts)
    world.settled(reservation_id=first["reservation_id"], cost=0)
    second = world.allowed(**facts, estimated_cost=10, reserve=True, reserve_s=60)
    world.refused(412, **facts)
    world.later(seconds=61)
    world.allowed(**facts, estimated_cost=10)
    world.settled(reservation_id=second["reservation_id"], cost=1, status=404)
    world.settled(reservation_id="nothing", status=404)


def test_64_clients_with_reservations_never_pass_the_cap(world: World) -> None:
    _, facts = world.budget(30)
    with ThreadPoolExecutor(64) as clients:
        answers = list(
            clients.map(lambda _: world.ask(**facts, estimated_cost=0.99, reserve=True).status_code, range(128))
        )
    assert answers.count(200) == 30
    assert answers.count(412) == 98


def test_64_clients_without_reservations_pass_it_by_what_is_under_way(world: World) -> None:
    """The bound: what was spent but is not counted yet, here one request of each client, and not a cent more."""
    _, facts = world.budget(30)
    case, price, total = facts["metadata"]["case"], Decimal("0.31"), Decimal(0)
    with ThreadPoolExecutor(64) as clients:
        for number in range(6):
            allowed = [one.status_code for one in clients.map(lambda _: world.ask(**facts), range(64))].count(200)
            if allowed:
                world.spend(f"{case}-{number}", str(allowed * price), case)
            total += allowed * price
            world.later(seconds=1)
            world.refresh()
    assert Decimal(30) <= total < Decimal(30) + 64 * price


def test_limits_of_key_workspace_and_their_rates(world: World) -> None:
    here, admin = world.here, world.here.admin_key
    place = here.workspace("Limited")
    made = world.client.post(
        "/v1/api-keys/workspace/service",
        headers=auth(admin),
        json={
            "name": "Limited", "workspace_id": place.slug, "scopes": ["completions.write"],
            "usage_limits": {"credit_limit": 2}, "rate_limits": [{"type": "requests", "unit": "rpm", "value": 3}],
        },
    ).json()  # fmt: skip
    path = f"/v1/admin/workspaces/{place.id}"
    limits = {"usage_limits": [{"type": "tokens", "credit_limit": 100}]}
    assert world.client.put(path, headers=auth(admin), json=limits).status_code == 200
    world.later(minutes=1)
    world.clock[0] = world.clock[0].replace(second=0)
    told = world.ask(key=made["key"], estimated_cost=3)
    assert told.status_code == 412
    assert told.json()["limit"]["entity_type"] == "api_key"
    told = world.ask(key=made["key"], estimated_tokens=101)
    assert (told.status_code, told.json()["limit"]["entity_type"]) == (412, "workspace")
    for _ in range(3):
        assert world.ask(key=made["key"]).status_code == 200
    assert world.ask(key=made["key"]).status_code == 429
    # An organisation's gateway asks for the key, whose workspace it need not name.
    assert world.ask(key=admin, api_key_id=made["id"]).status_code == 429
    assert world.ask(key=admin, workspace_id=place.slug).status_code == 200


def test_a_budget_of_two_virtual_keys_counts_once_for_who_names_both(world: World) -> None:
    parts = world.client.app.state.services  # type: ignore[attr-defined]
    here = world.here.first
    shared = Entity(
        "integration_workspace", "shared", here.organisation_id, here.workspace_id, "Shared", ("one", "two")
    )
    wanted = parse_usage_limits([{"credit_limit": 10}], shape="array", now=world.clock[0])
    with parts.database.transaction() as session:
        write_limits(session, shared, wanted, world.clock[0])
    parts.policies.snapshots.look()
    facts = {"virtual_key": "one", "provider": "two", "estimated_cost": 6}
    found = world.allowed(**facts, reserve=True, reserve_s=60)
    assert [limit["entity_name"] for limit in found["limits"] if limit["entity_id"] == "shared"] == ["Shared"]
    refused = world.refused(412, **facts).json()["limit"]
    assert (refused["reserved"], refused["remaining"]) == (6, 4)
    world.later(seconds=61)
    world.allowed(**facts)  # what is over is given back, once


def test_nobody_asks_about_another_place(world: World) -> None:
    elsewhere = world.here.workspace("Another")
    assert world.ask(workspace_id=elsewhere.slug).status_code == 403
    assert world.ask(workspace_id="ws-nowhere").status_code == 403
    theirs = world.client.post(
        "/v1/api-keys/workspace/service", headers=auth(world.here.admin_key),
        json={"name": "Theirs", "workspace_id": elsewhere.slug, "scopes": ["completions.write"]},
    ).json()  # fmt: skip
    assert world.ask(api_key_id=theirs["id"]).status_code == 403
    _, facts = world.budget(10)
    assert world.ask(**facts, key=theirs["key"], estimated_cost=11).status_code == 200  # of another workspace
    reserved = world.allowed(**facts, reserve=True)["reservation_id"]
    stranger = world.here.key(organisation_id=world.here.organisation("Strangers"))
    answer = world.client.post("/v1/policies/settle", json={"reservation_id": reserved}, headers=auth(stranger))
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "facts",
    [{"estimated_cost": -1}, {"estimated_cost": "1"}, {"estimated_tokens": 1.5}, {"metadata": []}, {"reserve": "yes"},
     {"model": "a\nb"}, {"target": "all"}, {"reserve_s": 0}],
)  # fmt: skip
def test_what_is_no_question(world: World, facts: dict[str, Any]) -> None:
    assert world.refused(400, **facts).json()["data"]["errorCode"] == "AB01"

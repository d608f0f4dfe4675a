"""`/policies/backtest`: what a policy would have stopped, against a simulation request by request."""

from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from tests.factories import rows
from tests.factories.app import Installation, auth, installed, serving, store
from warehouse.catalog.generations import GENERATIONS

FIRST = datetime(2026, 3, 20, tzinfo=UTC)
DAYS = 20
USERS = ("ann", "bob", "zoë", "")


@dataclass
class World:
    here: Installation
    client: TestClient
    key: str
    rows: list[dict[str, Any]]

    def run(self, status: int = 200, **content: Any) -> dict[str, Any]:
        time = {
            "time_of_generation_min": FIRST.isoformat(),
            "time_of_generation_max": (FIRST + timedelta(DAYS)).isoformat(),
        }
        answer = self.client.post("/v1/policies/backtest", json={**time, **content}, headers=auth(self.key))
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("backtest")) as here, serving(here) as client:
        random = Random(7)
        records = [
            {
                "organisation_id": here.first.organisation_id,
                "workspace_slug": here.first.workspace_slug,
                "created_at": FIRST + timedelta(minutes=random.randrange(DAYS * 1440)),
                "id": f"b-{number:04}",
                "ai_org": random.choice(("openai", "anthropic")),
                "ai_model": "gpt-4o",
                "metadata.key": ["_user"],
                "metadata.value": [random.choice(USERS)],
                "total_units": random.randrange(1000),
                "cost": random.choice((None, Decimal(random.randrange(10**6)).scaleb(-4))),
                "cost_high": Decimal(50),
            }
            for number in range(600)
        ]
        store(client, GENERATIONS, rows.as_generations(records))
        key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)
        yield World(here, client, key, sorted(records, key=lambda row: (row["created_at"], row["id"])))


def simulated(world: World, limit: Decimal, use: Any, period: Any) -> dict[str, tuple[int, Decimal]]:
    """User → how many requests are stopped and what they cost, each asked before it is made."""
    used: defaultdict[Any, Decimal] = defaultdict(Decimal)
    stopped: dict[str, tuple[int, Decimal]] = {}
    for row in world.rows:
        user = row["metadata.value"][0]
        if row["ai_org"] != "openai" or not user:
            continue
        counter, (count, saved) = (user, period(row["created_at"])), stopped.get(user, (0, Decimal(0)))
        if used[counter] >= limit:
            stopped[user] = (count + 1, saved + usd(row))
        else:
            used[counter] += use(row)
            stopped[user] = (count, saved)
    return stopped


POLICY = {
    "conditions": [{"key": "provider", "value": "openai"}, {"key": "metadata._user", "value": "*"}],
    "group_by": ["metadata._user"],
}


def usd(row: dict[str, Any]) -> Decimal:
    return (row["cost"] or Decimal(0)) / 100


def week(at: datetime) -> Any:
    return (at - datetime(2026, 3, 16, tzinfo=UTC)) // timedelta(days=7)


CASES: dict[str, tuple[dict[str, Any], tuple[Decimal, Any, Any]]] = {
    "a budget for ever": ({"type": "cost", "credit_limit": 5}, (Decimal(5), usd, lambda _: 0)),
    "a budget a week": (
        {"type": "cost", "credit_limit": 5, "periodic_reset": "weekly"}, (Decimal(5), usd, week)),
    "tokens a month": (
        {"type": "tokens", "credit_limit": 9000, "periodic_reset": "monthly"},
        (Decimal(9000), lambda row: Decimal(row["total_units"]), lambda at: at.month)),
    "every three days": (
        {"type": "requests", "credit_limit": 4, "periodic_reset_days": 3},
        (Decimal(4), lambda _: Decimal(1), lambda at: (at - FIRST) // timedelta(days=3))),
    "by the upper bound": (
        {"type": "cost", "credit_limit": 5, "unpriced": "upper_bound"},
        (Decimal(5), lambda row: (row["cost_high"] if row["cost"] is None else row["cost"]) / 100, lambda _: 0)),
    "requests a day": (
        {"type": "requests", "unit": "rpd", "value": 2},
        (Decimal(2), lambda _: Decimal(1), lambda at: at.date())),
    "tokens a week": (
        {"type": "tokens", "unit": "rpw", "value": 4000},
        (Decimal(4000), lambda row: Decimal(row["total_units"]), week)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_would_have_been_stopped_is_what_a_simulation_stops(world: World, case: str) -> None:
    settings, (limit, use, period) = CASES[case]
    answer = world.run(policy={**POLICY, **settings})
    expected = simulated(world, limit, use, period)
    found = {
        one["value_key"].removeprefix("metadata._user:"): (one["blocked_requests"], one["saved_cost"])
        for one in answer["data"]
    }
    assert found == {user: (count, pytest.approx(float(saved))) for user, (count, saved) in expected.items()}
    assert answer["total"] == len(expected)
    assert answer["is_complete"]
    assert answer["blocked_requests"] == sum(count for count, _ in expected.values()) > 0
    assert [one["blocked_requests"] for one in answer["data"]] == sorted(
        (one["blocked_requests"] for one in answer["data"]), reverse=True
    )
    for one in answer["data"]:
        assert (one["first_blocked_at"] is None) == (one["blocked_requests"] == 0)


def test_a_policy_that_is_there_can_be_tried_and_nothing_is_stored(world: World) -> None:
    made = world.client.post(
        "/v1/policies/usage-limits", json={**POLICY, "type": "cost", "credit_limit": 5}, headers=auth(world.key)
    ).json()
    by_id = world.run(policy_id=made["id"])
    assert by_id == world.run(policy={**POLICY, "type": "cost", "credit_limit": 5})
    assert len(world.run(policy_id=made["id"], page_size=1, current_page=1)["data"]) == 1
    listed = world.client.get("/v1/policies/usage-limits", headers=auth(world.key)).json()
    assert [one["id"] for one in listed["data"]] == [made["id"]]


def test_what_cannot_be_tried(world: World) -> None:
    world.run(400)
    world.run(400, policy={**POLICY, "type": "cost"})
    world.run(400, policy={**POLICY, "type": "cost", "credit_limit": 5}, time_of_generation_max="2026-01-01T00:00:00Z")
    tools = {"target": "mcp_tools", "type": "requests", "unit": "rpm", "value": 1, "group_by": ["mcp_tool"]}
    told = world.run(400, policy={**tools, "conditions": [{"key": "api_key", "value": "*"}]})
    assert "rows do not say" in told["data"]["message"]
    world.run(404, policy_id="00000000-0000-4000-8000-000000000000")
    stranger = world.here.key(organisation_id=world.here.organisation("Strangers"))
    answer = world.client.post(
        "/v1/policies/backtest",
        headers=auth(stranger),
        json={"policy": {**POLICY, "type": "cost", "credit_limit": 5}, "time_of_generation_min": "2026-03-20T00:00:00Z",
              "time_of_generation_max": "2026-04-20T00:00:00Z"},
    )  # fmt: skip
    assert answer.json()["data"] == []

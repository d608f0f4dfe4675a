"""`POST /feedback` and `PUT /feedback/{id}` over HTTP, as both SDKs send them."""

import json
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed, serving
from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.storage.ddl import Topology

TIME = "time_of_generation_min=2026-04-01&time_of_generation_max=2026-04-03"


@dataclass
class World:
    here: Installation
    client: TestClient
    key: str

    def send(self, method: str, path: str, content: Any, status: int = 200, key: str = "") -> Any:
        answer = self.client.request(method, f"/v1/feedback{path}", json=content, headers=auth(key or self.key))
        assert answer.status_code == status, answer.text
        return answer.json()

    def give(self, content: Any) -> list[str]:
        return self.send("POST", "", content)["feedback_ids"]

    def scores(self) -> dict[int, int]:
        answer = self.client.get(f"/v1/analytics/graphs/feedbacks/scores?{TIME}", headers=auth(self.key))
        assert answer.status_code == 200, answer.text
        return {point["score"]: point["total"] for point in answer.json()["data_points"]}

    def mean(self) -> float | None:
        answer = self.client.get(f"/v1/analytics/graphs/feedbacks/weighted?{TIME}", headers=auth(self.key))
        return answer.json()["summary"]["avg"]

    def until(self, scores: dict[int, int]) -> None:
        deadline = time.monotonic() + 10
        while self.scores() != scores and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.scores() == scores


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("feedback"), key_cache_s=0) as here, serving(here) as client:
        workspace = here.workspace("Rated")
        yield World(here, client, here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=workspace.id))


def test_one_and_many_are_answered_in_order_and_counted(world: World) -> None:
    answer = world.send("POST", "", {"trace_id": "t1", "value": 5, "weight": 0.5, "metadata": {"_user": "u", "n": 1}})
    assert answer == {
        "status": "success",
        "message": "Feedback successfully saved",
        "feedback_ids": [str(UUID(answer["feedback_ids"][0]))],
    }
    many = [{"traceID": f"t{n}", "value": n, "metadata": json.dumps({"a": "b"}), "other": 1} for n in range(-10, 11)]
    ids = world.give(many)
    assert len(set(ids)) == 21
    world.until({**dict.fromkeys(range(-10, 11), 1), 5: 2})


def test_an_array_as_the_node_sdk_writes_it(world: World) -> None:
    two = [{"traceID": "n1", "value": 3}, {"traceID": "n2", "value": -3}]
    ids = world.send("POST", "", {str(place): one for place, one in enumerate(two)})["feedback_ids"]
    assert len(set(ids)) == 2
    world.until({3: 1, -3: 1})
    refused = world.client.post("/v1/feedback", json={"0": two[0], "2": two[1]}, headers=auth(world.key))
    assert (refused.status_code, refused.json()["data"]["errorCode"]) == (400, "AB01")


def test_a_change_is_seen_and_what_is_left_out_stays(world: World) -> None:
    [one, other] = world.give([{"trace_id": "t", "value": 4, "weight": 0.5}, {"trace_id": "t", "value": 1}])
    # At once: neither is in the warehouse yet, as far as anybody knows.
    answer = world.send("PUT", f"/{one}", {"feedbackID": other, "value": -6, "metadata": None})
    assert answer == {"status": "success", "message": "Feedback successfully saved", "feedback_ids": [one]}
    world.until({-6: 1, 1: 1})
    assert world.mean() == pytest.approx((-6 * 0.5 + 1) / 2)
    world.send("PUT", f"/{one}", {"value": 8, "weight": 1})
    world.send("PUT", f"/{one}", {"value": 9})
    world.until({9: 1, 1: 1})
    assert world.mean() == pytest.approx(5)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"value": 1}, "trace_id"),
        ({"trace_id": "t"}, "value"),
        ({"trace_id": "t", "value": 11}, "value"),
        ({"trace_id": "t", "value": -11}, "value"),
        ({"trace_id": "t", "value": 1.5}, "value"),
        ({"trace_id": "t", "value": True}, "value"),
        ({"trace_id": "t", "value": 1, "weight": 1.1}, "weight"),
        ({"trace_id": "t", "value": 1, "weight": -0.1}, "weight"),
        ({"trace_id": "t", "value": 1, "metadata": "{"}, "metadata"),
        ({"trace_id": "t", "value": 1, "metadata": [1]}, "metadata"),
        ({"trace_id": " ", "value": 1}, "trace_id"),
        ([{"trace_id": "t", "value": 1}, {"trace_id": "t", "value": 99}], "1.value"),
        ([], "1 to 1000"),
        ("text", "object"),
    ],
)
def test_what_is_wrong_is_named(world: World, content: Any, told: str) -> None:
    answer = world.send("POST", "", content, status=400)
    assert answer["data"]["errorCode"] == "AB01"
    assert told in answer["data"]["message"]


def test_an_unknown_one_and_one_of_another_workspace_are_absent(world: World) -> None:
    [mine] = world.give({"trace_id": "t", "value": 1})
    elsewhere = world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=world.here.workspace("Other").id)
    for key, id_ in ((world.key, str(uuid4())), (world.key, "no-uuid"), (elsewhere, mine)):
        answer = world.send("PUT", f"/{id_}", {"value": 1}, status=404, key=key)
        assert answer["data"]["errorCode"] == "AB08"
    world.until({1: 1})
    assert world.send("PUT", f"/{mine}", {"value": 1}, status=404, key=elsewhere)["data"]["errorCode"] == "AB08"


def test_only_workspace_keys_give_feedback(world: World) -> None:
    for key in (world.here.admin_key, world.here.key(KeyKind.ORGANISATION_SERVICE)):
        for method, path in (("POST", ""), ("PUT", f"/{uuid4()}")):
            answer = world.send(method, path, {"trace_id": "t", "value": 1}, status=403, key=key)
            assert answer["data"]["errorCode"] == "AB03"


def test_a_changed_feedback_counts_in_groups(world: World) -> None:
    log = {
        "request": {"url": "https://llm.example/v1/chat/completions", "body": {"model": "gpt-4o"}},
        "response": {"body": {"model": "gpt-4o"}, "status": 200},
        "metadata": {"trace_id": "t", "team": "search"},
    }
    assert world.client.post("/v1/logs", json=log, headers=auth(world.key)).status_code == 200
    [one] = world.give({"trace_id": "t", "value": 4})
    world.send("PUT", f"/{one}", {"value": -2, "weight": 0.5})
    world.until({-2: 1})

    def groups() -> list[dict[str, Any]]:
        path = f"/v1/analytics/groups/metadata/team?{TIME}"
        return world.client.get(path, headers=auth(world.key)).json()["data"]

    deadline = time.monotonic() + 10
    while not groups() and time.monotonic() < deadline:
        time.sleep(0.05)
    [group] = groups()
    assert (group["avg_weighted_feedback"], group["requests_with_feedback"]) == (-1, 1)


def test_a_warehouse_that_rewrites_nothing_says_so_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that could never be made is refused, not promised."""
    [one] = world.give([{"trace_id": "t", "value": 4}])
    services = world.client.app.state.services  # type: ignore[attr-defined]
    clustered = ClickHouseEngine.connect("clickhouse://x@127.0.0.1:1/x", topology=Topology(replicated=True))
    assert services.engine.rewrites
    monkeypatch.setattr(type(services.engine), "rewrites", clustered.rewrites)
    answer = world.send("PUT", f"/{one}", {"value": 1}, status=400)
    assert answer["data"]["errorCode"] == "AB01"
    assert "replicated or sharded ClickHouse" in answer["data"]["message"]
    assert services.feedback_updates.backlog() == (0, 0)
    world.until({4: 1})

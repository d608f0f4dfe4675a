"""Lists of logs, traces and spans on the wire, every number counted again in plain Python. Source: contract 3.3."""

from collections.abc import Generator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from tests.factories import rows
from tests.factories.app import NOW, Installation, auth, installed, serving, store
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS

START = NOW - timedelta(hours=1)
SPANS = (
    # number, span, parent, model, tokens, cost, ms, status, metadata
    (0, "root", None, None, None, None, 900, 200, {"team": "search"}),
    (1, "plan", "root", "gpt-4o", 100, "0.25", 200, 200, {}),
    (2, "write", "root", "gpt-4o", 300, "0.75", 600, 429, {"team": "ads"}),
    (3, "retry", "write", "gpt-4o-mini", 50, "0.000000000001", 100, 200, {}),
)


class World:
    def __init__(self, here: Installation, client: TestClient) -> None:
        self.here, self.client = here, client
        self.key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)

    def get(self, path: str, status: int = 200, **query: str) -> Any:
        answer = self.client.get(f"/v1/{path}", params=query, headers=auth(self.key))
        assert answer.status_code == status, answer.text
        return answer.json()


def records(here: Installation) -> list[dict[str, Any]]:
    common = {"organisation_id": here.first.organisation_id, "workspace_slug": here.first.workspace_slug}
    of_trace = [
        {
            **common, "id": f"log-{number}", "created_at": START + timedelta(milliseconds=number * 100),
            "trace_id": "agent", "span_id": span, "parent_span_id": parent, "span_name": f"{span} it",
            "ai_org": "openai" if model else None, "ai_model": model, "total_units": tokens, "req_units": tokens,
            "cost": None if cost is None else Decimal(cost), "response_time": ms, "response_status_code": status,
            "is_success": status == 200, "metadata.key": list(metadata), "metadata.value": list(metadata.values()),
            "_user": "ann", "cost_currency": "USD", "log_store_file_path_format": None,
        }
        for number, span, parent, model, tokens, cost, ms, status, metadata in SPANS
    ]  # fmt: skip
    others = [
        {**common, "id": f"single-{number}", "created_at": START + timedelta(seconds=number), "trace_id": f"t-{number}",
         "ai_model": "claude-sonnet-4-5", "cost": Decimal(number), "total_units": number, "response_status_code": 200,
         "is_success": True, "_user": "bob"}
        for number in range(1, 8)
    ]  # fmt: skip
    untraced = {**common, "id": "untraced", "created_at": START + timedelta(minutes=1), "ai_model": "gpt-4o"}
    return [*of_trace, *others, untraced]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("traces")) as here, serving(here) as client:
        store(client, GENERATIONS, rows.as_generations(records(here)), "rows")
        common = {"organisation_id": here.first.organisation_id, "workspace_slug": here.first.workspace_slug}
        given = [
            {
                **common,
                "id": f"f-{value}",
                "created_at": NOW,
                "trace_id": "agent",
                "value": value,
                "weighted": value * 0.5,
            }
            for value in (4, 8)
        ]
        store(client, FEEDBACKS, rows.as_feedbacks(given), "feedbacks")
        yield World(here, client)


def test_a_line_of_a_list_of_logs(world: World) -> None:
    answer = world.get("logs", span_id="write")
    assert (answer["object"], answer["total"], answer["next_cursor"]) == ("list", 1, None)
    [line] = answer["data"]
    expected = {
        "id": "log-2", "object": "log", "trace_id": "agent", "span_name": "write it", "ai_model": "gpt-4o",
        "cost": 0.75, "cost_currency": "USD", "total_units": 300, "is_success": False, "response_status_code": 429,
        "metadata": {"team": "ads"}, "_user": "ann", "created_at": "2026-04-02T11:30:00.200Z",
        "feedback_count": 2, "weighted_feedback": 3.0,
    }  # fmt: skip
    assert {name: line[name] for name in expected} == expected
    assert not {"metadata.key", "batch_id", "ingest_source"} & line.keys()
    assert world.get("generations", span_id="write") == answer


FILTERS: tuple[tuple[dict[str, str], int], ...] = (
    ({}, 12),
    ({"trace_id": "agent,t-1"}, 5),
    ({"status_code": "429,500"}, 1),
    ({"metadata": '{"team":"search"}'}, 1),
    ({"ai_org_model": "openai__gpt-4o"}, 2),
    ({"cost_min": "0.5", "cost_max": "3"}, 4),
    ({"total_units_min": "100"}, 2),
    ({"weighted_feedback_min": "1"}, 4),
    ({"search": "CLAUDE"}, 7),
    ({"search": "ads"}, 1),
    ({"search": "ann"}, 4),
    ({"search": "log-3"}, 1),
    ({"search": "nothing of the kind"}, 0),
    ({"time_of_generation_min": "2026-04-02T11:30:02Z"}, 7),
    ({"time_of_generation_max": "2026-04-02T11:30:00.100Z"}, 2),
    ({"unknown": "x"}, 12),
)


@pytest.mark.parametrize(("query", "count"), FILTERS)
def test_filters_and_search(world: World, query: dict[str, str], count: int) -> None:
    answer = world.get("logs", **query)
    assert (answer["total"], len(answer["data"])) == (count, count)
    assert world.get("spans", **query)["aggregate"]["span_count"] == count
    assert world.get("logs", **query, include_total="False")["total"] is None


def test_pages_by_number_and_by_cursor_and_orders(world: World) -> None:
    newest = [line["id"] for line in world.get("logs")["data"]]
    assert newest == ["untraced", *(f"single-{n}" for n in range(7, 0, -1)), "log-3", "log-2", "log-1", "log-0"]
    by_number = [line["id"] for page in "012" for line in world.get("logs", current_page=page, page_size="5")["data"]]
    assert by_number == newest
    by_cursor: list[str] = []
    cursor = ""
    while True:
        page = world.get("logs", pageSize="5", cursor=cursor)
        by_cursor += [line["id"] for line in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert by_cursor == newest
    dear = [line["cost"] for line in world.get("logs", order_by="cost", order_by_type="desc")["data"]]
    assert dear == [7, 6, 5, 4, 3, 2, 1, 0.75, 0.25, 1e-12, None, None]
    cheap = [line["cost"] for line in world.get("logs", order_by="cost", order_by_type="asc")["data"]]
    assert cheap == [*reversed(dear[:10]), None, None]
    assert world.get("logs", page_size="0")["data"] == []


def test_a_line_of_a_list_of_traces(world: World) -> None:
    answer = world.get("traces", trace_id="agent")
    assert (answer["total"], answer["next_cursor"]) == (1, None)
    [line] = answer["data"]
    expected = {
        "object": "trace", "trace_id": "agent", "requests": 4, "span_count": 4, "total_cost": 1.000000000001,
        "cost_currency": "USD", "unpriced_requests": 1, "total_tokens": 450, "input_tokens": 450, "output_tokens": 0,
        "error_count": 1, "status": "error", "models": 2, "duration_ms": 900,
        "first_seen": "2026-04-02T11:30:00.000Z", "last_seen": "2026-04-02T11:30:00.300Z",
        "feedback_count": 2, "avg_weighted_feedback": 3.0, "metadata": {"team": "search"}, "name": "root it",
        "user": "ann", "first_log_id": "log-0", "first_model": None,
        "workspace_slug": world.here.first.workspace_slug,
    }  # fmt: skip
    assert line == expected


def test_traces_are_listed_whole_when_one_of_their_requests_passes(world: World) -> None:
    assert [line["trace_id"] for line in world.get("traces")["data"]] == [*(f"t-{n}" for n in range(7, 0, -1)), "agent"]
    [line] = world.get("traces", status_code="429")["data"]
    assert (line["trace_id"], line["requests"]) == ("agent", 4)
    assert [line["trace_id"] for line in world.get("traces", search="write it")["data"]] == ["agent"]
    several = world.get("traces", trace_id="agent,t-3,t-5")
    assert {line["trace_id"] for line in several["data"]} == {"agent", "t-3", "t-5"}
    dear = world.get("traces", order_by="cost", page_size="3")
    assert ([line["trace_id"] for line in dear["data"]], dear["total"]) == (["t-7", "t-6", "t-5"], 8)
    rest = world.get("traces", cursor=dear["next_cursor"], page_size="100")
    assert [line["trace_id"] for line in rest["data"]] == ["t-4", "t-3", "t-2", "agent", "t-1"]
    # Of a trace that began before the time, what lies within it counts.
    later = world.get("traces", trace_id="agent", time_of_generation_min="2026-04-02T11:30:00.200Z")
    assert (later["data"][0]["requests"], later["data"][0]["duration_ms"]) == (2, 600)
    world.get("traces", status=400, order_by="ai_model")


def test_one_trace_as_a_tree(world: World) -> None:
    trace = world.get("traces/agent")
    assert (trace["object"], trace["trace_id"], trace["is_cut"]) == ("trace", "agent", False)
    numbers = {name: trace[name] for name in ("span_count", "total_tokens", "error_count", "duration_ms", "status")}
    assert numbers == {"span_count": 4, "total_tokens": 450, "error_count": 1, "duration_ms": 900, "status": "error"}
    assert (trace["total_cost"], trace["unpriced_requests"]) == (1.000000000001, 1)
    assert (trace["feedback_count"], trace["avg_weighted_feedback"]) == (2, 3.0)
    [root] = trace["spans"]
    assert (root["id"], root["log_id"], root["depth"], root["is_orphan"]) == ("log-0", "log-0", 0, False)
    assert [child["span_id"] for child in root["children"]] == ["plan", "write"]
    write = root["children"][1]
    expected = {
        "span_id": "write", "parent_span_id": "root", "span_name": "write it", "response_time": 600, "cost": 0.75,
        "total_units": 300, "is_success": False, "created_at": "2026-04-02T11:30:00.200Z", "object": "span",
    }  # fmt: skip
    assert {name: write[name] for name in expected} == expected
    assert [child["span_id"] for child in write["children"]] == ["retry"]


def test_the_spans_of_one_trace_and_of_all(world: World) -> None:
    spans = world.get("traces/agent/spans")
    assert [(span["span_id"], span["depth"]) for span in spans["data"]] == [
        ("root", 0),
        ("plan", 1),
        ("write", 1),
        ("retry", 2),
    ]
    assert (spans["total"], spans["aggregate"]["total_tokens"]) == (4, 450)
    everything = world.get("spans", page_size="2")
    assert (everything["total"], len(everything["data"])) == (12, 2)
    expected = {
        "span_count": 12, "requests": 12, "total_tokens": 478, "input_tokens": 450, "total_cost": 29.000000000001,
        "unpriced_requests": 2, "error_count": 1, "avg_latency": 450.0,
    }  # fmt: skip
    assert {name: everything["aggregate"][name] for name in expected} == expected


def test_a_trace_that_is_absent_or_elsewhere(world: World) -> None:
    for path in ("traces/absent", "traces/absent/spans"):
        assert world.get(path, status=404)["data"]["errorCode"] == "AB08"
    other = world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=world.here.workspace("Other").id)
    answer = world.client.get("/v1/traces/agent", headers=auth(other))
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (403, "AB03")


@pytest.mark.parametrize("path", ["logs", "generations", "traces", "spans"])
def test_what_cannot_be_asked(world: World, path: str) -> None:
    for query in ({"order_by": "x"}, {"cursor": "x"}, {"page_size": "1000"}, {"metadata": "{"}, {"cost_min": "-1"}):
        assert world.get(path, status=400, **query)["data"]["errorCode"] == "AB01", query

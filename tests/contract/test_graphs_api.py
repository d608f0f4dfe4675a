"""Every graph, listing and summary over HTTP: fields as the contract has them, numbers as plain Python has them."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from math import isclose
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from tests.factories import rows, series_oracle
from tests.factories.app import Installation, auth, installed, serving, store
from tests.factories.oracle import Oracle
from tests.factories.series_oracle import Asked
from warehouse.catalog import registry
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery

LAST = rows.FIRST_DAY + timedelta(days=rows.DAYS, milliseconds=-1)
TIME = {"time_of_generation_min": "2026-03-27", "time_of_generation_max": "2026-03-31"}
ALIASES = {
    "users-requests": "users/requests",
    "errors-rate": "errors/rate",
    "errors-stack": "errors/stacks",
    "errors-status-code": "errors/status-codes",
    "requests-rescued": "requests/rescued",
    "cache-hit-rate": "cache/hit-rate",
    "cache-latency": "cache/latency",
    "feedbacks/score": "feedbacks/scores",
}


@dataclass(frozen=True)
class World:
    """An organisation with 500 requests in several workspaces, and what plain Python says of them."""

    here: Installation
    client: TestClient
    oracle: Oracle

    @property
    def scope(self) -> TenantScope:
        return TenantScope(self.here.first.organisation_id)

    def get(self, path: str, key: str = "", status: int = 200, **query: str) -> Any:
        url = f"/v1/analytics/{path}?{urlencode({**TIME, **query})}"
        answer = self.client.get(url, headers=auth(key or self.here.admin_key))
        assert answer.status_code == status, answer.text
        return json.loads(answer.text, parse_float=Decimal)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("graphs")) as here, serving(here) as client:
        here.workspace("Prod", slug="prod")
        generations = owned(rows.generations(61, 500), here)
        feedbacks = owned(rows.feedbacks(62, generations, 120), here)
        store(client, GENERATIONS, generations, "generations")
        store(client, FEEDBACKS, feedbacks, "feedbacks")
        yield World(here, client, Oracle(generations, feedbacks))


def owned(table: pa.Table, here: Installation) -> pa.Table:
    """The rows, as this organisation's."""
    place = table.schema.get_field_index("organisation_id")
    return table.set_column(place, table.schema.field(place), pa.array([here.first.organisation_id] * table.num_rows))


def is_same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict)
            and list(wanted) == list(found)
            and all(is_same(wanted[name], found[name]) for name in wanted)
        )
    if isinstance(wanted, list):
        return len(wanted) == len(found) and all(map(is_same, wanted, found))
    if isinstance(wanted, float) and found is not None:
        return isclose(wanted, float(found), rel_tol=1e-12, abs_tol=1e-12)
    return bool(wanted == found) and (wanted is None) == (found is None)


def check(wanted: Any, found: Any) -> None:
    if not is_same(wanted, found):
        assert found == wanted  # shows where they differ


@pytest.mark.parametrize("path", series_oracle.PATHS)
class TestGraphs:
    @pytest.mark.parametrize(
        ("zone", "granularity"), [("UTC", ""), ("Europe/Berlin", "hour"), ("Asia/Kathmandu", "week")]
    )
    def test_each_graph_in_a_zone(self, world: World, path: str, zone: str, granularity: str) -> None:
        given = {"granularity": granularity} if granularity else {}
        found = world.get(f"graphs/{path}", tz=zone, **given)
        local = ZoneInfo(zone)
        since = rows.FIRST_DAY.replace(tzinfo=local)
        until = (rows.FIRST_DAY + timedelta(days=5, microseconds=-1)).replace(tzinfo=local)
        asked = Asked(world.scope, since, until, granularity or "day", local)
        found_keys = set(found["data_points"][0])
        check(in_order(series_oracle.graph(world.oracle, path, asked), found), found)
        assert found_keys

    def test_each_graph_of_chosen_requests(self, world: World, path: str) -> None:
        conditions = (Condition("cost_min", Decimal("0.5")), Condition("status_code", (200, 429, 500)))
        found = world.get(f"graphs/{path}", cost_min="0.5", status_code="200,429,500")
        asked = Asked(world.scope, rows.FIRST_DAY, LAST, "day", ZoneInfo("UTC"), conditions)
        check(in_order(series_oracle.graph(world.oracle, path, asked), found), found)

    def test_each_graph_over_no_row_is_zero(self, world: World, path: str) -> None:
        found = world.get(f"graphs/{path}", time_of_generation_min="2020-01-01", time_of_generation_max="2020-01-05")
        numbers = [*found["summary"].values()]
        numbers += [value for point in found["data_points"] for name, value in point.items() if name != "timestamp"]
        assert all(number in (0, []) for number in numbers)
        assert len(found["data_points"]) in (0, 5)

    def test_each_graph_beside_the_span_before(self, world: World, path: str) -> None:
        time = {"time_of_generation_min": "2026-03-29T12:00:00Z", "time_of_generation_max": "2026-03-30T11:59:59.999Z"}
        before = {
            "time_of_generation_min": "2026-03-28T12:00:00Z",
            "time_of_generation_max": "2026-03-29T11:59:59.999Z",
        }
        both = world.get(f"graphs/{path}", **time, compare="previous", granularity="hour")
        assert both.pop("previous") == world.get(f"graphs/{path}", **before, granularity="hour")
        assert both == world.get(f"graphs/{path}", **time, granularity="hour")


def in_order(wanted: Any, found: Any) -> Any:
    """The wanted object with its names in the order of the answer: the order says nothing."""
    if isinstance(wanted, dict) and isinstance(found, dict) and set(wanted) == set(found):
        return {name: in_order(wanted[name], found[name]) for name in found}
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [in_order(one, other) for one, other in zip(wanted, found, strict=True)]
    return wanted


@pytest.mark.parametrize("alias", ALIASES)
def test_the_other_spellings_of_the_node_sdk(world: World, alias: str) -> None:
    assert world.get(f"graphs/{alias}") == world.get(f"graphs/{ALIASES[alias]}")


def test_the_zone_is_tz_else_the_offset_of_the_start(world: World) -> None:
    india = {"time_of_generation_min": "2026-03-28T00:00:00 05:30", "time_of_generation_max": "2026-03-30"}
    starts = [point["timestamp"] for point in world.get("graphs/requests", **india, granularity="day")["data_points"]]
    assert starts[0] == "2026-03-27T18:30:00.000Z"
    starts = [
        point["timestamp"]
        for point in world.get("graphs/requests", **india, granularity="day", tz="UTC")["data_points"]
    ]
    assert starts[0] == "2026-03-27T00:00:00.000Z"


def test_money_that_nobody_knows_is_null_and_counted(world: World) -> None:
    unpriced = world.get("graphs/cost", metadata=json.dumps({"nobody": "x"}))
    assert unpriced["summary"] == {"total": 0, "avg": 0, "unpriced_requests": 0}
    found = world.get("groups/unpriced_reason", columns="cost")
    assert {line["unpriced_reason"]: line["cost"] for line in found["data"]}["no price"] is None


@pytest.mark.parametrize(
    ("path", "query", "says"),
    [
        ("graphs/cost", {"granularity": "second"}, "allowed: minute, 5m, 15m, hour, day, week, month"),
        ("graphs/cost", {"granularity": "minute", "time_of_generation_min": "2026-01-01"}, "at most 10,000"),
        ("graphs/cost", {"compare": "last"}, "compare: 'last' is unknown; allowed: previous"),
        ("graphs/cost", {"tz": "Mars/Olympus"}, "is not a time zone"),
        ("graphs/cost", {"time_of_generation_min": ""}, "time_of_generation_min is required"),
        ("graphs/cost", {"cache_status": "warm"}, "Allowed: HIT, SEMANTIC HIT, MISS"),
        ("graphs/cost", {"cost_source": "guess"}, "Allowed: computed, reported, cache, ptu"),
        ("summary/cache", {"compare": "x"}, "allowed: previous"),
        ("groups/users", {"having": "cost~3"}, "one of >= <= != > < ="),
        ("groups/users", {"having": "costs>3"}, "allowed: requests, cost"),
        ("groups/users", {"having": "last_seen>3"}, "allowed: requests, cost"),
        ("groups/users", {"top": "101"}, "top: '101' is not a whole number from 1 to 100"),
        ("groups/users", {"top": "3", "current_page": "1"}, "leave current_page out"),
        ("groups/users", {"other": "true"}, "other: goes with top"),
        ("groups/users", {"totals": "all"}, "totals: 'all' is not true or false"),
        ("groups/metadata/", {}, "Unknown group-by 'metadata.'"),
        ("groups/teapots", {}, "Unknown group-by 'teapots'"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(
    world: World, path: str, query: dict[str, str], says: str
) -> None:
    refused = world.get(path, status=400, **query)
    assert refused["data"]["errorCode"] == "AB01"
    assert says in refused["data"]["message"]


def grouped(world: World, by: tuple[str, ...], *measures: str, **more: Any) -> tuple[list[dict[str, Any]], int]:
    query = GroupedQuery(world.scope, rows.FIRST_DAY, LAST, by, measures, **{"limit": None, **more})
    return world.oracle.answer(query)


def wire(value: Any) -> Any:
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z" if hasattr(value, "isoformat") else value


@pytest.mark.parametrize(
    ("path", "dimension", "key", "measures"),
    [
        ("users", "user", "user", {"cost": "cost"}),
        ("ai-models", "model", "ai_model", {"cost": "cost", "ai_org": "only_provider"}),
        (
            "workspaces",
            "workspace",
            "workspace_slug",
            {name: name for name in ("cost", "total_tokens", "avg_tokens", "last_seen")},
        ),
        *(
            (
                f"metadata/{quote(name, safe='')}",
                f"metadata.{name}",
                "metadata_value",
                {
                    name: name
                    for name in ("cost", "avg_tokens", "avg_weighted_feedback", "requests_with_feedback", "last_seen")
                },
            )
            for name in ("team", "te'am", "ключ", "a b", "team/name")
        ),
    ],
)
def test_each_listing(world: World, path: str, dimension: str, key: str, measures: dict[str, str]) -> None:
    found = world.get(f"groups/{path}", page_size="100")
    lines, total = grouped(world, (dimension,), "requests", *measures.values())
    assert found["total"] == total
    assert len(found["data"]) == len(lines)
    for wanted, line in zip(lines, found["data"], strict=True):
        assert line.pop("object") == "analytics-group"
        if path == "workspaces":
            known = {"prod"} | {world.here.first.workspace_slug}
            assert (line.pop("workspace_id") is None) == (line["workspace_slug"] not in known)
        names = {"requests": "requests", "unpriced_requests": "unpriced_requests", **measures}
        check({key: wanted[dimension], **{name: wire(wanted[names[name]]) for name in line if name != key}}, line)
        assert set(measures) < set(line)


def test_top_groups_the_rest_and_the_totals(world: World) -> None:
    asked = {"group_by": "status_code,metadata.team", "columns": "cost,p95_latency", "order_by": "cost"}
    found = world.get("groups/model", **asked, top="3", other="true", totals="true")
    *top, other = found["data"]
    assert len(top) == 3
    assert (other["model"], other["status_code"], other["metadata.team"], other["other"]) == (None, None, None, True)
    assert (
        found["totals"]["requests"]
        == sum(line["requests"] for line in found["data"])
        == world.oracle.generations.num_rows
    )
    assert found["totals"]["cost"] == sum(line["cost"] for line in found["data"])
    everything = world.get("groups/model", **asked, top="100", other="true", having="requests>100000", totals="true")
    assert [line.get("other") for line in everything["data"]] == [True]
    assert everything["total"] == 0
    assert everything["data"][0]["requests"] == everything["totals"]["requests"]
    assert "other" not in world.get("groups/user", top="100", other="true")["data"][-1]


def test_groups_are_sifted_by_cost(world: World) -> None:
    found = world.get("groups/model", columns="cost", having="cost>=100,requests>10", group_by="api_key")
    assert found["data"]
    assert all(line["cost"] >= 100 and line["requests"] > 10 for line in found["data"])
    everything = world.get("groups/model", columns="cost", group_by="api_key")["data"]
    wanted = [line for line in everything if (line["cost"] or 0) >= 100 and line["requests"] > 10]
    assert found["data"] == wanted
    assert found["total"] == len(wanted) < len(everything)


def test_summaries(world: World) -> None:
    lines, _ = grouped(world, (), "requests", "cache_hits", "avg_hit_latency", "avg_miss_latency")
    one = lines[0]
    speedup = (one["avg_miss_latency"] - one["avg_hit_latency"]) / one["avg_miss_latency"] * 100
    found = world.get("summary/cache", compare="previous")
    check(
        {
            "hits": one["cache_hits"],
            "avg_latency": one["avg_hit_latency"],
            "total_requests": one["requests"],
            "cache_speedup": speedup,
        },
        found["summary"],
    )
    assert found["object"] == "analytics-summary"
    assert found["previous"]["summary"] == dict.fromkeys(found["summary"], 0)
    overview = world.get("summary/overview")["summary"]
    lines, _ = grouped(world, (), *overview)
    check({name: lines[0][name] for name in overview}, overview)


def test_archived_workspaces_are_drawn_for_organisation_admins(world: World) -> None:
    made = world.here.workspace("Old", slug="Prod-old")
    key = world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=made.id)
    with world.here.database.transaction() as session:
        session.get_one(type(made), made.id).status = "archived"
    for path in ("graphs/requests", "graphs/feedbacks/ai-models", "groups/users", "groups/model", "summary/overview"):
        world.get(path, workspace_slug="Prod-old")
        world.get(path, key=key, status=401)


def test_the_catalog_names_all_that_can_be_asked(world: World) -> None:
    answer = world.client.get("/v1/analytics/catalog", headers=auth(world.here.admin_key)).json()
    assert [one["name"] for one in answer["dimensions"]] == [one.name for one in GENERATIONS.dimensions]
    assert [one["name"] for one in answer["measures"]] == [one.name for one in registry.public_measures(GENERATIONS)]
    assert [one["name"] for one in answer["filters"]] == [one.name for one in GENERATIONS.filters]
    cost = next(one for one in answer["measures"] if one["name"] == "cost")
    assert (cost["unit"], cost["beside"], cost["additive"]) == ("USD cents", "unpriced_requests", True)
    assert all(one["description"] for kind in ("dimensions", "measures", "filters") for one in answer[kind])
    assert {one["path"] for one in answer["graphs"]} == {f"graphs/{path}" for path in series_oracle.PATHS}
    assert [one["up_to_s"] for one in answer["granularities"]][-1] is None


def test_answers_have_the_fields_that_are_documented(world: World) -> None:
    document = world.client.get("/openapi.json").json()
    for path in series_oracle.PATHS:
        schema = document["paths"][f"/v1/analytics/graphs/{path}"]["get"]["responses"]["200"]["content"]
        properties = schema["application/json"]["schema"]["properties"]
        found = world.get(f"graphs/{path}", compare="previous")
        assert set(found) == set(properties)
        assert set(found["summary"]) == set(properties["summary"]["properties"])
        assert set(found["data_points"][0]) == set(properties["data_points"]["items"]["properties"])

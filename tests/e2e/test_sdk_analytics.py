"""The unmodified Python SDK against a live server: every grouped question it can ask, and how it sees our errors."""

import asyncio
import json
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from portkey_ai import AsyncPortkey, Portkey
from portkey_ai.api_resources.apis.analytics import AnalyticsGraphs, AnalyticsGroups
from portkey_ai.api_resources.exceptions import (
    AuthenticationError,
    BadRequestError,
    PermissionDeniedError,
)

from api.analytics import rendering
from api.permissions import KeyKind
from api.workspaces.service import find
from tests.factories import rows, series_oracle
from tests.factories.app import Installation, installed
from tests.factories.gateway import PartMissing
from tests.factories.node_sdk import called
from tests.factories.oracle import Oracle
from tests.factories.parts import lacking
from tests.factories.series_oracle import Asked
from tests.factories.server import LiveServer, live_server
from warehouse.catalog import registry
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch
from warehouse.engines.open import open_engine
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Order
from warehouse.storage.migrate import migrate

SINCE, UNTIL = "2026-03-27T05:30:00+05:30", "2026-03-31T23:59:59Z"
ALL_COLUMNS = ",".join(measure.name for measure in registry.public_measures(GENERATIONS))


@dataclass(frozen=True)
class World:
    """A live server with 600 requests, half of them of another organisation."""

    here: Installation
    server: LiveServer
    oracle: Oracle

    def ask(self, key: str, **asked: Any) -> Any:
        with sdk(self.server, key) as client:
            time = {"time_of_generation_min": SINCE, "time_of_generation_max": UNTIL}
            return client.analytics.groups.group_by(**{**time, **asked})

    def expected(self, **asked: Any) -> tuple[list[dict[str, Any]], int]:
        """What the oracle answers about the first organisation, as the wire spells it."""
        scope = asked.pop("scope", TenantScope(self.here.first.organisation_id))
        time = {
            "since": rows.FIRST_DAY,
            "until": rows.FIRST_DAY.replace(month=3, day=31, hour=23, minute=59, second=59),
        }
        query = GroupedQuery(scope=scope, **{**time, **asked})
        lines, total = self.oracle.answer(query)
        return [{name: wire(name, value, query) for name, value in line.items()} for line in lines], total


@contextmanager
def sdk(server: LiveServer, key: str) -> Generator[Portkey]:
    """The SDK; it does not close the OpenAI client within itself."""
    client = Portkey(api_key=key, base_url=f"{server.url}/v1")
    with closing(client), closing(client.openai_client):
        yield client


def wire(name: str, value: Any, query: GroupedQuery) -> Any:
    if hasattr(value, "isoformat"):
        return rendering.instant(value)
    if value is None and name in query.by:
        return ""
    return float(value) if isinstance(value, Decimal) else value


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    home = tmp_path_factory.mktemp("sdk")
    with installed(home) as here:
        here.workspace("Prod", slug="prod")
        table = rows.generations(21, 600)
        owners = [
            here.first.organisation_id if index % 2 else "another-organisation" for index in range(table.num_rows)
        ]
        table = table.set_column(0, table.schema.field("organisation_id"), pa.array(owners))
        assert table.schema.names[0] == "organisation_id"
        given = rows.feedbacks(1, table, 150)
        with closing(open_engine(here.settings.warehouse)) as engine:
            migrate(engine)
            engine.append(GENERATIONS, table, Batch("sdk"))
            engine.append(FEEDBACKS, given, Batch("sdk"))
        with live_server(home) as server:
            yield World(here, server, Oracle(table, given))


def same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert len(found) == len(wanted)
    for line, want in zip(found, wanted, strict=True):
        assert line["object"] == "analytics-group"
        assert {name: value for name, value in line.items() if name != "object"} == {
            name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for name, value in want.items()
        }


@pytest.mark.parametrize("group_by", [dimension.name for dimension in GENERATIONS.dimensions])
def test_each_group_by_with_every_column(world: World, group_by: Any) -> None:
    answer = world.ask(world.here.admin_key, group_by=group_by, columns=ALL_COLUMNS, include_total=True, page_size=100)
    measures = tuple(dict.fromkeys(("requests", *ALL_COLUMNS.split(","))))
    lines, total = world.expected(by=(group_by,), measures=measures)
    assert (answer.object, answer.total) == ("list", total)
    assert answer.data
    same(answer.data, lines)


def test_the_default_is_the_request_count(world: World) -> None:
    answer = world.ask(world.here.admin_key, group_by="model")
    lines, total = world.expected(by=("model",))
    assert answer.total == total
    same(answer.data or [], lines)
    assert set((answer.data or [])[0]) == {"model", "requests", "object"}


def test_filters_order_and_pages_as_the_sdk_sends_them(world: World) -> None:
    answer = world.ask(
        world.here.admin_key,
        group_by="api_key",
        columns="cost,success_rate",
        include_total=False,
        order_by="cost",
        order_by_type="asc",
        current_page=1,
        page_size=2,
        status_code="200, 429",
        total_units_min=10,
        cost_max=4.5,
        metadata=json.dumps({"team": "search"}),
        not_a_parameter="ignored",
    )
    lines, _ = world.expected(
        by=("api_key",),
        measures=("requests", "cost", "success_rate"),
        conditions=(
            Condition("status_code", (200, 429)),
            Condition("total_units_min", 10),
            Condition("cost_max", Decimal("4.5")),
            Condition("metadata", (("team", "search"),)),
        ),
        order=(Order("cost", "asc"),),
        limit=2,
        offset=2,
    )
    assert answer.total is None
    same(answer.data or [], lines)


def test_the_async_client_asks_the_same(world: World) -> None:
    async def ask() -> Any:
        client = AsyncPortkey(api_key=world.here.admin_key, base_url=f"{world.server.url}/v1")
        try:
            return await client.analytics.groups.group_by(
                group_by="workspace", time_of_generation_min=SINCE, time_of_generation_max=UNTIL, columns="last_seen"
            )
        finally:
            await client.openai_client.close()
            await client.close()

    answer = asyncio.run(ask())
    lines, _ = world.expected(by=("workspace",), measures=("requests", "last_seen"))
    same(answer.data, lines)


def test_a_workspace_key_sees_its_workspace_whatever_it_names(world: World) -> None:
    with world.here.database.transaction(writes=False) as session:
        prod = find(session, world.here.first.organisation_id, "prod")
    key = world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=prod.id)
    answer = world.ask(key, group_by="workspace", workspace_slug="default")
    scope = TenantScope(world.here.first.organisation_id, frozenset({"prod"}))
    lines, _ = world.expected(by=("workspace",), scope=scope)
    same(answer.data or [], lines)
    assert [line["workspace"] for line in answer.data or []] == ["prod"]


GRAPH_METHODS = {
    "requests": "requests",
    "cost": "cost",
    "latency": "latency",
    "tokens": "tokens",
    "users": "users",
    "users_requests": "users/requests",
    "errors": "errors",
    "errors_rate": "errors/rate",
    "errors_stacks": "errors/stacks",
    "errors_status_codes": "errors/status-codes",
    "requests_rescued": "requests/rescued",
    "cache_hit_rate": "cache/hit-rate",
    "cache_latency": "cache/latency",
    "feedbacks": "feedbacks",
    "feedbacks_scores": "feedbacks/scores",
    "feedbacks_weighted": "feedbacks/weighted",
    "feedbacks_ai_models": "feedbacks/ai-models",
}


def as_json(value: Any) -> Any:
    """What the oracle says, with money as the SDK reads it."""
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    if isinstance(value, float | Decimal):
        return pytest.approx(float(value), rel=1e-12)
    return value


@pytest.mark.parametrize("method", GRAPH_METHODS)
def test_each_graph(world: World, method: str) -> None:
    asked = Asked(
        TenantScope(world.here.first.organisation_id),
        rows.FIRST_DAY,
        rows.FIRST_DAY.replace(day=31, hour=23, minute=59, second=59),
        "day",
        timezone(timedelta(hours=5, minutes=30)),
        (Condition("cost_max", Decimal(7)),),
    )
    with sdk(world.server, world.here.admin_key) as client:
        found = getattr(client.analytics.graphs, method)(
            time_of_generation_min=SINCE, time_of_generation_max=UNTIL, cost_max=7
        )
    assert found.object == "analytics-graph"
    wanted = series_oracle.graph(world.oracle, GRAPH_METHODS[method], asked)
    assert {"object": found.object, "summary": found.summary, "data_points": found.data_points} == as_json(wanted)


def test_every_graph_of_the_sdk_is_asked() -> None:
    methods = {name for name, value in vars(AnalyticsGraphs).items() if callable(value) and not name.startswith("_")}
    assert methods == GRAPH_METHODS.keys()
    groups = {name for name, value in vars(AnalyticsGroups).items() if callable(value) and not name.startswith("_")}
    assert groups == {"users", "ai_models", "workspaces", "metadata", "group_by"}


@pytest.mark.parametrize(
    ("method", "key", "dimension", "columns"),
    [
        ("users", "user", "user", ("cost",)),
        ("ai_models", "ai_model", "model", ("cost",)),
        ("workspaces", "workspace_slug", "workspace", ("cost", "total_tokens", "avg_tokens", "last_seen")),
        (
            "metadata",
            "metadata_value",
            "metadata.team",
            ("cost", "avg_tokens", "avg_weighted_feedback", "requests_with_feedback", "last_seen"),
        ),
    ],
)
def test_each_listing(world: World, method: str, key: str, dimension: str, columns: tuple[str, ...]) -> None:
    more = {"metadata_key": "team"} if method == "metadata" else {}
    with sdk(world.server, world.here.admin_key) as client:
        found = getattr(client.analytics.groups, method)(
            time_of_generation_min=SINCE, time_of_generation_max=UNTIL, page_size=4, include_total=True, **more
        )
    lines, total = world.expected(by=(dimension,), measures=("requests", *columns), limit=4)
    assert found.total == total
    assert len(found.data) == len(lines)
    for line, wanted in zip(found.data, lines, strict=True):
        assert line["object"] == "analytics-group"
        assert line[key] == wanted[dimension]
        assert {name: line[name] for name in ("requests", *columns)} == as_json(
            {name: wanted[name] for name in ("requests", *columns)}
        )


def test_the_summary_of_caches(world: World) -> None:
    with sdk(world.server, world.here.admin_key) as client:
        found = client.analytics.summary.cache(time_of_generation_min=SINCE, time_of_generation_max=UNTIL)
    names = ("requests", "cache_hits", "avg_hit_latency", "avg_miss_latency")
    (line,), _ = world.expected(by=(), measures=names)
    faster = (line["avg_miss_latency"] - line["avg_hit_latency"]) / line["avg_miss_latency"] * 100
    assert found.summary == as_json(  # type: ignore[attr-defined]
        {
            "hits": line["cache_hits"],
            "avg_latency": line["avg_hit_latency"],
            "total_requests": line["requests"],
            "cache_speedup": faster,
        }
    )


NODE_METHODS = {
    "requests": "requests",
    "cost": "cost",
    "latency": "latency",
    "tokens": "tokens",
    "users": "users",
    "usersRequests": "users/requests",
    "errors": "errors",
    "errors_rate": "errors/rate",
    "errors_stack": "errors/stacks",
    "errors_status_code": "errors/status-codes",
    "requests_rescued": "requests/rescued",
    "cache_hit_rate": "cache/hit-rate",
    "cache_latency": "cache/latency",
    "feedbacks": "feedbacks",
    "feedbacks_score": "feedbacks/scores",
    "feedbacks_weighted": "feedbacks/weighted",
    "feedback_ai_models": "feedbacks/ai-models",
}


def test_the_node_sdk_is_answered_as_the_python_one(world: World) -> None:
    time = {"time_of_generation_min": SINCE, "time_of_generation_max": UNTIL}
    listings = {"users": [], "aiModels": [], "workspaces": [], "metadata": ["te'am"], "groupedData": ["model"]}
    calls = [(f"analytics.graphs.{name}", [{**time, "cost_max": 7}]) for name in NODE_METHODS]
    calls += [(f"analytics.groups.{name}", [*first, {**time, "columns": "cost"}]) for name, first in listings.items()]
    calls += [("analytics.summary.cache", [time]), ("analytics.groups.groupedData", ["teapot", time])]
    try:
        answers = called(f"{world.server.url}/v1", world.here.admin_key, calls)
    except PartMissing as missing:
        lacking(missing)
    with sdk(world.server, world.here.admin_key) as client:
        python = client.analytics
        graphs = {path: getattr(python.graphs, name) for name, path in GRAPH_METHODS.items()}
        wanted: list[Any] = [graphs[path](**time, cost_max=7) for path in NODE_METHODS.values()]
        wanted += [
            getattr(python.groups, name)(**time, columns="cost") for name in ("users", "ai_models", "workspaces")
        ]
        wanted.append(python.groups.metadata(metadata_key="te'am", **time, columns="cost"))
        wanted += [python.groups.group_by(group_by="model", **time, columns="cost"), python.summary.cache(**time)]
    for (name, _), found, want in zip(calls, answers, wanted, strict=False):
        same_fields = {key: value for key, value in found["answer"].items() if not key.startswith("get")}
        assert same_fields == want.model_dump(exclude={"data"} if want.data is None else set()), name
    assert answers[-1]["status"] == 400
    assert "Unknown group-by 'teapot'" in answers[-1]["message"]


class TestErrors:
    """The SDK turns our answers into its own exceptions, with our message."""

    def test_bad_request(self, world: World) -> None:
        with pytest.raises(BadRequestError, match=r"Unknown column 'costs'\. Did you mean cost"):
            world.ask(world.here.admin_key, group_by="model", columns="costs")

    def test_unauthorised(self, world: World) -> None:
        with pytest.raises(AuthenticationError, match="Unauthorised Request"):
            world.ask("gl_wrong", group_by="model")

    def test_forbidden(self, world: World) -> None:
        with pytest.raises(PermissionDeniedError, match="enough permissions"):
            world.ask(world.here.key(scopes=["audit_logs.list"]), group_by="model")
        with pytest.raises(PermissionDeniedError, match="enough permissions"):
            world.ask(world.here.admin_key, group_by="model", workspace_slug="somebody-elses")


def test_a_stop_is_graceful_and_the_log_is_json_without_secrets(tmp_path: Path) -> None:
    with installed(tmp_path) as here, live_server(tmp_path) as server:
        with sdk(server, here.admin_key) as client:
            time = {"time_of_generation_min": SINCE, "time_of_generation_max": UNTIL}
            client.analytics.groups.group_by(group_by="model", metadata='{"secret":"hush"}', **time)
        assert server.stop() in (0, -15)
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    requests = [line for line in lines if line.get("path", "").startswith("/v1/analytics")]
    assert requests
    assert {"request_id", "status", "duration_ms", "organisation_id", "api_key_id"} <= requests[0].keys()
    text = json.dumps(lines)
    assert here.admin_key not in text
    assert "hush" not in text

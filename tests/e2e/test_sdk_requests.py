"""Both unmodified SDKs ask a live server everything they can about analytics, logs, feedback and exports.

Each request is what was recorded of it: an SDK that asks otherwise is seen here first. The answers to the recorded
requests are held by `tests/contract/test_recorded_requests.py`, their numbers by `test_sdk_analytics.py`.
"""

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from portkey_ai import Portkey
from portkey_ai.api_resources.apis.feedback import Feedback
from portkey_ai.api_resources.apis.logs import Exports, Logs
from portkey_ai.api_resources.exceptions import BadRequestError

from api.permissions import KeyKind
from tests.e2e.test_sdk_analytics import GRAPH_METHODS, NODE_METHODS
from tests.factories import recorded
from tests.factories.app import Installation, installed
from tests.factories.gateway import PartMissing
from tests.factories.node_sdk import called
from tests.factories.parts import lacking
from tests.factories.recorded import Recorder, recording
from tests.factories.server import LiveServer, live_server
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch
from warehouse.engines.open import open_engine
from warehouse.storage.migrate import migrate

TIME = {"time_of_generation_min": "2026-03-27T00:00:00Z", "time_of_generation_max": "2026-03-31T23:59:59Z"}
FIELDS = ["id", "trace_id", "created_at", "ai_model", "cost"]
LOG: dict[str, Any] = {
    "request": {"url": "https://llm.example/v1/chat/completions", "body": {"model": "gpt-4o", "messages": []}},
    "response": {"status": 200, "body": {"model": "gpt-4o", "usage": {"prompt_tokens": 10, "completion_tokens": 2}}},
    "metadata": {"trace_id": "recorded", "_user": "ann"},
}


@dataclass(frozen=True)
class World:
    here: Installation
    server: LiveServer
    workspace_id: str
    key: str
    """Of that workspace."""


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    with installed(tmp_path) as here:
        place = here.workspace("Recorded", slug=recorded.SLUG).id
        generations, feedbacks = recorded.traffic(here)
        with closing(open_engine(here.settings.warehouse)) as engine:
            migrate(engine)
            engine.append(GENERATIONS, generations, Batch("recorded"))
            engine.append(FEEDBACKS, feedbacks, Batch("recorded"))
        with live_server(tmp_path) as server:
            yield World(here, server, place, here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=place))


def methods_of(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if callable(value) and not name.startswith("_")}


def hold(sdk: str, recorder: Recorder) -> None:
    """What was sent is what was sent before. With `UPDATE_GOLDENS=1` it is written down instead."""
    sent = recorder.requests()
    if os.environ.get("UPDATE_GOLDENS"):
        recorded.save(sdk, sent)
    asked = [
        (each["method"], each["path"], each["headers"], each["body"], each["status"]) for each in recorded.load(sdk)
    ]
    assert [(each.method, each.path, each.headers, each.body, each.status) for each in sent] == asked


def test_the_python_sdk_asks_what_was_recorded(world: World) -> None:
    with recording(world.server.url) as recorder:
        client = Portkey(api_key=world.key, base_url=f"{recorder.url}/v1")
        with closing(client), closing(client.openai_client):
            for method in GRAPH_METHODS:
                getattr(client.analytics.graphs, method)(**TIME, cost_max=7, workspace_slug=recorded.SLUG)
            groups = client.analytics.groups
            for method in ("users", "ai_models", "workspaces"):
                getattr(groups, method)(**TIME, page_size=5, include_total=True)
            groups.metadata(metadata_key="team", **TIME, current_page=0)
            groups.group_by(group_by="model", columns="cost,avg_tokens", order_by="cost", order_by_type="desc", **TIME)
            client.analytics.summary.cache(**TIME)
            export_python(client, recorder, world)
            client.logs.create(**LOG)
            given = client.feedback.create(trace_id="recorded", value=4, weight=0.5, metadata={"_user": "ann"})
            assert given.feedback_ids
            recorder.names[given.feedback_ids[0]] = "feedback"
            client.feedback.bulk_create(feedbacks=[{"trace_id": "a", "value": -2}, {"trace_id": "b", "value": 9}])
            client.feedback.update(feedback_id=given.feedback_ids[0], value=7)
        hold("python", recorder)
    assert methods_of(Feedback) == {"create", "bulk_create", "update"}
    assert methods_of(Logs) == {"create"}
    assert methods_of(Exports) == {"create", "retrieve", "update", "list", "start", "cancel", "download"}


def export_python(client: Portkey, recorder: Recorder, world: World) -> None:
    exports: Any = client.logs.exports
    recorder.names[world.workspace_id] = "workspace"
    asked = {"workspace_id": world.workspace_id, "requested_data": FIELDS}
    made = exports.create(filters={**TIME, "ai_model": "gpt-4o"}, description="all", **asked)
    recorder.names[made.id] = "export"
    exports.retrieve(export_id=made.id)
    exports.list(workspace_id=world.workspace_id)
    exports.update(export_id=made.id, filters=TIME, **asked)
    with pytest.raises(BadRequestError, match="draft"):
        exports.download(export_id=made.id)
    exports.start(export_id=made.id)
    exports.cancel(export_id=made.id)


def test_the_node_sdk_asks_what_was_recorded(world: World) -> None:
    listings = {"users": [], "aiModels": [], "workspaces": [], "metadata": ["team"], "groupedData": ["model"]}
    place = world.workspace_id
    asked = {"filters": TIME, "workspaceId": place, "requestedData": FIELDS}
    calls: list[tuple[str, list[Any]]] = [
        *((f"analytics.graphs.{name}", [{**TIME, "cost_max": 7}]) for name in NODE_METHODS),
        *((f"analytics.groups.{name}", [*first, {**TIME, "columns": "cost"}]) for name, first in listings.items()),
        ("analytics.summary.cache", [TIME]),
        ("logs.exports.create", [{**asked, "description": "all"}]),
        ("logs.create", [LOG]),
        ("feedback.create", [{"traceID": "recorded", "value": 4, "weight": 0.5, "metadata": {"_user": "ann"}}]),
        ("feedback.create", [[{"traceID": "a", "value": -2}, {"traceID": "b", "value": 9}]]),
    ]
    with recording(world.server.url) as recorder:
        recorder.names[place] = "workspace"
        answers = node(recorder, world, calls)
        export, feedback = answers[-4]["answer"]["id"], answers[-2]["answer"]["feedback_ids"][0]
        recorder.names |= {export: "export", feedback: "feedback"}
        one = [{"exportId": export}]
        node(
            recorder,
            world,
            [
                ("logs.exports.retrieve", one),
                ("logs.exports.list", [{"workspaceId": place}]),
                ("logs.exports.update", [{**asked, "exportId": export}]),
                ("logs.exports.start", one),
                ("logs.exports.cancel", one),
                ("feedback.update", [{"feedbackID": feedback, "value": 7}]),
            ],
        )
        [refused] = called(f"{recorder.url}/v1", world.key, [("logs.exports.download", one)])
        assert refused["status"] == 400
        hold("node", recorder)


def node(recorder: Recorder, world: World, calls: list[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    try:
        answers = called(f"{recorder.url}/v1", world.key, calls)
    except PartMissing as missing:
        lacking(missing)
    assert [answer for answer in answers if "answer" not in answer] == []
    return answers

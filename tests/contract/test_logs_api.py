"""`POST /logs` in every shape that clients send, and what is read of it. Source: dataplane contract 3.1, 3.2, 4.2."""

import gzip
import json
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed, serving

SECRET = "sk-hush-hush-hush-hush-1234567890"
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def log(**fields: Any) -> dict[str, Any]:
    """The log of the contract's worked example."""
    return {
        "request": {
            "url": "https://llm.example/v1/chat/completions",
            "provider": "openai",
            "method": "POST",
            "headers": {"Authorization": f"Bearer {SECRET}"},
            "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
        },
        "response": {"status": 200, "headers": {}, "body": {"model": "gpt-4o", "usage": USAGE}, "response_time": 210},
        "metadata": {"_user": "u1", "trace_id": "t1", "span_id": "s1", "span_name": "draft"},
        **fields,
    }


def eventually(check: Callable[[], Any], timeout_s: float = 60) -> Any:
    """What `check` returns once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


class World:
    """A running app, and keys of its first workspace."""

    def __init__(self, here: Installation, client: TestClient) -> None:
        self.here, self.client = here, client
        self.key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)

    def post(self, body: Any, **headers: str) -> Any:
        return self.client.post("/v1/logs", json=body, headers=auth(self.key) | headers)

    def is_drained(self) -> bool:
        return not self.client.app.state.services.spool.backlog()[0]  # type: ignore[attr-defined]

    def sent(self, body: Any, **headers: str) -> list[dict[str, Any]]:
        """The logs as `GET /logs/{id}` shows them, once they are there."""
        answer = self.post(body, **headers)
        assert answer.status_code == 200, answer.text
        ids = answer.json()["log_ids"]
        return [self.read(one) for one in ids]

    def read(self, log_id: str, key: str | None = None, **query: str) -> dict[str, Any]:
        def found() -> Any:
            answer = self.client.get(f"/v1/logs/{log_id}", params=query, headers=auth(key or self.key))
            return answer.json() if answer.status_code == 200 else None

        shown = eventually(found)
        assert shown, f"log {log_id} did not appear"
        return shown


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("logs")) as here, serving(here) as client:
        yield World(here, client)


def test_the_answer_is_the_decided_one(world: World) -> None:
    answer = world.post(log())
    assert answer.status_code == 200
    [log_id] = answer.json()["log_ids"]
    assert answer.json() == {
        "status": "success",
        "success": True,
        "message": "Logs successfully saved",
        "log_ids": [log_id],
    }


def test_a_log_can_be_read_with_its_bodies_and_its_price(world: World) -> None:
    [shown] = world.sent(log())
    assert shown["log_format"] == "full"
    assert shown["request"]["body"] == log()["request"]["body"]
    assert shown["response"]["body"]["usage"] == USAGE
    assert (shown["response"]["status"], shown["response"]["responseTime"]) == (200, 210)
    assert shown["organisation_id"] == world.here.first.organisation_id
    assert SECRET not in json.dumps(shown)
    metrics = shown["metrics"]
    assert (metrics["trace_id"], metrics["span_id"], metrics["span_name"]) == ("t1", "s1", "draft")
    assert (metrics["ai_org"], metrics["ai_model"], metrics["total_units"]) == ("openai", "gpt-4o", 12)
    assert metrics["cost"] == pytest.approx(5 * 0.00025 + 7 * 0.001)
    assert (metrics["metadata"], metrics["_user"], metrics["source"]) == ({"_user": "u1"}, "u1", "custom_log")
    assert metrics["log_store_file_path_format"] == "v2"


TRACED = {"trace_id": "tr", "span_id": "sp", "parent_span_id": "pa", "span_name": "na"}
CAMEL = {"traceId": "tr", "spanId": "sp", "parentSpanId": "pa", "spanName": "na"}


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": TRACED},
        {"metadata": CAMEL},
        {"metadata": json.dumps(CAMEL)},
        {**TRACED, "metadata": {}},
        {**CAMEL, "metadata": None},
    ],
    ids=["snake", "camel", "text", "top level", "top level camel"],
)
def test_tracing_in_every_spelling(world: World, fields: dict[str, Any]) -> None:
    [shown] = world.sent(log(**fields))
    assert {name: shown["metrics"][name] for name in TRACED} == TRACED
    assert shown["metrics"]["metadata"] == {}


@pytest.mark.parametrize("parent", ["", "None", None])
def test_a_root_by_any_name(world: World, parent: str | None) -> None:
    [shown] = world.sent(log(metadata={}, trace_id="root-trace", parent_span_id=parent))
    assert (shown["metrics"]["trace_id"], shown["metrics"]["parent_span_id"]) == ("root-trace", None)


def test_a_log_without_a_trace_is_one(world: World) -> None:
    [shown] = world.sent(log(metadata={}))
    assert shown["metrics"]["trace_id"] == shown["_id"]


def test_headers_fill_what_the_log_leaves_out(world: World) -> None:
    headers = {
        "x-portkey-virtual-key": "openai-main",
        "x-portkey-provider": "openai",
        "x-portkey-package-version": "portkey-2.3.0",
        "x-portkey-runtime": "cpython",
        "x-portkey-runtime-version": "3.11",
        "x-portkey-metadata": '{"team":"search","_user":"of the header"}',
        "x-portkey-config": "pc-fallback",
        "baggage": "region=eu%20west,team=lost",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    bare = log(metadata={"_user": "u9"})
    del bare["request"]["provider"]
    [shown] = world.sent(bare, **headers)
    metrics = shown["metrics"]
    expected = {
        "virtual_key": "openai-main",
        "ai_org": "openai",
        "sdk_version": "portkey-2.3.0",
        "runtime": "cpython",
        "runtime_version": "3.11",
        "config": "pc-fallback",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "parent_span_id": "b7ad6b7169203331",
        "span_name": "POST /v1/logs",
        "metadata": {"_user": "u9", "region": "eu west", "team": "search"},
    }
    assert {name: metrics[name] for name in expected} == expected


def test_what_the_log_says_of_its_trace_wins_over_headers(world: World) -> None:
    [shown] = world.sent(log(), **{"x-portkey-trace-id": "of the header", "x-portkey-span-id": "of the header"})
    assert (shown["metrics"]["trace_id"], shown["metrics"]["span_id"]) == ("t1", "s1")


@pytest.mark.parametrize(("sent", "time_ms"), [("0042", 42), (42, 42), (42.9, 42), ("soon", None), (None, None)])
def test_times_as_handlers_send_them(world: World, sent: object, time_ms: int | None) -> None:
    fields = {"start_time": 1775126400.123, "response": {"body": {}, "response_time": sent, "status": "200"}}
    [shown] = world.sent(log(**fields))
    assert shown["metrics"]["response_time"] == time_ms
    assert shown["created_at"] == shown["metrics"]["created_at"] == "2026-04-02T10:40:00.123Z"


def test_an_instant_that_is_none_is_now(world: World) -> None:
    for start in (0.17, "yesterday", 1e30, {"a": 1}):
        [shown] = world.sent(log(start_time=start))
        assert shown["created_at"] == "2026-04-02T12:30:00.000Z"


def test_an_array_takes_chains_and_tools(world: World) -> None:
    items = [
        log(),
        {"request": {"name": "retriever", "input": {"query": "x"}}, "response": {"documents": ["a"], "status": {}}},
        {"request": {"serialized": {"id": ["x"]}, "url": 3, "body": "text"}, "response": {"body": [1, 2]}},
        {"request": {}, "response": {}, "metadata": "", "trace_id": {"a": 1}, "provider": ["x"]},
        log(response={"body": {"model": ["odd"], "usage": None}, "streamingMode": True}),
    ]
    shown = world.sent(items)
    assert [one["metrics"]["response_status_code"] for one in shown] == [200] * 5
    assert shown[1]["request"]["input"] == {"query": "x"}
    assert shown[1]["response"]["documents"] == ["a"]
    assert shown[4]["metrics"]["stream_mode"] is True
    assert len({one["_id"] for one in shown}) == 5


def test_usage_of_other_providers(world: World) -> None:
    usage = {"input_tokens": 10, "output_tokens": 4, "cache_read_input_tokens": 90}
    request = {"url": "https://api.anthropic.com/v1/messages", "body": {"model": "claude-sonnet-4-5"}}
    [shown] = world.sent(log(request=request, response={"body": {"usage": usage}}))
    metrics = shown["metrics"]
    assert (metrics["ai_org"], metrics["ai_model"]) == ("anthropic", "claude-sonnet-4-5")
    assert (metrics["req_units"], metrics["res_units"], metrics["cache_read_tokens"]) == (100, 4, 90)


def test_who_wants_no_bodies_kept_has_none(world: World) -> None:
    [shown] = world.sent(log(), **{"x-portkey-debug": "false"})
    assert shown["metrics"]["total_units"] == 12
    assert set(shown["request"]) == {"url", "provider", "method"}
    assert "body" not in shown["response"]


def test_a_log_says_nothing_of_whose_it_is(world: World) -> None:
    claims = {
        "_id": "mine", "id": "mine", "organisation_id": "other", "workspace_slug": "other", "api_key_id": "other",
        "user_id": "other", "metrics": {"cost": 0, "organisation_id": "other"},
        "gateledger_sent": {"trace_id": "x"}, "log_store_file_path_format": "v1",
    }  # fmt: skip
    [shown] = world.sent(log(**claims))
    metrics = shown["metrics"]
    assert shown["_id"] != "mine"
    assert shown["organisation_id"] == world.here.first.organisation_id
    assert metrics["workspace_slug"] == world.here.first.workspace_slug
    assert (metrics["user_id"], metrics["trace_id"]) == (None, "t1")
    assert metrics["api_key_id"] not in (None, "other")
    assert metrics["cost"] > 0


def test_compressed_bodies(world: World) -> None:
    body = gzip.compress(json.dumps([log(), log()]).encode())
    headers = auth(world.key) | {"content-encoding": "gzip", "content-type": "application/json"}
    answer = world.client.post("/v1/logs", content=body, headers=headers)
    assert len(answer.json()["log_ids"]) == 2


def without(half: str, name: str) -> dict[str, Any]:
    item = log()
    del item[half][name]
    return item


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (without("request", "url"), "request.url"),
        (without("request", "body"), "request.body"),
        (without("response", "body"), "response.body"),
        ({"request": {}}, "response: an object"),
        ([log(), {"request": {}}], "[1].response"),
        ([log(metadata=[1])], "[0].metadata"),
        ([log(metadata="{")], "[0].metadata"),
        ([3], "[0]."),
        ("text", "must be a log object"),
        ([], "From 1 to 1000"),
        ([log()] * 1001, "not 1001"),
    ],
)
def test_what_is_no_log_is_refused_whole(world: World, body: Any, says: str) -> None:
    answer = world.post(body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["data"]["errorCode"] == "AB01"
    assert says in answer.json()["data"]["message"]


def test_a_body_that_is_no_json_is_refused(world: World) -> None:
    for content in (b"", b"{", b"[" * 100_000, b'{"request":' + b'{"a":' * 300 + b"1" + b"}" * 301):
        answer = world.client.post("/v1/logs", content=content, headers=auth(world.key))
        assert answer.status_code == 400, content[:20]


def test_a_thousand_at_once(world: World) -> None:
    ids = world.post([log(metadata={"batch": "thousand"})] * 1000).json()["log_ids"]
    assert len(set(ids)) == 1000
    query = {"metadata": '{"batch":"thousand"}', "page_size": "1"}

    def all_there() -> bool:
        return world.client.get("/v1/logs", params=query, headers=auth(world.key)).json()["total"] == 1000

    assert eventually(all_there)
    assert world.read(ids[-1])["request"]["body"]["model"] == "gpt-4o"


def test_a_log_that_is_absent_or_elsewhere(world: World) -> None:
    other = world.here.workspace("Elsewhere")
    key = world.here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=other.id)
    [log_id] = world.post(log()).json()["log_ids"]
    world.read(log_id)
    for path in ("logs", "generations"):
        missing = world.client.get(f"/v1/{path}/absent", headers=auth(world.key))
        assert (missing.status_code, missing.json()["data"]["errorCode"]) == (404, "AB08")
        foreign = world.client.get(f"/v1/{path}/{log_id}", headers=auth(key))
        assert (foreign.status_code, foreign.json()["data"]["errorCode"]) == (403, "AB03")
        assert world.client.get(f"/v1/{path}/{log_id}", headers=auth(world.here.key())).status_code == 200
    stranger = world.here.key(organisation_id=world.here.organisation("Stranger"))
    assert world.client.get(f"/v1/logs/{log_id}", headers=auth(stranger)).status_code == 404


def test_hints_are_optional_and_checked(world: World) -> None:
    [shown] = world.sent(log())
    for query in (
        {"path_format": "v1"},
        {"path_format": "v2", "created_at": shown["created_at"]},
        {"created_at": "2020-01-01"},
    ):
        assert world.read(shown["_id"], **query)["log_format"] == "full"
    for query in ({"path_format": "v9"}, {"created_at": "soon"}, {"type": "odd"}):
        answer = world.client.get(f"/v1/logs/{shown['_id']}", params=query, headers=auth(world.key))
        assert answer.status_code == 400, query
    hooks = world.client.get(f"/v1/logs/{shown['_id']}", params={"type": "hooks"}, headers=auth(world.key))
    assert hooks.status_code == 404


def test_a_row_without_a_log_object_tells_what_is_known(world: World) -> None:
    row = {
        "id": "metrics-only",
        "created_at": "2026-04-01T10:00:00.000Z",
        "ai_org": "openai",
        "ai_model": "gpt-4o",
        "request_url": "https://api.openai.com/v1/chat/completions",
        "response_status_code": 429,
        "response_time": 12,
    }
    assert world.client.post("/v1/ingest/generations", json=row, headers=auth(world.key)).status_code == 200
    shown = world.read("metrics-only")
    assert shown["log_format"] == "metrics"
    assert shown["request"] == {"url": row["request_url"], "method": None}
    assert shown["response"] == {"status": 429, "responseTime": 12}


def test_log_objects_of_a_gateway_are_kept_too(world: World) -> None:
    sent = log(_id="of-a-gateway", created_at="2026-04-01T10:00:00Z")
    assert world.client.post("/v1/ingest/logs", json=sent, headers=auth(world.key)).status_code == 200
    hook = {
        "request": {"json": {"model": "gpt-4o", "messages": []}, "headers": {}},
        "response": {"json": {"model": "gpt-4o", "usage": USAGE}, "statusCode": 200},
        "provider": "openai",
        "requestType": "chatComplete",
    }
    [hook_id] = world.client.post("/v1/ingest/hook", json=hook, headers=auth(world.key)).json()["log_ids"]
    assert world.read("of-a-gateway")["request"]["body"] == sent["request"]["body"]
    assert world.read(hook_id)["response"]["body"] == hook["response"]["json"]


def test_nobody_writes_over_a_log_that_is_kept(world: World) -> None:
    first = log(_id="kept-once", created_at="2026-04-01T10:00:00Z")
    second = log(_id="kept-once", created_at="2026-04-01T10:00:00Z", response={"body": "another"})
    for one in (first, second):
        assert world.client.post("/v1/ingest/logs", json=one, headers=auth(world.key)).status_code == 200
        assert world.read("kept-once")["response"]["body"] == first["response"]["body"]
        assert eventually(world.is_drained)
    assert world.read("kept-once")["response"]["body"] == first["response"]["body"]


@pytest.mark.parametrize(
    ("settings", "bodies", "metadata", "status"),
    [
        ({"membersViewLogs": True, "membersViewLogMetadata": True}, True, True, 200),
        ({"membersViewLogs": False, "membersViewLogMetadata": True}, False, True, 200),
        ({"membersViewLogs": True, "membersViewLogMetadata": False}, True, False, 200),
        ({"membersViewLogs": False, "membersViewLogMetadata": False}, False, False, 403),
    ],
)
def test_what_a_member_sees_of_a_log(
    tmp_path: Path, settings: dict[str, bool], bodies: bool, metadata: bool, status: int
) -> None:
    with installed(tmp_path, key_cache_s=0) as here, serving(here) as client:
        world = World(here, client)
        member = here.colleague("member@acme.example", here.first.workspace_id)
        key = here.key(KeyKind.WORKSPACE_USER, workspace_id=here.first.workspace_id, user_id=member)
        answer = client.put(
            "/v1/admin/organisation", json={"security_settings": settings}, headers=auth(here.admin_key)
        )
        assert answer.status_code == 200, answer.text
        [shown] = world.sent(log(extra={"said": "hello"}, originalResponse={"body": "secret"}))
        answer = client.get(f"/v1/logs/{shown['_id']}", headers=auth(key))
        assert answer.status_code == status
        if status == 200:
            assert ("body" in answer.json()["request"]) is bodies
            assert ("originalResponse" in answer.json()) is bodies
            assert ("extra" in answer.json()) is bodies
            assert ("metrics" in answer.json()) is metadata
            assert ("metadata" in answer.json()) is metadata
        assert client.get("/v1/logs", headers=auth(key)).status_code == (200 if metadata else 403)

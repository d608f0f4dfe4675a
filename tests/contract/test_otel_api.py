"""OTLP over HTTP in both encodings, and what becomes of spans. Source: dataplane contract 3.4."""

import gzip
import json
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed, serving

TRACE = "5b8efff798038103d269b633813fc60c"
START_NS = 1775126400123456789
OLD = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.prompt_tokens": 1000,
    "gen_ai.usage.completion_tokens": 200,
}
NEW = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-latest",
    "gen_ai.response.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 200,
    "gen_ai.usage.cache_read.input_tokens": 400,
}


def value(of: object) -> dict[str, Any]:
    """A value as OTLP's JSON has it."""
    match of:
        case bool():
            return {"boolValue": of}
        case int():
            return {"intValue": str(of)}
        case float():
            return {"doubleValue": of}
        case list():
            return {"arrayValue": {"values": [value(one) for one in of]}}
        case dict():
            return {"kvlistValue": {"values": attributes(of)}}
        case _:
            return {"stringValue": of}


def attributes(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(one)} for key, one in of.items()]


def span(number: int, of: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "name": f"span {number}",
        "kind": 3,
        "startTimeUnixNano": str(START_NS + number * 1000),
        "endTimeUnixNano": str(START_NS + 1_234_000_000 + number * 1000),
        "attributes": attributes(of),
        **fields,
    }


def export(*spans: dict[str, Any], resource: dict[str, Any] | None = None) -> dict[str, Any]:
    scope = {"scope": {"name": "tests", "version": "1"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": attributes(resource or {})}, "scopeSpans": [scope]}]}


def protobuf(request: dict[str, Any]) -> bytes:
    """The same request in the other encoding; ids are hexadecimal in one, bytes in the other."""
    message = json_format.ParseDict(request, ExportTraceServiceRequest())
    for of_resource in message.resource_spans:
        for of_scope in of_resource.scope_spans:
            sent = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
            for one, told in zip(of_scope.spans, sent, strict=True):
                one.trace_id, one.span_id = bytes.fromhex(told["traceId"]), bytes.fromhex(told["spanId"])
                one.parent_span_id = bytes.fromhex(told.get("parentSpanId", ""))
    return message.SerializeToString()


class World:
    def __init__(self, here: Installation, client: TestClient, key: str) -> None:
        self.here, self.client, self.key = here, client, key

    def post(
        self, body: bytes, content_type: str = "application/json", path: str = "/v1/otel/v1/traces", **more: str
    ) -> Any:
        headers = auth(self.key) | {"content-type": content_type} | more
        return self.client.post(path, content=body, headers=headers)

    def rows(self, **query: str) -> list[dict[str, Any]]:
        answer = self.client.get("/v1/logs", params=query, headers=auth(self.key))
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def stored(self, request: dict[str, Any], count: int = 1) -> list[dict[str, Any]]:
        """The rows of an export of one trace, once they are there, by span name."""
        [scope] = request["resourceSpans"][0]["scopeSpans"]
        trace = scope["spans"][0]["traceId"]
        assert self.post(json.dumps(request).encode()).status_code == 200
        found = eventually(lambda: rows if len(rows := self.rows(trace_id=trace)) >= count else None)
        assert found, "the spans did not appear"
        return sorted(found, key=lambda row: row["span_name"])


def eventually(check: Callable[[], Any], timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    with installed(tmp_path_factory.mktemp("otel")) as here, serving(here) as client:
        yield World(here, client, here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id))


@pytest.mark.parametrize("path", ["/v1/otel/v1/traces", "/v1/logs/otel/v1/traces"])
def test_both_encodings_and_gzip_are_the_same_spans(world: World, path: str) -> None:
    trace = f"{len(path):032x}"
    request = export(
        span(1, NEW, traceId=trace, parentSpanId=f"{9:016x}"), span(2, {"http.method": "GET"}, traceId=trace)
    )
    in_json, in_protobuf = json.dumps(request).encode(), protobuf(request)
    for body, content_type in ((in_json, "application/json"), (in_protobuf, "application/x-protobuf")):
        for packed, more in ((body, {}), (gzip.compress(body), {"content-encoding": "gzip"})):
            answer = world.post(packed, content_type, path, **more)
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"].startswith(content_type)
            if content_type == "application/json":
                partial = answer.json()["partialSuccess"]
                assert partial == {
                    "rejectedSpans": "1",
                    "errorMessage": "1 spans without gen_ai attributes are not kept",
                }
            else:
                assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    eventually(lambda: not world.client.app.state.services.spool.backlog()[0])  # type: ignore[attr-defined]
    [row] = world.rows(trace_id=trace)
    assert (row["trace_id"], row["span_id"], row["parent_span_id"]) == (trace, f"{1:016x}", f"{9:016x}")
    assert (row["created_at"], row["response_time"]) == ("2026-04-02T10:40:00.123Z", 1234)


def test_an_export_that_is_kept_whole_is_answered_by_nothing(world: World) -> None:
    request = export(span(1, OLD, traceId=f"{77:032x}"))
    assert world.post(json.dumps(request).encode()).json() == {}
    assert world.post(protobuf(request), "application/x-protobuf").content == b""
    assert world.post(b"{}").json() == {}
    assert world.post(b"", "application/x-protobuf").content == b""


def test_old_and_new_conventions_are_priced(world: World) -> None:
    trace = f"{101:032x}"
    old, new = world.stored(export(span(1, OLD, traceId=trace), span(2, NEW, traceId=trace)), 2)
    assert (old["ai_org"], old["ai_model"], old["req_units"], old["res_units"]) == ("openai", "gpt-4o", 1000, 200)
    assert old["cost"] == pytest.approx(1000 * 0.00025 + 200 * 0.001)
    assert (new["ai_model"], new["cache_read_tokens"], new["uncached_input_tokens"]) == ("gpt-4o", 400, 600)
    assert new["cost"] == pytest.approx(0.40)
    assert (old["source"], old["is_success"], old["response_status_code"]) == ("otel", True, 200)


@pytest.mark.parametrize(
    ("named", "slug"),
    [
        ("aws.bedrock", "bedrock"),
        ("az.ai.openai", "azure-openai"),
        ("gcp.gemini", "google"),
        ("Anthropic", "anthropic"),
    ],
)
def test_providers_get_our_names(world: World, named: str, slug: str) -> None:
    trace = named.encode().hex().zfill(32)[-32:]
    [row] = world.stored(export(span(1, {"gen_ai.system": named, "gen_ai.request.model": "m"}, traceId=trace)))
    assert row["ai_org"] == slug


def test_failures_users_environments_and_metadata(world: World) -> None:
    trace = f"{102:032x}"
    told = {
        **NEW,
        "error.type": "429",
        "user.id": "ann",
        "gen_ai.conversation.id": "c1",
        "metadata.team": "search",
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "gen_ai.output.messages": '[{"role":"assistant"}]',
    }
    event = {"name": "gen_ai.choice", "attributes": attributes({"index": 0, "message": {"content": "secret"}})}
    request = export(
        span(1, told, traceId=trace, status={"code": 2, "message": "slow down"}, events=[event]),
        resource={"service.name": "shop", "deployment.environment.name": "prod"},
    )
    [row] = world.stored(request)
    assert (row["is_success"], row["response_status_code"], row["_user"], row["_environment"]) == (
        False,
        429,
        "ann",
        "prod",
    )
    assert row["metadata"] == {
        "service.name": "shop", "gen_ai.operation.name": "chat", "gen_ai.conversation.id": "c1", "error.type": "429",
        "team": "search", "_user": "ann", "_environment": "prod",
    }  # fmt: skip
    shown = world.client.get(f"/v1/logs/{row['id']}", headers=auth(world.key)).json()
    assert shown["request"]["body"]["gen_ai.input.messages"] == told["gen_ai.input.messages"]
    assert shown["response"]["body"]["gen_ai.output.messages"] == told["gen_ai.output.messages"]
    assert shown["response"]["body"]["events"][0]["attributes"]["message"] == {"content": "secret"}
    assert "gen_ai.output.messages" not in shown["request"]["body"]


def test_what_is_around_models_counts_no_tokens_twice(world: World) -> None:
    trace = f"{103:032x}"
    agent = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "a",
        **{k: v for k, v in NEW.items() if "usage" in k},
    }
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}
    parent = f"{1:016x}"
    request = export(
        span(1, agent, traceId=trace),
        span(2, NEW, traceId=trace, parentSpanId=parent),
        span(3, tool, traceId=trace, parentSpanId=parent, startTimeUnixNano=str(START_NS + 5_000_000)),
    )
    rows = world.stored(request, 3)
    assert [row["total_units"] for row in rows] == [None, 1200, None]
    assert [row["cost"] for row in rows] == [0, pytest.approx(0.40), 0]
    tree = world.client.get(f"/v1/traces/{trace}", headers=auth(world.key)).json()
    assert (tree["span_count"], tree["total_tokens"], tree["unpriced_requests"]) == (3, 1200, 0)
    [root] = tree["spans"]
    assert (root["span_name"], [child["span_name"] for child in root["children"]]) == ("span 1", ["span 2", "span 3"])


def test_events_that_tell_usage_are_requests_once(world: World) -> None:
    record = {
        "timeUnixNano": str(START_NS),
        "traceId": f"{104:032x}",
        "spanId": f"{1:016x}",
        "eventName": "gen_ai.client.inference.operation.details",
        "attributes": attributes(NEW),
    }
    other = {"timeUnixNano": str(START_NS), "body": {"stringValue": "hello"}}
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, other]}]}]}
    for path in ("/v1/otel/v1/logs", "/v1/logs/otel/v1/logs"):
        answer = world.post(json.dumps(request).encode(), path=path)
        assert answer.json()["partialSuccess"]["rejectedLogRecords"] == "1"
    [row] = eventually(lambda: world.rows(trace_id=record["traceId"]))
    assert (row["ai_model"], row["total_units"]) == ("gpt-4o", 1200)


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (b"\x01\x02\x03", "application/x-protobuf", "no OTLP application/x-protobuf"),
        (b"{", "application/json", "no OTLP application/json"),
        (b'"plain"', "application/json", "it is no JSON object"),
        (b"[]", "application/json", "it is no JSON object"),
        (b'{"resourceSpans":3}', "application/json", "no OTLP application/json"),
        (b"{}", "text/plain", "allowed: application/x-protobuf"),
    ],
)
def test_what_is_no_export_is_refused(world: World, body: bytes, content_type: str, says: str) -> None:
    answer = world.post(body, content_type)
    assert answer.status_code == 400
    assert says in answer.json()["data"]["message"]


def test_unknown_fields_and_odd_values_are_no_harm(world: World) -> None:
    trace = f"{105:032x}"
    odd = {**NEW, "gen_ai.usage.input_tokens": "1000", "deep": {"a": {"b": [1, 2.5, True]}}, "http.status_code": "abc"}
    request = export(span(1, odd, traceId=trace, startTimeUnixNano="0", endTimeUnixNano="0"))
    request["resourceSpans"][0]["futureField"] = {"x": 1}
    [row] = world.stored(request)
    assert (row["created_at"], row["response_time"], row["req_units"]) == ("2026-04-02T12:30:00.000Z", None, 1000)

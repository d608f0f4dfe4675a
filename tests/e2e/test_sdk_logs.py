"""Logs by the unmodified SDK and by the real OpenTelemetry exporter, against a live server."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode
from portkey_ai import Portkey
from portkey_ai.api_resources.apis.logger import Logger
from portkey_ai.api_resources.exceptions import BadRequestError

from api.permissions import KeyKind
from tests.factories.app import Installation, auth, installed
from tests.factories.server import LiveServer, live_server

REQUEST = {"url": "https://api.openai.com/v1/chat/completions", "body": {"model": "gpt-4o", "messages": []}}
RESPONSE = {"status": 200, "body": {"usage": {"prompt_tokens": 1000, "completion_tokens": 200}}, "response_time": 12}


@dataclass(frozen=True)
class World:
    here: Installation
    server: LiveServer
    key: str

    def get(self, path: str, **query: str) -> Any:
        return httpx.get(f"{self.server.url}/v1/{path}", params=query, headers=auth(self.key), timeout=30).json()

    def rows(self, count: int, **query: str) -> list[dict[str, Any]]:
        """At least so many logs, once they are there."""
        found = eventually(lambda: rows if len(rows := self.get("logs", **query)["data"]) >= count else None)
        assert found, f"fewer than {count} logs: {query}"
        return found


def eventually(check: Callable[[], Any], timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := check()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    home: Path = tmp_path_factory.mktemp("sdk-logs")
    with installed(home) as here, live_server(home) as server:
        yield World(here, server, here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id))


def test_logs_create(world: World) -> None:
    sdk = Portkey(
        api_key=world.key, base_url=f"{world.server.url}/v1", virtual_key="openai-main", metadata={"team": "search"}
    )
    with closing(sdk), closing(sdk.openai_client):
        answer = sdk.logs.create(
            request=REQUEST, response=RESPONSE, metadata={"trace_id": "of-the-sdk", "_user": "ann"}
        )
        with pytest.raises(BadRequestError, match=r"request\.url"):
            sdk.logs.create(request={"body": {}}, response=RESPONSE)
    [row] = world.rows(1, trace_id="of-the-sdk")
    told = answer.json()
    assert (told["status"], told["log_ids"]) == ("success", [row["id"]])
    assert row["cost"] == pytest.approx(1000 * 0.00025 + 200 * 0.001)
    assert (row["virtual_key"], row["_user"]) == ("openai-main", "ann")
    assert row["metadata"] == {"_user": "ann", "team": "search"}
    assert row["sdk_version"].startswith("portkey-")
    assert row["runtime"]
    shown = world.get(f"logs/{row['id']}")
    assert shown["request"]["body"] == REQUEST["body"]
    assert shown["response"]["body"] == RESPONSE["body"]


def test_the_logger_of_the_handlers(world: World) -> None:
    """What the SDK's LangChain and LlamaIndex handlers send: arrays, padded times, tracing at the top level."""
    logger = Logger(api_key=world.key, base_url=f"{world.server.url}/v1")
    common = {"trace_id": "of-a-handler", "start_time": time.time(), "metadata": {"_user": "zoë"}}
    chain = {
        **common,
        "request": {"method": "POST", "url": "https://api.portkey.ai", "provider": "langchain", "body": {}},
        "response": {"status": 200, "headers": {}, "body": {"x": 1}, "response_time": "0042", "streamingMode": False},
        "span_id": "chain", "parent_span_id": "", "span_name": "chain",
    }  # fmt: skip
    call = {
        **common, "request": REQUEST, "response": RESPONSE,
        "span_id": "call", "parent_span_id": "chain", "span_name": "llm",
    }  # fmt: skip
    assert logger.log([chain, call]).status_code == 200
    assert logger.log({**call, "span_id": "alone", "parent_span_id": "None"}).status_code == 200
    world.rows(3, trace_id="of-a-handler")
    tree = world.get("traces/of-a-handler")
    assert (tree["span_count"], tree["total_tokens"], tree["error_count"]) == (3, 2400, 0)
    chain_root = next(root for root in tree["spans"] if root["span_id"] == "chain")
    assert chain_root["response_time"] == 42
    assert [child["span_id"] for child in chain_root["children"]] == ["call"]
    assert {root["span_id"] for root in tree["spans"]} == {"chain", "alone"}


@pytest.mark.parametrize("path", ["otel/v1/traces", "logs/otel/v1/traces"])
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_spans_of_the_real_exporter(world: World, path: str, compression: Compression) -> None:
    exporter = OTLPSpanExporter(
        f"{world.server.url}/v1/{path}", headers={"x-portkey-api-key": world.key}, compression=compression
    )
    results: list[SpanExportResult] = []
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(_Told(exporter, results)))
    tracer = provider.get_tracer("tests")
    usage = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 200}
    named = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.operation.name": "chat"}
    agent = {"gen_ai.operation.name": "invoke_agent"}
    with (
        tracer.start_as_current_span("POST /chat") as outer,
        tracer.start_as_current_span("invoke_agent shop", attributes=agent),
    ):
        with tracer.start_as_current_span("chat gpt-4o", attributes={**named, **usage}):
            pass
        with tracer.start_as_current_span("chat gpt-4o again", attributes=named) as failed:
            failed.set_status(Status(StatusCode.ERROR, "no luck"))
    provider.shutdown()
    assert results == [SpanExportResult.SUCCESS] * 4
    trace = f"{outer.get_span_context().trace_id:032x}"
    world.rows(3, trace_id=trace)
    tree = world.get(f"traces/{trace}")
    assert (tree["span_count"], tree["total_tokens"], tree["error_count"]) == (3, 1200, 1)
    assert tree["total_cost"] == pytest.approx(1000 * 0.00025 + 200 * 0.001)
    [root] = tree["spans"]
    # Its parent is a span about no model, which is not kept.
    assert (root["span_name"], root["is_orphan"]) == ("invoke_agent shop", True)
    assert [child["span_name"] for child in root["children"]] == ["chat gpt-4o", "chat gpt-4o again"]
    [line] = world.get("traces", trace_id=trace)["data"]
    assert (line["requests"], line["status"], line["metadata"]["service.name"]) == (3, "error", "shop")


class _Told(SpanExporter):
    """The real exporter, and what it says of each export."""

    def __init__(self, exporter: OTLPSpanExporter, results: list[SpanExportResult]) -> None:
        self._exporter, self._results = exporter, results

    def export(self, spans: Any) -> SpanExportResult:
        result = self._exporter.export(spans)
        self._results.append(result)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

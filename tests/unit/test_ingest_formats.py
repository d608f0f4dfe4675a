"""Log objects, the hook, feedback and the quarantine as sources."""

import json
from datetime import datetime
from decimal import Decimal

import pytest

from tests.factories.records import ACME, NOW, batch_of, lines, log_object, metric, reasons, rows_of
from warehouse.ingest.credentials import without_credentials
from warehouse.ingest.formats.log_objects import option_index
from warehouse.ingest.providers import model_of, provider_of, region_of
from warehouse.ingest.quarantine import entry


def one(record, **options):
    batch = batch_of(lines(record), **options)
    assert reasons(batch) == []
    [row] = rows_of(batch)
    return row


def test_a_log_object_becomes_a_row() -> None:
    row = one(log_object())
    assert (row["ai_org"], row["ai_model"]) == ("openai", "gpt-4o-mini")
    assert (row["req_units"], row["res_units"], row["total_units"]) == (9, 4, 13)
    assert (row["response_time"], row["response_status_code"], row["is_success"]) == (517, 200, True)
    assert (row["cache_status"], row["retry_success_count"], row["last_used_option_index"]) == ("MISS", 1, 2)
    assert row["trace_id"] == "trace-1"
    assert row["workspace_slug"] == "main"
    assert row["cost"] == Decimal("0.017")


def test_a_pretty_log_object_and_an_array_of_them() -> None:
    assert len(rows_of(batch_of(json.dumps(log_object(), indent=4).encode()))) == 1
    both = [log_object(), log_object(_id="10000000-0000-4000-8000-000000000002")]
    assert len(rows_of(batch_of(json.dumps(both).encode()))) == 2


def test_camel_case_fields_and_the_analytics_row_within() -> None:
    record = {
        "id": "camel",
        "createdAt": "2026-05-01T00:00:00Z",
        "organisationId": "acme",
        "workspaceSlug": "search",
        "request": {"url": "chat/completions", "provider": "openai", "body": {"model": "gpt-4o", "stream": True}},
        "response": {"statusCode": 503, "response_time": "0042", "body": {}},
        "metrics": {"ai_org": "azure-openai", "cost": 3, "_user": "ann", "is_success": 0},
    }
    row = one(record)
    assert (row["id"], row["workspace_slug"], row["stream_mode"], row["is_success"]) == ("camel", "search", True, False)
    assert (row["ai_org"], row["ai_model"], row["response_time"]) == ("azure-openai", "gpt-4o", 42)
    assert (row["reported_cost"], row["_user"]) == (Decimal(3), "ann")


def test_the_metadata_of_a_custom_log_fills_its_columns() -> None:
    told = {"traceId": "t", "span_id": "s", "parentSpanId": "None", "spanName": "draft", "user": "ann", "team": "a"}
    row = one(log_object(metadata=told))
    # The gateway's own header names the trace already.
    assert (row["trace_id"], row["span_id"], row["span_name"], row["_user"]) == ("trace-1", "s", "draft", "ann")
    assert "parent_span_id" not in row
    assert dict(zip(row["metadata.key"], row["metadata.value"], strict=True)) == {
        "user": "ann",
        "team": "a",
        "_user": "ann",
    }


def test_the_user_of_the_body_is_the_user_unless_metadata_names_one() -> None:
    request = {"url": "https://api.openai.com/v1/x", "body": {"model": "gpt-4o", "user": "body-user"}}
    assert one(log_object(request=request))["_user"] == "body-user"
    assert one(log_object(request=request, metadata={"_user": "ann"}))["_user"] == "ann"


def test_streams_images_and_tiers_of_log_objects() -> None:
    stream = [{"model": "gpt-4o", "choices": []}, {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}]
    assert one(log_object(response={"status": 200, "body": stream}))["res_units"] == 2
    image = log_object(
        request={"url": "https://api.openai.com/v1/images/generations", "body": {"model": "gpt-4o", "quality": "hd"}},
        response={"status": 200, "body": {"created": 1, "data": [{"url": "x"}, {"url": "y"}]}},
    )
    assert one(image)["generated_images"] == 2


def test_a_log_object_without_bodies_has_no_usage() -> None:
    row = one(log_object(request={"url": "https://api.anthropic.com/v1/messages"}, response={"status": 200}))
    assert (row["ai_org"], row.get("req_units"), row["unpriced_reason"] != "") == ("anthropic", None, True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"response": "x"}, "response is not an object"),
        ({"_id": 5}, "id is not text"),
        ({"created_at": None}, "created_at is missing"),
        ({"response": {"body": {"usage": {"prompt_tokens": -1}}}}, "usage is negative"),
        ({"response": {"body": {"usage": {"prompt_tokens": "x"}}}}, "usage is not a whole number"),
        ({"organisation_id": "nobody"}, "unknown organisation"),
        ({"metadata": 7}, "metadata is not an object"),
    ],
)
def test_a_wrong_log_object_is_refused(changes, reason) -> None:
    batch = batch_of(lines(log_object(), log_object(**{"_id": "two", **changes})), form="log_objects")
    assert reasons(batch) == [reason]
    assert len(rows_of(batch)) == 1


@pytest.mark.parametrize(
    ("url", "provider", "model", "region"),
    [
        ("https://api.openai.com/v1/chat/completions", "openai", None, None),
        (
            "https://x.openai.azure.com/openai/deployments/my-gpt/chat/completions?api-version=1",
            "azure-openai",
            "my-gpt",
            None,
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent",
            "google",
            "gemini-2.5-pro",
            None,
        ),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
            "bedrock",
            "anthropic.claude-3-haiku-20240307-v1:0",
            "us-east-1",
        ),
        ("https://us-east5-aiplatform.googleapis.com/v1/x", "vertex-ai", None, "us-east5"),
        ("https://llm.example/v1/chat/completions", None, None, None),
        ("chat/completions", None, None, None),
        ("https://[broken", None, None, None),
        (None, None, None, None),
    ],
)
def test_what_an_url_tells(url, provider, model, region) -> None:
    assert (provider_of(url), region_of(url)) == (provider, region)
    if url is None or "broken" not in url:
        assert model_of(url) == model


def test_the_routing_target_of_a_path() -> None:
    assert [option_index(p) for p in ("$.config.targets[0]", "$.config.targets[1].targets[3]", "config", None)] == [
        "0",
        "3",
        None,
        None,
    ]


def hook(**changes):
    """A payload of default.log of @portkey-ai/gateway 1.15.2, as it was seen on the wire."""
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 12,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    return {
        "request": {
            "json": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
            "text": "Hi",
            "isStreamingRequest": False,
            "isTransformed": False,
            "headers": {
                "authorization": "Bearer sk-live-0123456789",
                "x-portkey-config": '{"provider": "openai", "api_key": "sk-conf-0123456789"}',
                "x-portkey-trace-id": "tr-1",
            },
        },
        "response": {
            "json": {"id": "c1", "created": 1777629600, "model": "gpt-4o-mini", "usage": usage},
            "text": "hello",
            "statusCode": 200,
            "isTransformed": False,
        },
        "provider": "openai",
        "requestType": "chatComplete",
        "metadata": {"_user": "u1", "team": "search"},
    } | changes


def test_a_hook_payload_becomes_a_row() -> None:
    row = one(hook())
    assert (row["ai_org"], row["ai_model"], row["trace_id"], row["_user"]) == ("openai", "gpt-4o-mini", "tr-1", "u1")
    assert (row["req_units"], row["cache_read_tokens"], row["res_units"]) == (9, 4, 12)
    assert row["created_at"] == datetime.fromisoformat("2026-05-01T10:00:00")
    assert (row["request_url"], row["is_success"], row["stream_mode"]) == ("/v1/chat/completions", True, False)


def test_a_streamed_hook_payload_has_no_usage_and_no_price() -> None:
    streamed = hook(
        request={"json": {"model": "gpt-4o", "stream": True}, "isStreamingRequest": True, "headers": {}},
        response={"json": None, "text": "", "statusCode": 200},
        created_at="2026-05-01T10:00:00Z",
    )
    row = one(streamed)
    assert (row["stream_mode"], row.get("req_units"), row.get("cost")) == (True, None, None)
    assert row["unpriced_reason"]


def test_a_hook_that_ran_before_the_request_is_refused() -> None:
    early = hook(response={"json": {}, "text": "", "statusCode": None})
    assert reasons(batch_of(lines(hook(), early))) == ["no response yet"]


def test_no_credential_reaches_the_quarantine() -> None:
    batch = batch_of(lines(hook(), hook(response={"json": {}, "text": "", "statusCode": None})))
    written = json.dumps([entry(reject, NOW.isoformat()) for reject in batch.rejects])
    assert "tr-1" in written
    assert "sk-live" not in written
    assert "sk-conf" not in written


@pytest.mark.parametrize(
    "secret",
    [
        b'{"Authorization": "Bearer hunter2hunter2"}',
        b'{"headers":{"x-api-key":"hunter2"',
        b'{"x-portkey-config":"{\\"api_key\\":\\"hunter2\\"}"}',
        b'{"x-portkey-config":{"api_key":"hunter2"}}',
        b'{"cookie": ["hunter2"]}',
        b'{"set-cookie": "a=hunter2; b',
        b"curl -H 'authorization: bearer hunter2hunter2'",
        b'\xff{"authorization":"hunter2"}',
    ],
)
def test_credentials_are_taken_out_of_whole_and_of_broken_text(secret) -> None:
    kept = without_credentials(secret)
    assert b"hunter2" not in kept
    assert b"removed" in kept


def test_the_slug_of_a_config_is_no_credential() -> None:
    told = hook(request={"json": {"model": "gpt-4o"}, "headers": {"x-portkey-config": "pc-main-1"}})
    assert one(told)["config"] == "pc-main-1"
    assert b"pc-main-1" in without_credentials(lines(told))


def test_what_is_no_credential_stays() -> None:
    plain = lines(metric(api_key_id="k1", ai_org_auth_hash="h", config="pc-1", metadata={"token_count": "5"}))
    assert without_credentials(plain) == plain


def test_feedback_in_its_spellings() -> None:
    batch = batch_of(
        lines(
            {"id": "f1", "trace_id": "t", "value": 5, "weight": 0.5, "created_at": "2026-05-01T10:00:00Z"},
            {
                "feedbackID": "f2",
                "traceID": "t",
                "value": "-10",
                "created_at": 1777629600,
                "metadata": {"_user": "ann"},
            },
        )
    )
    assert batch.dataset.name == "feedbacks"
    rows = {row["id"]: row for row in rows_of(batch)}
    assert (rows["f1"]["value"], rows["f1"]["weight"], rows["f1"]["weighted"]) == (5, 0.5, 2.5)
    assert (rows["f2"]["weight"], rows["f2"]["weighted"], rows["f2"]["_user"]) == (1.0, -10.0, "ann")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": 11}, "value is not from -10 to 10"),
        ({"value": 1.5}, "value is not a whole number"),
        ({"value": None}, "value is missing"),
        ({"weight": 2}, "weight is not from 0 to 1"),
        ({"weight": "heavy"}, "weight is not a number"),
        ({"trace_id": ""}, "trace_id is missing"),
        ({"created_at": None}, "created_at is missing"),
    ],
)
def test_wrong_feedback_is_refused(changes, reason) -> None:
    record = {"id": "f", "trace_id": "t", "value": 1, "created_at": "2026-05-01T10:00:00Z"} | changes
    assert reasons(batch_of(lines(record), form="feedbacks")) == [reason]


def quarantined(batch) -> bytes:
    return lines(*(entry(reject, NOW.isoformat()) for reject in batch.rejects))


KEPT = {
    "metrics": (lines(metric(1, workspace_slug="later", id=...)), {}),
    "log objects": (lines(log_object(workspace_slug="later")), {}),
    "hook": (lines(hook(workspace_slug="later")), {}),
    "feedback": (
        lines({"trace_id": "t", "value": 1, "created_at": "2026-05-01T00:00:00Z", "workspace_slug": "later"}),
        {},
    ),
    "a table": (
        b"at;ws;n;c\n2026-05-01T10:00:00Z;later;5;0.25\n",
        {
            "mapping": {"created_at": "at", "workspace_slug": "ws", "req_units": "n", "cost": "c"},
            "constants": {"ai_model": "gpt-4o", "cost_unit": "usd"},
        },
    ),
}


@pytest.mark.parametrize(("content", "options"), KEPT.values(), ids=KEPT.keys())
def test_a_quarantine_file_loads_once_the_reason_is_gone(content, options) -> None:
    refused = batch_of(content, **options)
    assert reasons(refused) == ["unknown workspace"]
    again = batch_of(quarantined(refused), name="q.ndjson")
    assert reasons(again) == ["unknown workspace"]
    assert quarantined(again) == quarantined(refused)
    known = {"acme": frozenset({"main", "later"})}
    wiser = type(ACME)("acme", "Acme", "main", known)
    then = batch_of(quarantined(refused), name="q.ndjson", owner=wiser)
    direct = batch_of(content, owner=wiser, **options)
    assert reasons(then) == []
    provenance = {"batch_id", "ingest_source", "ingested_at"}
    assert [{k: v for k, v in row.items() if k not in provenance} for row in rows_of(then)] == [
        {k: v for k, v in row.items() if k not in provenance} for row in rows_of(direct)
    ]


def test_bytes_that_are_no_text_survive_the_quarantine() -> None:
    refused = batch_of(lines(metric(1)) + b"\xff\xfe{}\n")
    again = batch_of(quarantined(refused), name="q")
    assert [reject.original.data for reject in again.rejects] == [b"\xff\xfe{}"]

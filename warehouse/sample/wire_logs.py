"""Requests as log objects: whole requests and responses, with usage as each provider spells it.

Source: dataplane contract 4.2; the providers' API references for the bodies.
"""

from collections.abc import Callable, Mapping
from typing import Any

from warehouse.sample.models import Kind, Model, Shape
from warehouse.sample.requests import ALL_MODELS

Row = Mapping[str, Any]
"""A request of the frame, joined with its analytics row."""

_QUESTION = "Summarise the ticket and say what to do next."
_ANSWER = "The customer asks for a refund; check the order and answer within a day."
_ERRORS = {
    400: ("invalid_request_error", "The request body is not what this model takes."),
    401: ("authentication_error", "Incorrect API key provided."),
    404: ("not_found_error", "The model does not exist or you have no access to it."),
    408: ("timeout", "The request timed out."),
    429: ("rate_limit_error", "Rate limit reached for requests."),
    500: ("server_error", "The server had an error while processing your request."),
    503: ("overloaded_error", "The server is overloaded."),
}
_METRICS = (
    "organisation_id",
    "workspace_slug",
    "user_id",
    "api_key_id",
    "ai_org",
    "virtual_key",
    "config",
    "config_id",
    "config_version_id",
    "prompt_slug",
    "prompt_id",
    "prompt_version_id",
    "is_success",
    "response_status_code",
    "response_time",
    "request_url",
    "request_method",
    "is_proxy_call",
    "cache_status",
    "cache_type",
    "stream_mode",
    "retry_success_count",
    "mode",
    "last_used_option_index",
    "trace_id",
    "span_id",
    "parent_span_id",
    "span_name",
    "internal_trace_id",
    "_environment",
    "_user",
    "_prompt",
    "metadata",
    "source",
    "runtime",
    "sdk_version",
    "gateway_version",
    "log_store_file_path_format",
    "upstream_response_time",
    "gateway_processing_time",
    "ttlt",
)
"""The part of the analytics row that a log object repeats: neither tokens nor model nor cost, which its bodies say."""


def log_object_of(row: Row, organisation_id: str | None) -> dict[str, Any]:
    """The log object of one request."""
    model = ALL_MODELS[row["model"]]
    log: dict[str, Any] = {
        "_id": row["id"],
        "request": {
            "url": model.url,
            "method": "POST",
            "headers": {
                "accept": "application/json",
                "content-type": "application/json",
                "user-agent": "OpenAI/Python",
            },
            "body": _request_body(model, row),
            "portkeyHeaders": _gateway_headers(row),
        },
        "response": {
            "status": row["status"],
            "headers": {
                "content-type": "application/json",
                "x-portkey-cache-status": row["cache_status"],
                "x-portkey-last-used-option-index": _option(row),
                "x-portkey-retry-attempt-count": row["retry_success_count"],
                "x-portkey-trace-id": row["trace_id"],
            },
            "body": _error_body(row["status"]) if row["failed"] else _RESPONSES[_way(model)](model, row),
            "responseTime": int(row["response_time"]),
            "lastUsedOptionJsonPath": _option(row),
        },
        "created_at": row["created_at"],
        "metrics": {name: row[name] for name in _METRICS if row.get(name) is not None},
    }
    if organisation_id is not None:
        log["organisation_id"] = organisation_id
    return log


def _option(row: Row) -> str:
    return "config" if row["mode"] == "single" else f"config.targets[{row['option']}]"


def _gateway_headers(row: Row) -> dict[str, str]:
    headers = {
        "x-portkey-api-key": "gl********xyz",
        "x-portkey-provider": row["ai_org"],
        "x-portkey-trace-id": row["trace_id"],
        "x-portkey-span-id": row["span_id"],
        "x-portkey-span-name": row["span_name"],
    }
    if row["parent_span_id"]:
        headers["x-portkey-parent-span-id"] = row["parent_span_id"]
    return headers


def _request_body(model: Model, row: Row) -> dict[str, Any]:
    if model.kind is Kind.EMBEDDING:
        return {"model": model.name, "input": [_QUESTION]}
    if model.kind is Kind.IMAGE:
        return {"model": model.name, "prompt": "A lighthouse at dusk, as a paper cut.", "n": 1, "size": "1024x1024"}
    body: dict[str, Any] = {"model": model.name, "messages": [{"role": "user", "content": _QUESTION}]}
    if model.shape is Shape.ANTHROPIC:
        body["max_tokens"] = 16384
    if row["stream"]:
        body["stream"] = True
    return body


def _error_body(status: int) -> dict[str, Any]:
    kind, message = _ERRORS[status]
    return {"error": {"message": message, "type": kind, "param": None, "code": str(status)}}


def _way(model: Model) -> str:
    return model.shape if model.kind is Kind.CHAT else model.kind


def _openai(model: Model, row: Row) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{row['span_id']}",
        "object": "chat.completion",
        "created": row["at_ms"] // 1000,
        "model": model.name,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": _ANSWER}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": row["req_units"],
            "completion_tokens": row["res_units"],
            "total_tokens": row["total_units"],
            "prompt_tokens_details": {"cached_tokens": row["cache_read_tokens"], "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": row["reasoning_tokens"], "audio_tokens": 0},
        },
    }


def _anthropic(model: Model, row: Row) -> dict[str, Any]:
    short, long = row["cache_write_tokens"], row["cache_write_1h_tokens"]
    return {
        "id": f"msg_{row['span_id']}",
        "type": "message",
        "role": "assistant",
        "model": model.name,
        "content": [{"type": "text", "text": _ANSWER}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": row["uncached_input_tokens"],
            "cache_read_input_tokens": row["cache_read_tokens"],
            "cache_creation_input_tokens": short + long,
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
            "output_tokens": row["res_units"],
        },
    }


def _google(model: Model, row: Row) -> dict[str, Any]:
    usage = {
        "promptTokenCount": row["req_units"],
        "candidatesTokenCount": row["output_tokens"],
        "totalTokenCount": row["total_units"],
    }
    if row["cache_read_tokens"]:
        usage["cachedContentTokenCount"] = row["cache_read_tokens"]
    if row["reasoning_tokens"]:
        usage["thoughtsTokenCount"] = row["reasoning_tokens"]
    content = {"role": "model", "parts": [{"text": _ANSWER}]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": model.name,
        "responseId": row["span_id"],
    }


def _bedrock(_: Model, row: Row) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": _ANSWER}]}},
        "stopReason": "end_turn",
        "usage": {
            "inputTokens": row["uncached_input_tokens"],
            "outputTokens": row["res_units"],
            "totalTokens": row["total_units"],
            "cacheReadInputTokens": row["cache_read_tokens"],
            "cacheWriteInputTokens": row["cache_write_tokens"] + row["cache_write_1h_tokens"],
        },
        "metrics": {"latencyMs": row["upstream_ms"]},
    }


def _embedding(model: Model, row: Row) -> dict[str, Any]:
    usage = {"prompt_tokens": row["req_units"], "total_tokens": row["req_units"]}
    return {"object": "list", "model": model.name, "data": [], "usage": usage}


def _image(_: Model, row: Row) -> dict[str, Any]:
    return {
        "created": row["at_ms"] // 1000,
        "data": [{"b64_json": "iVBORw0KGgo="}],
        "usage": {
            "input_tokens": row["req_units"],
            "output_tokens": row["res_units"],
            "total_tokens": row["total_units"],
            "input_tokens_details": {"text_tokens": row["req_units"], "image_tokens": 0},
        },
    }


_RESPONSES: Mapping[str, Callable[[Model, Row], dict[str, Any]]] = {
    Shape.OPENAI: _openai,
    Shape.ANTHROPIC: _anthropic,
    Shape.GOOGLE: _google,
    Shape.BEDROCK: _bedrock,
    Kind.EMBEDDING: _embedding,
    Kind.IMAGE: _image,
}

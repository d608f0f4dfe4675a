"""Log objects of the log store, and custom logs that applications post. Source: dataplane contract 3.1 and 4.2."""

import re
from collections.abc import Mapping
from typing import cast

from typing_extensions import override

from warehouse.ingest.asked import Asked
from warehouse.ingest.bodies import Answer, answer_of
from warehouse.ingest.fields import (
    METADATA_KEY,
    METADATA_VALUE,
    UNIT_NAME,
    UNIT_QUANTITY,
    as_text,
    identifier,
    metadata_lists,
    parse_json,
)
from warehouse.ingest.formats.base import RecordFormat
from warehouse.ingest.formats.json_columns import columns_of, row_of
from warehouse.ingest.providers import model_of, provider_of
from warehouse.ingest.records import BadRecord, RawRow
from warehouse.ingest.served import served

Record = Mapping[str, object]

_TRACING = {
    "trace_id": "trace_id", "traceId": "trace_id", "span_id": "span_id", "spanId": "span_id",
    "parent_span_id": "parent_span_id", "parentSpanId": "parent_span_id",
    "span_name": "span_name", "spanName": "span_name",
}  # fmt: skip
_USER_KEYS = {"user": "_user", "organization": "_organisation", "organisation": "_organisation"}
_NO_PARENT = {"", "none", "null"}
_INDEX = re.compile(r"\[(\d+)\](?!.*\[)")
_CACHED_USAGE = ("req_units", "res_units", "total_units")


class LogObjects(RecordFormat):
    name = "log_objects"
    description = "Log objects with request and response: the usage is taken from the response body."

    @override
    def fits_record(self, record: Record) -> bool:
        return isinstance(record.get("request"), dict) and isinstance(record.get("response"), dict)

    @override
    def row(self, record: Record) -> RawRow:
        request, response = _object(record, "request"), _object(record, "response")
        headers = {**_headers(request.get("headers")), **_headers(pick(request, "portkeyHeaders", "portkey_headers"))}
        answers = _headers(response.get("headers"))
        url = text_of(request, "url")
        body = _body(request.get("body"))
        asked = Asked(url or "", text_of(request, "method") or "POST", body, headers, answers)
        answer = answer_of(response.get("body"), asked)
        row: dict[str, str | list[str] | None] = dict(_analytics(pick(record, "metrics")))
        given: dict[str, str | list[str] | None] = {
            "id": identifier("id", pick(record, "_id", "id")),
            "organisation_id": text_of(record, "organisation_id", "organisationId"),
            "workspace_slug": text_of(record, "workspace_slug", "workspaceSlug"),
            "api_key_id": text_of(record, "api_key_id", "apiKeyId"),
            "created_at": text_of(record, "created_at", "createdAt", "start_time"),
            "request_url": url,
            "request_method": text_of(request, "method"),
            "response_status_code": text_of(response, "status", "statusCode", "status_code") or "200",
            "response_time": text_of(response, "responseTime", "response_time", "time"),
            "ai_org": text_of(request, "provider") or text_of(record, "provider") or headers.get("x-portkey-provider")
            or answer.provider or provider_of(url),
            "ai_model": answer.model or text_of(body, "model", "modelId") or model_of(url),
            "stream_mode": text_of(response, "streamingMode", "streaming_mode") or text_of(body, "stream"),
            "last_used_option_index": option_index(text_of(response, "lastUsedOptionJsonPath")),
        }  # fmt: skip
        for name, value in (*given.items(), *from_headers(headers, answers).items()):
            if value is not None and row.get(name) is None:
                row[name] = value
        row |= usage_fields(answer) | facets(asked, answer)
        return row | _metadata(record, headers, body, row)


def pick(record: Record, *names: str) -> object:
    """The first of these fields that is there."""
    # A loop: asked thirty times of each log, where a generator would take twice as long.
    for name in names:
        value = record.get(name)
        if value is not None:
            return value
    return None


def text_of(record: Record, *names: str) -> str | None:
    """The first of these fields that is there, as text. Raises: BadRecord for an object or a list."""
    value = pick(record, *names)
    return value if value is None or isinstance(value, str) else as_text(names[0], value)


def _object(record: Record, name: str) -> Record:
    value = record.get(name)
    if not isinstance(value, dict):
        raise BadRecord(f"{name} is not an object", f"it is a {type(value).__name__}")
    return cast("Record", value)


def _headers(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    given = cast("dict[object, object]", value)
    return {str(name).lower(): item for name, item in given.items() if isinstance(item, str) and item.strip()}


def _body(value: object) -> Record:
    if isinstance(value, str):
        try:
            value = parse_json(value.encode("utf-8", "replace"))
        except BadRecord:
            return {}
    return cast("Record", value) if isinstance(value, dict) else {}


def _analytics(value: object) -> RawRow:
    """The analytics row within a log object, where it has one."""
    if not isinstance(value, dict):
        return {}
    row = row_of(cast("Record", value), columns_of(LogObjects.dataset))
    return {name: item for name, item in row.items() if item}


def option_index(path: str | None) -> str | None:
    """The routing target of a JSON path such as `$.config.targets[1]`; None for the config itself."""
    found = _INDEX.search(path) if path else None
    return found.group(1) if found else None


def from_headers(headers: Mapping[str, str], answers: Mapping[str, str]) -> dict[str, str | list[str] | None]:
    """The columns that the gateway's request and response headers tell."""
    config = headers.get("x-portkey-config", "")
    index = answers.get("x-portkey-last-used-option-index", "")
    return {
        "trace_id": headers.get("x-portkey-trace-id") or answers.get("x-portkey-trace-id"),
        "span_id": headers.get("x-portkey-span-id"),
        "parent_span_id": headers.get("x-portkey-parent-span-id"),
        "span_name": headers.get("x-portkey-span-name"),
        "virtual_key": headers.get("x-portkey-virtual-key"),
        "config": config if config and config.lstrip()[:1] not in ("{", "[") else None,
        "cache_status": answers.get("x-portkey-cache-status"),
        "retry_success_count": answers.get("x-portkey-retry-attempt-count"),
        "last_used_option_index": index if index.isdecimal() else option_index(index),
        "runtime": headers.get("x-portkey-runtime"),
        "runtime_version": headers.get("x-portkey-runtime-version"),
        "sdk_version": headers.get("x-portkey-package-version"),
    }


def usage_fields(answer: Answer) -> dict[str, str | list[str] | None]:
    """Units and buckets of an answer; nothing where it reports no usage."""
    found: dict[str, str | list[str] | None] = {}
    if answer.usage is not None:
        usage = answer.usage
        found = dict(zip(_CACHED_USAGE, map(str, (usage.req_units, usage.res_units, usage.total_units)), strict=True))
        found |= {name: str(tokens) for name, tokens in usage.buckets.items() if tokens}
    if answer.images:
        found["generated_images"] = str(answer.images)
    return found


def facets(asked: Asked, answer: Answer) -> dict[str, str | list[str] | None]:
    """What chooses among a model's prices, and what is billed beside tokens; nothing that is not told."""
    found: dict[str, str | list[str] | None] = {}
    found |= {name: value for name, value in served(asked, answer).items() if value is not None}
    if answer.units:
        found[UNIT_NAME] = list(answer.units)
        found[UNIT_QUANTITY] = [format(quantity, "f") for quantity in answer.units.values()]
    return found


def _metadata(
    record: Record, headers: Mapping[str, str], body: Record, row: RawRow
) -> dict[str, str | list[str] | None]:
    """Metadata without its reserved keys, and the columns that those fill. The record's own fields win."""
    told = pick(record, "metadata")
    if told is None and row.get(METADATA_KEY):
        return {}
    keys, values = metadata_lists(headers.get("x-portkey-metadata") if told is None else told)
    pairs = dict(zip(keys, values, strict=True))
    found: dict[str, str | list[str] | None] = {}
    for theirs, ours in _TRACING.items():
        value = pairs.pop(theirs, None) or text_of(record, theirs)
        if value and not row.get(ours) and not (ours == "parent_span_id" and value.lower() in _NO_PARENT):
            found.setdefault(ours, value)
    for theirs, ours in _USER_KEYS.items():
        if theirs in pairs:
            pairs.setdefault(ours, pairs[theirs])
    if isinstance(body.get("user"), str):
        pairs.setdefault("_user", str(body["user"]))
    return found | {METADATA_KEY: list(pairs), METADATA_VALUE: list(pairs.values())}

"""What the open-source gateway's hook `default.log` posts: the request and the response as the hook saw them.

Shape: `{request: {json, headers, isStreamingRequest}, response: {json, statusCode}, provider, requestType, metadata}`,
as version 1.15.2 sends it. It has no id, no time and no latency; a streamed answer comes without its body, so its
usage is unknown. The gateway calls the hook for answers with status 200 only.
"""

from collections.abc import Mapping
from typing import cast

from typing_extensions import override

from warehouse.ingest.asked import Asked
from warehouse.ingest.bodies import answer_of
from warehouse.ingest.fields import METADATA_KEY, METADATA_VALUE, identifier, metadata_lists, parse_object
from warehouse.ingest.formats.base import RecordFormat
from warehouse.ingest.formats.envelopes import DEFAULTS
from warehouse.ingest.formats.log_objects import facets, from_headers, text_of, usage_fields
from warehouse.ingest.records import BadRecord, RawRow

_PATHS: Mapping[str, str] = {
    "chatComplete": "/v1/chat/completions",
    "complete": "/v1/completions",
    "embed": "/v1/embeddings",
    "messages": "/v1/messages",
    "imageGenerate": "/v1/images/generations",
    "createModelResponse": "/v1/responses",
    "createSpeech": "/v1/audio/speech",
    "createTranscription": "/v1/audio/transcriptions",
    "createTranslation": "/v1/audio/translations",
}
_EARLIEST_CREATED_S = 946_684_800
"""2000-01-01: some providers fill `created` with a counter."""


class Hook(RecordFormat):
    name = "hook"
    description = "Payloads of the open-source gateway's hook default.log."

    @override
    def fits_record(self, record: Mapping[str, object]) -> bool:
        request, response = record.get("request"), record.get("response")
        if not isinstance(request, dict) or not isinstance(response, dict):
            return False
        return "json" in request and "json" in response and "requestType" in record

    @override
    def row_of(self, data: bytes, context: Mapping[str, object]) -> RawRow:
        record = parse_object(data)
        # When we took it is nearer to the request than a provider's clock, which counts seconds.
        is_timed = "created_at" in _optional(context, DEFAULTS)
        return _row(record, None if is_timed else _created(record))

    @override
    def row(self, record: Mapping[str, object]) -> RawRow:
        return _row(record, _created(record))


def _row(record: Mapping[str, object], created: str | None) -> RawRow:
    request, response = _part(record, "request"), _part(record, "response")
    asked, answered = _optional(request, "json"), response.get("json")
    status = text_of(response, "statusCode")
    if status is None and not answered:
        raise BadRecord("no response yet", "the hook ran before the request; log after it: after_request_hooks")
    kind = text_of(record, "requestType") or ""
    url = _PATHS.get(kind, kind)
    headers, answers = (_headers(one) for one in (request, response))
    query = Asked(url, "POST", asked, headers, answers)
    answer = answer_of(answered, query)
    keys, values = metadata_lists(record.get("metadata"))
    row: dict[str, str | list[str] | None] = {
        "id": identifier("id", record.get("id")),
        "created_at": text_of(record, "created_at") or created,
        "organisation_id": text_of(record, "organisation_id"),
        "workspace_slug": text_of(record, "workspace_slug"),
        "ai_org": text_of(record, "provider") or answer.provider,
        "ai_model": answer.model or text_of(asked, "model"),
        "request_url": url,
        "request_method": "POST",
        "response_status_code": status,
        "stream_mode": text_of(request, "isStreamingRequest"),
        METADATA_KEY: keys,
        METADATA_VALUE: values,
    }
    if isinstance(asked.get("user"), str) and "_user" not in keys:
        row["_user"] = str(asked["user"])
    told = {name: value for name, value in from_headers(headers, {}).items() if value is not None}
    return row | told | usage_fields(answer) | facets(query, answer)


def _headers(half: Mapping[str, object]) -> dict[str, str]:
    return {name.lower(): value for name, value in _optional(half, "headers").items() if isinstance(value, str)}


def _part(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = record.get(name)
    if not isinstance(value, dict):
        raise BadRecord(f"{name} is not an object", f"it is a {type(value).__name__}")
    return cast("Mapping[str, object]", value)


def _optional(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = record.get(name)
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _created(record: Mapping[str, object]) -> str | None:
    """When the provider made the answer, in seconds, where it says so."""
    body = _optional(_optional(record, "response"), "json")
    value = body.get("created", body.get("created_at"))
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= _EARLIEST_CREATED_S:
        return str(value)
    return None

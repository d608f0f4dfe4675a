"""Spans of OpenTelemetry → records of the spool. Source: dataplane contract 3.4."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from api.errors import InvalidRequest
from api.logs.objects import LogObjects
from api.otel import decoding
from api.otel.decoding import Encoding, Span
from api.principal import Principal
from warehouse.ingest.formats.otlp import SPAN
from warehouse.ingest.formats.otlp_attributes import INPUT, MODEL, OUTPUT, first, is_about_a_model
from warehouse.ingest.ownership import Ownership

KIND = "otlp"
MOST_SPANS = 100_000
_NAMESPACE = uuid.UUID("6f2b1f0e-6f0a-5d0c-9a55-3b1f4b1f6f5e")
"""What the ids of spans are made in: a span that is sent twice has one id."""
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of telemetry: how it is read, which of it is kept, and how is answered that the rest is not."""

    read: Callable[[bytes, Encoding], list[Span]]
    is_kept: Callable[[Span], bool]
    answer: Callable[[int], Message]


@dataclass(frozen=True, slots=True)
class Taken:
    """Records for the spool, and how many were sent that are about no model."""

    records: list[bytes]
    ignored: int


def _has_usage(span: Span) -> bool:
    """True for an event that tells what a call used: the others only repeat what was said."""
    return any(first(span.attributes, names) is not None for names in (INPUT, OUTPUT)) and (
        first(span.attributes, MODEL) is not None
    )


def _of_spans(ignored: int) -> Message:
    answer = ExportTraceServiceResponse()
    if ignored:
        answer.partial_success.rejected_spans = ignored
        answer.partial_success.error_message = f"{ignored} spans without gen_ai attributes are not kept"
    return answer


def _of_events(ignored: int) -> Message:
    answer = ExportLogsServiceResponse()
    if ignored:
        answer.partial_success.rejected_log_records = ignored
        answer.partial_success.error_message = f"{ignored} log records without gen_ai usage are not kept"
    return answer


TRACES = Signal(decoding.spans, lambda span: is_about_a_model(span.attributes), _of_spans)
LOGS = Signal(decoding.events, _has_usage, _of_events)


def taken(
    body: bytes,
    encoding: Encoding,
    signal: Signal,
    principal: Principal,
    owner: Ownership,
    logs: LogObjects,
    now: datetime,
) -> Taken:
    """What an export holds. Raises: InvalidRequest."""
    sent = signal.read(body, encoding)
    if len(sent) > MOST_SPANS:
        raise InvalidRequest(f"At most {MOST_SPANS} spans at once, not {len(sent)}.")
    kept = [span for span in sent if signal.is_kept(span)]
    common: dict[str, object] = {
        "organisation_id": owner.organisation_id,
        "workspace_slug": owner.workspace_slug,
        "user_id": principal.user_id,
        "api_key_id": principal.key_id if principal.via == "key" else None,
        "log_store_file_path_format": logs.form.value,
    }
    return Taken(_records(kept, common, now), len(sent) - len(kept))


def written(answer: Message, encoding: Encoding) -> bytes:
    """An answer in the encoding of its request."""
    if encoding is Encoding.PROTOBUF:
        return answer.SerializeToString()
    return json_format.MessageToJson(answer, indent=None).encode()


def _records(kept: Sequence[Span], common: dict[str, object], now: datetime) -> list[bytes]:
    owner = f"{common['organisation_id']}/{common['workspace_slug']}"
    try:
        return [orjson.dumps({**_record(span, owner, now), **common}) for span in kept]
    except TypeError as error:
        raise InvalidRequest(f"A span cannot be kept: {error}") from None


def _record(span: Span, owner: str, now: datetime) -> dict[str, object]:
    named = bool(span.trace_id and span.span_id)
    log_id = uuid.uuid5(_NAMESPACE, f"{owner}/{span.trace_id}/{span.span_id}") if named else uuid.uuid4()
    started = _EPOCH + timedelta(microseconds=span.start_ns // 1000)
    at = started if started >= _EARLIEST else now.astimezone(UTC)
    return {
        "_id": str(log_id),
        "created_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        SPAN: {
            "trace_id": span.trace_id or str(log_id),
            "span_id": span.span_id,
            "parent_span_id": span.parent_span_id,
            "name": span.name,
            "start_ns": span.start_ns,
            "end_ns": span.end_ns,
            "status": span.status,
        },
        "attributes": span.attributes,
        "resource": span.resource,
        "scope": span.scope,
        "events": span.events,
    }

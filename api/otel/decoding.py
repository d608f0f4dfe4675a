"""OTLP over HTTP, in both of its encodings, as spans of our own. Source: OTLP 1.x, dataplane contract 3.4.

In JSON the ids are hexadecimal where protobuf's own mapping would have base64.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from api.errors import InvalidRequest

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_HEX = re.compile(r"(?:[0-9a-fA-F]{16}){1,2}")
_DEEPEST = 32

_Request = TypeVar("_Request", bound=Message)


class Encoding(StrEnum):
    """How a request is written; its answer is written the same way."""

    PROTOBUF = PROTOBUF
    JSON = JSON

    @classmethod
    def of(cls, content_type: str) -> "Encoding":
        """The encoding of a Content-Type. Raises: InvalidRequest."""
        named = content_type.partition(";")[0].strip().lower()
        if named in (PROTOBUF, "application/protobuf"):
            return cls.PROTOBUF
        if named == JSON:
            return cls.JSON
        raise InvalidRequest(f"Content-Type '{content_type[:60]}' is not OTLP; allowed: {PROTOBUF}, {JSON}")


@dataclass(frozen=True, slots=True)
class Span:
    """A span, or an event that stands for one: what OTLP says, as plain values."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start_ns: int
    end_ns: int
    status: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    scope: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...] = ()


def spans(body: bytes, encoding: Encoding) -> list[Span]:
    """The spans of an export. Raises: InvalidRequest."""
    request = _parsed(ExportTraceServiceRequest(), body, encoding)
    return [
        _span(span, _plain(of_resource.resource.attributes), _scope(of_scope.scope), encoding)
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def events(body: bytes, encoding: Encoding) -> list[Span]:
    """The log records of an export, each as a span without length. Raises: InvalidRequest."""
    request = _parsed(ExportLogsServiceRequest(), body, encoding)
    return [
        _event(record, _plain(of_resource.resource.attributes), _scope(of_scope.scope), encoding)
        for of_resource in request.resource_logs
        for of_scope in of_resource.scope_logs
        for record in of_scope.log_records
    ]


def _parsed(message: _Request, body: bytes, encoding: Encoding) -> _Request:
    try:
        if encoding is Encoding.JSON:
            if not body.lstrip().startswith(b"{"):
                raise ValueError("it is no JSON object")  # a text's letters would pass for names that are ignored
            json_format.Parse(body, message, ignore_unknown_fields=True, max_recursion_depth=_DEEPEST * 4)
        else:
            message.ParseFromString(body)
    except (json_format.ParseError, DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidRequest(f"The body is no OTLP {encoding.value}: {str(error)[:200]}") from None
    return message


def _span(span: SpanMessage, resource: Mapping[str, Any], scope: Mapping[str, Any], encoding: Encoding) -> Span:
    return Span(
        trace_id=_identifier(span.trace_id, encoding),
        span_id=_identifier(span.span_id, encoding),
        parent_span_id=_identifier(span.parent_span_id, encoding),
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=span.status.code,
        attributes=_plain(span.attributes),
        resource=resource,
        scope=scope,
        events=tuple({"name": event.name, "attributes": _plain(event.attributes)} for event in span.events),
    )


def _event(record: LogRecord, resource: Mapping[str, Any], scope: Mapping[str, Any], encoding: Encoding) -> Span:
    attributes = _plain(record.attributes)
    at = record.time_unix_nano or record.observed_time_unix_nano
    body = _value(record.body)
    return Span(
        trace_id=_identifier(record.trace_id, encoding),
        span_id=_identifier(record.span_id, encoding),
        parent_span_id="",
        name=record.event_name or str(attributes.get("event.name", "")),
        start_ns=at,
        end_ns=0,
        status=0,
        attributes=attributes,
        resource=resource,
        scope=scope,
        events=({"name": "body", "attributes": {"body": body}},) if body is not None else (),
    )


def _identifier(value: bytes, encoding: Encoding) -> str:
    """An id in hexadecimal; blank where there is none."""
    if encoding is Encoding.JSON:
        # What was read as base64 was hexadecimal: writing it as base64 again gives it back.
        told = base64.b64encode(value).decode()
        if _HEX.fullmatch(told):
            return told.lower()
    return value.hex() if any(value) else ""


def _scope(scope: InstrumentationScope) -> Mapping[str, Any]:
    return {name: value for name, value in (("name", scope.name), ("version", scope.version)) if value}


def _plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return dict(_pairs(attributes, 0))


def _pairs(attributes: Iterable[KeyValue], depth: int) -> Iterator[tuple[str, Any]]:
    for attribute in attributes:
        yield attribute.key, _value(attribute.value, depth)


def _value(value: AnyValue, depth: int = 0) -> Any:
    """A value as JSON has it; what is nested too deeply becomes null."""
    if depth > _DEEPEST:
        return None
    match value.WhichOneof("value"):
        case "array_value":
            return [_value(each, depth + 1) for each in value.array_value.values]
        case "kvlist_value":
            return dict(_pairs(value.kvlist_value.values, depth + 1))
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case None:
            return None
        case name:
            return getattr(value, name)

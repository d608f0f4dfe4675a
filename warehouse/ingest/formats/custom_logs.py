"""Logs that applications post, as the API took them: the log, whose it is, and what its request's headers said.

Applications send more shapes than gateways do: chains and tools without URL or body, times as padded text. What has
an odd type where a plain value belongs is left out of the row; the log object keeps it. Source: dataplane contract 3.1.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import cast

from typing_extensions import override

from warehouse.ingest.fields import METADATA_KEY, METADATA_VALUE, as_text
from warehouse.ingest.formats.log_objects import LogObjects, pick
from warehouse.ingest.records import RawRow

SENT = "gateledger_sent"
"""What the headers of the request said, by column; the log's own words win."""
SOURCE = "custom_log"
OWNED = ("api_key_id", "user_id", "log_store_file_path_format")
"""Columns that the API fills at the top of the record, never the application."""
_TIMES = ("responseTime", "response_time", "time")
_STATUSES = ("status", "statusCode", "status_code")
_TRACE = ("trace_id", "span_id", "parent_span_id", "span_name")
_CALLER = ("virtual_key", "config", "runtime", "runtime_version", "sdk_version")

Record = Mapping[str, object]


class CustomLogs(LogObjects):
    name = "custom_logs"
    description = "Logs that applications post, as the API keeps them until they are loaded."

    @override
    def fits_record(self, record: Record) -> bool:
        return SENT in record and super().fits_record(record)

    @override
    def row(self, record: Record) -> RawRow:
        sent = _object(record.get(SENT))
        row: dict[str, str | list[str] | None] = dict(super().row(_settled(record, sent)))
        # A span of another trace would be nobody's child: the headers' place in a trace counts whole or not at all.
        for name in _CALLER if row.get("trace_id") else (*_CALLER, *_TRACE):
            if not row.get(name):
                row[name] = as_text(name, sent.get(name))
        row |= {name: as_text(name, record.get(name)) for name in OWNED}
        row["source"] = SOURCE
        return row | _metadata(row, _object(sent.get("metadata")))


def response_ms(response: Record) -> str | None:
    """The response time of a log, in milliseconds; None where it tells none that is a number."""
    try:
        time = Decimal(str(pick(response, *_TIMES)).strip())
    except InvalidOperation:
        return None
    return str(int(time)) if time.is_finite() and 0 <= time < Decimal(2**53) else None


def _settled(record: Record, sent: Record) -> Record:
    """The record with plain values where a row needs them. The provider that a header names wins over the URL's."""
    request, response = _object(record.get("request")), _object(record.get("response"))
    asked = {name: value for name, value in request.items() if name not in ("url", "method", "provider")}
    asked |= {name: request[name] for name in ("url", "method", "provider") if isinstance(request.get(name), str)}
    asked.setdefault("provider", sent.get("ai_org"))
    if isinstance(request.get("body"), dict):
        body = cast("Record", request["body"])
        asked["body"] = {name: value for name, value in body.items() if _is_fit(name, value)}
    answered = {name: value for name, value in response.items() if name not in (*_TIMES, *_STATUSES)}
    answered |= {"responseTime": response_ms(response), "status": _status(response)}
    streams = pick(response, "streamingMode", "streaming_mode")
    answered["streamingMode"] = streams if isinstance(streams, bool | int | str) else None
    plain = {name: value for name, value in record.items() if isinstance(value, str | bool | int | float)}
    return {**plain, "metadata": record.get("metadata"), "request": asked, "response": answered}


def _is_fit(name: str, value: object) -> bool:
    return name not in ("model", "modelId", "stream") or isinstance(value, str | bool | int | float)


def _status(response: Record) -> str:
    text = str(pick(response, *_STATUSES)).strip()
    return text if text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= 999 else "200"


def _metadata(row: RawRow, sent: Record) -> dict[str, str | list[str] | None]:
    """The log's metadata, and behind it what the headers said."""
    if not sent:
        return {}
    keys, values = (cast("list[str]", row.get(name) or []) for name in (METADATA_KEY, METADATA_VALUE))
    more = {name: str(value) for name, value in sent.items() if name not in keys}
    return {METADATA_KEY: [*keys, *more], METADATA_VALUE: [*values, *more.values()]}


def _object(value: object) -> Record:
    return cast("Record", value) if isinstance(value, dict) else {}

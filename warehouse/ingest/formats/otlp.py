"""Spans of OpenTelemetry that are about a generative model, one record each, as the API cut them from a request.

Shape: `{_id, created_at, otlp: {trace_id, span_id, parent_span_id, name, start_ns, end_ns, status}, attributes,
resource, …}`. Source: dataplane contract 3.4.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import cast

from typing_extensions import override

from warehouse.ingest.fields import METADATA_KEY, METADATA_VALUE, as_text, identifier, metadata_lists
from warehouse.ingest.formats import otlp_attributes as names
from warehouse.ingest.formats.base import RecordFormat
from warehouse.ingest.formats.custom_logs import OWNED
from warehouse.ingest.providers import provider_of
from warehouse.ingest.records import BadRecord, RawRow
from warehouse.ingest.served import MODES, STANDARD
from warehouse.ingest.usage import Usage, usage_of

SPAN = "otlp"
SOURCE = "otel"
ERROR = 2
"""The status of a span that failed."""
_NS_PER_MS = 1_000_000
_CENTS_PER_USD = 100
_UNITS = ("req_units", "res_units", "total_units")

Record = Mapping[str, object]


class OtlpSpans(RecordFormat):
    name = "otlp"
    description = "Spans of OpenTelemetry about generative models, as the API keeps them until they are loaded."

    @override
    def fits_record(self, record: Record) -> bool:
        return isinstance(record.get(SPAN), dict) and isinstance(record.get("attributes"), dict)

    @override
    def row(self, record: Record) -> RawRow:
        span, attributes = _object(record, SPAN), _object(record, "attributes")
        failed = span.get("status") == ERROR
        url = names.first_text(attributes, names.URL) or names.first_text(attributes, names.HOST)
        keys, values = _metadata(record, attributes)
        row: dict[str, str | list[str] | None] = {
            "id": identifier("id", record.get("_id")),
            "created_at": as_text("created_at", record.get("created_at")),
            "organisation_id": as_text("organisation_id", record.get("organisation_id")),
            "workspace_slug": as_text("workspace_slug", record.get("workspace_slug")),
            "trace_id": as_text("trace_id", span.get("trace_id")),
            "span_id": as_text("span_id", span.get("span_id")),
            "parent_span_id": as_text("parent_span_id", span.get("parent_span_id")),
            "span_name": as_text("name", span.get("name")),
            "ai_org": names.provider_slug(attributes) or provider_of(_with_scheme(url)),
            "ai_model": names.first_text(attributes, names.MODEL),
            "request_url": url,
            "response_status_code": _status(attributes, failed=failed),
            "is_success": "false" if failed else None,
            "response_time": _duration_ms(span),
            "stream_mode": _flag(names.first_text(attributes, names.STREAMED)),
            "execution_mode": _mode(names.first_text(attributes, names.TIER)),
            "source": SOURCE,
            METADATA_KEY: keys,
            METADATA_VALUE: values,
        }
        row |= {name: as_text(name, record.get(name)) for name in OWNED}
        if names.is_around_others(attributes):
            return row | {"ai_model": None, "reported_cost": "0"}
        return row | _usage_fields(attributes)


def _object(record: Record, name: str) -> Record:
    value = record.get(name)
    if not isinstance(value, dict):
        raise BadRecord(f"{name} is not an object", f"it is a {type(value).__name__}")
    return cast("Record", value)


def _with_scheme(url: str | None) -> str | None:
    return f"https://{url}" if url and "://" not in url else url


def _status(attributes: Record, *, failed: bool) -> str:
    """The HTTP status, where the span tells one; else what its own status amounts to."""
    told = names.first_text(attributes, names.STATUS) or str(attributes.get("error.type") or "")
    if told.isascii() and told.isdigit() and len(told) <= 9 and 100 <= int(told) <= 599:
        return told
    return "500" if failed else "200"


def _duration_ms(span: Record) -> str | None:
    """Whole milliseconds from start to end; None where the span did not end."""
    try:
        start, end = int(str(span.get("start_ns"))), int(str(span.get("end_ns")))
    except ValueError:
        return None
    return str((end - start) // _NS_PER_MS) if 0 < start <= end else None


def _flag(text: str | None) -> str | None:
    return text if text in ("true", "false") else None


def _mode(tier: str | None) -> str | None:
    word = (tier or "").lower()
    return None if word in STANDARD else MODES.get(word)


def _usage_fields(attributes: Record) -> dict[str, str | list[str] | None]:
    """Units, buckets and the cost that the span reports; nothing where it reports none. Raises: BadRecord."""
    found: dict[str, str | list[str] | None] = {}
    usage = _usage(attributes)
    if usage is not None:
        found = dict(zip(_UNITS, map(str, (usage.req_units, usage.res_units, usage.total_units)), strict=True))
        found |= {name: str(tokens) for name, tokens in usage.buckets.items() if tokens}
    cost = names.first_text(attributes, names.COST_USD)
    try:
        cents = Decimal(cost) * _CENTS_PER_USD if cost else None
    except InvalidOperation:
        cents = None
    if cents is not None and cents.is_finite() and cents >= 0:
        found["reported_cost"] = format(cents, "f")
    return found


def _usage(attributes: Record) -> Usage | None:
    """The conventions count what a cache served as input and reasoning as output, as OpenAI's usage does."""
    read, written, reasoned = (
        names.first(attributes, name) for name in (names.CACHE_READ, names.CACHE_WRITE, names.REASONING)
    )
    counts = {
        "prompt_tokens": names.first(attributes, names.INPUT),
        "completion_tokens": names.first(attributes, names.OUTPUT),
        "total_tokens": names.first(attributes, names.TOTAL),
    }
    if all(value is None for value in counts.values()):
        return None
    return usage_of(
        {
            **counts,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
            "completion_tokens_details": {"reasoning_tokens": reasoned},
        }
    )


def _metadata(record: Record, attributes: Record) -> tuple[list[str], list[str]]:
    resource = cast("Record", record["resource"]) if isinstance(record.get("resource"), dict) else {}
    told: dict[str, object] = dict(names.metadata_of(attributes, resource))
    for ours, theirs in (("_user", names.USER), ("_environment", names.ENVIRONMENT)):
        value = names.first_text(attributes, theirs) or names.first_text(resource, theirs)
        if value:
            told.setdefault(ours, value)
    keys, values = metadata_lists({name: value for name, value in told.items() if not isinstance(value, dict | list)})
    try:
        more = zip(*metadata_lists(attributes.get(names.METADATA_JSON)), strict=True)
    except BadRecord:
        return keys, values
    for key, value in more:
        if key not in keys:
            keys.append(key)
            values.append(value)
    return keys, values

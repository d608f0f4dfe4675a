"""The log object of a spooled record: what is kept of its request and response, and under which path.

Source: dataplane contract 4.1, 4.2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import orjson

from warehouse.errors import InvalidInput
from warehouse.ingest.fields import parse_object
from warehouse.ingest.formats import otlp_attributes
from warehouse.ingest.formats.custom_logs import OWNED, SENT, response_ms
from warehouse.ingest.formats.log_objects import pick
from warehouse.ingest.formats.otlp import SPAN
from warehouse.ingest.formats.spool import SpooledRecord
from warehouse.ingest.records import BadRecord
from warehouse.logstore.paths import PathFormat, v1_path, v2_path

NO_BODIES = "gateledger_no_bodies"
"""True in a record whose sender wants no bodies kept (`x-portkey-debug: false`)."""
_LARGEST_SECONDS = 100_000_000_000
"""Beyond it a number counts milliseconds."""
_OUTPUT = ("gen_ai.output", "gen_ai.completion", "gen_ai.response", "gen_ai.choice", "output.", "llm.output")
_OUTPUT_ENDS = ("entity.output", ".completion")

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class KeptObject:
    """A log object, and where it belongs."""

    path: str
    data: bytes


def kept_object(spooled: SpooledRecord, form: PathFormat) -> KeptObject | None:
    """The log object of a record; None for a record of which none is kept, such as one that nobody may own."""
    try:
        record = parse_object(spooled.data)
    except BadRecord:
        return None
    owner = spooled.owner.resolve(_text(record, "organisation_id"), _text(record, "workspace_slug"))
    if isinstance(owner, str) or owner[0] != spooled.owner.organisation_id:
        return None
    organisation, workspace = owner
    created_at = instant_of(pick(record, "created_at", "createdAt", "start_time") or spooled.at)
    content: dict[str, object] = {
        "_id": spooled.id,
        **_CONTENTS[spooled.kind](record),
        "organisation_id": organisation,
        "workspace_slug": workspace,
    }
    if created_at is not None:
        content["created_at"] = created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    try:
        path = object_path(form, organisation, workspace, created_at, spooled.id)
        return KeptObject(path, orjson.dumps(content))
    except (InvalidInput, TypeError):
        return None  # an id that can be no file name, or text that is no Unicode: the row has to do


def object_path(
    form: PathFormat, organisation_id: str, workspace_slug: str, created_at: datetime | None, log_id: str
) -> str:
    """Where a log object lies. Raises: InvalidInput for an id that is no path segment."""
    if form is PathFormat.V2 and created_at is not None:
        return v2_path(organisation_id, workspace_slug, created_at, log_id)
    return v1_path(organisation_id, log_id)


def instant_of(value: object) -> datetime | None:
    """The instant that a record tells, as ISO 8601 or as seconds or milliseconds since 1970; None for nonsense."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            return _of_number(value.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return None if isinstance(value, bool) else _of_number(value)


def _of_number(value: object) -> datetime | None:
    try:
        number = float(str(value))
        return datetime.fromtimestamp(number / 1000 if abs(number) > _LARGEST_SECONDS else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _of_log(record: Record) -> Record:
    hidden = (SENT, NO_BODIES, *OWNED, "_id", "id")
    content = {name: value for name, value in record.items() if name not in hidden}
    response = _part(record, "response")
    time_ms = response_ms(response)
    if time_ms is not None:
        content["response"] = {**response, "responseTime": int(time_ms)}
    if record.get(NO_BODIES) is True:
        for half in ("request", "response"):
            content[half] = {
                name: value for name, value in _part(content, half).items() if name not in ("headers", "body")
            }
    return content


def _of_hook(record: Record) -> Record:
    request, response = _part(record, "request"), _part(record, "response")
    return {
        "request": {"url": record.get("requestType"), "method": "POST", "body": request.get("json")},
        "response": {"status": response.get("statusCode"), "body": response.get("json")},
        "metadata": record.get("metadata"),
    }


def _of_span(record: Record) -> Record:
    attributes, span = _part(record, "attributes"), _part(record, SPAN)
    answered = {name: value for name, value in attributes.items() if _is_output(name)}
    return {
        "request": {
            "url": otlp_attributes.first_text(attributes, (*otlp_attributes.URL, *otlp_attributes.HOST)),
            "body": {name: value for name, value in attributes.items() if name not in answered},
        },
        "response": {"body": {**answered, **({"events": record["events"]} if record.get("events") else {})}},
        "span": span,
        "resource": record.get("resource"),
        "scope": record.get("scope"),
    }


def _is_output(name: str) -> bool:
    return name.startswith(_OUTPUT) or name.endswith(_OUTPUT_ENDS)


def _part(record: Record, name: str) -> Record:
    value = record.get(name)
    return cast("Record", value) if isinstance(value, dict) else {}


def _text(record: Record, name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) and value.strip() else None


_CONTENTS: Mapping[str, Callable[[Record], Record]] = {
    "logs": _of_log,
    "custom_logs": _of_log,
    "hooks": _of_hook,
    "otlp": _of_span,
}
KINDS = frozenset(_CONTENTS)
"""Kinds of spooled records of which a log object is kept."""

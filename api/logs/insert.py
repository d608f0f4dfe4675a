"""`POST /logs`: logs that applications send of themselves, in every shape that clients send.

Source: dataplane contract 1.2, 3.1.
"""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast
from urllib.parse import unquote

import orjson

from api.errors import InvalidRequest
from api.logs.objects import LogObjects
from api.principal import Principal
from warehouse.ingest.fields import parse_json
from warehouse.ingest.formats.custom_logs import SENT
from warehouse.ingest.formats.log_objects import pick
from warehouse.ingest.kept_objects import NO_BODIES, instant_of
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.records import BadRecord

MOST_LOGS = 1000
KIND = "custom_logs"
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)
"""How far a sender's clock may be ahead of ours; what it tells beyond is taken for nonsense."""
_PREFIX = "x-portkey-"
_BY_HEADER = {
    "trace_id": "trace-id", "span_id": "span-id", "parent_span_id": "parent-span-id", "span_name": "span-name",
    "virtual_key": "virtual-key", "ai_org": "provider", "runtime": "runtime", "runtime_version": "runtime-version",
    "sdk_version": "package-version",
}  # fmt: skip
_TRACEPARENT_PARTS = 4
_OURS = frozenset(
    {"_id", "id", "metrics", "organisation_id", "organisationId", "organization_id", "workspace_slug", "workspaceSlug"}
    | {"api_key_id", "apiKeyId", "user_id", "created_at", "createdAt", "log_store_file_path_format", SENT, NO_BODIES}
)
"""Fields of a log that are not the sender's to fill: whose it is, what it cost, and what it is called."""

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sender:
    """What all logs of one request have in common."""

    principal: Principal
    owner: Ownership
    headers: Mapping[str, str]
    now: datetime


def spoolable(body: bytes, sender: Sender, logs: LogObjects) -> dict[str, bytes]:
    """The records that a body holds, by the id that each gets. Raises: InvalidRequest that says which and why."""
    items = _items(body)
    sent, form = _sent(sender.headers), logs.form
    has_bodies = sender.headers.get(f"{_PREFIX}debug", "").strip().lower() != "false"
    common: dict[str, object] = {
        "organisation_id": sender.owner.organisation_id,
        "workspace_slug": sender.owner.workspace_slug,
        "user_id": sender.principal.user_id,
        "api_key_id": sender.principal.key_id if sender.principal.via == "key" else None,
        "log_store_file_path_format": form.value,
        SENT: sent,
        **({} if has_bodies else {NO_BODIES: True}),
    }
    try:
        named = zip(_new_ids(len(items)), items, strict=True)
        return {one: orjson.dumps(_record(one, item, common, sender.now)) for one, item in named}
    except TypeError as error:
        raise InvalidRequest(f"The body cannot be kept: {error}") from None


def _new_ids(count: int) -> list[str]:
    """Random UUIDs. Their bytes are asked for once: each time, other threads may take over for milliseconds."""
    size = 16
    random = os.urandom(size * count)
    return [str(uuid.UUID(bytes=random[at : at + size], version=4)) for at in range(0, len(random), size)]


def _record(identifier: str, item: Record, common: Record, now: datetime) -> Record:
    told = {name: value for name, value in item.items() if name not in _OURS}
    created_at = _created_at(item, now).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**told, "_id": identifier, "created_at": created_at, **common}


def _created_at(item: Record, now: datetime) -> datetime:
    found = instant_of(pick(item, "created_at", "createdAt", "start_time", "startTime"))
    return found if found is not None and _EARLIEST <= found <= now + _AHEAD else now.astimezone(UTC)


def _items(body: bytes) -> list[Record]:
    try:
        value = parse_json(body)
    except BadRecord as error:
        raise InvalidRequest(f"The body is not JSON: {error.detail}") from None
    if isinstance(value, list):
        items = cast("list[object]", value)
        if not 1 <= len(items) <= MOST_LOGS:
            raise InvalidRequest(f"From 1 to {MOST_LOGS} logs at once, not {len(items)}.")
        return [_checked(item, f"[{index}].") for index, item in enumerate(items)]
    item = _checked(value, "")
    _check_strictly(item)
    return [item]


def _checked(item: object, where: str) -> Record:
    """A log with its two halves; chains and tools have what they like within them. Raises: InvalidRequest."""
    if not isinstance(item, dict):
        raise InvalidRequest(f"{where or 'The body '}must be a log object, or the body an array of them")
    log = cast("Record", item)
    for half in ("request", "response"):
        if not isinstance(log.get(half), dict):
            raise InvalidRequest(f"{where}{half}: an object is required")
    metadata = log.get("metadata")
    if isinstance(metadata, str) and metadata.strip():
        try:
            metadata = parse_json(metadata.encode("utf-8", "replace"))
        except BadRecord:
            metadata = False
    if metadata is not None and metadata != "" and not isinstance(metadata, dict):
        raise InvalidRequest(f"{where}metadata: a JSON object of keys and values is required")
    return log


def _check_strictly(log: Record) -> None:
    """What a log that comes alone has to say. Raises: InvalidRequest."""
    request, response = cast("Record", log["request"]), cast("Record", log["response"])
    url = request.get("url")
    if not isinstance(url, str) or not url.strip():
        raise InvalidRequest("request.url: a text is required, such as https://api.openai.com/v1/chat/completions")
    if not isinstance(request.get("body"), dict):
        raise InvalidRequest("request.body: an object is required")
    if not isinstance(response.get("body"), dict | list | str):
        raise InvalidRequest("response.body: an object is required")


def _sent(headers: Mapping[str, str]) -> Record:
    """What the headers of the request say, by column."""
    sent: dict[str, object] = {
        column: value for column, name in _BY_HEADER.items() if (value := headers.get(f"{_PREFIX}{name}", "").strip())
    }
    config = headers.get(f"{_PREFIX}config", "").strip()
    if config and config[0] not in "{[":
        sent["config"] = config
    trace, parent = _traceparent(headers.get("traceparent", ""))
    if trace and "trace_id" not in sent:
        sent["trace_id"] = trace
        sent.setdefault("parent_span_id", parent)
        sent.setdefault("span_name", "POST /v1/logs")
    metadata = _baggage(headers.get("baggage", "")) | _metadata(headers.get(f"{_PREFIX}metadata", ""))
    return {**sent, "metadata": metadata}


def _traceparent(value: str) -> tuple[str, str]:
    """(trace, parent span) of a W3C header; blanks where it is none."""
    parts = value.strip().split("-")
    if len(parts) < _TRACEPARENT_PARTS or [len(part) for part in parts[:3]] != [2, 32, 16]:
        return "", ""
    return parts[1], parts[2]


def _baggage(value: str) -> dict[str, str]:
    pairs = (member.partition(";")[0].partition("=") for member in value.split(","))
    return {unquote(key.strip()): unquote(text.strip()) for key, sign, text in pairs if sign and key.strip()}


def _metadata(value: str) -> dict[str, str]:
    """Metadata of a header; one that is no JSON object counts as none, for the log is worth more."""
    try:
        told: object = orjson.loads(value) if value.strip() else {}
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(told, dict):
        return {}
    pairs = cast("dict[str, object]", told).items()
    return {key: text if isinstance(text, str) else orjson.dumps(text).decode() for key, text in pairs}

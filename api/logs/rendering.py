"""Rows of requests and log objects as JSON. Source: dataplane contract 3.2, 3.3, 4.2, 6.9."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from api.analytics.rendering import instant, money
from api.rights import Visibility

ROW_OBJECT = "log"
FULL, METRICS_ONLY = "full", "metrics"
_PAIRS = {"metadata": ("metadata.key", "metadata.value"), "extra_units": ("units.name", "units.quantity")}
_LISTS = frozenset(name for pair in _PAIRS.values() for name in pair)
_PLAIN_REQUEST = ("url", "method", "provider")
_PLAIN_RESPONSE = ("status", "responseTime", "response_time", "streamingMode", "lastUsedOptionJsonPath")
_IDENTITY = ("_id", "organisation_id", "workspace_slug", "created_at")
_ABOUT = ("metadata", "trace_id", "span_id", "parent_span_id", "span_name", "span", "metrics")

Row = Mapping[str, Any]


def log_row(row: Row) -> dict[str, Any]:
    """A line of a list: the row's columns, its metadata as an object."""
    line: dict[str, Any] = {name: scalar(value) for name, value in row.items() if name not in _LISTS}
    for field, (keys, values) in _PAIRS.items():
        if keys in row:
            line[field] = dict(zip(row[keys] or (), row[values] or (), strict=False))
    return {**line, "object": ROW_OBJECT}


def scalar(value: object) -> Any:
    """Money with all its digits, instants in UTC, the rest as it is."""
    match value:
        case Decimal():
            return money(value)
        case datetime():
            return instant(value)
        case _:
            return value


def log_object(row: Row, kept: Mapping[str, object] | None, visibility: Visibility) -> dict[str, Any]:
    """One log as far as the caller may see it: what is kept of it, and the row as its `metrics`."""
    metrics = log_row(row)
    content: dict[str, Any] = {**_known_of(row), "metadata": metrics.get("metadata", {}), **(kept or {})}
    for half in ("request", "response"):
        if not isinstance(content.get(half), dict):
            content[half] = _known_of(row)[half]
    content |= {
        "_id": row["id"],
        "organisation_id": row["organisation_id"],
        "workspace_slug": row["workspace_slug"],
        "created_at": metrics["created_at"],
        "metrics": metrics,
    }
    if not visibility.log_bodies:
        content = without_bodies(content)
    if not visibility.log_metadata:
        content = {name: value for name, value in content.items() if name not in _ABOUT}
    return {**content, "log_format": FULL if kept is not None and visibility.log_bodies else METRICS_ONLY}


def without_bodies(content: Mapping[str, Any]) -> dict[str, Any]:
    """A log without anything that was said in it: only what is known to say nothing stays."""
    plain = {"request": _PLAIN_REQUEST, "response": _PLAIN_RESPONSE}
    kept = {name: content[name] for name in (*_IDENTITY, *_ABOUT) if name in content}
    for half, names in plain.items():
        part = cast("Mapping[str, Any]", content[half])
        kept[half] = {name: value for name in names if isinstance(value := part.get(name), str | int | float | None)}
    return kept


def _known_of(row: Row) -> dict[str, Any]:
    """What the row alone tells of a log."""
    return {
        "request": {"url": row["request_url"], "method": row["request_method"]},
        "response": {"status": row["response_status_code"], "responseTime": row["response_time"]},
    }

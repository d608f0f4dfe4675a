"""Traces and spans as JSON. Source: dataplane contract 3.3."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from api.analytics.rendering import instant
from api.logs.rendering import log_row, scalar
from api.traces.tree import DEEPEST, Node, in_order, roots_of

_SPAN = (
    "span_id", "parent_span_id", "span_name", "trace_id", "created_at", "response_time", "cost", "cost_currency",
    "total_units", "req_units", "res_units", "is_success", "response_status_code", "ai_org", "ai_model", "virtual_key",
    "config", "prompt_slug", "api_key_id", "workspace_slug", "cache_status", "source", "metadata", "feedback_count",
    "weighted_feedback",
)  # fmt: skip

Row = Mapping[str, Any]


def trace_line(line: Row) -> dict[str, Any]:
    """A line of a list of traces."""
    told: dict[str, Any] = {name: scalar(value) for name, value in line.items() if name != "root"}
    root = line["root"]
    shown: dict[str, Any] = log_row(root) if root else {}
    told["span_count"] = told["requests"]
    told["status"] = _status(line["error_count"])
    told["metadata"] = shown.get("metadata", {})
    for name, ours in (("name", "span_name"), ("workspace_slug", "workspace_slug"), ("user", "_user")):
        told[name] = shown.get(ours)
    told["first_log_id"] = shown.get("id")
    told["first_model"] = shown.get("ai_model")
    return {**told, "cost_currency": "USD", "object": "trace"}


def trace(trace_id: str, rows: Sequence[Row], *, is_cut: bool) -> dict[str, Any]:
    """A trace whole: its numbers and its spans as a tree."""
    return {
        "trace_id": trace_id,
        **aggregate(rows),
        "spans": [_nested(root) for root in roots_of(rows)],
        "is_cut": is_cut,
        "object": "trace",
    }


def spans(trace_id: str, rows: Sequence[Row], *, is_cut: bool) -> dict[str, Any]:
    """The spans of a trace one after the other, parents before their children, and what they amount to."""
    nodes = in_order(roots_of(rows))
    return {
        "object": "list",
        "total": len(nodes),
        "trace_id": trace_id,
        "data": [_span(node) for node in nodes],
        "aggregate": aggregate(rows),
        "is_cut": is_cut,
    }


def span_row(row: Row) -> dict[str, Any]:
    """A span that is shown without the rest of its trace."""
    line = log_row(row)
    return {"id": row["id"], "log_id": row["id"], **{name: line[name] for name in _SPAN}, "object": "span"}


def totals(sums: Row) -> dict[str, Any]:
    """What a list of spans amounts to, on whichever page."""
    count, latency = sums["latency_count"], sums["latency_sum"]
    told = {name: scalar(value) for name, value in sums.items() if not name.startswith("latency")}
    told["total_cost"] = told.pop("cost")
    return {**told, "span_count": sums["requests"], "avg_latency": latency / count if count else None}


def aggregate(rows: Sequence[Row]) -> dict[str, Any]:
    """What the spans of a trace amount to."""
    costs = [row["cost"] for row in rows if row["cost"] is not None]
    starts: list[datetime] = [row["created_at"] for row in rows]
    ends = [row["created_at"] + timedelta(milliseconds=row["response_time"] or 0) for row in rows]
    errors = sum(row["is_success"] is False for row in rows)
    return {
        "span_count": len(rows),
        "requests": len(rows),
        "total_cost": scalar(sum(costs, Decimal(0))) if costs else None,
        "unpriced_requests": len(rows) - len(costs),
        "cost_currency": "USD",
        "total_tokens": _sum(row["total_units"] for row in rows),
        "input_tokens": _sum(row["req_units"] for row in rows),
        "output_tokens": _sum(row["res_units"] for row in rows),
        "error_count": errors,
        "status": _status(errors),
        "first_seen": instant(min(starts)) if starts else None,
        "last_seen": instant(max(starts)) if starts else None,
        "duration_ms": (max(ends) - min(starts)) // timedelta(milliseconds=1) if rows else None,
        "feedback_count": rows[0]["feedback_count"] if rows else 0,
        "avg_weighted_feedback": rows[0]["weighted_feedback"] if rows else None,
    }


def _sum(numbers: Iterable[int | None]) -> int:
    return sum(number or 0 for number in numbers)


def _status(errors: int) -> str:
    return "error" if errors else "success"


def _span(node: Node) -> dict[str, Any]:
    return {**span_row(node.row), "depth": node.depth, "is_orphan": node.is_orphan}


def _nested(root: Node) -> dict[str, Any]:
    """A span with its children; what is too deep for JSON stands flat below the last level."""
    told = {**_span(root), "children": []}
    waiting: list[tuple[Node, dict[str, Any]]] = [(root, told)]
    while waiting:
        node, line = waiting.pop()
        for child in node.children if node.depth < DEEPEST else in_order(node.children):
            below = {**_span(child), "children": []}
            line["children"].append(below)
            if node.depth < DEEPEST:
                waiting.append((child, below))
    return told

"""Traces and spans of a caller."""

from typing import Any

import orjson

from api.errors import Forbidden, NotFound
from api.logs.parameters import ListRequest
from api.logs.service import Reading
from api.settings import AdminKeyScope
from api.traces import rendering
from warehouse.query.logs import LogQuestion, Row, find_logs, sum_logs
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Question
from warehouse.query.traces import MOST_SPANS, TraceQuestion, count_traces, find_trace, find_traces


def listed(reading: Reading, request: ListRequest) -> bytes:
    """A page of traces. Raises: Forbidden, InvalidInput, WarehouseBusy, QueryTooLarge, WarehouseError."""
    chosen = request.selection
    rows = Question(reading.scope(chosen.workspaces), chosen.since, chosen.until, conditions=chosen.conditions)
    question = TraceQuestion(
        LogQuestion(rows, request.search),
        request.order_by,
        request.direction,
        request.page.size,
        request.page.offset,
        request.position,
    )
    page = find_traces(reading.engine, question, reading.limits)
    answer: dict[str, Any] = {
        "object": "list",
        "total": count_traces(reading.engine, question, reading.limits) if request.include_total else None,
        "data": [rendering.trace_line(line) for line in page.traces],
        "next_cursor": request.next_cursor(page.position),
    }
    return orjson.dumps(answer)


def spans(reading: Reading, request: ListRequest) -> bytes:
    """A page of spans, and what all of them amount to. Raises: as `listed`."""
    question = request.within(reading.scope(request.selection.workspaces))
    page = find_logs(reading.engine, question, reading.limits)
    sums = sum_logs(reading.engine, question, reading.limits)
    answer: dict[str, Any] = {
        "object": "list",
        "total": sums["requests"] if request.include_total else None,
        "data": [rendering.span_row(row) for row in page.rows],
        "aggregate": rendering.totals(sums),
        "next_cursor": request.next_cursor(page.position),
    }
    return orjson.dumps(answer)


def one(reading: Reading, trace_id: str) -> bytes:
    """One trace as a tree. Raises: Forbidden, NotFound, WarehouseBusy, WarehouseError."""
    rows = _rows(reading, trace_id)
    return orjson.dumps(rendering.trace(trace_id, rows[:MOST_SPANS], is_cut=len(rows) > MOST_SPANS))


def spans_of(reading: Reading, trace_id: str) -> bytes:
    """The spans of one trace. Raises: Forbidden, NotFound, WarehouseBusy, WarehouseError."""
    rows = _rows(reading, trace_id)
    return orjson.dumps(rendering.spans(trace_id, rows[:MOST_SPANS], is_cut=len(rows) > MOST_SPANS))


def _rows(reading: Reading, trace_id: str) -> list[Row]:
    """What the caller sees of a trace. One of its organisation that it sees nothing of is forbidden."""
    scope = reading.scope(when_unnamed=AdminKeyScope.ORGANISATION)
    rows = find_trace(reading.engine, scope, trace_id, reading.limits)
    if rows:
        return rows
    whole = TenantScope(scope.organisation_id)
    if scope != whole and find_trace(reading.engine, whole, trace_id, reading.limits):
        raise Forbidden
    raise NotFound(f"There is no trace '{trace_id[:80]}'")

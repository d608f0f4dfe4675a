"""Traces and spans as clients read them. Source: dataplane contract 3.3."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_COST = "USD cents; null when none of the requests has a price."


class Amounts(BaseModel):
    """What some spans amount to."""

    model_config = ConfigDict(extra="allow")

    span_count: int
    total_cost: float | None = Field(description=_COST)
    unpriced_requests: int = Field(description="Requests without a price: the cost lacks them.")
    total_tokens: int
    error_count: int


class TraceRow(Amounts):
    """A trace in a list: the numbers of its requests within the time asked for, and its first request."""

    object: Literal["trace"] = "trace"
    trace_id: str
    requests: int
    status: Literal["success", "error"]
    first_seen: str
    last_seen: str
    duration_ms: int = Field(description="From the first start to the last end.")
    feedback_count: int
    avg_weighted_feedback: float | None
    metadata: dict[str, str] = Field(description="Of the first request.")


class TraceRows(BaseModel):
    """A page of traces, those that began last first unless asked otherwise."""

    object: Literal["list"] = "list"
    total: int | None
    data: Sequence[TraceRow]
    next_cursor: str | None


class Span(BaseModel):
    """A request of a trace."""

    model_config = ConfigDict(extra="allow")

    object: Literal["span"] = "span"
    id: str
    log_id: str
    span_id: str | None
    parent_span_id: str | None
    span_name: str | None
    created_at: str
    response_time: int | None
    cost: float | None
    total_units: int | None
    is_success: bool | None


class TreeSpan(Span):
    """A span, and the spans below it."""

    depth: int
    is_orphan: bool = Field(description="True where it names a parent that is not there.")
    children: Sequence["TreeSpan"]


class Trace(Amounts):
    """A trace as a tree."""

    object: Literal["trace"] = "trace"
    trace_id: str
    spans: Sequence[TreeSpan]
    is_cut: bool = Field(description="True where the trace has more requests than are answered.")


class Spans(BaseModel):
    """Spans, and what all of them amount to, on whichever page."""

    object: Literal["list"] = "list"
    total: int | None
    data: Sequence[Span]
    aggregate: Amounts
    next_cursor: str | None = None

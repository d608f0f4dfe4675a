"""Logs as clients send and read them. Source: dataplane contract 3.1 to 3.3, 4.2."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class LogRow(BaseModel):
    """What is known of a request, without what was asked and answered: columns of the catalog, and its feedback."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["log"] = "log"
    created_at: str
    trace_id: str | None
    metadata: dict[str, str]
    cost: float | None = Field(description="USD cents; null when the request has no price.")
    feedback_count: int = Field(description="Feedbacks on the request's trace.")
    weighted_feedback: float | None = Field(description="Mean of value times weight of these feedbacks.")


class LogRows(BaseModel):
    """A page of logs, the newest first unless asked otherwise."""

    object: Literal["list"] = "list"
    total: int | None = Field(description="Logs of all pages; null when not asked for.")
    data: Sequence[LogRow]
    next_cursor: str | None = Field(description="Where the next page starts; null on the last page.")


class LogObject(BaseModel):
    """One log: what was asked and answered, as far as it is kept and the caller may see it."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(alias="_id")
    request: dict[str, Any]
    response: dict[str, Any]
    organisation_id: str
    created_at: str
    metrics: dict[str, Any] | None = None
    log_format: Literal["full", "metrics"]

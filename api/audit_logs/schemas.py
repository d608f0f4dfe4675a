"""Audit records as clients read them. Source: controlplane contract 10.4, trap 6."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class AuditRecord(BaseModel):
    """Who called what, with which outcome. Bodies, queries and headers are JSON texts without secrets."""

    id: str
    timestamp: datetime
    method: str | None
    uri: str | None
    request_id: str | None
    request_body: str | None
    query_params: str | None
    request_headers: str | None
    user_id: str | None
    user_type: str | None
    organisation_id: str
    workspace_id: str | None
    response_status_code: int | None
    resource_type: str | None
    resource_id: str | None
    action: str | None
    client_ip: str | None
    country: str | None
    api_key_id: str | None
    reason: str | None
    actor_id: str | None = Field(description="The same as user_id.")
    actor_email: str | None
    actor_name: str | None
    resource_name: str | None
    ip_address: str | None = Field(description="The same as client_ip.")
    user_agent: str | None
    metadata: dict[str, Any]
    created_at: datetime = Field(description="The same as timestamp.")


class AuditRecords(BaseModel):
    """A page of records, under both names that clients read. `total` counts all pages."""

    object: Literal["list"] = "list"
    total: int
    current_page: int
    page_size: int
    records: Sequence[AuditRecord]
    data: Sequence[AuditRecord]

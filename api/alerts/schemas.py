"""Webhooks for alerts as clients write and read them. Source: docs/alerts.md."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.alerts.network import LONGEST_URL
from api.text import Line


class NewDestination(BaseModel):
    """Where alerts go."""

    model_config = ConfigDict(extra="forbid")

    channel: Literal["webhook", "slack"] = Field(default="webhook", description="slack: what understands Slack's JSON.")
    url: Annotated[str, Field(max_length=LONGEST_URL, description="https:// and a public host.")]
    name: Line = ""
    workspace_id: Line | None = Field(default=None, description="UUID or slug; null: of all workspaces.")


class DestinationAnswer(BaseModel):
    """A webhook; its URL is a secret and shown in part."""

    id: str
    object: Literal["alert_destination"] = "alert_destination"
    organisation_id: str
    workspace_id: str | None
    channel: Literal["webhook", "slack"]
    name: str
    url: str
    created_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    last_updated_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class CreatedDestination(DestinationAnswer):
    """The new webhook with what its calls are signed with: it is never shown again."""

    secret: str | None = Field(description="`whsec_…`, by the Standard Webhooks specification; null for Slack.")

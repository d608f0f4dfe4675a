"""Exports as clients ask for and see them. Source: dataplane contract 3.5."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api.text import Line, Text
from warehouse.exports.fields import ALIASES, FIELDS

LARGEST_FILTERS_BYTES = 100_000

Filters = Annotated[
    dict[str, Any],
    Field(
        description="Filters of analytics by their names, `ai_model`, `workspace_slug`, `created_at: {gte, lte}`, and "
        "`page_size` with `current_page` where only a part of the rows is wanted."
    ),
]
RequestedData = Annotated[
    list[Annotated[str, Field(max_length=80)]],
    Field(min_length=1, max_length=len(FIELDS) + len(ALIASES), description=f"Of {', '.join((*FIELDS, *ALIASES))}."),
]
WorkspaceId = Annotated[
    Line | None,
    Field(
        validation_alias=AliasChoices("workspace_id", "workspaceId"),
        description="UUID or slug; only for organisation keys.",
    ),
]
FormatName = Annotated[
    Literal["jsonl", "csv", "parquet"] | None, Field(description="What the file is written as; jsonl by default.")
]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class NewExport(_Lenient):
    """What to export."""

    filters: Filters
    requested_data: RequestedData = Field(validation_alias=AliasChoices("requested_data", "requestedData"))
    workspace_id: WorkspaceId = None
    description: Text | None = None
    format: FormatName = None


class ChangedExport(_Lenient):
    """What to export instead; what is left out, or null, stays as it is."""

    filters: Filters | None = None
    requested_data: RequestedData | None = Field(
        default=None, validation_alias=AliasChoices("requested_data", "requestedData")
    )
    workspace_id: WorkspaceId = None
    description: Text | None = None
    format: FormatName = None


class ExportTotal(BaseModel):
    """An export, and how many rows it is of at the moment."""

    id: str
    total: int
    object: Literal["export"] = "export"


class ExportItem(BaseModel):
    """An export: what is asked for, and how far it is."""

    id: str
    organisation_id: str
    workspace_id: str | None = Field(description="null: of the whole organisation.")
    filters: dict[str, Any]
    requested_data: list[str]
    format: Literal["jsonl", "csv", "parquet"]
    status: Literal["draft", "in_progress", "success", "failed", "stopped"]
    description: str
    created_at: datetime
    last_updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str
    total_records: int
    written_records: int
    file_bytes: int | None
    error: str | None = Field(description="Why it failed.")
    object: Literal["export"] = "export"


class ExportMessage(BaseModel):
    """What was done."""

    message: str
    object: Literal["export"] = "export"


class ExportDownload(BaseModel):
    """Where the file can be read for a while, by whoever has the URL."""

    signed_url: str
    url: str = Field(description="The same.")
    expires_at: datetime


class FieldRestrictions(BaseModel):
    """Which fields the caller may export."""

    object: Literal["export-field-restrictions"] = "export-field-restrictions"
    allowed_fields: Sequence[str]
    restricted_fields: Sequence[str]
    aliases: dict[str, str] = Field(description="Other names → the field they stand for.")

"""Exports as the wire has them."""

from datetime import datetime
from typing import Any

from api.analytics.rendering import instant
from api.exports.rows import Export


def item(export: Export) -> dict[str, Any]:
    """`ExportItem` of one export."""
    return {
        "id": export.id,
        "organisation_id": export.organisation_id,
        "workspace_id": export.workspace_id,
        "filters": export.filters,
        "requested_data": export.requested_data,
        "format": export.format,
        "status": export.status,
        "description": export.description,
        "created_at": instant(export.created_at),
        "last_updated_at": instant(export.last_updated_at),
        "started_at": _instant(export.started_at),
        "finished_at": _instant(export.finished_at),
        "created_by": export.created_by,
        "total_records": export.total_records,
        "written_records": export.written_records,
        "file_bytes": export.file_bytes,
        "error": export.error,
        "object": "export",
    }


def _instant(value: datetime | None) -> str | None:
    return None if value is None else instant(value)

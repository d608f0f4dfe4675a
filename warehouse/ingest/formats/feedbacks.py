"""Feedback on traces, as the API takes it and as exports hold it. Source: dataplane contract 3.6."""

from collections.abc import Mapping

from typing_extensions import override

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.ingest.fields import METADATA_KEY, METADATA_VALUE, identifier, metadata_lists, text_fields
from warehouse.ingest.formats.base import RecordFormat
from warehouse.ingest.formats.log_objects import text_of
from warehouse.ingest.records import RawRow

_OTHER_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "trace_id": ("trace_id", "traceID", "traceId"),
    "created_at": ("created_at", "createdAt"),
    "last_updated_at": ("last_updated_at", "lastUpdatedAt"),
}
_IDS = ("id", "feedbackID", "feedback_id")


class Feedbacks(RecordFormat):
    name = "feedbacks"
    description = "Feedback on traces: trace_id, value, weight, metadata."
    dataset = FEEDBACKS

    @override
    def fits_record(self, record: Mapping[str, object]) -> bool:
        has_trace = any(name in record for name in _OTHER_SPELLINGS["trace_id"])
        return has_trace and "value" in record and "ai_model" not in record and "request" not in record

    @override
    def row(self, record: Mapping[str, object]) -> RawRow:
        names = (*text_fields(FEEDBACKS), "created_at", "last_updated_at", "value", "weight")
        row: dict[str, str | list[str] | None] = {
            name: text_of(record, *_OTHER_SPELLINGS.get(name, (name,))) for name in names if name != "id"
        }
        row["id"] = next((identifier("id", record[name]) for name in _IDS if record.get(name) is not None), None)
        told = record.get("metadata")
        if told is None and METADATA_KEY in record:
            told = {"key": record[METADATA_KEY], "value": record.get(METADATA_VALUE)}
        row[METADATA_KEY], row[METADATA_VALUE] = metadata_lists(told)
        return row

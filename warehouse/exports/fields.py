"""What an export can hold of a request, and the column each field is read from. Source: dataplane contract 3.5."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warehouse.errors import UnknownName

METADATA, REQUEST, RESPONSE = "metadata", "request", "response"
BODIES = frozenset({REQUEST, RESPONSE})
"""Fields that are in no row: they are fetched from the log store."""
METADATA_COLUMNS = ("metadata.key", "metadata.value")
WHERE_COLUMNS = ("organisation_id", "workspace_slug", "log_store_file_path_format")
"""What tells where a log object lies, beside its id and time."""

_DOCUMENTED = (
    "id", "trace_id", "created_at", REQUEST, RESPONSE, "is_success", "ai_org", "ai_model", "req_units", "res_units",
    "total_units", "request_url", "cost", "cost_currency", "response_time", "response_status_code", "mode", "config",
    "prompt_slug", METADATA,
)  # fmt: skip
_MORE = (
    "workspace_slug", "span_id", "parent_span_id", "span_name", "api_key_id", "user_id", "virtual_key",
    "request_method",
    "cache_status", "cost_source", "computed_cost", "reported_cost", "cache_saved_cost", "uncached_input_tokens",
    "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "_user", "_organisation", "_prompt",
    "_environment", "unpriced_reason",
)  # fmt: skip
FIELDS: tuple[str, ...] = (*_DOCUMENTED, *_MORE)
ALIASES: Mapping[str, str] = {
    "ai_provider": "ai_org",
    "request_tokens": "req_units",
    "response_tokens": "res_units",
    "total_tokens": "total_units",
    "status_code": "response_status_code",
}
"""Names that documents use too; the file has the field under the name that was asked for."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of an export in order, as they are named in it."""

    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read."""
        found: list[str] = []
        for name in self.names:
            field = source_of(name)
            if field == METADATA:
                found += METADATA_COLUMNS
            elif field not in BODIES:
                found.append(field)
        if self.bodies:
            found += WHERE_COLUMNS
        return tuple(dict.fromkeys(found))

    @property
    def bodies(self) -> tuple[str, ...]:
        """Those that come from the log store."""
        return tuple(name for name in self.names if name in BODIES)


def source_of(name: str) -> str:
    """The field that a name stands for."""
    return ALIASES.get(name, name)


def fields_of(names: Sequence[str]) -> Fields:
    """The fields with these names, each once. Raises: UnknownName with the allowed ones."""
    for name in names:
        if source_of(name) not in FIELDS:
            raise UnknownName("field of requested_data", name[:80], (*FIELDS, *ALIASES))
    return Fields(tuple(dict.fromkeys(names)))

"""The groups that have a path and field names of their own. Source: dataplane contract 2.3."""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from warehouse.catalog.registry import METADATA_PREFIX


@dataclass(frozen=True, slots=True)
class Listing:
    """One line per value of a dimension, with columns that are there unasked."""

    path: str
    dimension: str
    """A dimension of the catalog; what ends with a dot is completed by the path's parameter."""
    key: str
    """The field that holds the value."""
    columns: tuple[str, ...]
    summary: str
    renamed: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Measures that this listing gives another name."""
    names_workspaces: bool = False
    """Whether a line also holds the `workspace_id` of its workspace."""

    @property
    def name(self) -> str:
        """The path in one word."""
        return self.path.partition("/")[0].replace("-", "_")


METADATA_KEY: Final = "metadataKey"

LISTINGS: tuple[Listing, ...] = (
    Listing("users", "user", "user", ("cost",), "Requests and cost of each end user"),
    Listing(
        "ai-models",
        "model",
        "ai_model",
        ("cost", "only_provider"),
        "Requests and cost of each model",
        renamed=MappingProxyType({"only_provider": "ai_org"}),
    ),
    Listing(
        "workspaces",
        "workspace",
        "workspace_slug",
        ("cost", "total_tokens", "avg_tokens", "last_seen"),
        "Requests, cost and tokens of each workspace",
        names_workspaces=True,
    ),
    Listing(
        f"metadata/{{{METADATA_KEY}:path}}",
        METADATA_PREFIX,
        "metadata_value",
        ("cost", "avg_tokens", "avg_weighted_feedback", "requests_with_feedback", "last_seen"),
        "Requests, cost, tokens and feedback of each value of a metadata key",
    ),
)

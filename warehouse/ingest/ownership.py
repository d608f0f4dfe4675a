"""Whose a record is: what is given to records that name nobody, and which names a record may use.

Source: DECISIONS "whose row is it".
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Ownership:
    """The organisation and workspace of records that name none, and all the names that exist."""

    organisation_id: str
    organisation_name: str
    workspace_slug: str
    known: Mapping[str, frozenset[str]]
    """Organisation id → workspace slugs that exist; a record may name only these."""

    def resolve(self, organisation_id: str | None, workspace_slug: str | None) -> tuple[str, str] | str:
        """The (organisation id, workspace slug) a record belongs to, or the reason why it belongs to nobody."""
        organisation = organisation_id or self.organisation_id
        workspaces = self.known.get(organisation)
        if workspaces is None:
            return "unknown organisation"
        workspace = workspace_slug or self.workspace_slug
        if workspace not in workspaces:
            return (
                "unknown workspace"
                if workspace_slug
                else "names no workspace, and the default one is not in its organisation"
            )
        return organisation, workspace

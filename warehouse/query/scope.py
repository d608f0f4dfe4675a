"""Whose rows a question may see. No query can be built without one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TenantScope:
    """Rows of one organisation, and of all its workspaces or only the named ones.

    `workspaces=None` means the whole organisation; an empty set means nothing at all.
    """

    organisation_id: str
    workspaces: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if not self.organisation_id:
            raise ValueError("a tenant scope needs an organisation")

    def narrowed(self, workspaces: frozenset[str]) -> "TenantScope":
        """The part of this scope that lies in `workspaces`; never wider than this one."""
        kept = workspaces if self.workspaces is None else self.workspaces & workspaces
        return TenantScope(self.organisation_id, kept)

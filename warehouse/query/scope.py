"""Whose rows a question may see. No query can be built without one."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class OwnRows:
    """The rows of one person: those that name the person or one of its API keys. Source: dataplane contract 6.6."""

    user_id: str
    api_key_ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # Blank stands for rows without a value, which are nobody's.
        if not self.user_id or "" in self.api_key_ids:
            raise ValueError("own rows need a user, and keys with an id")


@dataclass(frozen=True, slots=True)
class TenantScope:
    """Rows of one organisation, and of all its workspaces or only the named ones, and all of them or only somebody's.

    `workspaces=None` means the whole organisation; an empty set means nothing at all. `own=None` means everybody's.
    """

    organisation_id: str
    workspaces: frozenset[str] | None = None
    own: OwnRows | None = None

    def __post_init__(self) -> None:
        if not self.organisation_id:
            raise ValueError("a tenant scope needs an organisation")

    def narrowed(self, workspaces: frozenset[str]) -> "TenantScope":
        """The part of this scope that lies in `workspaces`; never wider than this one."""
        kept = workspaces if self.workspaces is None else self.workspaces & workspaces
        return replace(self, workspaces=kept)

    def of_everybody(self) -> "TenantScope":
        """The same place with everybody's rows: only for what is then joined to rows of this scope."""
        return replace(self, own=None)

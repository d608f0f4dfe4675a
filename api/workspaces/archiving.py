"""What becomes of a workspace and of what it holds when it is deleted: it is archived, and nothing in it works.

Source: controlplane contract 2.4, "Delete rules".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.errors import Conflict, InvalidRequest
from api.limits.rows import Limit
from api.policies.rows import ACTIVE, Policy
from api.workspaces.matching import shown_name
from api.workspaces.rows import ARCHIVED, Workspace


@dataclass(frozen=True, slots=True)
class Holding:
    """One kind of things in a workspace. Those that block must be gone before it is deleted, unless it is forced."""

    noun: str
    """In the plural, as the refusal names it: `Virtual Keys`."""
    blocks: bool
    count: Callable[[Session, Workspace], int]
    end: Callable[[Session, Workspace, datetime], None]
    """Called for every kind when the workspace is archived."""


def _keys(session: Session, workspace: Workspace) -> int:
    held = select(func.count()).where(ApiKey.workspace_id == workspace.id, ApiKey.deleted_at.is_(None))
    return session.scalar(held) or 0


def _revoke_keys(session: Session, workspace: Workspace, now: datetime) -> None:
    session.execute(
        update(ApiKey)
        .where(ApiKey.workspace_id == workspace.id, ApiKey.deleted_at.is_(None))
        .values(deleted_at=now, last_updated_at=now, previous_key_hash=None, previous_key_expires_at=None)
    )


def _limits(session: Session, workspace: Workspace) -> int:
    return session.scalar(select(func.count()).where(Limit.workspace_id == workspace.id)) or 0


def _forget_limits(session: Session, workspace: Workspace, now: datetime) -> None:  # noqa: ARG001
    """Its own, and those of keys, virtual keys and integrations in it."""
    session.execute(delete(Limit).where(Limit.workspace_id == workspace.id))


def _policies(session: Session, workspace: Workspace) -> int:
    held = select(func.count()).where(Policy.workspace_id == workspace.id, Policy.status == ACTIVE)
    return session.scalar(held) or 0


def _archive_policies(session: Session, workspace: Workspace, now: datetime) -> None:
    session.execute(
        update(Policy)
        .where(Policy.workspace_id == workspace.id, Policy.status == ACTIVE)
        .values(status=ARCHIVED, last_updated_at=now)
    )


HOLDINGS: tuple[Holding, ...] = (
    Holding("API Keys", blocks=False, count=_keys, end=_revoke_keys),
    Holding("Usage Limits", blocks=False, count=_limits, end=_forget_limits),
    Holding("Policies", blocks=False, count=_policies, end=_archive_policies),
)
"""Everything a workspace can hold. A resource of workspaces adds one line here, and its test shows both ways."""


def what_blocks(session: Session, workspace: Workspace, holdings: Sequence[Holding] = HOLDINGS) -> list[str]:
    """What must be deleted before the workspace can be."""
    return [holding.noun for holding in holdings if holding.blocks and holding.count(session, workspace)]


def archive(
    session: Session,
    workspace: Workspace,
    *,
    now: datetime,
    name: str | None = None,
    is_forced: bool = False,
    holdings: Sequence[Holding] = HOLDINGS,
) -> None:
    """The workspace is archived and what it held has ended.

    Raises: InvalidRequest when `name` is another one; Conflict for the default workspace and when something blocks.
    """
    if name is not None and name.strip() not in {workspace.name, shown_name(workspace)}:
        raise InvalidRequest("name: is not the name of this workspace; nothing was deleted")
    if workspace.is_default:
        raise Conflict("The default workspace cannot be deleted.")
    if not is_forced and (blocking := what_blocks(session, workspace, holdings)):
        raise Conflict(f"Unable to delete. Please ensure that all {', '.join(blocking)} are deleted")
    for holding in holdings:
        holding.end(session, workspace, now)
    workspace.status, workspace.archived_at, workspace.last_updated_at = ARCHIVED, now, now
    session.flush()

"""People in workspaces: added, listed, changed and removed by a caller who may. Source: controlplane contract 2.5."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.errors import Conflict, InvalidRequest, NotFound
from api.listing import page_of
from api.paging import Page
from api.principal import Principal
from api.rights import require_assignable
from api.users.administration import revoke
from api.users.rows import OrganisationMember, User
from api.workspaces import service
from api.workspaces.rows import Workspace, WorkspaceMember
from api.workspaces.schemas import NewMember, NewMembers

ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Member:
    """A person in a workspace, and what it is in the organisation."""

    place: WorkspaceMember
    user: User
    organisation_role: str


def listed(
    session: Session, workspace: Workspace, *, role: str | None, email: str | None, page: Page
) -> tuple[list[Member], int]:
    """One page of the members, who came last first, and how many there are."""
    query = _members(workspace).order_by(WorkspaceMember.created_at.desc(), WorkspaceMember.user_id.desc())
    if role:
        query = query.where(WorkspaceMember.role == role)
    if email:
        query = query.where(User.email == email.strip().lower())
    rows, total = page_of(session, query, page)
    return [Member(*row) for row in rows], total


def everybody(session: Session, workspace: Workspace) -> list[Member]:
    """All members, who came last first."""
    query = _members(workspace).order_by(WorkspaceMember.created_at.desc(), WorkspaceMember.user_id.desc())
    return [Member(*row) for row in session.execute(query)]


def find(session: Session, workspace: Workspace, user_id: str) -> Member:
    """One member. Raises: NotFound."""
    row = session.execute(_members(workspace).where(WorkspaceMember.user_id == user_id.strip().lower())).first()
    if row is None:
        raise NotFound(f"There is no user '{user_id[:40]}' in this workspace.")
    return Member(*row)


def wanted_of(body: NewMembers) -> list[NewMember]:
    """Who is to be added, in either form of the body. Raises: InvalidRequest."""
    if body.users:
        return body.users
    if body.user_id is None or body.role is None:
        raise InvalidRequest("users: an array of {id, role}, or user_id and role of one user")
    return [NewMember(id=body.user_id, role=body.role)]


def add(session: Session, caller: Principal, workspace: Workspace, wanted: Sequence[NewMember], now: datetime) -> None:
    """The users are members; one who is already, with that role, stays as it is.

    Raises: InvalidRequest when one is not in the organisation, Conflict when one has another role here, Forbidden
    when the caller may not give a role.
    """
    roles: dict[str, str] = {}
    for one in wanted:
        if roles.setdefault(one.id.lower(), one.role) != one.role:
            raise InvalidRequest(f"users: '{one.id}' is named with two roles")
    if not roles:
        return
    known = set(
        session.scalars(
            select(OrganisationMember.user_id)
            .where(OrganisationMember.organisation_id == workspace.organisation_id)
            .where(OrganisationMember.status == ACTIVE, OrganisationMember.user_id.in_(roles))
        )
    )
    here = {
        place.user_id: place.role
        for place in session.scalars(
            select(WorkspaceMember).where(
                WorkspaceMember.workspace_id == workspace.id, WorkspaceMember.user_id.in_(roles)
            )
        )
    }
    for user_id, role in roles.items():
        if user_id not in known:
            raise InvalidRequest(f"users: '{user_id}' is not in the organisation; invite the user first")
        require_assignable(caller, role)
        if user_id not in here:
            service.add_member(session, workspace, user_id, role, now=now)
        elif here[user_id] != role:
            raise Conflict(
                f"users: '{user_id}' is a {here[user_id]} of this workspace already; change the role instead"
            )


def change(session: Session, caller: Principal, workspace: Workspace, user_id: str, role: str, now: datetime) -> None:
    """The member has this role. Raises: NotFound, Forbidden when the old or new role is above the caller's own."""
    member = find(session, workspace, user_id)
    require_assignable(caller, role)
    require_assignable(caller, member.place.role)
    if member.place.role != role:
        member.place.role, member.place.last_updated_at = role, now
    session.flush()


def remove(session: Session, caller: Principal, workspace: Workspace, user_id: str, now: datetime) -> None:
    """The user is no member any more, and its keys in the workspace are revoked. Raises: NotFound, Forbidden."""
    member = find(session, workspace, user_id)
    require_assignable(caller, member.place.role)
    held = session.scalars(
        select(ApiKey).where(
            ApiKey.workspace_id == workspace.id, ApiKey.user_id == member.user.id, ApiKey.deleted_at.is_(None)
        )
    )
    revoke(session, held.all(), now)
    session.delete(member.place)
    session.flush()


def _members(workspace: Workspace) -> Select[WorkspaceMember, User, str]:
    return (
        select(WorkspaceMember, User, OrganisationMember.role)
        .join(User, User.id == WorkspaceMember.user_id)
        .join(
            OrganisationMember,
            (OrganisationMember.user_id == WorkspaceMember.user_id)
            & (OrganisationMember.organisation_id == WorkspaceMember.organisation_id),
        )
        .where(WorkspaceMember.workspace_id == workspace.id)
    )

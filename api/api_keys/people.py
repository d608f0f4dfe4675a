"""Whose key it is: only of members, and of nobody above the person who asks. Source: controlplane contract 3."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.api_keys.rights import leads
from api.errors import Forbidden, InvalidRequest
from api.principal import Principal
from api.rights import ADMIN, MEMBER, OWNER, role_at_least
from api.users.rows import OrganisationMember
from api.workspaces.rows import WorkspaceMember

ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Place:
    """What a user is in the organisation and in a workspace of it; None: nothing."""

    organisation_role: str | None
    workspace_role: str | None

    @property
    def is_member(self) -> bool:
        """Whether the user is at home in the workspace; owners and admins of the organisation are in all of them."""
        if self.organisation_role is None:
            return False
        return self.organisation_role in (OWNER, ADMIN) or self.workspace_role is not None


def place_of(session: Session, organisation_id: str, workspace_id: str, user_id: str) -> Place:
    """What the user is there."""
    organisation_role = session.scalar(
        select(OrganisationMember.role).where(
            OrganisationMember.organisation_id == organisation_id,
            OrganisationMember.user_id == user_id,
            OrganisationMember.status == ACTIVE,
        )
    )
    workspace_role = session.scalar(
        select(WorkspaceMember.role).where(
            WorkspaceMember.workspace_id == workspace_id, WorkspaceMember.user_id == user_id
        )
    )
    return Place(organisation_role, workspace_role)


def owner_of_new(session: Session, caller: Principal, workspace_id: str, wanted: str | None) -> str:
    """Whose key a new one is: the caller's, unless it names another. Raises: InvalidRequest, Forbidden."""
    user_id = wanted or caller.user_id
    if user_id is None:
        raise InvalidRequest("user_id: a service key must name whose key it is to be")
    if user_id != caller.user_id and not leads(caller):
        raise Forbidden
    place = place_of(session, caller.organisation_id, workspace_id, user_id)
    if not place.is_member:
        raise InvalidRequest("user_id: is not a member of this workspace; add the user first")
    require_not_above(caller, user_id, place)
    return user_id


def require_not_above(caller: Principal, user_id: str, place: Place) -> None:
    """Nothing, when the caller may have a secret that acts as this user. Raises: Forbidden.

    A key acts with the role of its user: whoever gets its secret must not get a higher role than its own by it. A
    service key has no role; its scopes decide alone.
    """
    if caller.user_id in {None, user_id}:
        return
    if caller.is_organisation_admin:
        is_fine = role_at_least(caller.organisation_role, place.organisation_role or MEMBER)
    else:
        is_fine = place.organisation_role in {None, MEMBER} and role_at_least(
            caller.workspace_role, place.workspace_role or MEMBER
        )
    if not is_fine:
        raise Forbidden("You cannot have a key of somebody whose role is above yours")

"""The people of an organisation: listed, changed, and let go. Source: controlplane contract 2.1."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.errors import Conflict, Forbidden, InvalidRequest, NotFound
from api.limits import service as limits
from api.listing import page_of
from api.organisations.rows import Organisation
from api.paging import Page
from api.security_settings.service import organisation_settings
from api.users.rows import OrganisationMember, User
from api.users.schemas import UserChanges
from api.users.service import Person, place_of
from api.workspaces.rows import ARCHIVED, Workspace, WorkspaceMember

PROVISIONED = "scim_organisation_provisioning"
OWNER = "owner"
ACTIVE = "active"


def listed(
    session: Session, organisation_id: str, *, role: str | None, email: str | None, page: Page
) -> tuple[list[Person], int]:
    """One page of the people of an organisation, who came last first, and how many there are."""
    query = (
        select(User, OrganisationMember)
        .join(OrganisationMember, OrganisationMember.user_id == User.id)
        .where(OrganisationMember.organisation_id == organisation_id)
        .order_by(OrganisationMember.created_at.desc(), OrganisationMember.user_id.desc())
    )
    if role:
        query = query.where(OrganisationMember.role == role)
    if email:
        query = query.where(User.email == email.strip().lower())
    rows, total = page_of(session, query, page)
    return [Person(user, place) for user, place in rows], total


def find(session: Session, organisation_id: str, user_id: str) -> Person:
    """A person of the organisation. Raises: NotFound, the same for nobody and for somebody of another organisation."""
    user = session.get(User, user_id.strip().lower())
    place = None if user is None else place_of(session, organisation_id, user.id)
    if user is None or place is None:
        raise NotFound(f"There is no user '{user_id[:40]}'.")
    return Person(user, place)


def workspaces_of(session: Session, organisation_id: str, user_ids: Collection[str]) -> Mapping[str, list[str]]:
    """User id → slugs of the active workspaces that the user is a member of."""
    slugs: defaultdict[str, list[str]] = defaultdict(list)
    if user_ids:
        found = session.execute(
            select(WorkspaceMember.user_id, Workspace.slug)
            .join(Workspace, Workspace.id == WorkspaceMember.workspace_id)
            .where(WorkspaceMember.organisation_id == organisation_id, WorkspaceMember.user_id.in_(user_ids))
            .where(Workspace.status != ARCHIVED)
            .order_by(Workspace.created_at, Workspace.id)
        )
        for user_id, slug in found:
            slugs[user_id].append(slug)
    return slugs


def require_managed_here(session: Session, organisation_id: str) -> None:
    """Nothing, unless the organisation takes its people from SCIM alone. Raises: Forbidden.

    Source: controlplane contract 2.1, 8.6.
    """
    organisation = session.get_one(Organisation, organisation_id)
    if organisation_settings(organisation)[PROVISIONED]:
        raise Forbidden("The people of this organisation are provisioned by SCIM and cannot be changed here.")


def change(session: Session, organisation_id: str, user_id: str, wanted: UserChanges, now: datetime) -> Person:
    """The person with another role or name. Raises: NotFound, Forbidden, InvalidRequest."""
    require_managed_here(session, organisation_id)
    person = find(session, organisation_id, user_id)
    names = {
        name: value
        for name, value in (("first_name", wanted.first_name), ("last_name", wanted.last_name))
        if value is not None and value != getattr(person.user, name)
    }
    if wanted.role is None and not names:
        raise InvalidRequest("role: say what the user is to be; allowed: admin, member")
    if wanted.role is not None:
        if person.place.role == OWNER:
            raise Forbidden("The role of an owner cannot be changed.")
        if person.place.role == wanted.role and not names:
            raise InvalidRequest(f"role: the user is '{wanted.role}' already")
        person.place.role = wanted.role
    if names:
        _rename(session, person, names, now)
    person.place.last_updated_at = now
    session.flush()
    return person


def _rename(session: Session, person: Person, names: Mapping[str, str], now: datetime) -> None:
    elsewhere = session.scalar(
        select(OrganisationMember.id)
        .where(OrganisationMember.user_id == person.user.id, OrganisationMember.id != person.place.id)
        .limit(1)
    )
    if elsewhere is not None:
        # One organisation must not write what another one reads.
        raise Forbidden("The name of a user who is in other organisations too cannot be changed here.")
    for name, value in names.items():
        setattr(person.user, name, value)
    person.user.last_updated_at = now


Leaving = Callable[[Session, str, str, datetime], None]
"""What is to be done for (organisation id, user id) when a person leaves."""


def revoke_keys(session: Session, organisation_id: str, user_id: str, now: datetime) -> None:
    """No key of the person in this organisation counts any more."""
    held = session.scalars(
        select(ApiKey).where(
            ApiKey.organisation_id == organisation_id, ApiKey.user_id == user_id, ApiKey.deleted_at.is_(None)
        )
    )
    revoke(session, held.all(), now)


def revoke(session: Session, keys: Sequence[ApiKey], now: datetime) -> None:
    """The keys count no longer, and neither do those before their rotation; what limited them is gone."""
    for key in keys:
        key.deleted_at = key.last_updated_at = now
        key.previous_key_hash = key.previous_key_expires_at = None
    limits.forget(session, "api_key", [key.id for key in keys])


def leave_workspaces(session: Session, organisation_id: str, user_id: str, now: datetime) -> None:  # noqa: ARG001
    """The person is a member of no workspace of the organisation any more."""
    session.execute(
        delete(WorkspaceMember).where(
            WorkspaceMember.organisation_id == organisation_id, WorkspaceMember.user_id == user_id
        )
    )


WHAT_ENDS: tuple[Leaving, ...] = (revoke_keys, leave_workspaces)
"""A resource that belongs to a person adds what ends with the person's place here."""


def remove(session: Session, organisation_id: str, user_id: str, now: datetime) -> None:
    """The person has no place in the organisation any more, nor a key, nor a workspace.

    Raises: NotFound, Forbidden; Conflict for the last owner.
    """
    require_managed_here(session, organisation_id)
    person = find(session, organisation_id, user_id)
    if person.place.role == OWNER:
        _require_another_owner(session, organisation_id, person.user.id)
    for end in WHAT_ENDS:
        end(session, organisation_id, person.user.id, now)
    session.delete(person.place)
    session.flush()


def _require_another_owner(session: Session, organisation_id: str, user_id: str) -> None:
    # The lock makes two owners who remove each other wait for one another.
    owners = session.scalars(
        select(OrganisationMember.user_id)
        .where(OrganisationMember.organisation_id == organisation_id, OrganisationMember.role == OWNER)
        .where(OrganisationMember.status == ACTIVE)
        .with_for_update()
    ).all()
    if set(owners) <= {user_id}:
        raise Conflict("The last owner of an organisation cannot be removed.")

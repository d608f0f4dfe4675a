"""Users and their places in an organisation."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.errors import InvalidRequest
from api.identifiers import new_id
from api.mail.addresses import normalised
from api.users.rows import OrganisationMember, User

ORGANISATION_ROLES = ("owner", "admin", "member")


@dataclass(frozen=True, slots=True)
class Person:
    """A user, and the place that it has in one organisation."""

    user: User
    place: OrganisationMember


def find_or_create(session: Session, email: str, *, now: datetime) -> User:
    """The user with this e-mail (compared in lower case), made when there is none. Raises: InvalidRequest."""
    address = normalised(email)
    found = session.scalar(select(User).where(User.email == address))
    if found is not None:
        return found
    user = User(id=new_id(), email=address, created_at=now, last_updated_at=now)
    session.add(user)
    session.flush()
    return user


def join_organisation(
    session: Session, user: User, organisation_id: str, role: str, *, now: datetime
) -> OrganisationMember:
    """Give a user a place in an organisation. Raises: InvalidRequest on an unknown role."""
    if role not in ORGANISATION_ROLES:
        raise InvalidRequest(f"Unknown role '{role}'; allowed: {', '.join(ORGANISATION_ROLES)}")
    place = OrganisationMember(
        id=new_id(),
        organisation_id=organisation_id,
        user_id=user.id,
        role=role,
        created_at=now,
        last_updated_at=now,
    )
    session.add(place)
    session.flush()
    return place


def place_of(session: Session, organisation_id: str, user_id: str) -> OrganisationMember | None:
    """The place that a user has in an organisation, or None."""
    return session.scalar(
        select(OrganisationMember).where(
            OrganisationMember.organisation_id == organisation_id, OrganisationMember.user_id == user_id
        )
    )

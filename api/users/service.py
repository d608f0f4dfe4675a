"""Users and their places in an organisation."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.errors import InvalidRequest
from api.identifiers import new_id
from api.users.rows import OrganisationMember, User

ORGANISATION_ROLES = ("owner", "admin", "member")
LONGEST_EMAIL = 320


def find_or_create(session: Session, email: str, *, now: datetime) -> User:
    """The user with this e-mail (compared in lower case), made when there is none. Raises: InvalidRequest."""
    address = email.strip().lower()
    name, at, domain = address.rpartition("@")
    if not (at and name and domain) or len(address) > LONGEST_EMAIL or any(c.isspace() for c in address):
        raise InvalidRequest(f"'{email}' is not an e-mail address such as owner@example.com")
    found = session.scalar(select(User).where(User.email == address))
    if found is not None:
        return found
    user = User(id=new_id(), email=address, created_at=now, last_updated_at=now)
    session.add(user)
    session.flush()
    return user


def join_organisation(session: Session, user: User, organisation_id: str, role: str, *, now: datetime) -> None:
    """Give a user a place in an organisation. Raises: InvalidRequest on an unknown role."""
    if role not in ORGANISATION_ROLES:
        raise InvalidRequest(f"Unknown role '{role}'; allowed: {', '.join(ORGANISATION_ROLES)}")
    session.add(
        OrganisationMember(
            id=new_id(),
            organisation_id=organisation_id,
            user_id=user.id,
            role=role,
            created_at=now,
            last_updated_at=now,
        )
    )
    session.flush()

"""The first organisation of an installation."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.api_keys import service as api_keys
from api.errors import InvalidRequest
from api.identifiers import new_id
from api.organisations.rows import InstallationMark, Organisation
from api.permissions import KeyKind, scopes_of
from api.users import service as users
from api.users.rows import OrganisationMember
from api.workspaces import service as workspaces

FIRST_ORGANISATION = "first_organisation"
DEFAULT_WORKSPACE = "Shared Workspace"
OWNER_KEY = "Owner key"
LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The first organisation. `api_key` is the raw key where one was made, else None: it is shown once."""

    organisation_id: str
    workspace_id: str
    workspace_slug: str
    owner_user_id: str
    api_key: str | None
    created: bool

    def __repr__(self) -> str:
        return f"Bootstrap(organisation_id={self.organisation_id!r}, created={self.created})"


def bootstrap(session: Session, *, organisation: str, owner_email: str, now: datetime, new_key: bool) -> Bootstrap:
    """The first organisation with its default workspace, owner and admin key; made once, whoever races.

    A second run changes nothing and gives no key, unless `new_key` asks for another one.
    Raises: InvalidRequest.
    """
    organisation_id = new_id()
    created = _claim(session, organisation_id, now)
    if created:
        _make(session, organisation_id, organisation, owner_email, now)
    else:
        organisation_id = session.scalars(
            select(InstallationMark.value).where(InstallationMark.name == FIRST_ORGANISATION)
        ).one()
    workspace = workspaces.default_of(session, organisation_id)
    owner_id = session.scalars(
        select(OrganisationMember.user_id)
        .where(OrganisationMember.organisation_id == organisation_id, OrganisationMember.role == "owner")
        .order_by(OrganisationMember.created_at, OrganisationMember.id)
        .limit(1)
    ).one()
    raw = _admin_key(session, organisation_id, owner_id, now) if created or new_key else None
    return Bootstrap(organisation_id, workspace.id, workspace.slug, owner_id, raw, created)


def create(session: Session, *, name: str, now: datetime, organisation_id: str | None = None) -> Organisation:
    """A new organisation. Raises: InvalidRequest."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise InvalidRequest(f"organisation: a name of 1 to {LONGEST_NAME} characters is needed")
    organisation = Organisation(id=organisation_id or new_id(), name=name, created_at=now, last_updated_at=now)
    session.add(organisation)
    session.flush()
    return organisation


def _claim(session: Session, organisation_id: str, now: datetime) -> bool:
    # The insert comes before any read: a racing transaction waits here, and what it then reads is the winner's work.
    try:
        with session.begin_nested():
            session.add(InstallationMark(name=FIRST_ORGANISATION, value=organisation_id, created_at=now))
    except IntegrityError:
        return False
    return True


def _make(session: Session, organisation_id: str, name: str, owner_email: str, now: datetime) -> None:
    create(session, name=name, now=now, organisation_id=organisation_id)
    owner = users.find_or_create(session, owner_email, now=now)
    users.join_organisation(session, owner, organisation_id, "owner", now=now)
    workspace = workspaces.create(
        session,
        organisation_id=organisation_id,
        name=DEFAULT_WORKSPACE,
        now=now,
        created_by=owner.id,
        is_default=True,
    )
    workspaces.add_member(session, workspace, owner.id, "admin", now=now)


def _admin_key(session: Session, organisation_id: str, owner_id: str, now: datetime) -> str:
    kind = KeyKind.ORGANISATION_SERVICE
    wanted = api_keys.NewKey(
        kind=kind,
        name=OWNER_KEY,
        organisation_id=organisation_id,
        scopes=scopes_of(kind),
        created_by=owner_id,
        creation_mode="auto",
    )
    return api_keys.create(session, wanted, now=now).raw

"""Workspaces: make them, find them by slug or UUID, and say which rows they may own."""

import re
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.errors import Conflict, Forbidden, InvalidRequest, NotFound
from api.identifiers import SLUG, new_id, new_slug
from api.organisations.rows import Organisation
from api.workspaces.rows import ARCHIVED, Workspace, WorkspaceMember
from warehouse.ingest.ownership import Ownership

WORKSPACE_ROLES = ("admin", "manager", "member")
LONGEST_NAME = 255
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def create(
    session: Session,
    *,
    organisation_id: str,
    name: str,
    now: datetime,
    slug: str | None = None,
    description: str | None = None,
    created_by: str | None = None,
    is_default: bool = False,
) -> Workspace:
    """A new workspace; its slug is made from the name when none is given. Raises: InvalidRequest, Conflict."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise InvalidRequest(f"name: a workspace needs a name of 1 to {LONGEST_NAME} characters")
    if slug is not None and not SLUG.fullmatch(slug):
        raise InvalidRequest(f"slug: '{slug[:80]}' is not 1 to 255 letters, digits, - and _")
    if slug is not None and _UUID.fullmatch(slug):
        # It could be the id of another workspace, and either addresses one.
        raise InvalidRequest("slug: must not look like a UUID")
    if slug is not None and _is_taken(session, organisation_id, slug):
        raise Conflict(f"slug: a workspace '{slug}' exists already")
    workspace = Workspace(
        id=new_id(),
        organisation_id=organisation_id,
        slug=slug or new_slug("ws", name),
        name=name,
        description=description,
        is_default=is_default,
        created_by=created_by,
        created_at=now,
        last_updated_at=now,
    )
    session.add(workspace)
    session.flush()
    return workspace


def _is_taken(session: Session, organisation_id: str, slug: str) -> bool:
    query = select(Workspace.id).where(Workspace.organisation_id == organisation_id, Workspace.slug == slug)
    return session.scalar(query.limit(1)) is not None


def add_member(session: Session, workspace: Workspace, user_id: str, role: str, *, now: datetime) -> WorkspaceMember:
    """Give a member of the organisation a place in one of its workspaces. Raises: InvalidRequest."""
    if role not in WORKSPACE_ROLES:
        raise InvalidRequest(f"Unknown role '{role}'; allowed: {', '.join(WORKSPACE_ROLES)}")
    member = WorkspaceMember(
        id=new_id(),
        organisation_id=workspace.organisation_id,
        workspace_id=workspace.id,
        user_id=user_id,
        role=role,
        created_at=now,
        last_updated_at=now,
    )
    session.add(member)
    session.flush()
    return member


def find(session: Session, organisation_id: str, reference: str) -> Workspace:
    """The workspace of this organisation with that slug or UUID, archived or not.

    Raises: Forbidden when there is none: whether it is absent or elsewhere is not told.
    """
    found = session.scalars(
        select(Workspace)
        .where(Workspace.organisation_id == organisation_id)
        .where(or_(Workspace.slug == reference, Workspace.id == reference.lower()))
        .limit(1)
    ).first()
    if found is None:
        raise Forbidden
    return found


def slugs_of(session: Session, organisation_id: str, references: Iterable[str]) -> frozenset[str]:
    """The slugs of workspaces named by slug or UUID. Raises: Forbidden when one of them is not of this organisation."""
    return frozenset(find(session, organisation_id, reference).slug for reference in references)


def default_of(session: Session, organisation_id: str) -> Workspace:
    """The default workspace of an organisation. Raises: NotFound."""
    found = session.scalars(
        select(Workspace)
        .where(Workspace.organisation_id == organisation_id, Workspace.is_default, Workspace.status != ARCHIVED)
        .order_by(Workspace.created_at, Workspace.id)
        .limit(1)
    ).first()
    if found is None:
        raise NotFound(f"organisation {organisation_id} has no default workspace")
    return found


def ownership_of(session: Session, organisation_id: str | None = None, workspace: str | None = None) -> Ownership:
    """What a load may write: owner of the records that name none, and every workspace that a record may name.

    Without an organisation: the oldest one owns what names none, and records may name any organisation.
    With one: records may name its workspaces only. `workspace` is a slug or UUID; default: the default workspace.
    Raises: NotFound, Forbidden.
    """
    organisation = _organisation(session, organisation_id)
    owner = find(session, organisation.id, workspace) if workspace else default_of(session, organisation.id)
    in_use = select(Workspace.organisation_id, Workspace.slug).where(Workspace.status != ARCHIVED)
    if organisation_id is not None:
        in_use = in_use.where(Workspace.organisation_id == organisation_id)
    known: dict[str, set[str]] = {organisation.id: set()}
    for organisation_of_row, slug in session.execute(in_use):
        known.setdefault(organisation_of_row, set()).add(slug)
    return Ownership(
        organisation_id=organisation.id,
        organisation_name=organisation.name,
        workspace_slug=owner.slug,
        known={key: frozenset(slugs) for key, slugs in known.items()},
    )


def _organisation(session: Session, organisation_id: str | None) -> Organisation:
    query = select(Organisation).order_by(Organisation.created_at, Organisation.id).limit(1)
    if organisation_id is not None:
        query = query.where(Organisation.id == organisation_id)
    found = session.scalars(query).first()
    if found is None:
        raise NotFound("There is no organisation yet; `gateledger init` makes the first one.")
    return found

"""Invites to an organisation: sent, listed, taken back, sent again. Source: controlplane contract 2.2, DECISIONS."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from api.alerts import outbox
from api.analytics.rendering import instant
from api.api_keys.rights import require as require_key_right
from api.api_keys.rows import ApiKey
from api.api_keys.service import hash_of, new_raw_key
from api.errors import Conflict, Forbidden, InvalidRequest, NotFound
from api.identifiers import new_id
from api.invites.rows import Invite
from api.invites.schemas import InvitedTo, KeyDetails, NewInvite
from api.listing import page_of
from api.mail.addresses import normalised
from api.mail.templates import Template
from api.metadata_schema import API_KEY_SCHEMA, conforming
from api.organisations.rows import Organisation
from api.paging import Page
from api.permissions import KeyKind, checked_scopes
from api.principal import Principal
from api.rights import require_assignable, require_grantable
from api.users.administration import require_managed_here
from api.users.rows import OrganisationMember, User
from api.users.service import place_of
from api.workspaces import service as workspaces
from api.workspaces.rows import ARCHIVED

LIFETIME = timedelta(days=7)
PENDING, CANCELLED, ACCEPTED, EXPIRED = "pending", "cancelled", "accepted", "expired"


@dataclass(frozen=True, slots=True)
class Sent:
    """An invite with the token that nobody can see again."""

    row: Invite
    token: str

    def __repr__(self) -> str:
        return f"Sent({self.row.id})"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which invites a list is about; None: whichever."""

    role: str | None = None
    email: str | None = None
    status: str | None = None


def create(session: Session, caller: Principal, wanted: NewInvite, now: datetime) -> Sent:
    """A new invite. Raises: InvalidRequest, Forbidden, Conflict when the person is in, or invited already."""
    organisation_id = caller.organisation_id
    require_managed_here(session, organisation_id)
    email = normalised(wanted.email)
    require_absent(session, organisation_id, email)
    if _pending_for(session, organisation_id, email, now) is not None:
        raise Conflict(f"{email} is invited already; resend that invite, or delete it first.")
    places = _places(session, caller, wanted.workspaces or [])
    token = new_raw_key()
    row = Invite(
        id=new_id(),
        organisation_id=organisation_id,
        email=email,
        role=wanted.role,
        workspaces=places,
        workspace_api_key_details=_key_details(session, caller, wanted.workspace_api_key_details, places, now),
        first_name=wanted.first_name or "",
        last_name=wanted.last_name or "",
        token_hash=hash_of(token),
        status=PENDING,
        invited_by=_user_behind(session, caller),
        created_at=now,
        expires_at=now + LIFETIME,
        last_updated_at=now,
    )
    session.add(row)
    session.flush()
    return Sent(row, token)


def resend(session: Session, caller: Principal, invite_id: str, now: datetime) -> Sent:
    """The invite with a new token and time; the token before does not work any more.

    Raises: NotFound, Forbidden, Conflict when it is accepted or cancelled.
    """
    require_managed_here(session, caller.organisation_id)
    row = find(session, caller.organisation_id, invite_id, is_written=True)
    if row.status != PENDING:
        raise Conflict(f"The invite is {row.status} and cannot be sent again.")
    require_absent(session, row.organisation_id, row.email)
    token = new_raw_key()
    row.token_hash, row.expires_at, row.last_updated_at = hash_of(token), now + LIFETIME, now
    _withdraw_mails(session, row, now)
    session.flush()
    return Sent(row, token)


def cancel(session: Session, caller: Principal, invite_id: str, now: datetime) -> Invite:
    """The invite, whose link does not work any more; asked twice, the same. Raises: NotFound, Forbidden, Conflict."""
    require_managed_here(session, caller.organisation_id)
    row = find(session, caller.organisation_id, invite_id, is_written=True)
    if row.status == ACCEPTED:
        raise Conflict("The invite is accepted; remove the user instead.")
    if row.status != CANCELLED:
        row.status, row.last_updated_at = CANCELLED, now
        _withdraw_mails(session, row, now)
    session.flush()
    return row


def find(session: Session, organisation_id: str, invite_id: str, *, is_written: bool = False) -> Invite:
    """An invite of the organisation. Raises: NotFound, the same for none and for another organisation's."""
    row = session.get(Invite, invite_id.strip().lower(), with_for_update=is_written)
    if row is None or row.organisation_id != organisation_id:
        raise NotFound(f"There is no invite '{invite_id[:40]}'.")
    return row


def listed(
    session: Session, organisation_id: str, wanted: Wanted, page: Page, now: datetime
) -> tuple[list[Invite], int]:
    """One page of an organisation's invites, the newest first, and how many there are."""
    query = select(Invite).where(Invite.organisation_id == organisation_id)
    if wanted.role:
        query = query.where(Invite.role == wanted.role)
    if wanted.email:
        query = query.where(Invite.email == wanted.email.strip().lower())
    if wanted.status:
        query = query.where(_has_status(wanted.status, now))
    rows, total = page_of(session, query.order_by(Invite.created_at.desc(), Invite.id.desc()), page)
    return [row[0] for row in rows], total


def status_of(row: Invite, now: datetime) -> str:
    """The status; an invite past its end is expired, though nobody writes that down."""
    return EXPIRED if row.status == PENDING and row.expires_at <= now else row.status


def require_absent(session: Session, organisation_id: str, email: str) -> None:
    """Nothing, when nobody with this address is in the organisation. Raises: Conflict."""
    found = session.scalar(select(User).where(User.email == email))
    if found is not None and place_of(session, organisation_id, found.id) is not None:
        raise Conflict(f"{email} is a member of the organisation already.")


def _withdraw_mails(session: Session, row: Invite, now: datetime) -> None:
    """The link in mails that still wait does not work any more."""
    outbox.withdraw(session, row.organisation_id, Template.USER_INVITE, row.email, now)


def _has_status(status: str, now: datetime) -> ColumnElement[bool]:
    is_over = and_(Invite.status == PENDING, Invite.expires_at <= now)
    if status == EXPIRED:
        return or_(Invite.status == EXPIRED, is_over)
    return and_(Invite.status == status, ~is_over)


def _pending_for(session: Session, organisation_id: str, email: str, now: datetime) -> Invite | None:
    return session.scalars(
        select(Invite)
        .where(Invite.organisation_id == organisation_id, Invite.email == email, _has_status(PENDING, now))
        .limit(1)
    ).first()


def _places(session: Session, caller: Principal, wanted: list[InvitedTo]) -> list[dict[str, Any]]:
    roles: dict[str, str] = {}
    for one in wanted:
        require_assignable(caller, one.role)
        workspace = workspaces.find(session, caller.organisation_id, one.id)
        if workspace.status == ARCHIVED or caller.workspace_id not in {None, workspace.id}:
            raise Forbidden
        if workspace.id in roles:
            raise InvalidRequest(f"workspaces: '{one.id}' is named twice")
        roles[workspace.id] = one.role
    return [{"id": workspace_id, "role": role} for workspace_id, role in roles.items()]


def _key_details(
    session: Session, caller: Principal, wanted: KeyDetails | None, places: list[dict[str, Any]], now: datetime
) -> dict[str, Any] | None:
    """What is kept for the keys of the person. Raises: InvalidRequest, UnknownName (a scope), Forbidden."""
    if wanted is None:
        return None
    where, kind = "workspace_api_key_details", KeyKind.WORKSPACE_USER
    if not places:
        raise InvalidRequest(f"{where}: name the workspaces in which the person gets a key")
    if wanted.expiry is not None and wanted.expiry <= now:
        raise InvalidRequest(f"{where}.expiry: must be in the future")
    require_key_right(caller, kind, "create")
    scopes = checked_scopes(wanted.scopes, kind)
    require_grantable(caller, kind, scopes)
    organisation = session.get_one(Organisation, caller.organisation_id)
    schema = organisation.settings.get(API_KEY_SCHEMA)
    return {
        "scopes": sorted(scopes),
        "name": wanted.name,
        "expiry": None if wanted.expiry is None else instant(wanted.expiry),
        "metadata": conforming(wanted.metadata, schema, f"{where}.metadata"),
    }


def _user_behind(session: Session, caller: Principal) -> str | None:
    """The caller's user; for an organisation key, who made it."""
    maker = caller.user_id or session.scalar(select(ApiKey.created_by).where(ApiKey.id == caller.key_id))
    if maker is None:
        return None
    return session.scalar(
        select(OrganisationMember.user_id).where(
            OrganisationMember.organisation_id == caller.organisation_id, OrganisationMember.user_id == maker
        )
    )

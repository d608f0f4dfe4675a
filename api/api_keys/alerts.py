"""Who is told about a key, and what. Source: dataplane contract 7.2 "recipients", controlplane contract 10.5."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.alerts.outbox import Letter, outgoing_of, post
from api.analytics.rendering import instant
from api.api_keys.rotation import RotatedKey
from api.api_keys.rows import ApiKey
from api.mail.templates import Template
from api.organisations.rows import Organisation
from api.users.rows import OrganisationMember, User
from api.workspaces.rows import WorkspaceMember

ACTIVE = "active"
OVER_ALL = ("owner", "admin")
LEADERS = ("admin", "manager")


def tell_expired(session: Session, row: ApiKey, now: datetime) -> None:
    """A mail to everybody concerned that the key has expired, once the transaction is committed."""
    _tell(session, row, Template.API_KEY_EXPIRED, {}, now)


def tell_rotated(session: Session, rotated: RotatedKey, now: datetime) -> None:
    """A mail to everybody concerned that the key has a new secret, once the transaction is committed."""
    until = {"transitionExpiresAt": instant(rotated.transition_expires_at)}
    _tell(session, rotated.row, Template.API_KEY_ROTATED, until, now)


def recipients(session: Session, row: ApiKey) -> dict[str, str]:
    """Address → first name: owners and admins, leaders of the key's workspace, whose key it is, its alert addresses."""
    concerned = {row.user_id, row.created_by} - {None}
    query = (
        select(User.email, User.first_name)
        .join(OrganisationMember, OrganisationMember.user_id == User.id)
        .where(OrganisationMember.organisation_id == row.organisation_id, OrganisationMember.status == ACTIVE)
    )
    leads = select(WorkspaceMember.user_id).where(
        WorkspaceMember.workspace_id == row.workspace_id, WorkspaceMember.role.in_(LEADERS)
    )
    found = session.execute(
        query.where(OrganisationMember.role.in_(OVER_ALL) | User.id.in_(concerned) | User.id.in_(leads))
    )
    return dict.fromkeys(row.alert_emails or (), "") | {person.email: person.first_name for person in found}


def _tell(session: Session, row: ApiKey, template: Template, more: dict[str, str], now: datetime) -> None:
    if not outgoing_of(session).mails:
        return
    organisation = session.get_one(Organisation, row.organisation_id)
    about = {"apiKey": row.name, "apiKeyType": row.type, "organisationName": organisation.name, **more}
    for address, name in recipients(session, row).items():
        values = {**about, "userName": name}
        post(session, Letter(organisation.id, template, address, values, workspace_id=row.workspace_id), now)

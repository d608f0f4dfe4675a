"""Who is told about a key, and what. Source: dataplane contract 7.2 "recipients", controlplane contract 10.5."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.analytics.rendering import instant
from api.api_keys.rotation import RotatedKey
from api.api_keys.rows import ApiKey
from api.mail.service import Mailer
from api.mail.templates import Template
from api.organisations.rows import Organisation
from api.users.rows import OrganisationMember, User
from api.workspaces.rows import WorkspaceMember

ACTIVE = "active"
OVER_ALL = ("owner", "admin")
LEADERS = ("admin", "manager")


def tell_expired(session: Session, mailer: Mailer, row: ApiKey) -> None:
    """A mail to everybody concerned that the key has expired, once the transaction is committed."""
    if mailer.is_on:
        _tell(session, mailer, row, Template.API_KEY_EXPIRED, {})


def tell_rotated(session: Session, mailer: Mailer, rotated: RotatedKey) -> None:
    """A mail to everybody concerned that the key has a new secret, once the transaction is committed."""
    if mailer.is_on:
        until = {"transitionExpiresAt": instant(rotated.transition_expires_at)}
        _tell(session, mailer, rotated.row, Template.API_KEY_ROTATED, until)


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


def _tell(session: Session, mailer: Mailer, row: ApiKey, template: Template, more: dict[str, str]) -> None:
    organisation = session.get_one(Organisation, row.organisation_id)
    about = {"apiKey": row.name, "apiKeyType": row.type, "organisationName": organisation.name, **more}
    for address, name in recipients(session, row).items():
        mailer.send(template, address, {**about, "userName": name}, after=session)

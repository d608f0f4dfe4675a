"""Invites on the wire and in the mail. Source: controlplane contract 2.2, 10.5."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from api.alerts.outbox import Letter
from api.analytics.rendering import instant
from api.invites.acceptance import Joined
from api.invites.rows import Invite
from api.invites.schemas import AcceptedInvite, CreatedInvite, InviteAnswer
from api.invites.service import Sent, status_of
from api.mail.templates import Template
from api.organisations.rows import Organisation
from api.users.rows import User


def invite(row: Invite, now: datetime) -> InviteAnswer:
    """The invite without its link."""
    return InviteAnswer.model_validate(_fields(row, now))


def created(sent: Sent, control_plane_url: str, now: datetime) -> CreatedInvite:
    """The new invite with its link."""
    link = {"invite_link": link_of(sent.token, control_plane_url)}
    return CreatedInvite.model_validate(_fields(sent.row, now) | link)


def link_of(token: str, control_plane_url: str) -> str:
    """Where the person says yes."""
    return f"{control_plane_url}/invite/{token}"


def letter(session: Session, sent: Sent, control_plane_url: str) -> Letter:
    """The mail to whom is invited. Without a user behind it, the organisation invites."""
    organisation = session.get_one(Organisation, sent.row.organisation_id)
    inviter = session.get(User, sent.row.invited_by) if sent.row.invited_by else None
    email = "" if inviter is None else inviter.email
    name = "" if inviter is None else f"{inviter.first_name} {inviter.last_name}".strip()
    values = {
        "organisationName": organisation.name,
        "inviterUserName": name or email or organisation.name,
        "inviterEmail": email,
    }
    link = {"inviteLink": link_of(sent.token, control_plane_url)}
    return Letter(organisation.id, Template.USER_INVITE, sent.row.email, values, secrets=link)


def accepted(joined: Joined) -> AcceptedInvite:
    """What the person is now, with its keys."""
    return AcceptedInvite.model_validate(
        {
            "id": joined.invite.id,
            "user_id": joined.user.id,
            "organisation_id": joined.invite.organisation_id,
            "email": joined.user.email,
            "role": joined.invite.role,
            "workspaces": [
                {"id": workspace.id, "workspace_id": workspace.id, "role": role}
                for workspace, role in joined.workspaces
            ],
            "api_keys": [
                {"id": issued.row.id, "key": issued.raw, "workspace_id": issued.row.workspace_id}
                for issued in joined.keys
            ],
        }
    )


def _fields(row: Invite, now: datetime) -> dict[str, Any]:
    return {
        "id": row.id,
        "email": row.email,
        "role": row.role,
        "created_at": instant(row.created_at),
        "expires_at": instant(row.expires_at),
        "accepted_at": None if row.accepted_at is None else instant(row.accepted_at),
        "status": status_of(row, now),
        "invited_by": row.invited_by,
        "workspaces": [
            {"id": place["id"], "workspace_id": place["id"], "role": place["role"]} for place in row.workspaces
        ],
    }

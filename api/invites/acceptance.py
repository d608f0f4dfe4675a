"""What an invite becomes when the person who got it says yes. Source: controlplane contract 2.2.

The token is all that the person shows: it is random, kept as a hash, and works once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api.api_keys.lifetime import UserKeyRules
from api.api_keys.service import IssuedKey, NewKey, hash_of
from api.api_keys.service import create as create_key
from api.audit import Trail
from api.errors import Conflict, NotFound
from api.invites.rows import Invite
from api.invites.schemas import Acceptance
from api.invites.service import ACCEPTED, EXPIRED, PENDING, require_absent, status_of
from api.organisations.rows import Organisation
from api.permissions import KeyKind, scopes_of
from api.security_settings.service import effective_settings
from api.users.administration import require_managed_here
from api.users.rows import User
from api.users.service import find_or_create, join_organisation
from api.workspaces.rows import ARCHIVED, Workspace
from api.workspaces.service import add_member

ACTIVE = "active"
KEY_NAME = "Key of an invite"


@dataclass(frozen=True, slots=True)
class Joined:
    """An accepted invite, and what came of it."""

    invite: Invite
    user: User
    workspaces: Sequence[tuple[Workspace, str]]
    """Each with the role in it; one that was archived since is left out."""
    keys: Sequence[IssuedKey]


def accept(session: Session, token: str, said: Acceptance, now: datetime) -> Joined:
    """The person is in the organisation and its workspaces, with a key in each where the invite says so.

    Raises: NotFound for an unknown token; Conflict for one that was used, taken back or ran out, and when the person
    is in the organisation already; Forbidden when only SCIM may let people in.
    """
    invite = _claimed(session, token, now)
    organisation = session.get_one(Organisation, invite.organisation_id)
    require_managed_here(session, organisation.id)
    require_absent(session, organisation.id, invite.email)
    user = find_or_create(session, invite.email, now=now)
    _introduce(user, said, invite, now)
    join_organisation(session, user, organisation.id, invite.role, now=now)
    places = _places(session, invite)
    keys: list[IssuedKey] = []
    for workspace, role in places:
        add_member(session, workspace, user.id, role, now=now)
        if (issued := _key(session, organisation, workspace, invite, user, now)) is not None:
            keys.append(issued)
    session.flush()
    return Joined(invite, user, places, keys)


def look_at(session: Session, token: str, now: datetime) -> Invite:
    """The invite, which stays as it is. Raises: NotFound, and Conflict when it cannot be accepted any more."""
    invite = _found(session, token)
    if status_of(invite, now) != PENDING:
        raise _over(invite, now)
    return invite


def leave_trail(trail: Trail, joined: Joined) -> None:
    """Tell the audit log who has joined what."""
    trail.by_user(joined.invite.organisation_id, joined.user.id)
    trail.resource(id_=joined.invite.id)
    trail.action("update")


def _found(session: Session, token: str) -> Invite:
    invite = session.scalars(select(Invite).where(Invite.token_hash == hash_of(token))).first()
    if invite is None or session.get_one(Organisation, invite.organisation_id).status != ACTIVE:
        raise NotFound("There is no such invite. It may have been sent again: the newest link is the one that works.")
    return invite


def _over(invite: Invite, now: datetime) -> Conflict:
    status = status_of(invite, now)
    if status == EXPIRED:
        return Conflict("The invite has expired; ask for it to be sent again.")
    return Conflict(f"The invite is {status} and cannot be accepted.")


def _claimed(session: Session, token: str, now: datetime) -> Invite:
    """The invite, accepted by this transaction and no other one."""
    invite = _found(session, token)
    claimed = session.execute(
        update(Invite)
        .where(Invite.id == invite.id, Invite.status == PENDING, Invite.token_hash == invite.token_hash)
        .where(Invite.expires_at > now)
        .values(status=ACCEPTED, accepted_at=now, last_updated_at=now)
    )
    if claimed.rowcount != 1:  # type: ignore[attr-defined]
        session.refresh(invite)
        raise _over(invite, now)
    return invite


def _introduce(user: User, said: Acceptance, invite: Invite, now: datetime) -> None:
    """Give the person a name, where it has none yet: nobody is renamed by an invite."""
    if user.first_name or user.last_name:
        return
    user.first_name = said.first_name or invite.first_name
    user.last_name = said.last_name or invite.last_name
    user.last_updated_at = now


def _places(session: Session, invite: Invite) -> list[tuple[Workspace, str]]:
    roles = {place["id"]: place["role"] for place in invite.workspaces}
    found = session.scalars(
        select(Workspace)
        .where(Workspace.organisation_id == invite.organisation_id, Workspace.id.in_(roles))
        .where(Workspace.status != ARCHIVED)
        .order_by(Workspace.created_at, Workspace.id)
    )
    return [(workspace, roles[workspace.id]) for workspace in found]


def _key(
    session: Session, organisation: Organisation, workspace: Workspace, invite: Invite, user: User, now: datetime
) -> IssuedKey | None:
    """The person's key in a workspace: as the invite says, within what the workspace allows by now."""
    details = invite.workspace_api_key_details
    if details is None:
        return None
    rules = UserKeyRules.of(effective_settings(organisation, workspace))
    wanted = datetime.fromisoformat(details["expiry"]) if details["expiry"] else None
    latest, is_enforced = rules.end_of_new(None, now)
    if wanted is not None and (latest is None or wanted <= latest):
        latest, is_enforced = wanted, False
    if rules.most == 0 or (latest is not None and latest <= now):
        return None
    kind = KeyKind.WORKSPACE_USER
    issued = create_key(
        session,
        NewKey(
            kind=kind,
            name=details["name"] or KEY_NAME,
            organisation_id=organisation.id,
            workspace_id=workspace.id,
            user_id=user.id,
            scopes=frozenset(details["scopes"]) & scopes_of(kind),
            expires_at=latest,
            created_by=invite.invited_by,
            creation_mode="auto",
        ),
        now=now,
    )
    issued.row.expiry_enforced = is_enforced
    issued.row.defaults = {"metadata": details["metadata"]} if details["metadata"] else None
    return issued

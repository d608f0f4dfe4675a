"""`/admin/users/invites`, the same under `/users/invites`, and saying yes. Source: controlplane contract 2.2."""

from datetime import datetime
from typing import Annotated

from fastapi import Body, Path, Response
from sqlalchemy.orm import Session

from api.alerts import outbox
from api.aliases import serve_also
from api.dependencies import Caller, Db, Now, Parts, Trail
from api.invites import acceptance, rendering, service
from api.invites.schemas import (
    STATUSES,
    Acceptance,
    AcceptedInvite,
    CreatedInvite,
    InviteAnswer,
    NewInvite,
    ResentInvite,
)
from api.invites.service import Sent, Wanted
from api.listing import AdminPage, Filter, one_of
from api.paging import ListAnswer
from api.permissions import PUBLIC, needs
from api.routing import Router
from api.services import Services
from api.text import Reference
from api.users.schemas import GIVEN_ROLES, Nothing

router = Router("invites")

INVITES = "/admin/users/invites"
NOT_KEPT = {"Cache-Control": "no-store"}


@router.post(
    INVITES,
    permission=needs("organisation_users.create"),
    operation_id="create_invite",
    summary="Invite somebody to the organisation and its workspaces",
    response_model=CreatedInvite,
)
def create_invite(
    wanted: NewInvite, caller: Caller, session: Db, now: Now, parts: Parts, response: Response
) -> CreatedInvite:
    """The invite with its link; where mail is on, the person gets it too."""
    sent = service.create(session, caller, wanted, now)
    _mail(session, parts, sent, now)
    response.headers.update(NOT_KEPT)
    return rendering.created(sent, parts.settings.control_plane_url, now)


@router.get(
    INVITES,
    permission=needs("organisation_users.list"),
    operation_id="list_invites",
    summary="The invites of the organisation, the newest first",
    response_model=ListAnswer[InviteAnswer],
)
def list_invites(
    caller: Caller,
    session: Db,
    now: Now,
    page: AdminPage,
    role: Filter = None,
    email: Filter = None,
    status: Filter = None,
) -> ListAnswer[InviteAnswer]:
    """Filters: `role`, `email` (the whole address), `status` (pending, cancelled, accepted, expired)."""
    wanted = Wanted(one_of("role", role, GIVEN_ROLES), email, one_of("status", status, STATUSES))
    rows, total = service.listed(session, caller.organisation_id, wanted, page, now)
    return ListAnswer(total=total, data=[rendering.invite(row, now) for row in rows])


@router.get(
    f"{INVITES}/{{invite_id}}",
    permission=needs("organisation_users.read"),
    operation_id="get_invite",
    summary="One invite",
    response_model=InviteAnswer,
)
def get_invite(invite_id: Reference, caller: Caller, session: Db, now: Now) -> InviteAnswer:
    """The invite, without its link."""
    return rendering.invite(service.find(session, caller.organisation_id, invite_id), now)


@router.delete(
    f"{INVITES}/{{invite_id}}",
    permission=needs("organisation_users.delete"),
    operation_id="delete_invite",
    summary="Take an invite back",
    response_model=Nothing,
)
def delete_invite(invite_id: Reference, caller: Caller, session: Db, now: Now) -> Nothing:
    """Its status is `cancelled`, and its link does not work any more."""
    service.cancel(session, caller, invite_id, now)
    return Nothing()


@router.post(
    f"{INVITES}/{{invite_id}}/resend",
    permission=needs("organisation_users.create"),
    operation_id="resend_invite",
    summary="Send an invite again",
    response_model=ResentInvite,
)
def resend_invite(
    invite_id: Reference, caller: Caller, session: Db, now: Now, parts: Parts, response: Response
) -> ResentInvite:
    """A new link for another seven days; the one before does not work any more."""
    sent = service.resend(session, caller, invite_id, now)
    _mail(session, parts, sent, now)
    response.headers.update(NOT_KEPT)
    return ResentInvite(inviteLink=rendering.link_of(sent.token, parts.settings.control_plane_url))


@router.post(
    "/invites/{token}/accept",
    permission=PUBLIC,
    operation_id="accept_invite",
    summary="Say yes to an invite",
    response_model=AcceptedInvite,
)
def accept_invite(
    token: Annotated[str, Path(max_length=100)],
    session: Db,
    now: Now,
    trail: Trail,
    response: Response,
    said: Annotated[Acceptance | None, Body()] = None,
) -> AcceptedInvite:
    """The person is in, once. Its keys, where the invite gives any, are in this answer only."""
    joined = acceptance.accept(session, token, said or Acceptance(), now)
    acceptance.leave_trail(trail, joined)
    response.headers.update(NOT_KEPT)
    return rendering.accepted(joined)


def _mail(session: Session, parts: Services, sent: Sent, now: datetime) -> None:
    outbox.post(session, rendering.letter(session, sent, parts.settings.control_plane_url), now)


serve_also(router, INVITES, "/users/invites")

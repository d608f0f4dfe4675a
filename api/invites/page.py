"""`/invite/{token}`: where the link of an invite leads in a browser. Looking accepts nothing: scanners of mail look."""

from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import Path, Response
from jinja2 import Environment, FileSystemLoader

from api.dependencies import Db, Now, Parts, Trail
from api.errors import STATUS, ApiError
from api.invites import acceptance, rendering
from api.invites.schemas import Acceptance
from api.organisations.rows import Organisation
from api.permissions import PUBLIC
from api.routing import Router

router = Router("invites", base="")

PAGE = "/invite/{token}"
HEADERS = {
    "Cache-Control": "no-store",
    # The address of the page is a secret, and so may be what it shows.
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_TEMPLATE = Environment(loader=FileSystemLoader(FilePath(__file__).parent / "pages"), autoescape=True).get_template(
    "invite.html"
)

Token = Annotated[str, Path(max_length=100)]


@router.get(PAGE, permission=PUBLIC, response_class=Response, include_in_schema=False)
def show(token: Token, session: Db, now: Now, parts: Parts) -> Response:
    """The question, with a button; or why there is none."""
    company = parts.settings.mail.company_name
    try:
        invite = acceptance.look_at(session, token, now)
    except ApiError as error:
        return _page(STATUS[error.code], company=company, message=error.message)
    organisation = session.get_one(Organisation, invite.organisation_id)
    return _page(HTTPStatus.OK, company=company, organisation=organisation.name, email=invite.email)


@router.post(PAGE, permission=PUBLIC, response_class=Response, include_in_schema=False)
def say_yes(token: Token, session: Db, now: Now, parts: Parts, trail: Trail) -> Response:
    """What the person is now, with its keys; or why it is not."""
    company = parts.settings.mail.company_name
    try:
        joined = acceptance.accept(session, token, Acceptance(), now)
    except ApiError as error:
        session.rollback()  # this answer is no error to the gate, which would commit what was begun
        return _page(STATUS[error.code], company=company, message=error.message)
    acceptance.leave_trail(trail, joined)
    organisation = session.get_one(Organisation, joined.invite.organisation_id)
    return _page(
        HTTPStatus.OK,
        company=company,
        organisation=organisation.name,
        joined=rendering.accepted(joined),
        workspaces={workspace.id: workspace.name for workspace, _ in joined.workspaces},
    )


def _page(status: int, **values: object) -> Response:
    return Response(_TEMPLATE.render(values), status_code=status, media_type="text/html", headers=HEADERS)

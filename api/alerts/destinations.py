"""Webhooks of an organisation and of its workspaces: made, listed, taken away."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.alerts import signing
from api.alerts.network import checked_host, problem_of
from api.alerts.rows import Channel, Destination
from api.alerts.schemas import NewDestination
from api.errors import Conflict, InvalidRequest, NotFound
from api.identifiers import is_id, new_id
from api.listing import page_of
from api.paging import Page
from api.principal import Principal
from api.sealing import sealer_of
from api.workspaces import service as workspaces

MOST = 50
"""Of one organisation: each alert goes to all of them."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new webhook with the secret that nobody can see again."""

    row: Destination
    secret: str | None

    def __repr__(self) -> str:
        return f"Made({self.row.id})"


def create(
    session: Session, caller: Principal, wanted: NewDestination, now: datetime, *, private_networks: bool
) -> Made:
    """A new webhook. Raises: InvalidRequest, Forbidden for an unknown workspace, Conflict when there are too many."""
    organisation_id = caller.organisation_id
    problem = problem_of(wanted.url, private_networks=private_networks)
    if problem is not None:
        raise InvalidRequest(f"url: {problem}")
    held = select(func.count()).where(Destination.organisation_id == organisation_id)
    if (session.scalar(held) or 0) >= MOST:
        raise Conflict(f"There are {MOST} destinations of alerts already; delete one first.")
    reference = wanted.workspace_id
    workspace = workspaces.find(session, organisation_id, reference) if reference else None
    row = Destination(
        id=new_id(),
        organisation_id=organisation_id,
        workspace_id=None if workspace is None else workspace.id,
        channel=Channel(wanted.channel).value,
        name=wanted.name,
        url_mask=_masked(wanted.url),
        created_by=caller.user_id or caller.key_id,
        created_at=now,
        last_updated_at=now,
    )
    sealer, secret = sealer_of(session), signing.new_secret() if wanted.channel == Channel.WEBHOOK else None
    row.sealed_url = sealer.seal(wanted.url, row.id)
    row.sealed_secret = None if secret is None else sealer.seal(secret, row.id)
    session.add(row)
    session.flush()
    return Made(row, secret)


def listed(session: Session, organisation_id: str, page: Page) -> tuple[list[Destination], int]:
    """One page of an organisation's webhooks, the newest first, and how many there are."""
    query = select(Destination).where(Destination.organisation_id == organisation_id)
    rows, total = page_of(session, query.order_by(Destination.created_at.desc(), Destination.id), page)
    return [row[0] for row in rows], total


def delete(session: Session, organisation_id: str, destination_id: str) -> None:
    """Nothing; what waits to go there is skipped. Raises: NotFound, the same for none and for another's."""
    id_ = destination_id.strip().lower()
    row = session.get(Destination, id_) if is_id(id_) else None
    if row is None or row.organisation_id != organisation_id:
        raise NotFound(f"There is no destination '{destination_id[:40]}'.")
    session.delete(row)
    session.flush()


def _masked(url: str) -> str:
    """Scheme and host: the rest is what lets one write there."""
    return f"{url.partition('://')[0].lower()}://{checked_host(url)}/…"[:255]

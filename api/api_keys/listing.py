"""Keys as lists show them, and the calling key as it sees itself. Source: controlplane contract 3."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from api.analytics.rendering import instant
from api.api_keys import rendering
from api.api_keys.rights import visible
from api.api_keys.rows import ApiKey
from api.api_keys.schemas import SelfAnswer
from api.errors import Forbidden, InvalidRequest
from api.identifiers import is_id
from api.limits import service as limits_of_usage
from api.limits.rendering import usage_limit
from api.limits.schemas import render_rate_limits, render_usage_limits
from api.paging import Page
from api.principal import Principal
from api.workspaces import service as workspaces

MOST_IDS = 1000


def listed(
    session: Session, caller: Principal, page: Page, workspace: str | None, ids: Sequence[str]
) -> tuple[Sequence[ApiKey], int]:
    """One page of the keys that the caller may list, the newest first, and how many there are.

    Raises: Forbidden when the workspace is not the caller's, InvalidRequest on too many ids.
    """
    if len(ids) > MOST_IDS:
        raise InvalidRequest(f"ids: at most {MOST_IDS}")
    condition = visible(caller, "list")
    if workspace is not None:
        found = workspaces.find(session, caller.organisation_id, workspace)
        if caller.workspace_id not in {None, found.id}:
            raise Forbidden
        condition &= ApiKey.workspace_id == found.id
    if ids:
        condition &= ApiKey.id.in_([one.lower() for one in ids if is_id(one.lower())])
    total = session.scalar(select(func.count()).select_from(ApiKey).where(condition)) or 0
    if page.offset >= total or not page.size:
        return (), total
    ids = _ids(session, condition, page, total)
    newest_first = ApiKey.created_at.desc(), ApiKey.id.desc()
    return session.scalars(select(ApiKey).where(ApiKey.id.in_(ids)).order_by(*newest_first)).all(), total


def _ids(session: Session, condition: ColumnElement[bool], page: Page, total: int) -> Sequence[str]:
    """The ids of one page, by an index alone, walked from whichever end is nearer."""
    size = min(page.size, total - page.offset)
    skipped_after = total - page.offset - size
    chosen = select(ApiKey.id).where(condition).limit(size)
    if skipped_after < page.offset:
        return session.scalars(chosen.order_by(ApiKey.created_at, ApiKey.id).offset(skipped_after)).all()
    return session.scalars(chosen.order_by(ApiKey.created_at.desc(), ApiKey.id.desc()).offset(page.offset)).all()


def itself(session: Session, caller: Principal, now: datetime) -> SelfAnswer:
    """The calling key or token, with limits, status and next reset, as a gateway enforces them."""
    known = {
        "organisation_id": caller.organisation_id,
        "workspace_id": caller.workspace_id,
        "workspace_slug": caller.workspace_slug,
        "user_id": caller.user_id,
        "scopes": sorted(caller.scopes),
        "expires_at": None if caller.expires_at is None else instant(caller.expires_at),
    }
    return SelfAnswer.model_validate(known | (_token(caller) if caller.via == "jwt" else _key(session, caller, now)))


def _key(session: Session, caller: Principal, now: datetime) -> dict[str, object]:
    row = session.get_one(ApiKey, caller.key_id)
    limits = limits_of_usage.of(session, "api_key", row.id)
    return {
        "id": row.id,
        "name": row.name,
        "type": row.type,
        "status": rendering.status_of(row, now),
        "rate_limits": render_rate_limits(row.rate_limits),
        "usage_limits": usage_limit(limits, now),
        "last_reset_at": rendering.moment(row.last_reset_at),
        "next_usage_reset_at": rendering.moment(limits[0].next_reset_at) if limits else None,
        "expires_at": rendering.moment(row.expires_at),
        "defaults": rendering.defaults(row.defaults),
    }


def _token(caller: Principal) -> dict[str, object]:
    limits = caller.limits or {}
    usage = render_usage_limits(limits.get("usage_limits"))
    return {
        "id": caller.key_id,
        "name": caller.email,
        "type": "jwt",
        "status": "active",
        "rate_limits": render_rate_limits(limits.get("rate_limits")),
        "usage_limits": usage[0] if usage else None,
        "last_reset_at": None,
        "next_usage_reset_at": None,
        "defaults": rendering.defaults(limits.get("defaults")),
    }

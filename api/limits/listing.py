"""Limits as operators see them, of all organisations; and usage set back by hand."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.audit import RESOURCE_TYPES, Audit, Trail
from api.errors import NotFound
from api.limits import service
from api.limits.machine import ACTIVE, EXHAUSTED
from api.limits.rendering import exhausts_at
from api.limits.restarting import Schedule, schedule_kind, tell_entities
from api.limits.rows import Limit
from api.workspaces.rows import Workspace

STATUSES = (ACTIVE, EXHAUSTED)
_AUDITED = {"api_key": "api_keys", "workspace": "workspaces", "integration_workspace": "integrations"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One limit. Units: USD or tokens, by type."""

    id: str
    organisation_id: str
    workspace_id: str | None
    entity_type: str
    entity_id: str
    entity_name: str
    type: str
    current_usage: Decimal
    credit_limit: Decimal
    alert_threshold: Decimal | None
    status: str
    schedule: Schedule
    period_started_at: datetime
    last_reset_at: datetime | None
    next_reset_at: datetime | None
    counted_at: datetime | None
    usage_per_day: Decimal | None
    exhausts_at: datetime | None

    def fields(self) -> dict[str, object]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}


def listed(session: Session, now: datetime, *, reference: str | None = None, status: str | None = None) -> list[Shown]:
    """The limits, the fullest first: all, or those of an entity or a limit by its id."""
    query = (
        select(Limit, ApiKey.name, Workspace.name)
        .outerjoin(ApiKey, (ApiKey.id == Limit.entity_id) & (Limit.entity_type == "api_key"))
        .outerjoin(Workspace, (Workspace.id == Limit.entity_id) & (Limit.entity_type == "workspace"))
    )
    if reference is not None:
        query = query.where(or_(Limit.id == reference, Limit.entity_id == reference))
    if status is not None:
        query = query.where(Limit.status == status)
    found = [_shown(limit, key or workspace, now) for limit, key, workspace in session.execute(query)]
    return sorted(found, key=lambda one: (-(one.current_usage / one.credit_limit), one.entity_type, one.id))


def reset_by_hand(session: Session, audit: Audit, reference: str, now: datetime) -> list[Shown]:
    """The limits of an entity, or one limit, with nothing used from now on. Raises: NotFound, OSError."""
    limits = session.scalars(
        select(Limit)
        .where(or_(Limit.id == reference, Limit.entity_id == reference))
        .order_by(Limit.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if not limits:
        raise NotFound(f"There is no limit with the id '{reference[:100]}', nor one of what has this id.")
    for limit in limits:
        trail = Trail(_resource(limit.entity_type), "update", limit.entity_id, limit.workspace_id)
        trail.organisation_id = limit.organisation_id
        audit.event(trail, reason=f"usage reset by hand: {limit.current_usage:f} {limit.type}")
        service.restart(limit, service.to_millisecond(now), now)
    tell_entities(session, limits, now)
    return listed(session, now, reference=reference)


def _resource(entity_type: str) -> str:
    return _AUDITED.get(entity_type) or RESOURCE_TYPES["virtual_keys"]


def _shown(limit: Limit, name: str | None, now: datetime) -> Shown:
    return Shown(
        id=limit.id,
        organisation_id=limit.organisation_id,
        workspace_id=limit.workspace_id,
        entity_type=limit.entity_type,
        entity_id=limit.entity_id,
        entity_name=name or limit.entity_name or limit.entity_id,
        type=limit.type,
        current_usage=limit.current_usage,
        credit_limit=limit.credit_limit,
        alert_threshold=limit.alert_threshold,
        status=limit.status,
        schedule=schedule_kind(limit),
        period_started_at=limit.period_started_at,
        last_reset_at=limit.last_reset_at,
        next_reset_at=limit.next_reset_at,
        counted_at=limit.counted_at,
        usage_per_day=limit.usage_per_day,
        exhausts_at=exhausts_at(limit, now),
    )

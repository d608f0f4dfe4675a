"""Limits whose period is over start anew, at the instant at which they should have. Source: dataplane contract 7.3.

Idempotent: what has started anew is not due any more, whoever runs beside or again. What was missed is caught up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.limits import service
from api.limits.machine import ACTIVE, EXHAUSTED, EntityType
from api.limits.resets import caught_up
from api.limits.rows import Limit
from api.limits.service import IDS_AT_ONCE
from api.workspaces.rows import Workspace

BATCH = 500
"""Limits of one transaction: short enough that nobody waits for it."""


class Schedule(StrEnum):
    """What makes a limit start anew."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"
    DAYS = "days"
    ONCE = "once"
    """A first reset was named, and no period."""


@dataclass(frozen=True, slots=True)
class Restart:
    """A limit that started anew, as an operator is told of it. Units: USD or tokens, by type."""

    limit_id: str
    organisation_id: str
    workspace_id: str | None
    entity_type: str
    entity_id: str
    type: str
    schedule: Schedule
    used: Decimal
    """In the period before, as far as it was counted."""
    at: datetime
    next_reset_at: datetime | None


def schedule_kind(limit: Limit) -> Schedule:
    """What makes the limit start anew."""
    if limit.periodic_reset_days is not None:
        return Schedule.DAYS
    return Schedule(limit.periodic_reset) if limit.periodic_reset else Schedule.ONCE


def restart_due(
    session: Session,
    now: datetime,
    organisation_id: str | None = None,
    *,
    limit: int = BATCH,
) -> list[Restart]:
    """The limits that were due and started anew, at most so many. Nothing is counted: see `upkeep.refresh_all`."""
    query = select(Limit).where(Limit.next_reset_at <= now).order_by(Limit.next_reset_at, Limit.id).limit(limit)
    if organisation_id is not None:
        query = query.where(Limit.organisation_id == organisation_id)
    due = session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()
    restarts = [restart for row in due if (restart := restarted(row, now)) is not None]
    tell_entities(session, due, now)
    return restarts


def with_due_limits(session: Session, now: datetime) -> list[str]:
    """The organisations that have limits which are due."""
    due = select(Limit.organisation_id).where(Limit.next_reset_at <= now).distinct().order_by(Limit.organisation_id)
    return list(session.scalars(due))


def restarted(limit: Limit, now: datetime) -> Restart | None:
    """The limit in the period that it should be in, and what happened; None when it is in it. It is locked."""
    due = limit.next_reset_at
    if due is None or due > now:
        return None
    used = limit.current_usage
    from_, following = period_at(limit, due, now)
    service.restart(limit, from_, now)
    limit.next_reset_at = following
    return Restart(
        limit_id=limit.id,
        organisation_id=limit.organisation_id,
        workspace_id=limit.workspace_id,
        entity_type=limit.entity_type,
        entity_id=limit.entity_id,
        type=limit.type,
        schedule=schedule_kind(limit),
        used=used,
        at=from_,
        next_reset_at=following,
    )


def period_at(limit: Limit, due: datetime, now: datetime) -> tuple[datetime, datetime | None]:
    """The period that a limit should be in that was due: its start and its end.

    Usage that was set back by hand after the reset that was missed counts from then.
    """
    from_, following = caught_up(service.schedule_of(limit), started_at=limit.scheduled_at, due=due, now=now)
    return max(from_, limit.period_started_at), following


def tell_entities(session: Session, limits: Sequence[Limit], now: datetime) -> None:
    """Keys and workspaces of these limits have the status and the last reset that follow from all their limits."""
    session.flush()
    for row, held in _entities(session, limits):
        status = EXHAUSTED if service.is_exhausted(held) else ACTIVE
        resets = [limit.last_reset_at for limit in held if limit.last_reset_at is not None]
        if row.status in {ACTIVE, EXHAUSTED} and row.status != status:
            row.status, row.last_updated_at = status, now
        if resets and (row.last_reset_at is None or row.last_reset_at < max(resets)):
            row.last_reset_at = max(resets)
    session.flush()


def _entities(session: Session, limits: Sequence[Limit]) -> list[tuple[ApiKey | Workspace, list[Limit]]]:
    found: list[tuple[ApiKey | Workspace, list[Limit]]] = []
    tables: tuple[tuple[EntityType, type[ApiKey | Workspace]], ...] = (("api_key", ApiKey), ("workspace", Workspace))
    for entity_type, table in tables:
        ids = sorted({limit.entity_id for limit in limits if limit.entity_type == entity_type})
        held = service.of_many(session, entity_type, ids)
        for start in range(0, len(ids), IDS_AT_ONCE):
            rows = session.scalars(
                select(table).where(table.id.in_(ids[start : start + IDS_AT_ONCE])).order_by(table.id).with_for_update()
            )
            found += [(row, held[row.id]) for row in rows]
    return found

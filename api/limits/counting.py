"""What was used of limits, from the rows of the warehouse. Source: DESIGN "Usage is derived", dataplane contract 7.1.

Nothing is added up here: each count asks how much lies between the start of the period and now, so what came late,
was priced anew or was lost with this database is in the next one. Rows that cost nothing count as nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import cast

from sqlalchemy import Table, select, update
from sqlalchemy.orm import Session

from api.alerts.outbox import enqueue
from api.api_keys.rows import ApiKey
from api.limits import machine, service
from api.limits.machine import Crossing, CrossingKind, EntityType, LimitType
from api.limits.restarting import Restart, period_at, restarted, tell_entities
from api.limits.rows import Limit
from api.limits.service import IDS_AT_ONCE, to_millisecond
from api.workspaces.rows import Workspace
from warehouse.engines.base import Engine
from warehouse.query.usage import Kind, Meter, Used, count

_LIMITS = cast("Table", Limit.__table__)
_CENTS_PER_USD = 100
_KINDS: Mapping[str, Kind] = {
    "api_key": Kind.API_KEY,
    "workspace": Kind.WORKSPACE,
    "virtual_key": Kind.VIRTUAL_KEY,
    "integration_workspace": Kind.VIRTUAL_KEY,
}
_NOTHING = Used(Decimal(0), 0, Decimal(0), Decimal(0))


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh found."""

    limits: int = 0
    """How many were counted."""
    changed: int = 0
    """Of how many anything had changed."""
    restarts: tuple[Restart, ...] = ()
    crossings: tuple[Crossing, ...] = ()

    def __add__(self, other: "Refreshed") -> "Refreshed":
        return Refreshed(
            self.limits + other.limits,
            self.changed + other.changed,
            self.restarts + other.restarts,
            self.crossings + other.crossings,
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of one limit: in the period from `since`, in its own unit."""

    limit_id: str
    organisation_id: str
    since: datetime
    usage: Decimal
    per_day: Decimal | None


@dataclass(frozen=True, slots=True)
class Count:
    """What was counted of limits: those of which anything changed, and the others."""

    news: Sequence[Counted]
    same: Sequence[Counted]


def read(session: Session, organisation_id: str | None = None) -> list[tuple[Limit, str | None]]:
    """The limits, each with the slug of its workspace."""
    query = (
        select(Limit, Workspace.slug)
        .outerjoin(Workspace, Workspace.id == Limit.workspace_id)
        .order_by(Limit.id)
        .execution_options(populate_existing=True)
    )
    if organisation_id is not None:
        query = query.where(Limit.organisation_id == organisation_id)
    return [(limit, slug) for limit, slug in session.execute(query)]


def counted(limits: Sequence[tuple[Limit, str | None]], engine: Engine, now: datetime) -> Count:
    """What was used of the limits; asks the warehouse. Raises: WarehouseError."""
    meters = [meter for limit, slug in limits if (meter := _meter(limit, slug, now)) is not None]
    used = count(engine, meters, now)
    since = {meter.id: meter.since for meter in meters}
    news: list[Counted] = []
    same: list[Counted] = []
    for limit, _ in limits:
        from_ = since.get(limit.id, limit.period_started_at)
        found = _counted(limit, from_, used.get(limit.id, _NOTHING))
        (news if _is_news(limit, found, now) else same).append(found)
    return Count(news, same)


def mark_counted(session: Session, same: Sequence[Counted], now: datetime) -> None:
    """Write down that these limits were counted, of which nothing changed: whoever awaits a count sees that it was.

    Not of those whose period somebody changed meanwhile.
    """
    began, connection = to_millisecond(now), session.connection()
    for start in range(0, len(same), IDS_AT_ONCE):
        since = {one.limit_id: one.since for one in same[start : start + IDS_AT_ONCE]}
        rows = select(_LIMITS.c.id, _LIMITS.c.period_started_at).where(_LIMITS.c.id.in_(since)).order_by(_LIMITS.c.id)
        ids = [id_ for id_, at in connection.execute(rows.with_for_update()) if since[id_] == at]
        connection.execute(
            update(_LIMITS).where(_LIMITS.c.id.in_(ids), _LIMITS.c.counted_at < began).values(counted_at=began)
        )


def apply(session: Session, changes: Sequence[Counted], now: datetime) -> Refreshed:
    """Write down what was counted, unless somebody counted later or changed the period meanwhile.

    What was crossed is handed to the outbox in this transaction, which also says that it was told.
    """
    found = {one.limit_id: one for one in changes}
    ids = sorted(found)
    restarts: list[Restart] = []
    crossed: list[tuple[Limit, CrossingKind]] = []
    touched: list[Limit] = []
    for start in range(0, len(ids), IDS_AT_ONCE):
        rows = session.scalars(
            select(Limit)
            .where(Limit.id.in_(ids[start : start + IDS_AT_ONCE]))
            .order_by(Limit.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        for limit in rows:
            if (restart := restarted(limit, now)) is not None:
                restarts.append(restart)
            touched.append(limit)
            crossed.extend((limit, kind) for kind in _write(limit, found[limit.id], now))
    tell_entities(session, touched, now)
    crossings = _crossings(session, crossed)
    if crossings:
        enqueue(session, crossings, now)
    session.flush()
    return Refreshed(changed=len(touched), restarts=tuple(restarts), crossings=tuple(crossings))


def _meter(limit: Limit, slug: str | None, now: datetime) -> Meter | None:
    """What is to be counted; None where no row can count."""
    if limit.entity_type == "api_key":
        keys: Iterable[tuple[str, ...]] = ((limit.entity_id,),)
    elif slug is None:
        return None
    elif limit.entity_type == "workspace":
        keys = ((slug,),)
    else:
        keys = ((slug, virtual_key) for virtual_key in limit.virtual_keys or ())
    since, until = limit.period_started_at, limit.next_reset_at
    if until is not None and until <= now:
        since, until = period_at(limit, until, now)
    wanted = tuple(keys)
    if not wanted:
        return None
    return Meter(limit.id, _KINDS[limit.entity_type], limit.organisation_id, wanted, since, until)


def _counted(limit: Limit, since: datetime, used: Used) -> Counted:
    if limit.type == "cost":
        usage, per_day = used.cost_cents / _CENTS_PER_USD, used.cost_cents_per_day / _CENTS_PER_USD
    else:
        usage, per_day = Decimal(used.tokens), used.tokens_per_day
    return Counted(limit.id, limit.organisation_id, since, usage, per_day or None)


def _is_news(limit: Limit, found: Counted, now: datetime) -> bool:
    if limit.counted_at is None or (limit.next_reset_at is not None and limit.next_reset_at <= now):
        return True
    rule, state = service.rule_of(limit), service.state_of(limit)
    after, _ = machine.counted(rule, state, found.usage)
    known = (state, limit.status, limit.usage_per_day)
    return (after, machine.status_of(rule, after), found.per_day) != known


def _write(limit: Limit, found: Counted, now: datetime) -> tuple[CrossingKind, ...]:
    """What was crossed."""
    began = to_millisecond(now)
    if limit.period_started_at != found.since or (limit.counted_at is not None and limit.counted_at > began):
        return ()
    state, crossed = machine.counted(service.rule_of(limit), service.state_of(limit), found.usage)
    service.put(limit, state)
    limit.counted_at, limit.usage_per_day, limit.last_updated_at = began, found.per_day, now
    return crossed


def _crossings(session: Session, crossed: Sequence[tuple[Limit, CrossingKind]]) -> list[Crossing]:
    names = _names(session, [limit for limit, _ in crossed])
    return [
        Crossing(
            organisation_id=limit.organisation_id,
            workspace_id=limit.workspace_id,
            entity_type=cast("EntityType", limit.entity_type),
            entity_id=limit.entity_id,
            entity_name=limit.entity_name or names.get(limit.entity_id) or limit.entity_id,
            value_key=None,
            limit_id=limit.id,
            kind=kind,
            type=cast("LimitType", limit.type),
            usage=limit.current_usage,
            credit_limit=limit.credit_limit,
            alert_threshold=limit.alert_threshold,
            period_started_at=limit.period_started_at,
            alert_round=limit.alert_round,
        )
        for limit, kind in crossed
    ]


def _names(session: Session, limits: Sequence[Limit]) -> dict[str, str]:
    names: dict[str, str] = {}
    ids = sorted({limit.entity_id for limit in limits})
    for table in (ApiKey, Workspace):
        for start in range(0, len(ids), IDS_AT_ONCE):
            rows = session.execute(select(table.id, table.name).where(table.id.in_(ids[start : start + IDS_AT_ONCE])))
            for row in rows:
                names[row.id] = row.name
    return names

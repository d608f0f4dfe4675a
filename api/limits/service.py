"""Limits written, read and taken away with what they are of. Source: dataplane contract 7, controlplane contract 2.3.

What a request changes counts from this moment on: nothing is asked of the warehouse here, `counting.py` does that.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.identifiers import new_id
from api.limits import machine
from api.limits.machine import EXHAUSTED, EntityType, LimitType, Rule, State
from api.limits.resets import next_reset
from api.limits.rows import Limit

IDS_AT_ONCE = 500
"""In one statement: databases bound how many values one may have."""


@dataclass(frozen=True, slots=True)
class Entity:
    """What a limit is of. A name is for what has no table of its own, `virtual_keys` for what is known by slugs."""

    type: EntityType
    id: str
    organisation_id: str
    workspace_id: str | None
    name: str | None = None
    virtual_keys: Collection[str] = ()


def of(session: Session, entity_type: EntityType, entity_id: str) -> list[Limit]:
    """The limits of one entity, by type."""
    return of_many(session, entity_type, [entity_id])[entity_id]


def of_many(session: Session, entity_type: EntityType, entity_ids: Collection[str]) -> defaultdict[str, list[Limit]]:
    """Id → limits of that entity, by type; none for an entity without."""
    found: defaultdict[str, list[Limit]] = defaultdict(list)
    ids = list(entity_ids)
    for start in range(0, len(ids), IDS_AT_ONCE):
        chosen = Limit.entity_id.in_(ids[start : start + IDS_AT_ONCE])
        query = select(Limit).where(Limit.entity_type == entity_type, chosen).order_by(Limit.type)
        for limit in session.scalars(query):
            found[limit.entity_id].append(limit)
    return found


def write(session: Session, entity: Entity, wanted: Iterable[Mapping[str, Any]], now: datetime) -> list[Limit]:
    """The limits of the entity, which are these (as `schemas.parse_usage_limits` gives them) and no others.

    What stays of one of the same type: its count, and what was told of it as far as `machine.changed` says.
    """
    held = {limit.type: limit for limit in _locked(session, entity)}
    written: list[Limit] = []
    for settings in wanted:
        limit = held.pop(settings["type"], None)
        written.append(_made(session, entity, settings, now) if limit is None else _changed(limit, settings, now))
    for limit in held.values():
        session.delete(limit)
    session.flush()
    return sorted(written, key=lambda limit: limit.type)


def reset_usage(session: Session, entity: Entity, now: datetime) -> Sequence[Limit]:
    """The limits with nothing used from now on; when they start anew by themselves stays as it was."""
    limits = _locked(session, entity)
    for limit in limits:
        restart(limit, to_millisecond(now), now)
    session.flush()
    return limits


def restart(limit: Limit, from_: datetime, now: datetime) -> None:
    """A new period of the limit, which starts at `from_`."""
    put(limit, machine.restarted(state_of(limit)))
    limit.period_started_at = limit.last_reset_at = limit.counted_at = from_
    limit.last_updated_at = now


def forget(session: Session, entity_type: EntityType, entity_ids: Collection[str]) -> None:
    """The entities are gone, and so are their limits."""
    for limits in of_many(session, entity_type, entity_ids).values():
        for limit in limits:
            session.delete(limit)
    session.flush()


def rule_of(limit: Limit) -> Rule:
    """What the limit allows."""
    return Rule(cast("LimitType", limit.type), limit.credit_limit, limit.alert_threshold)


def state_of(limit: Limit) -> State:
    """What is used of the limit and who was told."""
    return State(limit.current_usage, limit.is_threshold_alert_sent, limit.is_exhausted_alert_sent, limit.alert_round)


def put(limit: Limit, state: State) -> None:
    """Write the state down, with the status that it has under the limit's rule."""
    limit.current_usage, limit.alert_round = state.usage, state.alert_round
    limit.is_threshold_alert_sent = state.is_threshold_alert_sent
    limit.is_exhausted_alert_sent = state.is_exhausted_alert_sent
    limit.status = machine.status_of(rule_of(limit), state)


def is_exhausted(limits: Sequence[Limit]) -> bool:
    """Whether all of one of them is used, as far as was counted."""
    return any(limit.status == EXHAUSTED for limit in limits)


def schedule_of(limit: Limit) -> dict[str, Any]:
    """The schedule as `resets.next_reset` reads it."""
    return {
        "periodic_reset": limit.periodic_reset,
        "periodic_reset_days": limit.periodic_reset_days,
        "next_usage_reset_at": None if limit.first_reset_at is None else limit.first_reset_at.isoformat(),
    }


def to_millisecond(moment: datetime) -> datetime:
    """The instant without what is finer than a millisecond: requests are told apart by milliseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _locked(session: Session, entity: Entity) -> Sequence[Limit]:
    return session.scalars(
        select(Limit)
        .where(Limit.organisation_id == entity.organisation_id)
        .where(Limit.entity_type == entity.type, Limit.entity_id == entity.id)
        .order_by(Limit.type)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def _made(session: Session, entity: Entity, settings: Mapping[str, Any], now: datetime) -> Limit:
    since = to_millisecond(now)
    limit = Limit(
        id=new_id(),
        organisation_id=entity.organisation_id,
        workspace_id=entity.workspace_id,
        entity_type=entity.type,
        entity_id=entity.id,
        entity_name=entity.name,
        virtual_keys=sorted(entity.virtual_keys) or None,
        type=settings["type"],
        current_usage=machine.NOTHING,
        is_threshold_alert_sent=False,
        is_exhausted_alert_sent=False,
        alert_round=0,
        period_started_at=since,
        counted_at=since,
        created_at=now,
        last_updated_at=now,
    )
    _set(limit, settings, now, is_new=True)
    put(limit, state_of(limit))
    session.add(limit)
    return limit


def _changed(limit: Limit, settings: Mapping[str, Any], now: datetime) -> Limit:
    before, state = rule_of(limit), state_of(limit)
    _set(limit, settings, now)
    put(limit, machine.changed(before, rule_of(limit), state))
    limit.last_updated_at = now
    return limit


def _set(limit: Limit, settings: Mapping[str, Any], now: datetime, *, is_new: bool = False) -> None:
    threshold, first = settings["alert_threshold"], _instant(settings["next_usage_reset_at"])
    limit.credit_limit = Decimal(str(settings["credit_limit"]))
    limit.alert_threshold = None if threshold is None else Decimal(str(threshold))
    periods = settings["periodic_reset"], settings["periodic_reset_days"]
    is_scheduled = any(period is not None for period in periods)
    is_same = not is_new and periods == (limit.periodic_reset, limit.periodic_reset_days)
    if is_same and is_scheduled and first in {None, limit.next_reset_at, limit.first_reset_at}:
        return  # whoever changes only what is allowed does not put off the next reset
    limit.periodic_reset, limit.periodic_reset_days = periods
    limit.first_reset_at, limit.scheduled_at = first, now
    limit.next_reset_at = next_reset(schedule_of(limit), started_at=now, after=now)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

"""The counters of a usage policy: listed, looked up, and set back by hand."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import orjson
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from api.errors import NotFound
from api.identifiers import is_id
from api.limits.machine import Rule, State, restarted, status_of
from api.policies.rows import ACTIVE, Policy, PolicyEntity
from api.policies.schedule import to_millisecond

_ESCAPE = "\\"


def hash_of(values: Sequence[str]) -> str:
    """What a policy knows a combination of values by, however long it is."""
    return hashlib.sha256(orjson.dumps(list(values))).hexdigest()


def listing(policy: Policy, *, status: str | None = None, search: str | None = None) -> Select[PolicyEntity]:
    """The counters of a policy, the newest first; `search` is a part of the value key."""
    query = select(PolicyEntity).where(PolicyEntity.policy_id == policy.id)
    if status is not None:
        query = query.where(PolicyEntity.status == status)
    if search:
        escaped = search.replace(_ESCAPE, _ESCAPE * 2).replace("%", r"\%").replace("_", r"\_")
        query = query.where(PolicyEntity.value_key.like(f"%{escaped}%", escape=_ESCAPE))
    return query.order_by(PolicyEntity.created_at.desc(), PolicyEntity.id.desc())


def of_policy(session: Session, policy: Policy) -> list[PolicyEntity]:
    """Every counter of a policy."""
    return list(session.scalars(listing(policy)))


def find(session: Session, policy: Policy, entity_id: str) -> PolicyEntity:
    """The counter of this policy with this id. Raises: NotFound."""
    wanted = entity_id.strip().lower()
    row = session.get(PolicyEntity, wanted, with_for_update=True) if is_id(wanted) else None
    if row is None or row.policy_id != policy.id:
        raise NotFound(f"This policy has no counter '{entity_id[:40]}'.")
    return row


def of_value(session: Session, policy: Policy, value: str) -> PolicyEntity:
    """The counter of this value key, or of this value where the policy groups by one key. Raises: NotFound."""
    key = value if len(policy.group_by) > 1 else f"{policy.group_by[0]}:{value}"
    query = select(PolicyEntity).where(PolicyEntity.policy_id == policy.id, PolicyEntity.value_key.in_([value, key]))
    row = session.scalars(query.limit(1)).first()
    if row is None:
        raise NotFound(f"reset_usage_for_value: this policy has counted nothing for '{value[:80]}'.")
    return row


def write_time(session: Session, organisation_id: str, now: datetime) -> datetime:
    """When a counter of the organisation is changed now: never before the latest change of another one.

    Who follows them asks for what is as late as the latest that it knows; a count begins long before it is written.
    """
    query = select(func.max(PolicyEntity.last_updated_at)).where(PolicyEntity.organisation_id == organisation_id)
    latest = session.scalar(query)
    return now if latest is None else max(now, latest)


def reset(session: Session, row: PolicyEntity, now: datetime) -> None:
    """Nothing of it is used, from now on."""
    fresh = restarted(state_of(row))
    row.current_usage, row.status = fresh.usage, ACTIVE
    row.is_threshold_alert_sent = row.is_exhausted_alert_sent = False
    row.alert_round = fresh.alert_round
    row.counts_from = to_millisecond(now)
    row.last_reset_at, row.last_updated_at = now, write_time(session, row.organisation_id, now)
    session.flush()


def state_of(row: PolicyEntity) -> State:
    """What the machine of limits knows of a counter."""
    return State(row.current_usage, row.is_threshold_alert_sent, row.is_exhausted_alert_sent, row.alert_round)


def keep(row: PolicyEntity, rule: Rule, state: State) -> None:
    """Write what became of a counter."""
    row.current_usage, row.status = state.usage, status_of(rule, state)
    row.is_threshold_alert_sent, row.is_exhausted_alert_sent = (
        state.is_threshold_alert_sent,
        state.is_exhausted_alert_sent,
    )
    row.alert_round = state.alert_round

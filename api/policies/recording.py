"""The counters of policies on their way into the database: only what changed, and what it crossed.

They go past the session: a hundred thousand are written so in seconds, and no cache of callers knows of them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson
from sqlalchemy import Table, bindparam, column, func, insert, select, table, update
from sqlalchemy.orm import Session

from api.alerts.outbox import enqueue
from api.identifiers import new_id
from api.limits.forecast import days_left, first_of
from api.limits.machine import NOTHING, Crossing, CrossingKind, LimitType, Rule, State, counted, restarted, status_of
from api.policies.entities import write_time
from api.policies.plans import Plan
from api.policies.rows import ACTIVE, Policy, PolicyEntity
from api.policies.service import rule_of
from warehouse.query.policy_terms import value_key
from warehouse.query.policy_usage import Used

IDS_AT_ONCE = 500
_POLICY, _ENTITY = cast("Table", Policy.__table__), cast("Table", PolicyEntity.__table__)
_LINES = table(_ENTITY.name, *(column(each.name) for each in _ENTITY.columns))
"""The counters without types: their values are made into what all databases read once, not once for each line."""
Values = tuple[str, ...]
Signature = tuple[int, datetime | None]


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted for one policy: by the hash of a counter's values, its values and what is used of it."""

    plan: Plan
    used: Mapping[str, tuple[Values, Used]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written of some policies."""

    policies: int = 0
    counters: int = 0
    resets: tuple[str, ...] = ()
    crossings: tuple[Crossing, ...] = ()


class _Known(NamedTuple):
    """A counter as it is in the database."""

    id: str
    policy_id: str
    hash: str
    usage: Decimal
    per_day: Decimal | None
    status: str
    is_threshold_alert_sent: bool
    is_exhausted_alert_sent: bool
    alert_round: int
    counts_from: datetime
    last_reset_at: datetime | None

    @property
    def state(self) -> State:
        return State(self.usage, self.is_threshold_alert_sent, self.is_exhausted_alert_sent, self.alert_round)


def signature_of(session: Session, organisation_id: str) -> Signature:
    """What changes whenever a counter of the organisation is written or lost."""
    query = select(func.count(), func.max(_ENTITY.c.last_updated_at))
    count, latest = session.connection().execute(query.where(_ENTITY.c.organisation_id == organisation_id)).one()
    return count, latest


def record(session: Session, found: Sequence[Counted], now: datetime) -> Recorded:
    """Write down what was counted, unless somebody counted later or changed the policy meanwhile.

    What was crossed is handed to the outbox in this transaction, which also says that it was told.
    """
    policies = counters = 0
    resets: list[str] = []
    crossings: list[Crossing] = []
    for start in range(0, len(found), IDS_AT_ONCE):
        some = {one.plan.policy.id: one for one in found[start : start + IDS_AT_ONCE]}
        locked = select(Policy).where(Policy.id.in_(some), Policy.status == ACTIVE).order_by(Policy.id)
        rows = session.scalars(locked.with_for_update().execution_options(populate_existing=True)).all()
        current = [row for row in rows if _is_current(row, some[row.id].plan, now)]
        if not current:
            continue
        known = _known(session, [row.id for row in current])
        writing = _Writing(now, write_time(session, current[0].organisation_id, now))
        for row in current:
            writing.policy(row, some[row.id], known.get(row.id, []))
        writing.write(session)
        policies, counters = policies + len(current), counters + writing.count
        resets += writing.resets
        crossings += writing.crossings
    if crossings:
        enqueue(session, crossings, now)
    session.flush()
    return Recorded(policies, counters, tuple(resets), tuple(crossings))


def mark_counted(session: Session, plans: Sequence[Plan], now: datetime) -> int:
    """How many of these policies were counted until now and are as they were, without any change."""
    connection = session.connection()
    columns = (_POLICY.c.id, _POLICY.c.last_updated_at, _POLICY.c.next_usage_reset_at)
    marked = 0
    for start in range(0, len(plans), IDS_AT_ONCE):
        read_at = {plan.policy.id: plan.read_at for plan in plans[start : start + IDS_AT_ONCE]}
        query = select(*columns).where(_POLICY.c.id.in_(read_at), _POLICY.c.status == ACTIVE)
        rows = connection.execute(query.order_by(_POLICY.c.id).with_for_update())
        current = [row[0] for row in rows if (row[1], row[2]) == read_at[row[0]]]
        before = _POLICY.c.counted_at.is_(None) | (_POLICY.c.counted_at < now)
        connection.execute(update(_POLICY).where(_POLICY.c.id.in_(current), before).values(counted_at=now))
        marked += len(current)
    return marked


@dataclass(slots=True)
class _Writing:
    """The counters of some policies, sorted by what is to be written of them."""

    now: datetime
    written_at: datetime
    resets: list[str] = field(default_factory=list[str])
    crossings: list[Crossing] = field(default_factory=list[Crossing])
    _new: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _used: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Of which only the numbers changed: most of them."""
    _changed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def count(self) -> int:
        """How many counters are new or changed."""
        return len(self._new) + len(self._used) + len(self._changed)

    def policy(self, row: Policy, found: Counted, known: Sequence[_Known]) -> None:
        """What is to be written of one policy."""
        plan, rule = found.plan, rule_of(row)
        if plan.due_at is not None:
            row.counts_from = row.last_reset_at = plan.due_at
            row.next_usage_reset_at = plan.next_reset_at
            self.resets.append(row.id)
        row.counted_at = self.now
        row.usage_per_day, row.days_left = _forecast(rule, found)
        told = _Told(row, rule, _floor(rule), self.crossings)
        starts = {hash_: at for at, hashes in plan.later.items() for hash_ in hashes}
        for old in known:
            self._counter(told, found, old, starts.get(old.hash, plan.starts_at))
        held = {old.hash for old in known}
        for hash_, (values, used) in found.used.items():
            if used.amount is not None and hash_ not in held:
                self._new.append(self._made(told, hash_, values, used, plan.starts_at))

    def write(self, session: Session) -> None:
        """Into the database."""
        connection = session.connection()
        for lines in (self._used, self._changed):
            if lines:
                names = [name for name in lines[0] if name != "key"]
                changing = update(_LINES).where(_LINES.c.id == bindparam("key"))
                connection.execute(changing.values({name: bindparam(name) for name in names}), lines)
        if self._new:
            connection.execute(insert(_LINES), self._new)

    def _counter(self, told: "_Told", found: Counted, old: _Known, start: datetime) -> None:
        """A counter that is known; it stays when it was set back while it was counted."""
        if old.counts_from > start:
            return
        values, used = found.used.get(old.hash, ((), _NOTHING))
        usage, is_over = used.amount or NOTHING, found.plan.due_at is not None and old.counts_from < start
        numbers = {"key": old.id, "current_usage": _number(usage), "usage_per_day": _number(used.per_day)}
        is_quiet = usage < told.floor and old.status == ACTIVE and not is_over
        if is_quiet:
            if (usage, used.per_day) != (old.usage, old.per_day):
                self._used.append({**numbers, "last_updated_at": _instant(self.written_at)})
            return
        before = restarted(old.state) if is_over else old.state
        after = told.counted(before, usage, values, start)
        status = status_of(told.rule, after)
        if not is_over and (after, status, used.per_day) == (old.state, old.status, old.per_day):
            return
        period = (start, None) if is_over else (old.counts_from, old.last_reset_at)
        line = {**numbers, "counts_from": _instant(period[0]), "last_reset_at": _instant(period[1])}
        self._changed.append({**line, **self._kept(after, status)})

    def _made(self, told: "_Told", hash_: str, values: Values, used: Used, start: datetime) -> dict[str, Any]:
        usage = used.amount or NOTHING
        is_quiet = usage < told.floor
        after = _UNTOLD if is_quiet else told.counted(_UNTOLD, usage, values, start)
        status = ACTIVE if is_quiet else status_of(told.rule, after)
        return {
            "id": new_id(),
            "organisation_id": told.row.organisation_id,
            "policy_id": told.row.id,
            "value_key": value_key(told.row.group_by, values),
            "group_values": orjson.dumps(values).decode(),
            "values_hash": hash_,
            "current_usage": _number(usage),
            "usage_per_day": _number(used.per_day),
            "counts_from": _instant(start),
            "last_reset_at": None,
            "created_at": _instant(self.now),
            **self._kept(after, status),
        }

    def _kept(self, state: State, status: str) -> dict[str, Any]:
        return {
            "status": status,
            "is_threshold_alert_sent": state.is_threshold_alert_sent,
            "is_exhausted_alert_sent": state.is_exhausted_alert_sent,
            "alert_round": state.alert_round,
            "last_updated_at": _instant(self.written_at),
        }


_NOTHING, _UNTOLD = Used(None, None), State()


def _number(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


@lru_cache(maxsize=256)
def _instant(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


@dataclass(frozen=True, slots=True)
class _Told:
    """The rule of a policy, and what its counters crossed."""

    row: Policy
    rule: Rule
    floor: Decimal
    """Usage below it crosses nothing."""
    crossings: list[Crossing]

    def counted(self, state: State, usage: Decimal, values: Values, start: datetime) -> State:
        """The state of a counter with this usage."""
        after, kinds = counted(self.rule, state, usage)
        if kinds:
            key = value_key(self.row.group_by, values)
            self.crossings.extend(self._crossing(kind, after, key, start) for kind in kinds)
        return after

    def _crossing(self, kind: CrossingKind, state: State, key: str, start: datetime) -> Crossing:
        row, rule = self.row, self.rule
        return Crossing(
            organisation_id=row.organisation_id,
            workspace_id=row.workspace_id,
            entity_type="policy",
            entity_id=row.id,
            entity_name=row.name or row.id,
            value_key=key,
            limit_id=row.id,
            kind=kind,
            type=cast("LimitType", row.type),
            usage=state.usage,
            credit_limit=rule.credit_limit,
            alert_threshold=rule.alert_threshold,
            period_started_at=start,
            alert_round=state.alert_round,
        )


def _floor(rule: Rule) -> Decimal:
    return rule.credit_limit if rule.alert_threshold is None else min(rule.credit_limit, rule.alert_threshold)


def _forecast(rule: Rule, found: Counted) -> tuple[Decimal | None, Decimal | None]:
    """What all counters use a day, and how many days the first of them will last."""
    going_on = [used for _, used in found.used.values() if used.per_day is not None]
    ends = [days_left(rule.credit_limit, used.amount or NOTHING, used.per_day) for used in going_on]
    per_day = sum((used.per_day or NOTHING for used in going_on), NOTHING)
    return per_day or None, first_of(days for days in ends if days is not None)


def _is_current(row: Policy, plan: Plan, now: datetime) -> bool:
    """Whether nobody changed the policy while it was counted, or counted it later."""
    return (row.last_updated_at, row.next_usage_reset_at) == plan.read_at and (
        row.counted_at is None or row.counted_at <= now
    )


def _known(session: Session, policy_ids: Sequence[str]) -> dict[str, list[_Known]]:
    """Policy → its counters as they are in the database."""
    names = ("id", "policy_id", "values_hash", "current_usage", "usage_per_day", "status", "is_threshold_alert_sent",
             "is_exhausted_alert_sent", "alert_round", "counts_from", "last_reset_at")  # fmt: skip
    query = select(*(_ENTITY.c[name] for name in names)).where(_ENTITY.c.policy_id.in_(policy_ids))
    known: defaultdict[str, list[_Known]] = defaultdict(list)
    for line in map(_Known._make, session.connection().execute(query)):
        known[line.policy_id].append(line)
    return known

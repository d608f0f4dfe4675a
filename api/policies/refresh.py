"""What is used of policies, from the rows of the warehouse; counters appear with the first row that counts for them.

Nothing is added up here: each count asks anew how much lies between the start of a period and now, so what came late
or was priced anew is in the next one, and counters that were lost are there again.
Source: DESIGN "Usage is derived", dataplane contract 7.1, 7.4.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from api.alerts.outbox import enqueue
from api.db import Database
from api.identifiers import new_id
from api.limits.machine import NOTHING, Crossing, CrossingKind, LimitType, State, counted, restarted, status_of
from api.policies import schedule
from api.policies.conditions import selection_of
from api.policies.entities import hash_of
from api.policies.rows import ACTIVE, Policy, PolicyEntity, PolicyKind
from api.policies.service import rule_of
from api.workspaces.rows import Workspace
from warehouse.engines.base import Engine
from warehouse.query.policy_terms import value_key
from warehouse.query.policy_usage import Counting, Measure, usage_of

_AT_ONCE = 500
_ENTITY = cast("Table", PolicyEntity.__table__)
Values = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefreshedPolicies:
    """What a refresh found."""

    policies: int = 0
    """How many were counted."""
    counters: int = 0
    """How many counters are new or changed."""
    resets: tuple[str, ...] = ()
    """Policies whose period was over."""
    crossings: tuple[Crossing, ...] = ()

    def __add__(self, other: "RefreshedPolicies") -> "RefreshedPolicies":
        return RefreshedPolicies(
            self.policies + other.policies,
            self.counters + other.counters,
            self.resets + other.resets,
            self.crossings + other.crossings,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """One policy to count: its row as it was read, its workspace, and when the period of its counters begins."""

    policy: Policy
    workspace_slug: str | None
    starts_at: datetime
    due_at: datetime | None
    """The reset that is due, if one is."""
    next_reset_at: datetime | None
    later: Mapping[datetime, frozenset[str]] = field(default_factory=dict[datetime, frozenset[str]])
    """Counters that were set back since, by when: the hashes of their values."""

    @property
    def read_at(self) -> tuple[datetime, datetime | None]:
        """What tells whether somebody changed the policy since."""
        return self.policy.last_updated_at, self.policy.next_usage_reset_at

    def countings(self) -> list[Counting]:
        """What to ask the warehouse: once from the start, and once from each time that a counter was set back."""
        row = self.policy
        selection = selection_of(row.conditions, row.group_by)
        measure = cast("Measure", row.type)
        return [
            Counting(_name(row.id, at), selection, self.workspace_slug, measure, at, row.counts_upper_bound)
            for at in (self.starts_at, *self.later)
        ]


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted for one policy: by the hash of a counter's values, its values and what is used of it."""

    plan: Plan
    used: Mapping[str, tuple[Values, Decimal]]


def refresh_all(
    database: Database, engine: Engine, now: datetime, organisation_id: str | None = None
) -> RefreshedPolicies:
    """Policies of one organisation, or of all: periods that are over begin anew, and every counter is counted.

    In short transactions, one for each organisation, so that nobody waits while the warehouse is asked. What they
    crossed is handed to the outbox in the transaction that also says that it was told.
    Raises: WarehouseError, SQLAlchemyError.
    """
    with database.transaction(writes=False) as session:
        by_owner = read(session, now, organisation_id)
        workspaces = {owner: workspaces_of(session, owner) for owner in by_owner}
        session.expunge_all()
    done = RefreshedPolicies()
    for owner, plans in by_owner.items():
        found = count(engine, owner, plans, now, workspaces[owner])
        with database.transaction(organisation_id=owner) as session:
            done += apply(session, found, now)
    return done


def read(session: Session, now: datetime, organisation_id: str | None = None) -> dict[str, list[Plan]]:
    """The active usage policies by organisation."""
    query = (
        select(Policy, Workspace.slug)
        .outerjoin(Workspace, Workspace.id == Policy.workspace_id)
        .where(Policy.kind == PolicyKind.USAGE.value, Policy.status == ACTIVE)
        .order_by(Policy.organisation_id, Policy.id)
        .execution_options(populate_existing=True)
    )
    if organisation_id is not None:
        query = query.where(Policy.organisation_id == organisation_id)
    plans: defaultdict[str, list[Plan]] = defaultdict(list)
    rows = [(row, slug) for row, slug in session.execute(query)]
    later = _set_back(session, organisation_id)
    for row, slug in rows:
        due, ahead = schedule.boundaries(row, now)
        start = due or row.counts_from or row.created_at
        since = {at: hashes for at, hashes in later.get(row.id, {}).items() if at > start}
        plans[row.organisation_id].append(Plan(row, slug, start, due, ahead, since))
    return dict(plans)


def workspaces_of(session: Session, organisation_id: str) -> dict[str, str]:
    """Slug → id of the workspaces of an organisation, archived ones too."""
    rows = session.execute(select(Workspace.slug, Workspace.id).where(Workspace.organisation_id == organisation_id))
    return {row.slug: row.id for row in rows}


def count(
    engine: Engine, organisation_id: str, plans: Sequence[Plan], now: datetime, workspaces: Mapping[str, str]
) -> list[Counted]:
    """What is used of all these policies; asks the warehouse once and no database. Raises: WarehouseError."""
    countings = [counting for plan in plans for counting in plan.countings()]
    used = usage_of(engine, organisation_id, countings, now, workspaces)
    return [_counted(plan, used) for plan in plans]


def apply(session: Session, found: Sequence[Counted], now: datetime) -> RefreshedPolicies:
    """Write down what was counted, unless somebody counted later or changed the policy meanwhile."""
    done = RefreshedPolicies()
    for start in range(0, len(found), _AT_ONCE):
        some = {one.plan.policy.id: one for one in found[start : start + _AT_ONCE]}
        locked = select(Policy).where(Policy.id.in_(some), Policy.status == ACTIVE).order_by(Policy.id)
        rows = session.scalars(locked.with_for_update().execution_options(populate_existing=True)).all()
        known = _known(session, list(some))
        for row in rows:
            if _is_current(row, some[row.id].plan, now):
                done += _Writing(session, row, some[row.id], now).write(known.get(row.id, {}))
    if done.crossings:
        enqueue(session, done.crossings, now)
    session.flush()
    return done


@dataclass(slots=True)
class _Writing:
    """The counters of one policy on their way into the database."""

    session: Session
    row: Policy
    found: Counted
    now: datetime
    crossings: list[Crossing] = field(default_factory=list[Crossing])

    def write(self, known: Mapping[str, Mapping[str, Any]]) -> RefreshedPolicies:
        plan, row = self.found.plan, self.row
        if plan.due_at is not None:
            row.counts_from = row.last_reset_at = plan.due_at
            row.next_usage_reset_at = plan.next_reset_at
        row.counted_at = self.now
        starts = {hash_: at for at, hashes in plan.later.items() for hash_ in hashes}
        changes = [
            change
            for hash_, old in known.items()
            if (change := self._changed(hash_, old, starts.get(hash_, plan.starts_at))) is not None
        ]
        new = [self._new(hash_) for hash_ in self.found.used.keys() - known.keys()]
        # Not through the session: thousands of counters are written faster so, and no cache of callers knows of them.
        connection = self.session.connection()
        if changes:
            names = [name for name in changes[0] if name != "key"]
            changing = update(_ENTITY).where(_ENTITY.c.id == bindparam("key"))
            connection.execute(changing.values({name: bindparam(name) for name in names}), changes)
        if new:
            connection.execute(insert(_ENTITY), new)
        resets = (row.id,) if plan.due_at is not None else ()
        return RefreshedPolicies(1, len(changes) + len(new), resets, tuple(self.crossings))

    def _changed(self, hash_: str, old: Mapping[str, Any], start: datetime) -> dict[str, Any] | None:
        """What is to be written of a counter; None when it stays, or was set back while it was counted."""
        is_over = old["counts_from"] < start and self.found.plan.due_at is not None
        if old["counts_from"] > start:
            return None
        state = State(
            old["current_usage"], old["is_threshold_alert_sent"], old["is_exhausted_alert_sent"], old["alert_round"]
        )
        before = restarted(state) if is_over else state
        _, usage = self.found.used.get(hash_, ((), NOTHING))
        after = self._told(before, usage, old["value_key"], start)
        status = status_of(rule_of(self.row), after)
        if after == state and status == old["status"] and not is_over:
            return None
        last = {"last_reset_at": None} if is_over else {"last_reset_at": old["last_reset_at"]}
        return {"key": old["id"], "counts_from": start if is_over else old["counts_from"], **last, **self._kept(after)}

    def _new(self, hash_: str) -> dict[str, Any]:
        values, usage = self.found.used[hash_]
        start, key = self.found.plan.starts_at, value_key(self.row.group_by, values)
        return {
            "id": new_id(),
            "organisation_id": self.row.organisation_id,
            "policy_id": self.row.id,
            "value_key": key,
            "group_values": list(values),
            "values_hash": hash_,
            "counts_from": start,
            "created_at": self.now,
            **self._kept(self._told(State(), usage, key, start)),
        }

    def _kept(self, state: State) -> dict[str, Any]:
        return {
            "current_usage": state.usage,
            "status": status_of(rule_of(self.row), state),
            "is_threshold_alert_sent": state.is_threshold_alert_sent,
            "is_exhausted_alert_sent": state.is_exhausted_alert_sent,
            "alert_round": state.alert_round,
            "last_updated_at": self.now,
        }

    def _told(self, state: State, usage: Decimal, key: str, start: datetime) -> State:
        rule = rule_of(self.row)
        after, kinds = counted(rule, state, usage)
        self.crossings += [self._crossing(kind, after, key, start) for kind in kinds]
        return after

    def _crossing(self, kind: CrossingKind, state: State, key: str, start: datetime) -> Crossing:
        row, rule = self.row, rule_of(self.row)
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


def _counted(plan: Plan, used: Mapping[str, Mapping[Values, Decimal]]) -> Counted:
    def since(start: datetime) -> dict[str, tuple[Values, Decimal]]:
        counters = used.get(_name(plan.policy.id, start), {})
        return {hash_of(values): (values, usage) for values, usage in counters.items()}

    found = since(plan.starts_at)
    for at, hashes in plan.later.items():
        anew = since(at)
        for hash_ in hashes:
            found.pop(hash_, None)
            if hash_ in anew:
                found[hash_] = anew[hash_]
    return Counted(plan, found)


def _name(policy_id: str, start: datetime) -> str:
    return f"{policy_id} {start.isoformat()}"


def _is_current(row: Policy, plan: Plan, now: datetime) -> bool:
    """Whether nobody changed the policy while it was counted, or counted it later."""
    return (row.last_updated_at, row.next_usage_reset_at) == plan.read_at and (
        row.counted_at is None or row.counted_at <= now
    )


def _set_back(session: Session, organisation_id: str | None) -> dict[str, dict[datetime, frozenset[str]]]:
    """Policy → when a counter of it was set back by hand → the hashes of such counters."""
    query = select(_ENTITY.c.policy_id, _ENTITY.c.counts_from, _ENTITY.c.values_hash)
    query = query.where(_ENTITY.c.last_reset_at.is_not(None))
    if organisation_id is not None:
        query = query.where(_ENTITY.c.organisation_id == organisation_id)
    found: defaultdict[str, defaultdict[datetime, set[str]]] = defaultdict(lambda: defaultdict(set))
    for policy_id, at, hash_ in session.execute(query):
        found[policy_id][at].add(hash_)
    return {policy: {at: frozenset(hashes) for at, hashes in times.items()} for policy, times in found.items()}


def _known(session: Session, policy_ids: Sequence[str]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Policy → hash of values → its counter as it is in the database."""
    known: defaultdict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for line in session.connection().execute(select(_ENTITY).where(_ENTITY.c.policy_id.in_(policy_ids))).mappings():
        known[line["policy_id"]][line["values_hash"]] = cast("Mapping[str, Any]", line)
    return known

"""What is used of policies, from the rows of the warehouse; counters appear with the first row that counts for them.

Nothing is added up here: each count asks anew how much lies between the start of a period and now, so what came late
or was priced anew is in the next one, and counters that were lost are there again. Whoever counts again and again says
what the last count left: where neither rows nor policies nor counters changed since, nothing is counted or written.
Source: DESIGN "Usage is derived", dataplane contract 7.1, 7.4.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from api.db import Database
from api.limits.machine import Crossing
from api.policies.entities import hash_of
from api.policies.plans import Plan, read, workspaces_of
from api.policies.recording import Counted, Signature, Values, mark_counted, record, signature_of
from warehouse.engines.base import Engine
from warehouse.query import policy_usage
from warehouse.query.policy_usage import Found, Reading, Used

COUNTERS_AT_ONCE = 10_000
"""Of one transaction: more would keep others from writing for too long."""


@dataclass(frozen=True, slots=True)
class RefreshedPolicies:
    """What a refresh found."""

    policies: int = 0
    """How many were counted, or known to be as they were."""
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
class _Left:
    """What a count of one organisation left behind."""

    rows: tuple[object, ...]
    """The version of what was read of the warehouse."""
    workspaces: Mapping[str, str]
    counters: Signature
    policies: Mapping[str, tuple[object, tuple[pl.Series, ...]]]
    """Policy → what tells whether it is as it was, and whether its numbers are."""


@dataclass(slots=True)
class Remembered:
    """What the last refresh of this process left, by organisation. Only ever saves work: it may be empty."""

    organisations: dict[str, _Left] = field(default_factory=dict[str, _Left])


def refresh_all(
    database: Database,
    engine: Engine,
    now: datetime,
    organisation_id: str | None = None,
    remembered: Remembered | None = None,
) -> RefreshedPolicies:
    """Policies of one organisation, or of all: periods that are over begin anew, and every counter is counted.

    In short transactions, so that nobody waits while the warehouse is asked or for long while it is written down. What
    was crossed is handed to the outbox in the transaction that also says that it was told.
    Raises: WarehouseError, SQLAlchemyError.
    """
    known = remembered or Remembered()
    with database.transaction(writes=False) as session:
        by_owner = read(session, now, organisation_id)
        workspaces = {owner: workspaces_of(session, owner) for owner in by_owner}
        signatures = {owner: signature_of(session, owner) for owner in by_owner if owner in known.organisations}
        session.expunge_all()
    done = RefreshedPolicies()
    for owner, plans in by_owner.items():
        left = known.organisations.pop(owner, None)
        if left is not None and (left.workspaces, left.counters) != (workspaces[owner], signatures[owner]):
            left = None
        done += _Refresh(database, engine, owner, plans, workspaces[owner], now).run(left, known)
    if organisation_id is None:
        known.organisations = {owner: left for owner, left in known.organisations.items() if owner in by_owner}
    return done


def count(
    engine: Engine, organisation_id: str, plans: Sequence[Plan], now: datetime, workspaces: Mapping[str, str]
) -> list[Counted]:
    """What is used of all these policies; asks the warehouse once and no database. Raises: WarehouseError."""
    reading = _read(engine, organisation_id, plans, now, workspaces)
    return [counted(plan, found) for plan, found in _found(reading, plans)]


def counted(plan: Plan, found: Sequence[Found]) -> Counted:
    """The counters of a policy: from its start, but those that were set back since from then."""

    def by_hash(one: Found) -> dict[str, tuple[Values, Used]]:
        return {hash_of(values): (values, used) for values, used in one.counters().items()}

    used = by_hash(found[0])
    for hashes, later in zip(plan.later.values(), map(by_hash, found[1:]), strict=True):
        for hash_ in hashes:
            used.pop(hash_, None)
            if hash_ in later:
                used[hash_] = later[hash_]
    return Counted(plan, used)


@dataclass(frozen=True, slots=True)
class _Refresh:
    """One organisation."""

    database: Database
    engine: Engine
    owner: str
    plans: Sequence[Plan]
    workspaces: Mapping[str, str]
    now: datetime

    def run(self, left: _Left | None, known: Remembered) -> RefreshedPolicies:
        """Count and write what changed, and remember what it left."""
        reading = _read(self.engine, self.owner, self.plans, self.now, self.workspaces)
        before = {} if left is None else left.policies
        marks = {plan.policy.id: plan.mark for plan in self.plans}
        if (
            left is not None
            and left.rows == reading.version
            and marks == {id_: mark for id_, (mark, _) in before.items()}
        ):
            with self.database.transaction(organisation_id=self.owner) as session:
                marked = mark_counted(session, self.plans, self.now)
            known.organisations[self.owner] = left
            return RefreshedPolicies(marked)
        changed: list[tuple[Plan, list[Found]]] = []
        same: list[Plan] = []
        numbers: dict[str, tuple[object, tuple[pl.Series, ...]]] = {}
        for plan, found in _found(reading, self.plans):
            id_ = plan.policy.id
            numbers[id_] = (marks[id_], tuple(one.fingerprint for one in found))
            if _is_same(before.get(id_), numbers[id_]):
                same.append(plan)
            else:
                changed.append((plan, found))
        done, signature = self._write(changed, same, None if left is None else left.counters)
        if signature is not None:
            known.organisations[self.owner] = _Left(reading.version, self.workspaces, signature, numbers)
        return done

    def _write(
        self, changed: Sequence[tuple[Plan, list[Found]]], same: Sequence[Plan], expected: Signature | None
    ) -> tuple[RefreshedPolicies, Signature | None]:
        """What was written, and the counters as they are then; None when somebody else wrote some meanwhile."""
        done, is_ours = RefreshedPolicies(), True
        for some in _pieces(changed):
            with self.database.transaction(organisation_id=self.owner) as session:
                is_ours = is_ours and expected in {None, signature_of(session, self.owner)}
                one = record(session, [counted(plan, found) for plan, found in some], self.now)
                expected = signature_of(session, self.owner)
                # Who was changed meanwhile was not written, and has another mark next time.
            done += RefreshedPolicies(one.policies, one.counters, one.resets, one.crossings)
        if same:
            with self.database.transaction(organisation_id=self.owner) as session:
                done += RefreshedPolicies(mark_counted(session, same, self.now))
        return done, expected if is_ours else None


def _read(
    engine: Engine, organisation_id: str, plans: Sequence[Plan], now: datetime, workspaces: Mapping[str, str]
) -> Reading:
    countings = [counting for plan in plans for counting in plan.countings()]
    return policy_usage.read(engine, organisation_id, countings, now, workspaces)


def _found(reading: Reading, plans: Sequence[Plan]) -> Iterator[tuple[Plan, list[Found]]]:
    countings = [plan.countings() for plan in plans]
    found = iter(reading.count([one for some in countings for one in some]))
    for plan, some in zip(plans, countings, strict=True):
        yield plan, [next(found) for _ in some]


def _is_same(before: tuple[object, tuple[pl.Series, ...]] | None, now: tuple[object, tuple[pl.Series, ...]]) -> bool:
    if before is None or before[0] != now[0] or len(before[1]) != len(now[1]):
        return False
    return all(one.equals(other) for one, other in zip(before[1], now[1], strict=True))


def _pieces(changed: Sequence[tuple[Plan, list[Found]]]) -> Iterator[list[tuple[Plan, list[Found]]]]:
    """The policies, with not too many counters at once."""
    some: list[tuple[Plan, list[Found]]] = []
    size = 0
    for plan, found in changed:
        some.append((plan, found))
        size += found[0].sums.height
        if size >= COUNTERS_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some

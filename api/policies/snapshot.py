"""What there is to check for requests of one organisation, in memory: limits, rates, policies, and what is used.

Read from the database, never from the warehouse; how old it may be: `api/policies/snapshots.py`.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.api_keys.rows import ApiKey
from api.limits.rows import Limit
from api.policies.conditions import selection_of
from api.policies.policy_index import PolicyIndex
from api.policies.rows import ACTIVE, Policy, PolicyEntity, PolicyKind
from api.workspaces.rows import Workspace
from warehouse.query.policy_terms import Selection

MICRO = Decimal(1_000_000)
Values = tuple[str, ...]
PARTS = ("policies", "limits", "places")


def room_units(value: Decimal, measure: str) -> int:
    """A limit in whole units, rounded down: millionths of a USD, tokens or requests."""
    return int((value * MICRO if measure == "cost" else value).to_integral_value(ROUND_FLOOR))


def used_units(value: Decimal, measure: str) -> int:
    """What is used in whole units, rounded up."""
    return int((value * MICRO if measure == "cost" else value).to_integral_value(ROUND_CEILING))


class Budget(msgspec.Struct, frozen=True):
    """A usage limit with what is used of it, in whole units. A struct: each request makes one for each policy."""

    counter: str
    entity_type: str
    entity_id: str
    name: str | None
    value_key: str | None
    measure: str
    limit: int
    used: int
    resets_at: datetime | None

    def used_at(self, now: datetime) -> int:
        """Nothing, once the period is over, however late the next count comes."""
        return 0 if self.resets_at is not None and self.resets_at <= now else self.used


class Rate(msgspec.Struct, frozen=True):
    """A rate limit of a key, a workspace, or a counter of a policy."""

    counter: str
    entity_type: str
    entity_id: str
    name: str | None
    measure: str
    unit: str
    most: int
    value_key: str | None = None


@dataclass(frozen=True, slots=True)
class ActivePolicy:
    """A policy, ready to be asked."""

    id: str
    kind: str
    workspace_id: str | None
    name: str | None
    selection: Selection
    measure: str
    limit: int
    resets_at: datetime | None
    unit: str
    target: str


@dataclass(frozen=True, slots=True)
class Places:
    """Workspaces and keys of an organisation."""

    workspaces: Mapping[str, str]
    """Id → slug."""
    ids: Mapping[str, str]
    """Slug → id."""
    keys: Mapping[str, str | None]
    """Id of a key → its workspace."""
    names: Mapping[tuple[str, str], str]
    rates: Mapping[tuple[str, str], Sequence[Rate]]


@dataclass(slots=True)
class Snapshot:
    """Everything of one organisation that requests are checked against."""

    organisation_id: str
    places: Places
    policies: PolicyIndex[ActivePolicy]
    budgets: Mapping[tuple[str, str], Sequence[Budget]]
    """(entity type, id) → limits; of virtual keys the id is `workspace/slug`."""
    used: dict[tuple[str, Values], Decimal]
    """(policy, values of a counter) → what is used."""
    seen_at: datetime | None
    """The latest change of a counter that is known."""


def load(
    session: Session, organisation_id: str, known: Snapshot | None = None, *, parts: Collection[str] = PARTS
) -> Snapshot:
    """All of it, or only the named parts of what is known already."""
    policies = _policies(session, organisation_id) if known is None or "policies" in parts else known.policies
    places = _places(session, organisation_id) if known is None or "places" in parts else known.places
    if known is None or not {"limits", "places"}.isdisjoint(parts):
        budgets = _budgets(session, organisation_id, places.names)
    else:
        budgets = known.budgets
    used, seen_at = (known.used, known.seen_at) if known is not None else (dict[tuple[str, Values], Decimal](), None)
    snapshot = Snapshot(organisation_id, places, policies, budgets, used, seen_at)
    follow(session, snapshot)
    return snapshot


def _policies(session: Session, organisation_id: str) -> PolicyIndex[ActivePolicy]:
    policies = PolicyIndex[ActivePolicy]()
    rows = session.scalars(select(Policy).where(Policy.organisation_id == organisation_id, Policy.status == ACTIVE))
    for row in rows:
        policy = active(row)
        policies.add(policy, policy.selection.terms, (policy.workspace_id, policy.target))
    return policies


def _places(session: Session, organisation_id: str) -> Places:
    workspaces = session.execute(
        select(Workspace.id, Workspace.slug, Workspace.name, Workspace.rate_limits).where(
            Workspace.organisation_id == organisation_id
        )
    ).all()
    keys = session.execute(
        select(ApiKey.id, ApiKey.workspace_id, ApiKey.name, ApiKey.rate_limits).where(
            ApiKey.organisation_id == organisation_id, ApiKey.deleted_at.is_(None)
        )
    ).all()
    rates: dict[tuple[str, str], Sequence[Rate]] = {}
    for kind, entities in (("workspace", workspaces), ("api_key", keys)):
        for entity in entities:
            if entity.rate_limits:
                rates[kind, entity.id] = [_rate(kind, entity.id, entity.name, one) for one in entity.rate_limits]
    names = {("workspace", one.id): one.name for one in workspaces} | {("api_key", one.id): one.name for one in keys}
    slugs = {one.id: one.slug for one in workspaces}
    ids = {slug: id_ for id_, slug in slugs.items()}
    return Places(slugs, ids, {one.id: one.workspace_id for one in keys}, names, rates)


def follow(session: Session, snapshot: Snapshot) -> None:
    """Know what changed of counters since they were read."""
    query = select(
        PolicyEntity.policy_id, PolicyEntity.group_values, PolicyEntity.current_usage, PolicyEntity.last_updated_at
    ).where(PolicyEntity.organisation_id == snapshot.organisation_id)
    if snapshot.seen_at is not None:
        query = query.where(PolicyEntity.last_updated_at >= snapshot.seen_at)
    for policy_id, values, usage, at in session.execute(query):
        snapshot.used[policy_id, tuple(values)] = usage
        snapshot.seen_at = at if snapshot.seen_at is None else max(at, snapshot.seen_at)


def active(row: Policy) -> ActivePolicy:
    """A policy, ready to be asked."""
    is_usage = row.kind == PolicyKind.USAGE
    return ActivePolicy(
        id=row.id,
        kind=row.kind,
        workspace_id=row.workspace_id,
        name=row.name,
        selection=selection_of(row.conditions, row.group_by),
        measure=row.type,
        limit=room_units(row.credit_limit or Decimal(0), row.type) if is_usage else row.value or 0,
        resets_at=row.next_usage_reset_at,
        unit=row.unit or "",
        target=row.target,
    )


def _budgets(
    session: Session, organisation_id: str, names: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], list[Budget]]:
    found: defaultdict[tuple[str, str], list[Budget]] = defaultdict(list)
    for row in session.scalars(select(Limit).where(Limit.organisation_id == organisation_id)):
        budget = Budget(
            counter=row.id,
            entity_type=row.entity_type,
            entity_id=row.entity_id,
            name=row.entity_name or names.get((row.entity_type, row.entity_id)),
            value_key=None,
            measure=row.type,
            limit=room_units(row.credit_limit, row.type),
            used=used_units(row.current_usage, row.type),
            resets_at=row.next_reset_at,
        )
        if row.entity_type in {"api_key", "workspace"}:
            found[row.entity_type, row.entity_id].append(budget)
        for slug in row.virtual_keys or ():
            found["virtual_key", f"{row.workspace_id}/{slug}"].append(budget)
    return dict(found)


def _rate(kind: str, id_: str, name: str | None, limit: Mapping[str, Any]) -> Rate:
    unit = limit["unit"]
    return Rate(f"{id_} {limit['type']} {unit}", kind, id_, name, limit["type"], unit, limit["value"])

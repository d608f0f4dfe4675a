"""Which policies are to be counted, since when, and what tells whether that is as it was."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from api.policies import schedule
from api.policies.conditions import selection_of
from api.policies.rows import ACTIVE, Policy, PolicyEntity, PolicyKind
from api.workspaces.rows import Workspace
from warehouse.query.policy_usage import Counting, Measure

_ENTITY = cast("Table", PolicyEntity.__table__)


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

    @property
    def mark(self) -> tuple[object, ...]:
        """The same while the same rows count for the same counters, of the same limit."""
        return (*self.read_at, self.starts_at, self.due_at, self.workspace_slug, dict(self.later))

    def countings(self) -> list[Counting]:
        """What to ask the warehouse: once from the start, and once from each time that a counter was set back."""
        row = self.policy
        selection = selection_of(row.conditions, row.group_by)
        measure = cast("Measure", row.type)
        return [
            Counting(row.id, selection, self.workspace_slug, measure, at, row.counts_upper_bound)
            for at in (self.starts_at, *self.later)
        ]


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

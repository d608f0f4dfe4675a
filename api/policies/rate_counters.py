"""The counters of rate policies as they stand: in the memory of the worker that is asked, or in Redis for all of them.

They live for one window of time and are in no table. One has the same id in every window and every worker.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

from api.errors import NotFound
from api.limits.machine import ACTIVE, EXHAUSTED
from api.policies.evaluation import end_ms
from api.policies.holdings import SEPARATOR, Holdings
from api.policies.rows import Policy
from warehouse.query.policy_terms import value_key


@dataclass(frozen=True, slots=True)
class RateCounter:
    """How much of one window is taken, for one combination of values. Units: requests or tokens."""

    id: str
    name: str
    """As holdings know it."""
    value_key: str
    count: int
    most: int
    ends_at: datetime

    @property
    def is_exhausted(self) -> bool:
        """Whether the window has no room left."""
        return self.count >= self.most


def listed(
    holdings: Holdings, policy: Policy, now: datetime, *, status: str | None = None, search: str | None = None
) -> list[RateCounter]:
    """The counters of the present window, those with most taken first; `search` is a part of the value key."""
    beginning = SEPARATOR.join((policy.id, policy.unit or "", ""))
    found = [_counter(policy, beginning, name, count) for name, count in holdings.counts(beginning).items()]
    wanted = [
        one
        for one in found
        if one.ends_at > now
        and status in {None, EXHAUSTED if one.is_exhausted else ACTIVE}
        and (not search or search in one.value_key)
    ]
    return sorted(wanted, key=lambda one: (-one.count, one.value_key))


def reset(holdings: Holdings, policy: Policy, counter_id: str, now: datetime) -> None:
    """Nothing is taken of the counter's present window. Raises: NotFound."""
    wanted = counter_id.strip().lower()
    for one in listed(holdings, policy, now):
        if one.id == wanted:
            holdings.clear(one.name)
            return
    raise NotFound(f"This policy has counted nothing for '{counter_id[:40]}' in its present window.")


def _counter(policy: Policy, beginning: str, name: str, count: int) -> RateCounter:
    text, _, window = name.removeprefix(beginning).rpartition(SEPARATOR)
    # What a value holds of separators itself is told as a part of the last one.
    values = text.split(SEPARATOR, len(policy.group_by) - 1)
    return RateCounter(
        id=str(uuid5(UUID(policy.id), text)),
        name=name,
        value_key=value_key(policy.group_by, values),
        count=count,
        most=policy.value or 0,
        ends_at=datetime.fromtimestamp(end_ms(policy.unit or "", int(window)) / 1000, UTC),
    )

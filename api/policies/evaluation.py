"""May this request go ahead? Everything that limits it, looked up in a snapshot and taken from holdings.

Pure but for the holdings. Source: dataplane contract 7.1, 7.4; controlplane contract 6.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from api.analytics.rendering import instant
from api.limits.schemas import plain
from api.policies.holdings import Claim, Refusal, Tick
from api.policies.rows import PolicyKind
from api.policies.snapshot import MICRO, ActivePolicy, Budget, Rate, Snapshot, used_units
from warehouse.query.policy_terms import Facts, value_key

USAGE, RATE = "usage_limit", "rate_limit"
MILLISECONDS = {"rps": 1000, "rpm": 60_000, "rph": 3_600_000, "rpd": 86_400_000, "rpw": 604_800_000}
MONDAY_MS = 4 * 86_400_000
"""The first Monday after 1970 began: weeks are counted from it."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request is expected to use. Units: millionths of a USD, tokens."""

    cost: int = 0
    tokens: int = 0

    def of(self, measure: str) -> int:
        """The number of one measure; a request is one request."""
        return 1 if measure == "requests" else self.cost if measure == "cost" else self.tokens


@dataclass(frozen=True, slots=True)
class Check:
    """What a request wants: claims on budgets and ticks of rates, with the limits that they are of."""

    budgets: list[Budget]
    rates: list[Rate]
    claims: list[Claim]
    ticks: list[Tick]
    now: datetime

    def described(self, place: int, held: int) -> dict[str, Any]:
        """One of the limits as an answer tells it. Units: USD for cost."""
        if place < len(self.budgets):
            return self._budget(self.budgets[place], held)
        return self._rate(place - len(self.budgets), held)

    def all_described(self) -> list[dict[str, Any]]:
        """Every limit, without what is held of it."""
        return [self.described(place, 0) for place in range(len(self.budgets) + len(self.rates))]

    def retry_after_s(self, place: int) -> int | None:
        """When it is worth to ask again: at the reset, or when the window is over; None when that is unknown."""
        now_ms = _ms(self.now)
        if place >= len(self.budgets):
            ends_ms = self.ticks[place - len(self.budgets)].ends_ms
        else:
            resets_at = self.budgets[place].resets_at
            if resets_at is None or resets_at <= self.now:
                return None
            ends_ms = _ms(resets_at)
        return max(1, -(-(ends_ms - now_ms) // 1000))

    def _budget(self, budget: Budget, held: int) -> dict[str, Any]:
        used = budget.used_at(self.now)
        return {
            "kind": USAGE,
            **_owner(budget.entity_type, budget.entity_id, budget.name),
            "value_key": budget.value_key,
            "type": budget.measure,
            "credit_limit": _shown(budget.limit, budget.measure),
            "current_usage": _shown(used, budget.measure),
            "reserved": _shown(held, budget.measure),
            "remaining": _shown(max(0, budget.limit - used - held), budget.measure),
            "resets_at": None if budget.resets_at is None else instant(budget.resets_at),
        }

    def _rate(self, place: int, count: int) -> dict[str, Any]:
        rate, tick = self.rates[place], self.ticks[place]
        return {
            "kind": RATE,
            **_owner(rate.entity_type, rate.entity_id, rate.name),
            "value_key": rate.value_key,
            "type": rate.measure,
            "unit": rate.unit,
            "value": rate.most,
            "current_usage": count,
            "resets_at": instant(datetime.fromtimestamp(tick.ends_ms / 1000, UTC)),
        }


def check(snapshot: Snapshot, facts: Facts, target: str, estimate: Estimate, now: datetime) -> Check:
    """Everything that limits a request, in the order in which it is checked: budgets first, the widest last."""
    budgets, rates = list(_budgets(snapshot, facts)), list(_rates(snapshot, facts))
    for policy in snapshot.policies.about(facts, target):
        values = policy.selection.counter(facts)
        if policy.kind == PolicyKind.USAGE:
            budgets.append(_of_policy(snapshot, policy, values))
        else:
            key = value_key(policy.selection.group_by, values)
            counter = "\x1f".join((policy.id, policy.unit, *values))
            rates.append(
                Rate(counter, "policy", policy.id, policy.name, policy.measure, policy.unit, policy.limit, key)
            )
    claims = [
        Claim(one.counter, one.limit - one.used_at(now), estimate.of(one.measure), one.measure) for one in budgets
    ]
    now_ms = _ms(now)
    return Check(budgets, rates, claims, [_tick(one, estimate, now_ms) for one in rates], now)


def refused(found: Check, refusal: Refusal) -> tuple[str, dict[str, Any], int | None]:
    """Why a request may not go ahead: for people, for programs, and when to ask again."""
    limit = found.described(refusal.place, refusal.held)
    what = " ".join(str(limit[name]) for name in ("entity_type", "entity_name") if limit[name])
    counter = f" ({limit['value_key']})" if limit["value_key"] else ""
    unit = "USD" if limit["type"] == "cost" else limit["type"]
    if limit["kind"] == USAGE:
        used = f"{limit['current_usage']} of {limit['credit_limit']} {unit} are used"
        reserved = f", {limit['reserved']} are reserved" if limit["reserved"] else ""
        message = f"Usage limit exceeded: {what}{counter}: {used}{reserved}."
    else:
        message = f"Rate limit exceeded: {what}{counter}: {limit['value']} {unit}, {limit['unit']}."
    return message, limit, found.retry_after_s(refusal.place)


def _budgets(snapshot: Snapshot, facts: Facts) -> Iterator[Budget]:
    for place in _places(facts):
        yield from snapshot.budgets.get(place, ())


def _rates(snapshot: Snapshot, facts: Facts) -> Iterator[Rate]:
    for place in _places(facts):
        yield from snapshot.places.rates.get(place, ())


def _places(facts: Facts) -> Iterator[tuple[str, str]]:
    if facts.api_key:
        yield "api_key", facts.api_key
    if facts.workspace_id:
        # Providers are virtual keys by another name; a request may say the slug of its provider there.
        for slug in dict.fromkeys((facts.virtual_key, facts.provider)):
            if slug:
                yield "virtual_key", f"{facts.workspace_id}/{slug}"
        yield "workspace", facts.workspace_id


def _of_policy(snapshot: Snapshot, policy: ActivePolicy, values: tuple[str, ...]) -> Budget:
    used = snapshot.used.get((policy.id, values))
    return Budget(
        counter="\x1f".join((policy.id, *values)),
        entity_type="policy",
        entity_id=policy.id,
        name=policy.name,
        value_key=value_key(policy.selection.group_by, values),
        measure=policy.measure,
        limit=policy.limit,
        used=0 if used is None else used_units(used, policy.measure),
        resets_at=policy.resets_at,
    )


def _tick(rate: Rate, estimate: Estimate, now_ms: int) -> Tick:
    width = MILLISECONDS[rate.unit]
    origin = MONDAY_MS if rate.unit == "rpw" else 0
    window = (now_ms - origin) // width
    return Tick(
        f"{rate.counter}\x1f{window}", rate.most, estimate.of(rate.measure), rate.measure, (window + 1) * width + origin
    )


def _owner(entity_type: str, entity_id: str, name: str | None) -> Mapping[str, Any]:
    return {"entity_type": entity_type, "entity_id": entity_id, "entity_name": name}


def _shown(units: int, measure: str) -> int | float:
    return plain(Decimal(units) / MICRO) if measure == "cost" else units


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

"""May this request go ahead? Everything that limits it, looked up in a snapshot and taken from holdings.

Pure but for the holdings. Source: dataplane contract 7.1, 7.4; controlplane contract 6.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from api.analytics.rendering import instant
from api.policies.holdings import SEPARATOR, Claim, Refusal, Tick
from api.policies.rows import PolicyKind
from api.policies.snapshot import ActivePolicy, Budget, Rate, Snapshot, used_units
from warehouse.query.policy_terms import Facts, Selection, value_key

USAGE, RATE = "usage_limit", "rate_limit"
MICRO_OF_USD = 1_000_000
MILLISECONDS = {"rps": 1000, "rpm": 60_000, "rph": 3_600_000, "rpd": 86_400_000, "rpw": 604_800_000}
MONDAY_MS = 4 * 86_400_000
"""The first Monday after 1970 began: weeks are counted from it."""


class Estimate(msgspec.Struct, frozen=True):
    """What a request is expected to use. Units: millionths of a USD, tokens."""

    cost: int = 0
    tokens: int = 0

    def of(self, measure: str) -> int:
        """The number of one measure; a request is one request."""
        return 1 if measure == "requests" else self.cost if measure == "cost" else self.tokens


class Check(msgspec.Struct, frozen=True):
    """What a request wants: claims on budgets and ticks of rates, with the limits that they are of."""

    budgets: Sequence[Budget]
    rates: Sequence[Rate]
    claims: Sequence[Claim]
    ticks: Sequence[Tick]
    now: datetime

    def described(self, place: int, held: int) -> dict[str, Any]:
        """One of the limits as an answer tells it. Units: USD for cost."""
        if place < len(self.budgets):
            return _budget(self.budgets[place], self.claims[place].room, held)
        place -= len(self.budgets)
        return _rate(self.rates[place], self.ticks[place].ends_ms, held)

    def all_described(self) -> list[dict[str, Any]]:
        """Every limit, without what is held of it."""
        budgets = [_budget(one, claim.room, 0) for one, claim in zip(self.budgets, self.claims, strict=True)]
        return budgets + [_rate(one, tick.ends_ms, 0) for one, tick in zip(self.rates, self.ticks, strict=True)]

    def retry_after_s(self, place: int) -> int | None:
        """When it is worth to ask again: at the reset, or when the window is over; None when that is unknown."""
        if place >= len(self.budgets):
            ends_ms = self.ticks[place - len(self.budgets)].ends_ms
        else:
            resets_at = self.budgets[place].resets_at
            if resets_at is None or resets_at <= self.now:
                return None
            ends_ms = _ms(resets_at)
        return max(1, -(-(ends_ms - _ms(self.now)) // 1000))


def check(snapshot: Snapshot, facts: Facts, target: str, estimate: Estimate, now: datetime) -> Check:
    """Everything that limits a request, in the order in which it is checked: budgets first, the widest last."""
    places = _places(facts)
    # A budget of several virtual keys counts once for a request that names two of them.
    budgets = list({one.counter: one for place in places for one in snapshot.budgets.get(place, ())}.values())
    rates = [one for place in places for one in snapshot.places.rates.get(place, ())]
    counters: dict[tuple[str, ...], _Counter] = {}
    for policy in snapshot.policies.about(facts, target):
        group_by = policy.selection.group_by
        counter = counters.get(group_by)
        if counter is None:
            counter = counters[group_by] = _Counter(policy.selection, facts)
        if policy.kind == PolicyKind.USAGE:
            budgets.append(_of_policy(snapshot, policy, counter))
        else:
            name = f"{policy.id}{SEPARATOR}{policy.unit}{counter.suffix}"
            rates.append(
                Rate(name, "policy", policy.id, policy.name, policy.measure, policy.unit, policy.limit, counter.key)
            )
    claims = [
        Claim(one.counter, one.limit - one.used_at(now), estimate.of(one.measure), one.measure) for one in budgets
    ]
    now_ms = _ms(now)
    return Check(budgets, rates, claims, [_tick(one, estimate, now_ms) for one in rates], now)


class _Counter:
    """Which counter of its policies a request is for: the same for all that group alike."""

    __slots__ = ("key", "suffix", "values")

    def __init__(self, selection: Selection, facts: Facts) -> None:
        self.values = selection.counter(facts)
        self.key = value_key(selection.group_by, self.values)
        self.suffix = SEPARATOR.join(("", *self.values))


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


def _places(facts: Facts) -> list[tuple[str, str]]:
    """What of the request may have limits of its own."""
    places: list[tuple[str, str]] = []
    if facts.api_key:
        places.append(("api_key", facts.api_key))
    if facts.workspace_id:
        # Providers are virtual keys by another name; a request may say the slug of its provider there.
        slugs = dict.fromkeys((facts.virtual_key, facts.provider))
        places += [("virtual_key", f"{facts.workspace_id}/{slug}") for slug in slugs if slug]
        places.append(("workspace", facts.workspace_id))
    return places


def _of_policy(snapshot: Snapshot, policy: ActivePolicy, counter: _Counter) -> Budget:
    used = snapshot.used.get((policy.id, counter.values))
    return Budget(
        counter=policy.id + counter.suffix,
        entity_type="policy",
        entity_id=policy.id,
        name=policy.name,
        value_key=counter.key,
        measure=policy.measure,
        limit=policy.limit,
        used=0 if used is None else used_units(used, policy.measure),
        resets_at=policy.resets_at,
    )


def _tick(rate: Rate, estimate: Estimate, now_ms: int) -> Tick:
    window = (now_ms - _origin_ms(rate.unit)) // MILLISECONDS[rate.unit]
    name = f"{rate.counter}{SEPARATOR}{window}"
    return Tick(name, rate.most, estimate.of(rate.measure), rate.measure, end_ms(rate.unit, window))


def end_ms(unit: str, window: int) -> int:
    """When the window of this number is over."""
    return (window + 1) * MILLISECONDS[unit] + _origin_ms(unit)


def _origin_ms(unit: str) -> int:
    return MONDAY_MS if unit == "rpw" else 0


def _budget(budget: Budget, room: int, held: int) -> dict[str, Any]:
    shown = _usd if budget.measure == "cost" else int
    return {
        "kind": USAGE,
        "entity_type": budget.entity_type,
        "entity_id": budget.entity_id,
        "entity_name": budget.name,
        "value_key": budget.value_key,
        "type": budget.measure,
        "credit_limit": shown(budget.limit),
        "current_usage": shown(budget.limit - room),
        "reserved": shown(held),
        "remaining": shown(max(0, room - held)),
        "resets_at": None if budget.resets_at is None else _instant(budget.resets_at),
    }


def _rate(rate: Rate, ends_ms: int, count: int) -> dict[str, Any]:
    return {
        "kind": RATE,
        "entity_type": rate.entity_type,
        "entity_id": rate.entity_id,
        "entity_name": rate.name,
        "value_key": rate.value_key,
        "type": rate.measure,
        "unit": rate.unit,
        "value": rate.most,
        "current_usage": count,
        "resets_at": _instant(datetime.fromtimestamp(ends_ms / 1000, UTC)),
    }


_instant = lru_cache(instant)
"""Many requests tell the same few instants."""


@lru_cache(maxsize=4096)
def _usd(micro: int) -> int | float:
    """Dollars as JSON has them: whole ones without `.0`."""
    whole, rest = divmod(micro, MICRO_OF_USD)
    return micro / MICRO_OF_USD if rest else whole


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

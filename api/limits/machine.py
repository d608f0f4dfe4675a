"""What becomes of a limit as its usage is counted, its settings change and its period ends. Pure.

One machine for the limits of keys, workspaces, virtual keys and integrations, and for each counter of a policy.
Source: dataplane contract 7.2, 7.3; seed 1.7.0, 1.11.0, 1.11.1.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

LimitType = Literal["cost", "tokens", "requests"]
"""The last one only of policies."""
CrossingKind = Literal["threshold", "exhausted"]
EntityType = Literal["api_key", "workspace", "virtual_key", "integration_workspace", "policy"]

THRESHOLD: CrossingKind = "threshold"
EXHAUSTED_KIND: CrossingKind = "exhausted"
ACTIVE, EXHAUSTED = "active", "exhausted"
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a limit allows. Units: USD for cost, else tokens or requests."""

    type: LimitType
    credit_limit: Decimal
    alert_threshold: Decimal | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How much of a limit is used in its period, and who was told. Units: those of the rule."""

    usage: Decimal = NOTHING
    is_threshold_alert_sent: bool = False
    is_exhausted_alert_sent: bool = False
    alert_round: int = 0
    """Grows whenever an alert that was sent may be sent again, so that it is told apart from the one before."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """That usage reached the threshold or the limit: one alert. Units: USD for cost, tokens for tokens.

    `key` is the same for the same alert however often it is handed over, and another one for every other alert.
    """

    organisation_id: str
    workspace_id: str | None
    entity_type: EntityType
    entity_id: str
    entity_name: str
    value_key: str | None
    """Which counter of a policy."""
    limit_id: str
    kind: CrossingKind
    type: LimitType
    usage: Decimal
    credit_limit: Decimal
    alert_threshold: Decimal | None
    period_started_at: datetime
    alert_round: int = 0
    """A raised limit may alert again in the same period."""

    @property
    def key(self) -> str:
        """What an outbox keeps unique; a value key may be long, so it is best hashed with the rest."""
        started = self.period_started_at.isoformat()
        return "\n".join((self.limit_id, self.value_key or "", self.kind, started, str(self.alert_round)))


def status_of(rule: Rule, state: State) -> str:
    """`exhausted` while all of it is used, else `active`."""
    return EXHAUSTED if state.usage >= rule.credit_limit else ACTIVE


def counted(rule: Rule, state: State, usage: Decimal) -> tuple[State, tuple[CrossingKind, ...]]:
    """The state with this usage, and what it crossed and nobody was told of yet.

    Usage that falls (rows were priced anew) makes an exhausted limit active; what was told is not told again.
    """
    told = replace(state, usage=usage)
    crossed: list[CrossingKind] = []
    threshold = rule.alert_threshold
    if threshold is not None and usage >= threshold and not state.is_threshold_alert_sent:
        told = replace(told, is_threshold_alert_sent=True)
        crossed.append(THRESHOLD)
    if usage >= rule.credit_limit and not state.is_exhausted_alert_sent:
        told = replace(told, is_exhausted_alert_sent=True)
        crossed.append(EXHAUSTED_KIND)
    return told, tuple(crossed)


def changed(old: Rule, new: Rule, state: State) -> State:
    """The state under new settings: a higher limit may alert anew about everything, a higher or no threshold about it.

    What counts differently (another type) starts from nothing.
    """
    if old.type != new.type:
        return restarted(state)
    if new.credit_limit > old.credit_limit:
        return _untold(state, threshold=True, exhausted=True)
    before, after = old.alert_threshold, new.alert_threshold
    if after is None or (before is not None and after > before):
        return _untold(state, threshold=True, exhausted=False)
    return state


def restarted(state: State) -> State:
    """Nothing used and nobody told: a new period, or usage that was set back by hand."""
    return replace(_untold(state, threshold=True, exhausted=True), usage=NOTHING)


def _untold(state: State, *, threshold: bool, exhausted: bool) -> State:
    is_again = (threshold and state.is_threshold_alert_sent) or (exhausted and state.is_exhausted_alert_sent)
    return replace(
        state,
        is_threshold_alert_sent=state.is_threshold_alert_sent and not threshold,
        is_exhausted_alert_sent=state.is_exhausted_alert_sent and not exhausted,
        alert_round=state.alert_round + is_again,
    )

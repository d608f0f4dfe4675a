"""What becomes of a limit: rules one by one, and the machine against a model that keeps the whole history."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from api.limits.machine import Crossing, Rule, State, changed, counted, restarted, status_of

TEN = Rule("cost", Decimal(10), Decimal(5))
USED = State(Decimal("7.5"), is_threshold_alert_sent=True, is_exhausted_alert_sent=True)


def flags(state: State) -> tuple[bool, bool]:
    return state.is_threshold_alert_sent, state.is_exhausted_alert_sent


class TestChanges:
    def after(self, **fields: Any) -> State:
        return changed(TEN, replace(TEN, **fields), USED)

    def test_a_higher_limit_may_alert_anew(self) -> None:
        assert flags(self.after(credit_limit=Decimal(20))) == (False, False)
        assert self.after(credit_limit=Decimal(20)).usage == Decimal("7.5")

    def test_a_higher_or_no_threshold_may_alert_anew_about_the_threshold(self) -> None:
        assert flags(self.after(alert_threshold=Decimal(6))) == (False, True)
        assert flags(self.after(alert_threshold=None)) == (False, True)

    def test_what_is_lowered_or_kept_keeps_its_alerts(self) -> None:
        assert flags(self.after(credit_limit=Decimal(9), alert_threshold=Decimal(4))) == (True, True)
        assert self.after() == USED

    def test_another_type_counts_from_nothing(self) -> None:
        assert self.after(type="tokens", credit_limit=Decimal(1000)) == State(alert_round=1)

    def test_a_restart_forgets_what_was_used(self) -> None:
        assert restarted(USED) == State(alert_round=1)
        assert restarted(State(Decimal(3))) == State()


@pytest.mark.parametrize(
    ("usage", "crossed", "status"),
    [
        ("4.999999999999", (), "active"),
        ("5", ("threshold",), "active"),
        ("9.99999999999999", ("threshold",), "active"),
        ("10", ("threshold", "exhausted"), "exhausted"),
        ("99", ("threshold", "exhausted"), "exhausted"),
    ],
)
def test_what_is_reached_counts(usage: str, crossed: tuple[str, ...], status: str) -> None:
    state, found = counted(TEN, State(), Decimal(usage))
    assert (found, status_of(TEN, state)) == (crossed, status)
    assert counted(TEN, state, Decimal(usage)) == (state, ())


def test_usage_that_falls_makes_it_active_and_alerts_no_second_time() -> None:
    state, _ = counted(TEN, State(), Decimal(11))
    state, crossed = counted(TEN, state, Decimal(4))
    assert (crossed, status_of(TEN, state)) == ((), "active")
    state, crossed = counted(TEN, state, Decimal(11))
    assert (crossed, status_of(TEN, state)) == ((), "exhausted")


def crossing(**fields: Any) -> Crossing:
    known = Crossing(
        organisation_id="o",
        workspace_id=None,
        entity_type="policy",
        entity_id="e",
        entity_name="E",
        value_key=None,
        limit_id="l",
        kind="threshold",
        type="cost",
        usage=Decimal(5),
        credit_limit=Decimal(10),
        alert_threshold=Decimal(5),
        period_started_at=datetime(2026, 4, 1, tzinfo=UTC),
    )
    return replace(known, **fields)


def test_the_same_alert_has_the_same_key_and_another_one_another() -> None:
    assert crossing().key == crossing(usage=Decimal(6), entity_name="Renamed").key
    others: list[dict[str, Any]] = [
        {"limit_id": "m"},
        {"value_key": "metadata._user:a"},
        {"kind": "exhausted"},
        {"period_started_at": datetime(2026, 5, 1, tzinfo=UTC)},
        {"alert_round": 1},
    ]
    assert len({crossing().key, *(crossing(**other).key for other in others)}) == 1 + len(others)


@dataclass
class _Told:
    """What the model remembers: not flags, but all that was ever told, and which of it counts no longer."""

    alerts: list[tuple[int, str]]
    void: set[tuple[int, str]]

    def holds(self, kind: str) -> bool:
        return any(alert[1] == kind and alert not in self.void for alert in self.alerts)

    def forget(self, *kinds: str) -> None:
        self.void |= {alert for alert in self.alerts if alert[1] in kinds}


AMOUNTS = st.integers(0, 60).map(lambda fifths: Decimal(fifths) / 5)


class Machine(RuleBasedStateMachine):
    """Usage goes up and down, settings change, periods end; the model looks at its whole history each time."""

    @initialize(limit=st.integers(1, 10), threshold=st.none() | st.integers(1, 9))
    def start(self, limit: int, threshold: int | None) -> None:
        self.rule = self._rule(limit, threshold)
        self.state, self.usage = State(), Decimal(0)
        self.told = _Told([], set())
        self.rounds: set[tuple[int, str]] = set()
        self.step = 0

    @rule(usage=AMOUNTS)
    def count(self, usage: Decimal) -> None:
        self.step += 1
        due = [
            kind
            for kind, bound in (("threshold", self.rule.alert_threshold), ("exhausted", self.rule.credit_limit))
            if bound is not None and usage >= bound and not self.told.holds(kind)
        ]
        self.state, crossed = counted(self.rule, self.state, usage)
        assert list(crossed) == due
        self.told.alerts += [(self.step, kind) for kind in due]
        self.usage = usage
        for kind in crossed:
            assert (self.state.alert_round, kind) not in self.rounds, "an outbox would take it for one it sent"
            self.rounds.add((self.state.alert_round, kind))

    @rule(limit=st.integers(1, 10), threshold=st.none() | st.integers(1, 9))
    def edit(self, limit: int, threshold: int | None) -> None:
        new = self._rule(limit, threshold)
        before, after = self.rule.alert_threshold, new.alert_threshold
        if new.credit_limit > self.rule.credit_limit:
            self.told.forget("threshold", "exhausted")
        elif after is None or (before is not None and after > before):
            self.told.forget("threshold")
        self.state, self.rule = changed(self.rule, new, self.state), new

    @rule()
    def restart(self) -> None:
        self.told.forget("threshold", "exhausted")
        self.state, self.usage = restarted(self.state), Decimal(0)

    @invariant()
    def agrees(self) -> None:
        assert self.state.usage == self.usage
        assert flags(self.state) == (self.told.holds("threshold"), self.told.holds("exhausted"))
        assert status_of(self.rule, self.state) == ("exhausted" if self.usage >= self.rule.credit_limit else "active")

    def _rule(self, limit: int, threshold: int | None) -> Rule:
        lower = None if threshold is None or threshold >= limit else Decimal(threshold)
        return Rule("cost", Decimal(limit), lower)


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase

"""A question refuses what cannot be asked, and says what can."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from warehouse.errors import InvalidInput, UnknownName
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Groups, Having, Order, SeriesQuery

SINCE, UNTIL = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUESTION = GroupedQuery(TenantScope("org"), SINCE, UNTIL, ("model",))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"since": UNTIL, "until": SINCE}, "is after until"),
        ({"since": SINCE.replace(tzinfo=None)}, "since needs a time zone"),
        ({"having": (Having("last_seen", ">", 1),)}, "having: last_seen is no number"),
        ({"having": (Having("costs", ">", 1),)}, "Unknown column 'costs'"),
        ({"having": (Having("cost", "~", 1),)}, "allowed: >=, <=, !=, >, <, ="),  # type: ignore[arg-type]
        ({"having": (Having("cost", ">", float("nan")),)}, "having: cost takes a number"),
        ({"outside": Groups(("planet",), ())}, "Unknown group-by 'planet'"),
        ({"trace_conditions": (Condition("cost_min", -1),)}, "cost_min is 0 or more"),
        ({"by": ("model", "model")}, "a group-by is named twice: model, model"),
        ({"by": ("modell",)}, "Unknown group-by 'modell'. Did you mean model"),
        ({"by": ("metadata.",)}, "Unknown group-by 'metadata.'"),
        ({"by": ("metadata.\ud800",)}, "not Unicode text"),
        ({"measures": ()}, "at least one column"),
        ({"measures": ("cost", "cost")}, "a column is named twice"),
        ({"measures": ("latency_sum",)}, "Unknown column 'latency_sum'"),
        ({"order": (Order("cost"),)}, "cannot order by 'cost'; allowed: model, requests"),
        ({"order": (Order("model", "up"),)}, "allowed: asc, desc"),
        ({"limit": -1}, "limit is from 0 to"),
        ({"offset": -1}, "offset is from 0 to"),
        ({"offset": 2**63}, "offset is from 0 to"),
        ({"conditions": (Condition("colour", ("red",)),)}, "Unknown filter 'colour'"),
    ],
)
def test_questions_that_cannot_be_asked(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        replace(QUESTION, **change)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("cost_min", -1, "cost_min is 0 or more, not -1"),
        ("cost_min", "1", "cost_min takes a number, not '1'"),
        ("cost_min", True, "takes a number"),
        ("cost_max", float("inf"), "takes a number"),
        ("cost_max", Decimal("NaN"), "takes a number"),
        ("cost_max", Decimal("sNaN"), "takes a number"),
        ("cost_max", 2**63, "too large"),
        ("weighted_feedback_max", 11, "weighted_feedback_max is 10 or less"),
        ("status_code", (200, 1000), "status_code is 999 or less, not 1000"),
        ("status_code", ("200",), "status_code takes whole numbers"),
        ("status_code", 200, "status_code takes a list"),
        ("configs", "pc", "configs takes a list, not 'pc'"),
        ("configs", (1,), "configs takes text, not 1"),
        ("configs", ("\udcff",), "not Unicode text"),
        ("metadata", ("team",), "metadata takes pairs, not 'team'"),
        ("metadata", (("team", 1),), "metadata takes text, not 1"),
        ("ai_org_model", (("openai",),), "ai_org_model takes pairs"),
    ],
)
def test_values_that_a_filter_does_not_take(name: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        replace(QUESTION, conditions=(Condition(name, value),))
    assert says in str(raised.value)


def test_an_unknown_name_carries_the_known_ones() -> None:
    with pytest.raises(UnknownName) as raised:
        replace(QUESTION, by=("nothing",))
    assert "workspace" in raised.value.allowed


def test_the_same_question_is_the_same_key() -> None:
    asked = {replace(QUESTION, conditions=(Condition("cost_min", 1),)) for _ in range(2)}
    assert len(asked) == 1
    assert QUESTION not in asked


@pytest.mark.parametrize(
    ("edges", "says"),
    [
        ((SINCE,), "at least two instants"),
        ((SINCE.replace(tzinfo=None), UNTIL), "with a time zone"),
        ((SINCE, SINCE, UNTIL + HOUR), "edges go upwards"),
        ((SINCE, UNTIL), "do not hold the whole time"),
        ((SINCE + HOUR, UNTIL + HOUR), "do not hold the whole time"),
    ],
)
def test_buckets_that_do_not_hold_the_time(edges: tuple[datetime, ...], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        SeriesQuery(TenantScope("org"), SINCE, UNTIL, edges=edges)


def test_a_series_knows_the_widest_step_that_meets_its_edges() -> None:
    asked = SeriesQuery(TenantScope("org"), SINCE, UNTIL)
    assert asked.starts == (SINCE,)
    assert asked.step_s() == 0
    half = timedelta(minutes=30)
    assert replace(asked, edges=(SINCE, SINCE + HOUR, UNTIL + HOUR)).step_s() == 3600
    assert replace(asked, edges=(SINCE - half, SINCE + half, UNTIL + half)).step_s() == 1800

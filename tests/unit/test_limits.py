"""The shapes of limits, and when usage starts anew."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import InvalidRequest
from api.limits.resets import MONDAY, next_reset
from api.limits.schemas import (
    WORKSPACE_UNITS,
    parse_rate_limits,
    parse_usage_limits,
    render_rate_limits,
    render_usage_limits,
)

NOW = datetime(2026, 4, 2, 12, 30, tzinfo=UTC)  # a Thursday


def usage(**fields: Any) -> Any:
    return parse_usage_limits({"credit_limit": 100, **fields}, shape="object", now=NOW)


def test_what_is_left_out_gets_its_default() -> None:
    assert usage() == {
        "type": "cost",
        "credit_limit": 100,
        "alert_threshold": None,
        "periodic_reset": None,
        "periodic_reset_days": None,
        "next_usage_reset_at": None,
    }


@pytest.mark.parametrize(
    ("given", "stored"), [(10, 10), (10.0, 10), (10.5, 10.5), (1, 1), (33.333333333333336, 33.333333333333336)]
)
def test_whole_numbers_have_no_point_zero(given: float, stored: float) -> None:
    limit = usage(credit_limit=given)["credit_limit"]
    assert (limit, type(limit)) == (stored, type(stored))


def test_a_first_reset_is_taken_to_midnight_utc() -> None:
    asked = usage(periodic_reset_days=3, next_usage_reset_at="2026-05-01T05:00:00+02:00")
    assert asked["next_usage_reset_at"] == "2026-05-01T00:00:00.000Z"
    assert usage(next_usage_reset_at="2026-05-01T01:00:00+02:00")["next_usage_reset_at"] == "2026-04-30T00:00:00.000Z"


@pytest.mark.parametrize("nothing", [None, [], {}])
def test_nothing_clears(nothing: Any) -> None:
    assert parse_usage_limits(nothing, shape="object") is None
    assert parse_usage_limits(nothing, shape="array") is None
    assert parse_rate_limits(nothing) is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"credit_limit": 0.99}, "greater than or equal to 1"),
        ({"credit_limit": -5}, "greater than or equal to 1"),
        ({"credit_limit": True}, "must be a number"),
        ({"credit_limit": "100"}, "must be a number"),
        ({"credit_limit": None}, "must be a number"),
        ({"credit_limit": float("nan")}, "finite"),
        ({"credit_limit": float("inf")}, "finite"),
        ({"credit_limit": 10**13}, "less than or equal to"),
        ({"type": "requests"}, "'cost' or 'tokens'"),
        ({"type": "tokens", "credit_limit": 99}, "at least 100 for tokens"),
        ({"type": "tokens", "credit_limit": 100.5}, "whole numbers"),
        ({"alert_threshold": 100}, "less than credit_limit"),
        ({"alert_threshold": 0}, "greater than or equal to 1"),
        ({"periodic_reset": "daily"}, "'weekly' or 'monthly'"),
        ({"periodic_reset": "weekly", "periodic_reset_days": 7}, "not both"),
        ({"periodic_reset_days": 0}, "greater than or equal to 1"),
        ({"periodic_reset_days": 366}, "less than or equal to 365"),
        ({"periodic_reset_days": 1.5}, "integer"),
        ({"next_usage_reset_at": "2026-04-02T23:00:00Z"}, "must be in the future"),
        ({"next_usage_reset_at": "soon"}, "datetime"),
        ({"next_usage_reset_at": "0001-01-01T00:00:00+14:00"}, "outside of the calendar"),
        (
            {"limit": 5},
            "unknown field 'limit'; allowed: type, credit_limit, alert_threshold, periodic_reset, periodic_reset_days",
        ),
        ({"credit_limit\ud800": 5}, "unknown field"),
    ],
)
def test_what_is_wrong_is_told(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        usage(**fields)
    assert says in refused.value.message
    assert refused.value.message.startswith("usage_limits")
    refused.value.message.encode()  # it can leave as JSON


def test_what_was_read_can_be_written_back_and_changes_nothing() -> None:
    stored = {**usage(), "current_usage": 12.25, "is_threshold_alerts_sent": True}
    read = render_usage_limits(stored)
    assert parse_usage_limits({**read, "is_expired_alerts_sent": False}, shape="object") == usage()


def test_an_object_is_no_array_and_an_array_no_object() -> None:
    with pytest.raises(InvalidRequest, match="must be an array"):
        parse_usage_limits({"credit_limit": 5}, shape="array")
    with pytest.raises(InvalidRequest, match="must be an object"):
        parse_usage_limits([{"credit_limit": 5}], shape="object")
    with pytest.raises(InvalidRequest, match="must be an object"):
        parse_usage_limits(5, shape="object")


def test_an_array_has_one_limit_per_type() -> None:
    both = parse_usage_limits([{"credit_limit": 5}, {"type": "tokens", "credit_limit": 500}], shape="array")
    assert [limit["type"] for limit in both] == ["cost", "tokens"]
    with pytest.raises(InvalidRequest, match="at most one limit per type"):
        parse_usage_limits([{"credit_limit": 5}, {"credit_limit": 6}], shape="array")
    with pytest.raises(InvalidRequest, match="at most one limit per type"):
        parse_usage_limits([{"credit_limit": 5}] * 100_000, shape="array")
    with pytest.raises(InvalidRequest, match=r"usage_limits\[1\].*unknown field 'x'"):
        parse_usage_limits([{"credit_limit": 5}, {"x": 1}], shape="array")


class TestRateLimits:
    def test_one_per_type_and_unit(self) -> None:
        asked = [
            {"type": "requests", "unit": "rpm", "value": 3},
            {"type": "requests", "unit": "rpd", "value": 100},
            {"type": "tokens", "unit": "rps", "value": 0},
        ]
        assert parse_rate_limits(asked) == asked
        assert render_rate_limits(asked) == asked
        assert parse_rate_limits(asked[0]) == asked[:1]
        with pytest.raises(InvalidRequest, match="one limit per type and unit"):
            parse_rate_limits([asked[0], {**asked[0], "value": 4}])

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"type": "cost"}, "'requests' or 'tokens'"),
            ({"unit": "rpy"}, "'rps', 'rpm', 'rph', 'rpd' or 'rpw'"),
            ({"value": -1}, "greater than or equal to 0"),
            ({"value": 1.5}, "integer"),
            ({"value": True}, "integer"),
            ({"per": "minute"}, "unknown field 'per'; allowed: type, unit, value"),
        ],
    )
    def test_what_is_wrong_is_told(self, fields: dict[str, Any], says: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            parse_rate_limits([{"type": "requests", "unit": "rpm", "value": 1, **fields}])
        assert says in refused.value.message

    def test_workspaces_know_fewer_units_than_keys(self) -> None:
        weekly = [{"type": "requests", "unit": "rpw", "value": 1}]
        assert parse_rate_limits(weekly) == weekly
        with pytest.raises(InvalidRequest, match="'rpw' is not one of rpm, rph, rpd"):
            parse_rate_limits(weekly, units=WORKSPACE_UNITS)


class TestResets:
    @pytest.mark.parametrize(
        ("fields", "next_at"),
        [
            ({}, None),
            ({"periodic_reset": "weekly"}, "2026-04-05"),  # Sunday
            ({"periodic_reset": "monthly"}, "2026-05-01"),
            ({"periodic_reset_days": 1}, "2026-04-03"),
            ({"periodic_reset_days": 30}, "2026-05-02"),
            ({"next_usage_reset_at": "2026-06-15T00:00:00.000Z"}, "2026-06-15"),
            ({"periodic_reset": "monthly", "next_usage_reset_at": "2026-06-15T00:00:00.000Z"}, "2026-06-15"),
        ],
    )
    def test_the_first(self, fields: dict[str, Any], next_at: str | None) -> None:
        found = next_reset(usage(**fields), started_at=NOW, after=NOW)
        assert found == (None if next_at is None else datetime.fromisoformat(next_at).replace(tzinfo=UTC))

    def test_policies_count_weeks_from_monday(self) -> None:
        found = next_reset({"periodic_reset": "weekly"}, started_at=NOW, after=NOW, weekday=MONDAY)
        assert found == datetime(2026, 4, 6, tzinfo=UTC)

    def test_at_the_instant_of_a_reset_the_next_is_a_period_away(self) -> None:
        sunday = datetime(2026, 4, 5, tzinfo=UTC)
        assert next_reset({"periodic_reset": "weekly"}, started_at=NOW, after=sunday) == sunday + timedelta(days=7)
        first = datetime(2026, 12, 1, tzinfo=UTC)
        assert next_reset({"periodic_reset": "monthly"}, started_at=NOW, after=first) == datetime(
            2027, 1, 1, tzinfo=UTC
        )

    def test_what_was_missed_is_caught_up_in_whole_periods(self) -> None:
        limit = {"periodic_reset_days": 10, "next_usage_reset_at": "2026-04-10T00:00:00.000Z"}
        later = datetime(2026, 5, 3, 5, tzinfo=UTC)
        assert next_reset(limit, started_at=NOW, after=later) == datetime(2026, 5, 10, tzinfo=UTC)
        limit = {"periodic_reset": "monthly", "next_usage_reset_at": "2026-01-31T00:00:00.000Z"}
        found = [
            next_reset(limit, started_at=NOW, after=datetime.fromisoformat(f"{day}T00:00:00+00:00"))
            for day in ("2026-01-31", "2026-02-28", "2026-03-31", "2026-05-01")
        ]
        assert [moment and moment.date().isoformat() for moment in found] == [
            "2026-02-28",
            "2026-03-31",
            "2026-04-30",
            "2026-05-31",
        ]

    @settings(max_examples=150, deadline=None)
    @given(
        limit=st.one_of(
            st.fixed_dictionaries({"periodic_reset": st.sampled_from(["weekly", "monthly"])}),
            st.fixed_dictionaries({"periodic_reset_days": st.integers(1, 365)}),
        ),
        named=st.none() | st.dates(date(2020, 1, 1), date(2030, 1, 1)),
        after=st.integers(0, 4 * 365 * 86_400).map(
            lambda seconds: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        ),
    )
    def test_it_is_always_ahead_at_midnight_and_not_more_than_a_period_away(
        self, limit: dict[str, Any], named: Any, after: datetime
    ) -> None:
        first = None if named is None else f"{named.isoformat()}T00:00:00.000Z"
        found = next_reset({**limit, "next_usage_reset_at": first}, started_at=NOW, after=after)
        assert found is not None
        assert found > after
        assert (found.hour, found.minute, found.second, found.microsecond) == (0, 0, 0, 0)
        longest = limit.get("periodic_reset_days") or {"weekly": 7, "monthly": 31}[limit["periodic_reset"]]
        starts = [moment for moment in (NOW, first and datetime.fromisoformat(first)) if moment and moment > after]
        assert starts or found - after <= timedelta(days=longest)

"""`as_known_at`: an instant that has come, read like every other one."""

from datetime import UTC, datetime, timedelta

import pytest
from starlette.datastructures import QueryParams

from api.analytics.parameters import parse_groups
from api.analytics.selection import check_known
from api.errors import InvalidRequest
from warehouse.errors import InvalidInput
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery

RANGE = {"time_of_generation_min": "2026-02-01", "time_of_generation_max": "2026-02-28"}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-02-23T14:20:31+05:30", datetime(2026, 2, 23, 8, 50, 31, tzinfo=UTC)),
        ("2026-02-23T14:20:31.5", datetime(2026, 2, 23, 14, 20, 31, 500_000, tzinfo=UTC)),
        ("2026-02-23", datetime(2026, 2, 23, 23, 59, 59, 999_999, tzinfo=UTC)),
        (" ", None),
    ],
)
def test_it_is_read_as_an_instant(written: str, instant: datetime | None) -> None:
    request = parse_groups("model", QueryParams(RANGE | {"as_known_at": written}))
    assert request.as_known_at == instant
    assert request.within(TenantScope("org")).as_known_at == instant
    check_known(request.as_known_at, NOW)


def test_what_is_no_instant_or_has_not_come_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="as_known_at: 'soon' is not an ISO 8601 time"):
        parse_groups("model", QueryParams(RANGE | {"as_known_at": "soon"}))
    check_known(NOW, NOW)
    with pytest.raises(InvalidRequest, match="has not come yet"):
        check_known(NOW + timedelta(seconds=1), NOW)


def test_what_has_no_past_is_not_asked_for_it() -> None:
    asked = {"scope": TenantScope("org"), "since": NOW, "until": NOW}
    with pytest.raises(InvalidInput, match="weighted_feedback_min looks at what is known now"):
        GroupedQuery(**asked, by=("model",), conditions=(Condition("weighted_feedback_min", 1),), as_known_at=NOW)
    with pytest.raises(InvalidInput, match="time zone"):
        GroupedQuery(**asked, by=("model",), as_known_at=NOW.replace(tzinfo=None))

"""The query string of lists of logs, and cursors: what is taken, what is refused."""

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from api.errors import InvalidRequest
from api.logs.parameters import Cursor, parse_list
from warehouse.errors import InvalidInput
from warehouse.query.scope import TenantScope

NOW = datetime(2026, 4, 2, 12, 30, tzinfo=UTC)
SCOPE = TenantScope("acme")
POSITION = (NOW, "log-1")


def parsed(**query: str) -> Any:
    return parse_list(QueryParams(query), NOW)


def cursor(by: str = "created_at", position: tuple[Any, ...] = POSITION, direction: Any = "desc") -> str:
    return Cursor(by, direction, NOW - timedelta(days=1), NOW, position).text()


def test_without_a_time_it_is_the_last_30_days() -> None:
    asked = parsed()
    assert (asked.selection.since, asked.selection.until) == (NOW - timedelta(days=30), NOW)
    assert parsed(time_of_generation_max="2026-03-31").selection.since == datetime(2026, 3, 1, 23, 59, 59, 999000, UTC)
    assert parsed(time_of_generation_min="2026-01-01").selection.until == NOW


def test_a_cursor_carries_time_and_order() -> None:
    later = parse_list(QueryParams({"cursor": cursor(), "page_size": "7"}), NOW + timedelta(hours=5))
    assert (later.selection.since, later.selection.until) == (NOW - timedelta(days=1), NOW)
    assert (later.position, later.page.size) == (POSITION, 7)
    by_cost = parsed(cursor=cursor("cost", (Decimal("0.000000000001"), NOW, "x"), "asc"))
    assert (by_cost.order_by, by_cost.direction) == ("cost", "asc")
    assert by_cost.within(SCOPE).position == (Decimal("0.000000000001"), NOW, "x")


@pytest.mark.parametrize("name", ["latency", "status_code", "total_tokens", "timestamp"])
def test_orders_have_their_other_names(name: str) -> None:
    assert parsed(order_by=name, order_by_type="ASC").direction == "asc"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"order_by": "password"}, "order_by: 'password' is unknown; allowed: created_at"),
        ({"order_by_type": "up"}, "order_by_type"),
        ({"page_size": "101"}, "page_size"),
        ({"current_page": "-1"}, "current_page"),
        ({"search": "x" * 201}, "search: at most 200"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "x" * 5000}, "cursor"),
        ({"cursor": cursor(), "current_page": "1"}, "leave current_page out"),
        ({"cursor": cursor(), "order_by": "cost"}, "cursor: it is of a list by created_at desc, not cost desc"),
        ({"as_known_at": "2026-01-01"}, "as_known_at"),
        ({"time_of_generation_min": "2027-01-01"}, "is after"),
        ({"time_of_generation_max": "0001-01-02"}, "too early"),
        ({"include_total": "maybe"}, "include_total"),
        ({"metadata": "["}, "metadata"),
    ],
)
def test_what_is_refused(query: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        parsed(**query)


@pytest.mark.parametrize(
    "position",
    [
        (),
        ("log-1",),
        ("2026", "log-1"),
        (NOW, 3),
        (NOW, "a", "b"),
        (True, "a"),
        (None, None, None),
    ],
)
def test_a_position_of_another_kind_is_refused(position: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        parsed(cursor=cursor(position=position)).within(SCOPE)


def test_numbers_that_no_column_holds_are_refused() -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        parsed(cursor=cursor("total_units", (2**63, NOW, "x"))).within(SCOPE)
    for text in ("NaN", "Infinity", "1e999999999"):
        told = ["cost", "desc", NOW.isoformat(), NOW.isoformat(), {"m": text}, {"t": NOW.isoformat()}, "x"]
        with pytest.raises((InvalidInput, InvalidRequest), match="cursor"):
            parsed(cursor=base64.urlsafe_b64encode(json.dumps(told).encode()).decode()).within(SCOPE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["t", "m", "x"]), inner, max_size=2),
)


@given(st.one_of(JSON, st.lists(JSON, min_size=4, max_size=7)), st.integers(0, 9))
def test_no_cursor_breaks_anything(told: object, cut: int) -> None:
    text = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    with contextlib.suppress(InvalidRequest, InvalidInput):
        parsed(cursor=text[: len(text) - cut] or "x").within(SCOPE)


@given(st.randoms(use_true_random=False))
def test_a_cursor_says_what_it_was_made_of(random: Random) -> None:
    value = random.choice((None, Decimal(random.randrange(10**15)).scaleb(-12)))
    position = (value, NOW, random.choice(("a", "ключ", "x'y", "\x00")))
    assert parsed(cursor=cursor("cost", position)).position == position

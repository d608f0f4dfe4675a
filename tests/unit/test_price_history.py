"""The two times of a price: when it is owed, and since when that is known."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories.prices import default, entry
from warehouse.pricing.book import Band, Listing, Statement
from warehouse.pricing.canonical import canonical_json
from warehouse.pricing.history import Version, timeline

K1, K2, K3 = (datetime(2026, month, 10, 9, 30, tzinfo=UTC) for month in (3, 5, 7))
HOUR = timedelta(hours=1)


def said(known_from, *rates, effective_from=None, **dated):
    """A version: an undated (or dated) rate, and rates from days on (`d20260601=7`)."""
    content = entry(request_token=rates[0], response_token=1) if rates else {}
    if effective_from:
        content["effective_from"] = effective_from
    content["periods"] = [
        {"effective_from": f"{day[1:5]}-{day[5:7]}-{day[7:]}", **entry(request_token=rate, response_token=1)}
        for day, rate in dated.items()
    ]
    defaults = default()
    return Version(
        "acme",
        "m",
        known_from,
        f"page of {known_from:%Y-%m-%d}",
        json.dumps(content),
        json.dumps(defaults),
        Statement(content, defaults).content,
    )


def rate_at(versions, moment):
    row = Listing((Band(0, None, timeline(versions)),)).row(moment)
    return int(row.pricing.config.pay_as_you_go.tokens["request_token"])


def day(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_first_price_reaches_back():
    assert rate_at([said(K1, 4)], day("2020-01-01")) == 4
    assert timeline([said(K1, 4)])[0].effective_from is None


def test_an_undated_change_counts_from_when_it_became_known():
    versions = [said(K1, 4), said(K2, 6)]
    assert [rate_at(versions, at) for at in (day("2020-01-01"), K2 - HOUR, K2, K3)] == [4, 4, 6, 6]
    first, second = timeline(versions)
    assert (first.effective_to, second.effective_from, second.known_from) == (K2, K2, K2)
    assert first.price_id != second.price_id
    assert timeline(versions[:1])[0].price_id == first.price_id, "an id outlives what comes after it"


def test_a_cut_that_was_announced_counts_from_its_day_and_not_before():
    versions = [said(K1, 4), said(K2, 4, d20260601=3)]
    assert [rate_at(versions, at) for at in (K2, day("2026-05-31T23:59"), day("2026-06-01"), K3)] == [4, 4, 3, 3]
    assert len(timeline(versions)) == 2, "saying the same again is no new price"


def test_a_cut_that_was_taken_back_before_its_day_never_counts():
    versions = [said(K1, 4), said(K2, 4, d20260801=3), said(K3, 4)]
    assert rate_at(versions, day("2026-08-02")) == 4
    assert len(timeline(versions)) == 1


def test_a_wrong_price_is_put_right_by_a_date_in_the_past():
    versions = [said(K1, 4), said(K2, 5, effective_from="2026-02-01")]
    assert [rate_at(versions, at) for at in (day("2026-01-31"), day("2026-02-01"), K1, K3)] == [4, 5, 5, 5]
    assert timeline(versions)[1].known_from == K2


def test_a_correction_replaces_every_later_price_it_was_said_over():
    versions = [said(K1, 4), said(K2, 6), said(K3, 7, effective_from="2026-04-01")]
    assert [rate_at(versions, at) for at in (day("2026-03-31"), day("2026-04-01"), K2, K3)] == [4, 7, 7, 7]


def test_the_undated_price_of_a_later_file_is_not_of_the_time_after_its_dates():
    # The file still shows the price of before April beside the one since then; April is over when it is seen.
    versions = [said(K1, 4), said(K2, 9, d20260401=6)]
    assert [rate_at(versions, at) for at in (day("2026-03-31"), day("2026-04-01"), K2, K3)] == [4, 6, 6, 6]


def test_what_was_known_at_an_instant_is_what_the_versions_until_then_say():
    versions = [said(K1, 4), said(K2, 5, effective_from="2026-02-01"), said(K3, 6)]
    late = day("2026-02-15")
    assert [rate_at(versions[:count], late) for count in (1, 2, 3)] == [4, 5, 5]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"price": Decimal("1.0")}, {"price": Decimal(1)}, True),
        ({"price": Decimal("0.00000000000000000000001")}, {"price": Decimal("1e-23")}, True),
        ({"a": 1, "b": [True, None]}, {"b": [True, None], "a": 1}, True),
        ({"source": "here", "as_of": "2026-01-01"}, {}, True),
        ({"effective_from": "2026-01-01"}, {}, False),
        ({"price": Decimal("1e-23")}, {"price": Decimal("2e-23")}, False),
    ],
)
def test_content_is_equal_where_prices_are(one, other, equal):
    same = Statement(one, None).content == Statement(other, None).content
    assert same is equal
    assert Statement(one, one).content != Statement(one, {"x": one}).content


numbers = st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False)
values = st.recursive(
    numbers | st.text() | st.booleans() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(values)
def test_canonical_json_keeps_every_digit(value):
    read = json.loads(canonical_json(value), parse_float=Decimal, parse_int=Decimal)
    assert read == value
    assert canonical_json(read) == canonical_json(value)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 400)), min_size=1, max_size=6))
def test_an_undated_change_never_touches_the_time_before_it(story):
    """Whatever follows, what a request cost by the versions before is what it costs by all of them."""
    base = day("2026-01-01")
    versions = [said(base + number * 30 * 24 * HOUR, rate) for number, (rate, _) in enumerate(story)]
    for number, (_, offset) in enumerate(story):
        moment = base + offset * 12 * HOUR
        if number + 1 == len(versions) or moment < versions[number + 1].known_from:
            until_then = [one for one in versions if one.known_from <= moment] or versions[:1]
            assert rate_at(versions, moment) == rate_at(until_then, moment)

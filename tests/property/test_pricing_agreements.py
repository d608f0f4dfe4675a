"""Laws of agreements: ×1 changes nothing, factors scale exactly, bounds hold, reservations neither lose nor repeat."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories.prices import MemoryLevel, usage
from tests.property.test_pricing_exact import ROWS, entries
from warehouse.pricing.applies import Applies, Target
from warehouse.pricing.book import PriceBook
from warehouse.pricing.cost import price
from warehouse.pricing.multiplier import Multiplier, parse_multiplier
from warehouse.pricing.negotiated import NegotiatedPrice, Overlay
from warehouse.pricing.reservations import COST_STEP, Period, Reservation, reserved_cents
from warehouse.settings import CostPolicy

YEAR = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = {"organisation_id": "org-1", "workspace_slug": "prod", "virtual_key": "vk-1"}
WHOSE = Applies("org-1", Target.VIRTUAL_KEY, "vk-1")
FACTORS = st.decimals(min_value=0, max_value=20, places=6)


def costs(book, rows, **agreed):
    overlay = Overlay((NegotiatedPrice("n1", WHOSE, YEAR, YEAR, **agreed),)) if agreed else None
    return price(usage(*({**row, **OWNER} for row in rows)), book, CostPolicy.COMPUTED, overlay)


def book_of(default, models):
    return PriceBook([MemoryLevel({"acme": {"default": default} | models})])


@settings(max_examples=40, deadline=None)
@given(default=entries(), model=entries(), rows=st.lists(ROWS, min_size=1, max_size=4))
def test_a_multiplier_of_one_changes_nothing_but_the_price_id(default, model, rows):
    book = book_of(default, {"m": model})
    plain, once = costs(book, rows), costs(book, rows, multiplier=parse_multiplier({"default": 1}))
    assert once.drop("price_id").equals(plain.drop("price_id"))


@settings(max_examples=40, deadline=None)
@given(default=entries(), model=entries(), rows=st.lists(ROWS, min_size=1, max_size=4), factor=FACTORS)
def test_one_factor_on_everything_scales_every_cost_exactly(default, model, rows, factor):
    book = book_of(default, {"m": model})
    plain = costs(book, rows)["computed_cost"].to_list()
    scaled = costs(book, rows, multiplier=Multiplier({"default": factor}))["computed_cost"].to_list()
    for before, after in zip(plain, scaled, strict=True):
        if before is not None and after is not None:
            # Each cost is rounded once, to 12 digits: the factor carries the first rounding along.
            assert abs(after - before * factor) <= COST_STEP * (factor + 1) / 2


@settings(max_examples=40, deadline=None)
@given(
    default=entries(),
    models=st.lists(entries(), min_size=1, max_size=3),
    rows=st.lists(ROWS, min_size=1, max_size=4),
    factor=st.one_of(st.none(), FACTORS),
    index=st.integers(min_value=0, max_value=2),
)
def test_whichever_price_turns_out_to_be_the_right_one_its_cost_is_within_the_bounds(
    default, models, rows, factor, index
):
    named = {f"m{number}": model for number, model in enumerate(models)}
    book = book_of(default, named)
    agreed = {} if factor is None else {"multiplier": Multiplier({"default": factor})}
    unknown = costs(book, [row | {"ai_model": "my-deployment"} for row in rows], **agreed)
    base = f"m{index % len(models)}"
    later = costs(book, [row | {"ai_model": "my-deployment"} for row in rows], model="my-deployment",
                  base_model=base, **agreed)  # fmt: skip
    columns = ("cost_low", "cost_high", "unpriced_reason")
    for low, high, reason, cost in zip(*(unknown[name] for name in columns), later["computed_cost"], strict=True):
        assert reason == "unknown_model"
        if cost is not None:
            assert low <= cost
            assert high is None or cost <= high


INSTANTS = st.datetimes(min_value=datetime(2025, 6, 1), max_value=datetime(2029, 3, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)


@settings(max_examples=150, deadline=None)
@given(
    amount=st.decimals(min_value=0, max_value=10**7, places=12),
    per=st.sampled_from(Period),
    end=st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(days=900))),
    cuts=st.lists(INSTANTS, min_size=2, max_size=6),
)
def test_windows_side_by_side_sum_to_the_whole(amount, per, end, cuts):
    reservation = Reservation("r", WHOSE, amount, per, YEAR, YEAR, None if end is None else YEAR + end)
    cuts = sorted(cuts)
    parts = [reservation.cost_cents(*window) for window in pairwise(cuts)]
    assert sum(parts) == reservation.cost_cents(cuts[0], cuts[-1])
    assert min(parts) >= 0
    assert reserved_cents([reservation, reservation], cuts[0], cuts[-1]) == 2 * sum(parts)


@pytest.mark.parametrize(
    ("per", "since", "until", "periods"),
    [
        (Period.HOUR, "2026-03-29T00:30", "2026-03-29T03:00", Decimal("2.5")),
        (Period.DAY, "2026-03-01", "2026-04-01", 31),
        (Period.MONTH, "2026-01-01", "2027-01-01", 12),
        (Period.MONTH, "2028-02-01", "2028-03-01", 1),
        (Period.MONTH, "2026-02-01", "2026-02-15", Decimal("0.5")),
        (Period.MONTH, "2025-12-01", "2026-02-01", 1),
        (Period.DAY, "2025-12-01", "2026-01-01", 0),
    ],
)
def test_an_amount_is_spread_evenly_over_its_period(per, since, until, periods):
    first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (since, until))
    assert Reservation("r", WHOSE, Decimal(1000), per, YEAR, YEAR).cost_cents(first, last) == 1000 * periods

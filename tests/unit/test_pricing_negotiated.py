"""What negotiated prices do to a cost: whose they are, when they hold, which one counts, and how it is explained."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.factories.prices import book, default, entry, plus, times, usage
from warehouse.errors import InvalidInput, UnknownName
from warehouse.pricing.applies import Applies, Target
from warehouse.pricing.config import PricingConfig, Rates
from warehouse.pricing.cost import price
from warehouse.pricing.multiplier import Multiplier, parse_multiplier
from warehouse.pricing.negotiated import NegotiatedPrice, Overlay
from warehouse.pricing.reservations import Period, Reservation
from warehouse.settings import CostPolicy

LIST = entry(request_token=10, response_token=20, cache_read_input_token=1)
OWNER = {"organisation_id": "org-1", "workspace_slug": "prod", "virtual_key": "vk-1"}
USED = {"uncached_input_tokens": 3, "cache_read_tokens": 2, "output_tokens": 1}
AT_LIST = Decimal(52)
YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def agreed(id_="n1", target=Target.VIRTUAL_KEY, slug="vk-1", workspace=None, organisation="org-1", **fields):
    """A negotiated price that holds since the start of the year."""
    rates = fields.pop("rates", None)
    if rates is not None:
        fields["price"] = PricingConfig(Rates({name: Decimal(str(rate)) for name, rate in rates.items()}))
    factors = fields.pop("factors", None)
    if factors is not None:
        fields["multiplier"] = parse_multiplier(factors)
    whose = Applies(organisation, target, slug, workspace)
    return NegotiatedPrice(**{"id": id_, "applies": whose, "effective_from": YEAR, "known_from": YEAR, **fields})


def costs(*prices, rows=({},), reservations=(), models=None, policy=CostPolicy.COMPUTED_ELSE_REPORTED):
    frame = usage(*({**OWNER, **USED, **row} for row in rows))
    priced_by = book(models or {"m": LIST})
    return price(frame, priced_by, policy, Overlay(tuple(prices), tuple(reservations))).to_dicts()


def cost(*prices, **more):
    return costs(*prices, **more)[0]["cost"]


def test_without_an_agreement_nothing_changes():
    frame = usage({**OWNER, **USED})
    assert price(frame, book({"m": LIST}), CostPolicy.COMPUTED).equals(
        price(frame, book({"m": LIST}), CostPolicy.COMPUTED, Overlay())
    )
    assert cost() == AT_LIST


def test_a_static_price_is_the_whole_price_and_names_itself():
    (row,) = costs(agreed(model="m", rates={"request_token": 2, "response_token": 5}))
    assert row["cost"] == 3 * 2 + 2 * 2 + 5, "cached tokens without an agreed rate cost what input costs"
    assert row["price_id"] == "negotiated/n1"


def test_a_static_price_prices_a_model_that_no_catalogue_knows():
    (row,) = costs(agreed(model="own", rates={"request_token": 1}), rows=[{"ai_model": "own", "ai_org": "nobody"}])
    assert (row["cost"], row["unpriced_reason"]) == (5, None)


def test_a_custom_model_has_the_price_of_its_base_model():
    (row,) = costs(agreed(model="ft-7", base_model="m"), rows=[{"ai_model": "ft-7"}])
    assert row["cost"] == AT_LIST
    assert row["price_id"].startswith("acme/m@start#")
    assert row["price_id"].endswith("+negotiated/n1")
    both = agreed(model="ft-7", base_model="m", rates={"request_token": 1, "response_token": 1})
    assert cost(both, rows=[{"ai_model": "ft-7"}]) == 6, "its own price counts first"
    (lost,) = costs(agreed(model="ft-7", base_model="gone"), rows=[{"ai_model": "ft-7"}])
    assert (lost["cost"], lost["unpriced_reason"]) == (None, "unknown_model")


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ({}, 52),
        ({"default": 1}, 52),
        ({"default": 0.5}, 26),
        ({"default": 0}, 0),
        ({"request_token": 0.1}, Decimal(25)),
        ({"default": 2, "cache_read_input_token": 1}, 102),
        ({"default": 2, "cache_read_input_token": None}, 104),
        ({"prediction_accepted_token": 7}, 52),
        (None, 52),
    ],
)
def test_a_multiplier_per_unit(factors, expected):
    assert cost(agreed(multiplier=parse_multiplier(factors))) == expected


def test_what_is_billed_as_another_unit_takes_its_factor_unless_it_has_one():
    plain = {"m": entry(request_token=10, response_token=20)}
    used = [{"reasoning_tokens": 1}]
    assert cost(agreed(factors={"request_token": 0.5}), models=plain) == 3 * 5 + 2 * 5 + 20
    assert cost(agreed(factors={"response_token": 2}), models=plain, rows=used) == 50 + 40 + 40
    assert cost(agreed(factors={"response_token": 2, "reasoning_token": 3}), models=plain, rows=used) == 50 + 40 + 60


def test_units_images_and_prices_per_request_have_factors_too():
    model = entry(request_token=1, units={"web_search": 4}, image={"default": {"default": 6}})
    searched = [{"extra_units": [{"unit": "web_search", "quantity": 1}]}]
    twice = agreed(factors={"additional_units": {"web_search": 2}})
    assert cost(twice, models={"m": model}, rows=searched) == 3 + 2 + 8
    drawn = [{"generated_images": 2}]
    assert cost(agreed(factors={"image": {"default": 0.5}}), models={"m": model}, rows=drawn) == 6
    fixed = entry(request_token=1, config={"fixed_cost": {"request": {"price": 10}}})
    assert cost(agreed(factors={"default": 3, "request_token": 1}), models={"m": fixed}) == 5 + 30


def test_a_product_of_quantities_takes_the_default_factor():
    formula = {"request": plus(times("input_tokens", "output_tokens", "rates.request_token"))}
    model = entry(request_token=10, config={"calculate": formula})
    assert cost(agreed(factors={"default": 2}), models={"m": model}) == 2 * cost(models={"m": model})


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({"target": Target.PROVIDER, "slug": "acme"}, {}),
        ({"target": Target.INTEGRATION}, {}),
        ({"target": Target.PROVIDER, "slug": "Acme"}, {"target": Target.INTEGRATION}),
        ({}, {"workspace": "prod"}),
        ({}, {"model": "m"}),
        ({}, {"effective_from": datetime(2026, 5, 1, tzinfo=UTC)}),
        ({}, {"known_from": datetime(2026, 5, 1, tzinfo=UTC)}),
    ],
)
def test_the_narrower_then_the_later_agreement_counts(wide, narrow):
    one, two = agreed("wide", factors={"default": 2}, **wide), agreed("narrow", factors={"default": 3}, **narrow)
    for order in ((one, two), (two, one)):
        (row,) = costs(*order)
        assert row["cost"] == 3 * AT_LIST
        assert row["price_id"].endswith("+negotiated/narrow")
    assert cost(one) == 2 * AT_LIST


def test_a_cleared_multiplier_hides_a_wider_one():
    wide = agreed("wide", target=Target.PROVIDER, slug="acme", factors={"default": 2})
    (row,) = costs(wide, agreed("clear", multiplier=Multiplier()))
    assert row["cost"] == AT_LIST
    assert row["price_id"].startswith("acme/m@start#")
    assert "negotiated" not in row["price_id"]


def test_price_and_multiplier_may_come_from_different_agreements():
    price_of = agreed("static", model="m", rates={"request_token": 1, "response_token": 1})
    factor = agreed("factor", target=Target.PROVIDER, slug="acme", factors={"default": 0.5})
    (row,) = costs(price_of, factor)
    assert (row["cost"], row["price_id"]) == (3, "negotiated/static+negotiated/factor")


@pytest.mark.parametrize(
    "other",
    [
        {"organisation_id": "org-2"},
        {"organisation_id": None},
        {"virtual_key": "vk-2"},
        {"virtual_key": None},
        {"ai_model": "other"},
        {"workspace_slug": "dev"},
    ],
)
def test_an_agreement_is_nobody_elses(other):
    half = agreed(model="m", workspace="prod", factors={"default": 0.5})
    assert [row["cost"] for row in costs(half, rows=[{}, other], models={"m": LIST, "other": LIST})] == [26, 52]


def test_an_agreement_holds_from_its_start_up_to_its_end():
    start, end = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    half = agreed(factors={"default": 0.5}, effective_from=start, effective_to=end)
    moments = ["2026-05-31T23:59:59.999", "2026-06-01T00:00:00", "2026-06-30T23:59:59.999", "2026-07-01T00:00:00"]
    rows = [{"created_at": datetime.fromisoformat(moment)} for moment in moments]
    assert [row["cost"] for row in costs(half, rows=rows)] == [52, 26, 26, 52]


def test_after_a_later_agreement_ends_the_earlier_one_counts_again():
    june = agreed("june", factors={"default": 3}, effective_from=datetime(2026, 6, 1, tzinfo=UTC),
                  effective_to=datetime(2026, 7, 1, tzinfo=UTC))  # fmt: skip
    rows = [{"created_at": datetime(2026, month, 15)} for month in (5, 6, 7)]  # noqa: DTZ001
    assert [row["cost"] for row in costs(agreed(factors={"default": 2}), june, rows=rows)] == [104, 156, 104]


PTU = [{"execution_mode": "provisioned"}, {"execution_mode": None}]


def test_provisioned_traffic_costs_its_price_unless_that_is_skipped():
    assert [row["cost"] for row in costs(rows=PTU)] == [52, 52]
    for policy in (CostPolicy.COMPUTED_ELSE_REPORTED, CostPolicy.REPORTED_ELSE_COMPUTED):
        rows = [{**row, "reported_cost": Decimal(7) if row["execution_mode"] else None} for row in PTU]
        skipped, paid = costs(agreed(skips_ptu=True), rows=rows, policy=policy)
        assert (skipped["cost"], skipped["cost_source"], skipped["price_id"]) == (0, "ptu", "negotiated/n1")
        assert skipped["uncached_input_tokens"] == 3
        assert skipped["unpriced_reason"] is None
        assert paid["cost"] == 52


def test_provisioned_traffic_without_usage_or_price_costs_nothing_either():
    rows = [{"execution_mode": "provisioned", "usage_known": False}, {"execution_mode": "provisioned", "ai_model": "?"}]
    assert [(row["cost"], row["unpriced_reason"]) for row in costs(agreed(skips_ptu=True), rows=rows)] == [
        (0, None)
    ] * 2


def test_a_narrower_agreement_can_say_that_nothing_is_skipped():
    wide = agreed("wide", target=Target.PROVIDER, slug="acme", skips_ptu=True)
    assert cost(wide, agreed(skips_ptu=False), rows=PTU) == 52


def test_a_reservation_pays_for_its_provisioned_traffic_so_that_it_is_not_counted_twice():
    whose = Applies("org-1", Target.VIRTUAL_KEY, "vk-1")
    reserved = Reservation("r1", whose, Decimal(100), Period.HOUR, YEAR, YEAR, model="m")
    first, second = costs(rows=PTU, reservations=[reserved])
    assert (first["cost"], first["cost_source"], first["price_id"]) == (0, "ptu", "reservation/r1")
    assert second["cost"] == 52
    later = datetime(2026, 6, 2, tzinfo=UTC)
    assert cost(rows=PTU, reservations=[Reservation("r1", whose, Decimal(100), Period.HOUR, later, YEAR)]) == 52


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"default": -0.1}, "multiplier.default: a number from 0"),
        ({"default": "2"}, "multiplier.default"),
        ({"default": True}, "multiplier.default"),
        ({"default": float("nan")}, "multiplier.default"),
        ({"default": 0.1234567}, "at most 6 decimals"),
        ({"image": 2}, "multiplier.image: an object"),
        ({"additional_units": {"Web Search": 1}}, "'Web Search'"),
    ],
)
def test_a_wrong_multiplier_is_refused_with_its_place(given, says):
    with pytest.raises(InvalidInput, match=says):
        parse_multiplier(given)


def test_an_unknown_unit_is_refused_with_what_is_allowed():
    with pytest.raises(UnknownName, match="request_token"):
        parse_multiplier({"request_tokens": 1})
    with pytest.raises(UnknownName, match="default"):
        parse_multiplier({"image": {"hd": 1}})


def test_a_formula_of_the_provider_does_not_change_a_static_price():
    formula = {"request": times("2", "input_tokens", "rates.request_token")}
    priced_by = book({"m": LIST}, provider_default=default(formula))
    overlay = Overlay((agreed(model="m", rates={"request_token": 1, "response_token": 1}),))
    assert price(usage({**OWNER, **USED}), priced_by, CostPolicy.COMPUTED, overlay)["cost"][0] == 6

"""Between what a request without a price lies: the cheapest and the dearest rates there are, or no upper bound."""

from decimal import Decimal

import pytest

from tests.factories.prices import MemoryLevel, default, entry, priced, usage
from tests.unit.test_pricing_negotiated import OWNER, agreed
from warehouse.pricing.book import PriceBook
from warehouse.pricing.cost import price
from warehouse.pricing.negotiated import Overlay
from warehouse.settings import CostPolicy

CHEAP = entry(request_token=1, response_token=2)
DEAR = entry(request_token=10, response_token=50, cache_read_input_token=5)
USED = {"uncached_input_tokens": 3, "output_tokens": 1}


def book(models=None, others=None):
    levels = {"acme": {"default": default(), **(models or {"cheap": CHEAP, "dear": DEAR})}}
    if others:
        levels["other"] = {"default": default(), **others}
    return PriceBook([MemoryLevel(levels)])


def bounds(price_book, **row):
    (out,) = priced(price_book, USED | {"ai_model": "?"} | row)
    assert out["cost"] is None
    return out["cost_low"], out["cost_high"]


def test_a_known_cost_is_its_own_bound():
    for row in ({"ai_model": "cheap"}, {"ai_model": "?", "reported_cost": Decimal("0.5")}, {"cache_status": "HIT"}):
        (out,) = priced(book(), USED | {"ai_model": "?"} | row)
        assert out["cost"] is not None
        assert out["cost_low"] == out["cost_high"] == out["cost"]


def test_a_cost_that_the_policy_does_not_count_is_its_own_bound_too():
    (out,) = priced(book(), USED | {"ai_model": "cheap"}, policy=CostPolicy.REPORTED)
    assert (out["cost"], out["cost_low"], out["cost_high"]) == (None, 5, 5)


def test_an_unknown_model_costs_at_least_the_lowest_and_at_most_the_highest_rates():
    assert bounds(book()) == (3 * 1 + 2, 3 * 10 + 50)
    assert bounds(book(), cache_read_tokens=2) == (3 + 2 + 2 * 1, 30 + 50 + 2 * 5)


def test_each_kind_of_token_has_its_own_lowest_and_highest_rate():
    mixed = book({"in": entry(request_token=9, response_token=1), "out": entry(request_token=1, response_token=9)})
    assert bounds(mixed) == (3 + 1, 27 + 9)


def test_a_model_whose_entry_has_no_price_or_is_refused_is_bounded_too():
    nameless = {"cheap": CHEAP, "dear": DEAR, "?": {"pricing_config": None}}
    assert bounds(book(nameless)) == (5, 80)
    broken = {"cheap": CHEAP, "dear": DEAR, "?": entry(request_token=-1)}
    assert bounds(book(broken)) == (5, 80)


def test_an_unknown_provider_may_be_free_or_the_dearest_of_all():
    assert bounds(book(others={"m": entry(request_token=100, response_token=1)}), ai_org="?") == (0, 300 + 50)
    assert bounds(book(), ai_org=None) == (0, 80)


@pytest.mark.parametrize(
    "row",
    [
        {"usage_known": False},
        {"uncached_input_tokens": -1},
        {"uncached_input_tokens": 10**15},
        {"ai_model": "dear", "uncached_input_tokens": 10**15},
    ],
)
def test_what_is_not_known_at_all_has_no_upper_bound(row):
    low, high = bounds(book(), **row)
    assert low is not None
    assert high is None


def test_prices_of_another_kind_of_request_do_not_count():
    image_model = entry(image={"default": {"default": 4}}, config={"calculate": None})
    models = {"cheap": CHEAP, "dear": DEAR, "draws": image_model}
    assert bounds(book(models)) == (5, 80)
    low, high = bounds(book(models), generated_images=2)
    assert low == 0, "a model that is paid by the image takes nothing for tokens"
    assert high == 80 + 8


def test_every_period_and_tier_counts():
    later = {
        "pricing_config": entry(request_token=20, response_token=1)["pricing_config"],
        "effective_from": "2030-01-01",
    }
    dated = CHEAP | {"periods": [later]}
    assert bounds(book({"m": dated})) == (3 + 1, 60 + 2)
    tier = {"pricing_config": entry(request_token=7, response_token=7)["pricing_config"]}
    custom = {"context_tier_map": {"0": "low", "1000": "high"},
              "regions": {"default": {"execution_modes": {"standard": {"context_tiers": {"high": tier}}}}}}  # fmt: skip
    assert bounds(book({"m": CHEAP | {"custom_pricing": custom}})) == (5, 28)


def test_agreed_factors_count_for_the_bounds():
    frame = usage({**OWNER, **USED, "ai_model": "?"})
    overlay = Overlay((agreed(factors={"default": 0.5, "response_token": 2}),))
    (out,) = price(frame, book(), CostPolicy.COMPUTED, overlay).to_dicts()
    assert (out["cost_low"], out["cost_high"]) == (Decimal("1.5") + 4, 15 + 100)


def test_rows_keep_their_places():
    rows = [{"ai_model": name} for name in ("?", "cheap", "dear", "?", "cheap")]
    rows[3] |= {"ai_org": "?"}
    out = priced(book(), *({**USED, **row} for row in rows))
    assert [(row["cost_low"], row["cost_high"]) for row in out] == [(5, 80), (5, 5), (80, 80), (0, 80), (5, 5)]

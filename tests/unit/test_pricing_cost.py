"""What a request costs: every rule on small price files, checked by hand."""

from datetime import datetime
from decimal import Decimal

import polars as pl
import pytest

from tests.factories.prices import IMAGE_FORMULA, book, cost_of_one, default, entry, plus, priced, times, usage
from warehouse.catalog.generations import COST
from warehouse.pricing.cost import NOT_BILLED, price
from warehouse.settings import CostPolicy

GPT_4O = entry(
    request_token=0.00025,
    cache_read_input_token=0.000125,
    response_token=0.001,
    units={"web_search": 1, "file_search": 0.25},
)
DALL_E = {
    "default": {"default": 4, "1024x1792": 8},
    "standard": {"default": 4, "1024x1792": 8},
    "hd": {"default": 8, "1024x1792": 12},
}
COST_PARTS = [
    c.name
    for c in COST
    if c.name.endswith("_cost") and c.name not in {"computed_cost", "reported_cost", "cache_saved_cost"}
]


def test_the_worked_example_of_the_contract():
    (row,) = priced(book({"m": GPT_4O}), {"uncached_input_tokens": 600, "cache_read_tokens": 400, "output_tokens": 200})
    assert row["computed_cost"] == row["cost"] == Decimal("0.4")
    assert row["cost_source"] == "computed"
    assert (row["uncached_input_cost"], row["cache_read_cost"], row["output_cost"]) == (
        Decimal("0.15"),
        Decimal("0.05"),
        Decimal("0.2"),
    )
    assert row["price_id"].startswith("acme/m@start#")
    assert row["unpriced_reason"] is None


def test_a_web_search_comes_on_top():
    units = [{"unit": "web_search", "quantity": 1}, {"unit": "something_unpriced", "quantity": 3}]
    used = {"uncached_input_tokens": 600, "cache_read_tokens": 400, "output_tokens": 200}
    with_search, without = priced(book({"m": GPT_4O}), used | {"extra_units": units}, used)
    assert (with_search["computed_cost"], with_search["other_cost"]) == (Decimal("1.4"), Decimal(1))
    assert without["computed_cost"] == Decimal("0.4")


def test_images_by_quality_and_size():
    dall_e = entry(image=DALL_E, config={"calculate": IMAGE_FORMULA})
    two = {"generated_images": 2, "uncached_input_tokens": 50}
    rows = priced(
        book({"m": dall_e}),
        two | {"image_quality": "hd", "image_size": "1024x1792"},
        two | {"image_quality": "hd", "image_size": "17x17"},
        two | {"image_quality": "unheard of"},
        two,
    )
    assert [row["computed_cost"] for row in rows] == [24, 16, 8, 8]
    assert rows[0]["image_cost"] == 24


def test_an_image_price_counts_even_where_the_default_formula_counts_tokens():
    assert cost_of_one(book({"m": entry(image=DALL_E)}), generated_images=3, uncached_input_tokens=50) == 12


def test_image_tokens_are_billed_by_modality_when_the_usage_tells_them():
    model = entry(image=DALL_E, request_text_token=0.0005, request_image_token=0.001, response_image_token=0.004)
    row = {"generated_images": 1, "uncached_input_tokens": 10, "image_input_tokens": 100, "image_output_tokens": 1000}
    assert cost_of_one(book({"m": model}), **row) == Decimal("4.105")
    assert cost_of_one(book({"m": model}), generated_images=1, uncached_input_tokens=10) == 4
    # No split of the output: all of an image model's output is images.
    assert cost_of_one(book({"m": model}), generated_images=1, output_tokens=1000) == 4


def test_cached_tokens_are_billed_beside_a_formula_that_forgets_them():
    model = entry(request_token=2, response_token=0, cache_read_input_token=0.5, cache_write_input_token=3)
    assert cost_of_one(book({"m": model}), uncached_input_tokens=10, cache_read_tokens=100, cache_write_tokens=1) == 73


def test_cached_tokens_without_a_rate_cost_what_input_costs():
    model = entry(request_token=2, response_token=1)
    formula = {
        "request": plus(
            times("input_tokens", "rates.request_token"), times("cache_read_tokens", "rates.cache_read_token")
        )
    }
    for calculate in (None, formula):
        prices = book({"m": model}, provider_default=default(calculate, cache_read_input_token=0))
        assert cost_of_one(prices, uncached_input_tokens=10, cache_read_tokens=5, cache_write_1h_tokens=3) == 36


def test_the_rate_name_that_no_price_has_is_an_alias():
    formula = {
        "request": plus(
            times("input_tokens", "rates.request_token"), times("cache_read_tokens", "rates.cache_read_token")
        )
    }
    model = entry(request_token=2, response_token=1, cache_read_input_token=0.5)
    assert cost_of_one(book({"m": model}, provider_default=default(formula)), cache_read_tokens=4) == 2


def test_one_hour_cache_writes_have_their_own_rate():
    model = entry(request_token=3, response_token=15, cache_write_input_token=3.75, units={"cache_write_1h": 6})
    (row,) = priced(book({"m": model}), {"cache_write_tokens": 100, "cache_write_1h_tokens": 10})
    assert row["cache_write_cost"] == row["computed_cost"] == 435
    without = entry(request_token=3, response_token=15, cache_write_input_token=3.75)
    assert cost_of_one(book({"m": without}), cache_write_1h_tokens=10) == Decimal("37.5")


def test_reasoning_costs_its_own_rate_else_that_of_output():
    rates = {"request_token": 1, "response_token": 2}
    assert cost_of_one(book({"m": entry(**rates)}), output_tokens=1, reasoning_tokens=10) == 22
    assert cost_of_one(book({"m": entry(**rates, reasoning_token=5)}), output_tokens=1, reasoning_tokens=10) == 52


def test_audio_costs_its_own_rate_else_that_of_text():
    plain = entry(request_token=1, response_token=2)
    heard = entry(
        request_token=1,
        response_token=2,
        request_audio_token=10,
        response_audio_token=20,
        units={"request_audio_token": 10},
    )
    used = {"audio_input_tokens": 3, "audio_output_tokens": 4, "cache_read_audio_tokens": 2}
    assert cost_of_one(book({"m": plain}), **used) == 13
    (row,) = priced(book({"m": heard}), used)
    assert row["audio_cost"] == row["computed_cost"] == 130  # cached audio without a rate costs what audio costs
    named = default(
        {"request": times("request_audio_tokens", "rates.request_audio_token"), "response": times("1", "0")}
    )
    assert cost_of_one(book({"m": heard}, provider_default=named), audio_input_tokens=3) == 30


def test_a_fixed_cost_is_paid_per_request():
    model = entry(
        request_token=1,
        response_token=1,
        config={"fixed_cost": {"request": {"price": 0.5}, "response": {"price": 0.1}}},
    )
    (row,) = priced(book({"m": model}), {"uncached_input_tokens": 2})
    assert (row["computed_cost"], row["other_cost"]) == (Decimal("2.6"), Decimal("0.6"))


def test_a_formula_that_multiplies_quantities_is_exact_but_not_split():
    squared = {"request": plus(times("input_tokens", "output_tokens", "rates.request_token"), times("0.5", "1"))}
    model = entry(request_token=0.1, response_token=1, config={"calculate": squared})
    (row,) = priced(book({"m": model}), {"uncached_input_tokens": 3, "image_input_tokens": 4, "output_tokens": 5})
    assert row["computed_cost"] == row["other_cost"] == 4


def test_context_tiers_by_suffix_and_by_map():
    suffixed = {
        "m-lte-128k": entry(request_token=1, response_token=0),
        "m-gt-128k": entry(request_token=2, response_token=0),
    }
    tier = {"pricing_config": {"pay_as_you_go": {"request_token": {"price": 2}}}}
    mapped = entry(request_token=1, response_token=0) | {
        "custom_pricing": {
            "context_tier_map": {"0": "lte-128k", "128000": "gt-128k"},
            "regions": {"default": {"execution_modes": {"standard": {"context_tiers": {"gt-128k": tier}}}}},
        }
    }
    for prices in (book(suffixed), book({"m": mapped})):
        rows = priced(
            prices,
            {"uncached_input_tokens": 128_000},
            {"uncached_input_tokens": 128_001},
            {"uncached_input_tokens": 1, "cache_read_tokens": 128_000},
        )
        assert [row["computed_cost"] for row in rows] == [128_000, 256_002, 256_002]
    assert priced(book({"m": mapped}), {"uncached_input_tokens": 128_001})[0]["price_id"].endswith("~gt-128k")


def test_a_row_is_priced_by_the_price_of_its_time():
    model = entry(request_token=3, response_token=0) | {
        "effective_from": "2026-06-01T12:00:00Z",
        "periods": [
            entry(request_token=1, response_token=0),
            entry(request_token=2, response_token=0) | {"effective_from": "2025-01-01"},
        ],
    }
    moments = ["1999-01-01", "2025-01-01", "2026-06-01T11:59:59.999999", "2026-06-01T12:00"]
    rows = priced(
        book({"m": model}),
        *({"created_at": datetime.fromisoformat(at), "uncached_input_tokens": 1} for at in reversed(moments)),
    )
    assert [row["computed_cost"] for row in rows] == [3, 2, 2, 1]
    assert len({row["price_id"] for row in rows}) == 3


def test_hours_of_the_day_may_be_dearer():
    dear = {"pay_as_you_go": {"request_token": {"price": 2}}}
    hours = [
        {"from": "01:00", "to": "04:00", "pricing_config": dear},
        {"from": "23:00", "to": "00:30", "pricing_config": dear},
    ]
    prices = book({"m": entry(request_token=1, response_token=0) | {"hours": hours}})
    clock = ["00:00", "00:30", "00:59", "01:00", "03:59", "04:00", "22:59", "23:00"]
    rows = priced(
        prices,
        *({"created_at": datetime.fromisoformat(f"2026-06-01T{at}:59"), "uncached_input_tokens": 1} for at in clock),
    )
    assert [row["computed_cost"] for row in rows] == [2, 1, 1, 2, 2, 1, 1, 2]


def test_batch_and_priority_prices():
    model = entry(request_token=2, response_token=4, config={"batch_config": {"request_token": {"price": 1}}})
    model["custom_pricing"] = {"regions": {"default": {"execution_modes": {"priority": entry(request_token=5)}}}}
    used = {"uncached_input_tokens": 1, "output_tokens": 1}
    modes = ["batch", "priority", "standard", "flex", None]
    rows = priced(book({"m": model}), *(used | {"execution_mode": mode} for mode in modes))
    assert [row["computed_cost"] for row in rows] == [5, 9, 6, 6, 6]


@pytest.mark.parametrize(
    ("models", "row", "reason"),
    [
        ({}, {"ai_org": "nobody"}, "unknown_provider"),
        ({}, {"ai_org": None}, "unknown_provider"),
        ({}, {"ai_org": "../../etc/passwd"}, "unknown_provider"),
        ({}, {"ai_model": "other"}, "unknown_model"),
        ({}, {"ai_model": None}, "unknown_model"),
        ({"m": {"pricing_config": None}}, {}, "no_price"),
        ({"m": entry()}, {}, "no_price"),
        ({"m": entry(request_token=0, response_token=0)}, {"generated_images": 1}, "no_price"),
        ({"m": entry(request_token=0, units={"web_search": 1})}, {"generated_images": 1}, "no_price"),
        ({"m": entry(nonsense=1)}, {}, "price_refused"),
        ({"m": GPT_4O}, {"usage_known": False}, "no_usage"),
        ({"m": GPT_4O}, {"usage_known": None}, "no_usage"),
        ({"m": GPT_4O}, {"output_tokens": -1}, "negative_usage"),
        ({"m": GPT_4O}, {"output_tokens": 1_000_000_000}, "cost_too_large"),
        ({"m": GPT_4O}, {"output_tokens": 2**62, "uncached_input_tokens": 2**62}, "cost_too_large"),
        ({"m": entry(image=DALL_E)}, {"uncached_input_tokens": 7}, "missing_quantity"),
        ({"m": entry(request_token=0, units={"video_seconds": 8})}, {"uncached_input_tokens": 7}, "missing_quantity"),
    ],
)
def test_what_cannot_be_priced_says_why_and_is_never_zero(models, row, reason):
    (answer,) = priced(book(models), {"uncached_input_tokens": 1} | row)
    assert answer["unpriced_reason"] == reason
    assert {
        answer[name] for name in ("cost", "computed_cost", "cost_source", "price_id", "cache_saved_cost", *COST_PARTS)
    } == {None}


def test_the_largest_cost_that_fits_and_the_first_that_does_not():
    prices = book({"m": entry(request_token=0.000001, response_token=0)})
    rows = priced(prices, {"uncached_input_tokens": 999_999_999_999}, {"uncached_input_tokens": 10**12})
    assert rows[0]["computed_cost"] == Decimal("999999.999999")
    assert rows[1]["unpriced_reason"] == "cost_too_large"


def test_seconds_are_billed_when_they_are_counted():
    model = entry(request_token=0, response_token=0, units={"video_seconds": 8})
    assert cost_of_one(book({"m": model}), extra_units=[{"unit": "video_seconds", "quantity": 5}]) == 40


def test_a_free_model_costs_nothing():
    (row,) = priced(book({"m": entry(request_token=0, response_token=0)}), {"uncached_input_tokens": 5})
    assert (row["cost"], row["cost_source"], row["unpriced_reason"]) == (0, "computed", None)


def test_a_cache_hit_costs_nothing_and_says_what_it_saved():
    used = {"uncached_input_tokens": 600, "cache_read_tokens": 400, "output_tokens": 200, "reported_cost": Decimal(9)}
    hits = priced(book({"m": GPT_4O}), used | {"cache_status": "HIT"}, used | {"cache_status": "Semantic Hit"})
    for row in hits:
        assert (row["cost"], row["cost_source"], row["computed_cost"]) == (0, "cache", 0)
        assert row["cache_saved_cost"] == Decimal("0.4")
        assert {row[name] for name in COST_PARTS} == {0}
        assert row["unpriced_reason"] is None
        assert row["price_id"].startswith("acme/m@")
    (unknown,) = priced(book({}), {"cache_status": "hit", "ai_model": "other"})
    assert (unknown["cost"], unknown["cache_saved_cost"], unknown["unpriced_reason"]) == (0, None, None)
    (miss,) = priced(book({"m": GPT_4O}), used | {"cache_status": "SEMANTIC MISS"})
    assert (miss["cost"], miss["cache_saved_cost"]) == (Decimal("0.4"), None)


def test_a_failed_request_that_used_nothing_was_not_billed():
    failed = {"is_success": False, "usage_known": False}
    nothing, something, lost = priced(
        book({"m": GPT_4O}), failed, failed | {"usage_known": True, "output_tokens": 10}, {"usage_known": False}
    )
    assert (nothing["cost"], nothing["price_id"], nothing["unpriced_reason"]) == (0, NOT_BILLED, None)
    assert something["cost"] == Decimal("0.01")
    assert lost["unpriced_reason"] == "no_usage"


@pytest.mark.parametrize(
    ("policy", "known", "unknown"),
    [
        (CostPolicy.COMPUTED_ELSE_REPORTED, (Decimal("0.01"), "computed"), (Decimal(7), "reported")),
        (CostPolicy.REPORTED_ELSE_COMPUTED, (Decimal(7), "reported"), (Decimal(7), "reported")),
        (CostPolicy.COMPUTED, (Decimal("0.01"), "computed"), (None, None)),
        (CostPolicy.REPORTED, (Decimal(7), "reported"), (Decimal(7), "reported")),
    ],
)
def test_the_policy_says_whose_cost_counts(policy, known, unknown):
    used = {"output_tokens": 10, "reported_cost": Decimal(7)}
    rows = priced(book({"m": GPT_4O}), used, used | {"ai_model": "other"}, policy=policy)
    assert [(row["cost"], row["cost_source"]) for row in rows] == [known, unknown]
    assert [row["unpriced_reason"] for row in rows] == [None, "unknown_model"]
    assert [row["reported_cost"] for row in rows] == [7, 7]


@pytest.mark.parametrize(
    ("policy", "cost", "source"),
    [
        (CostPolicy.COMPUTED_ELSE_REPORTED, [Decimal(7), None, None, Decimal("-0.5")], "reported"),
        (CostPolicy.REPORTED_ELSE_COMPUTED, [Decimal(7), None, None, Decimal("-0.5")], "reported"),
        (CostPolicy.REPORTED, [Decimal(7), None, Decimal(0), Decimal("-0.5")], "reported"),
        (CostPolicy.COMPUTED, [None] * 4, None),
    ],
)
def test_no_row_has_a_price_and_some_say_what_they_cost(policy, cost, source):
    reported = [Decimal(7), None, Decimal(0), Decimal("-0.5")]
    rows = ({"output_tokens": 10, "ai_model": "other", "reported_cost": amount} for amount in reported)
    found = priced(book({}), *rows, policy=policy)
    assert [row["cost"] for row in found] == cost
    assert [row["cost_source"] for row in found] == [None if amount is None else source for amount in cost]
    assert [row["reported_cost"] for row in found] == reported
    assert {row["unpriced_reason"] for row in found} == {"unknown_model"}
    assert {row[name] for row in found for name in ("computed_cost", "price_id", "cache_saved_cost", *COST_PARTS)} == {
        None
    }
    # What is reported is its own bound; for the others the provider has no price to compare with.
    assert [row["cost_low"] for row in found] == [amount or Decimal(0) for amount in cost]
    assert [row["cost_high"] for row in found] == cost


def test_a_reported_zero_beside_usage_is_no_cost():
    used = {"output_tokens": 10, "reported_cost": Decimal(0)}
    rows = priced(book({"m": GPT_4O}), used, used | {"ai_model": "other"}, policy=CostPolicy.REPORTED_ELSE_COMPUTED)
    assert [(row["cost"], row["cost_source"]) for row in rows] == [(Decimal("0.01"), "computed"), (None, None)]


def test_rows_keep_their_order_and_get_exactly_the_cost_columns():
    frame = usage(*({"ai_model": name, "output_tokens": index} for index, name in enumerate(["m", "x", "m", "y", "m"])))
    frame = frame.with_columns(pl.int_range(pl.len()).alias("position"), pl.lit(None).alias("price_id"))
    out = price(frame, book({"m": GPT_4O}), CostPolicy.COMPUTED_ELSE_REPORTED)
    assert out["position"].to_list() == [0, 1, 2, 3, 4]
    assert out["computed_cost"].to_list() == [0, None, Decimal("0.002"), None, Decimal("0.004")]
    kept = [name for name in frame.columns if name not in {"usage_known", "reported_cost", "price_id"}]
    assert out.columns == [*kept, *(column.name for column in COST)]
    assert {
        out.schema[name] for name in ("cost", "computed_cost", "reported_cost", "cache_saved_cost", *COST_PARTS)
    } == {pl.Decimal(18, 12)}
    empty = price(frame.clear(), book({"m": GPT_4O}), CostPolicy.COMPUTED_ELSE_REPORTED)
    assert (empty.height, empty.schema) == (0, out.schema)

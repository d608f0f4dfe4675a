"""Units beyond tokens: fractions, other names, defaults, training, and what is not counted."""

from decimal import Decimal

import pytest

from tests.factories.prices import book, cost_of_one, entry, priced

CHAT = {"request_token": 1, "response_token": 2}
VIDEO = {"video_duration_seconds_1280_720": 10, "video_duration_seconds_1792_1024": 50}


def test_a_fraction_of_a_unit_costs_a_fraction_exactly() -> None:
    whisper = book({"m": entry({"audio_hours": 36})})
    assert cost_of_one(whisper, extra_units={"audio_seconds": "8.47"}) == Decimal("0.0847")
    assert cost_of_one(whisper, extra_units={"audio_minutes": 1}) == Decimal("0.6")
    assert cost_of_one(whisper, extra_units={"input_audio_hours": "0.000001"}) == Decimal("0.000036")
    # A third of a cent has no end; the rate is kept to 24 decimals, the cost to 12.
    assert cost_of_one(book({"m": entry({"audio_hours": 1})}), extra_units={"audio_seconds": 3}) == Decimal(
        "0.000833333333"
    )


def test_units_of_many_rows_do_not_touch_the_rows_between() -> None:
    model = entry({"web_search": 1, "audio_minutes": 0.6}, **CHAT)
    rows = priced(
        book({"m": model}),
        {"uncached_input_tokens": 5},
        {"uncached_input_tokens": 5, "extra_units": {"web_search": 2, "audio_seconds": "0.5"}},
        {"uncached_input_tokens": 7, "extra_units": {}},
        {"uncached_input_tokens": 5, "extra_units": {"web_search": 1}},
    )
    assert [row["computed_cost"] for row in rows] == [5, Decimal("7.005"), 7, 6]
    assert [row["other_cost"] for row in rows] == [0, Decimal("2.005"), 0, 1]


def test_video_by_size_and_by_what_is_assumed() -> None:
    sora = book({"m": entry(VIDEO)})
    eight = {"video_seconds": 8}
    assert cost_of_one(sora, extra_units=eight, image_size="1280x720") == 80
    assert cost_of_one(sora, extra_units=eight, image_size="720p") == 80
    assert cost_of_one(sora, extra_units=eight, image_size="1792x1024") == 400
    assert cost_of_one(sora, extra_units=eight, image_size="1024x1792") == 400
    assert cost_of_one(sora, extra_units=eight) == 80
    veo = book({"m": entry(VIDEO | {"default_duration_seconds": 8, "default_sample_count": 2, "default_steps": 28})})
    assert cost_of_one(veo, extra_units={"generated_videos": 3}) == 240
    assert cost_of_one(veo, extra_units={"video_requests": 1}) == 160
    (unsaid,) = priced(sora, {"extra_units": {"video_requests": 1}})
    assert (unsaid["computed_cost"], unsaid["unpriced_reason"]) == (None, "missing_quantity")


def test_quantities_to_assume_are_never_billed() -> None:
    model = entry({"default_duration_seconds": 8, "default_of_tomorrow": 9}, **CHAT)
    units = {"default_duration_seconds": 1, "default_of_tomorrow": 1}
    assert cost_of_one(book({"m": model}), uncached_input_tokens=1, extra_units=units) == 1


@pytest.mark.parametrize(
    ("units", "used", "cents"),
    [
        ({"web_search": 1}, {"web_search_high_context": 2}, 2),
        ({"web_search": 1, "web_search_high_context": 3}, {"web_search_high_context": 2}, 6),
        ({"web_search_low_context": 0.5}, {"web_search": 2}, 1),
        ({"web_search": 3.5}, {"enterprise_web_search": 1}, 3.5),
        ({"search": 2}, {"rerank_searches": 3}, 6),
        ({"routing_units": 0.0001}, {"routing_units": 5000}, 0.5),
        ({"web_search": 1}, {"nobody_knows": 3}, 0),
    ],
)
def test_a_unit_is_priced_by_the_nearest_name(units, used, cents) -> None:
    model = entry(units, **CHAT)
    (row,) = priced(book({"m": model}), {"uncached_input_tokens": 1, "extra_units": used})
    assert row["computed_cost"] == 1 + (0 if "nobody_knows" in used else Decimal(str(cents)))


def test_seconds_on_a_model_that_is_sold_by_tokens_are_not_free() -> None:
    (row, also) = priced(
        book({"m": entry(**CHAT)}),
        {"extra_units": {"audio_seconds": 7}},
        {"extra_units": {"audio_seconds": 7}, "uncached_input_tokens": 3},
    )
    assert (row["computed_cost"], row["unpriced_reason"]) == (None, "missing_quantity")
    assert also["computed_cost"] == 3


def test_speech_models_of_older_files() -> None:
    assert cost_of_one(book({"m": entry(request_token=0.0015)}), extra_units={"input_characters": 1000}) == Decimal(
        "1.5"
    )
    whisper = entry(request_audio_token=0.6, request_token=0.6, response_token=0)
    assert cost_of_one(book({"m": whisper}), extra_units={"audio_seconds": 30}) == Decimal("0.3")


def test_images_that_are_priced_as_a_unit() -> None:
    seedream = entry({"generated_images": 3}, request_token=0, response_token=0)
    (row, none) = priced(book({"m": seedream}), {"generated_images": 2}, {"uncached_input_tokens": 9})
    assert (row["computed_cost"], row["image_cost"]) == (6, 6)
    assert none["unpriced_reason"] == "missing_quantity"


def test_training_costs_what_the_file_says_and_use_of_a_model_that_is_only_trained_is_unknown() -> None:
    tuned = entry(config={"finetune_config": {"pay_per_token": {"price": 0.0025}}}, **CHAT)
    assert cost_of_one(book({"m": tuned}), extra_units={"training_tokens": 1000}) == Decimal("2.5")
    by_hour = entry(config={"finetune_config": {"pay_per_hour": {"price": 10000}}}, **CHAT)
    assert cost_of_one(book({"m": by_hour}), extra_units={"training_minutes": 90}) == 15000
    only = entry(config={"finetune_config": {"pay_per_token": {"price": 0.001}}})
    (trained, used) = priced(book({"m": only}), {"extra_units": {"training_tokens": 50}}, {"uncached_input_tokens": 5})
    assert trained["computed_cost"] == Decimal("0.05")
    assert used["unpriced_reason"] == "missing_quantity"
    assert cost_of_one(book({"m": entry(**CHAT)}), extra_units={"training_tokens": 9}) is None


def test_a_fine_tuned_model_costs_what_its_family_costs() -> None:
    models = {"ft:gpt-4o-2024-08-06": entry(request_token=4), "gpt-4o-2024-08-06": entry(request_token=1)}
    prices = book(models, provider="openai")
    tuned = {"ai_org": "openai", "ai_model": "ft:gpt-4o-2024-08-06:acme:support:AbC", "uncached_input_tokens": 10}
    assert cost_of_one(prices, **tuned) == 40
    (unknown,) = priced(prices, tuned | {"ai_model": "ft:gpt-4.1:acme::AbC"})
    assert unknown["unpriced_reason"] == "unknown_model"


def test_video_tokens_cost_more_than_text_where_they_do() -> None:
    live = entry({"input_video_token": 3, "output_video_token": 7}, request_token=1, response_token=2)
    used = {"uncached_input_tokens": 10, "output_tokens": 4, "extra_units": {"video_input_tokens": 6}}
    assert cost_of_one(book({"m": live}), **used) == 4 * 1 + 6 * 3 + 4 * 2
    used["extra_units"] = {"video_output_tokens": 4}
    assert cost_of_one(book({"m": live}), **used) == 10 * 1 + 4 * 7
    assert cost_of_one(book({"m": entry(**CHAT)}), **used) == 18


def test_a_large_frame_is_priced_in_parts_as_if_it_were_one(monkeypatch) -> None:
    prices = book({"m": entry({"web_search": 1}, **CHAT), "n": entry(request_token=3e-20)})
    rows = [
        {"ai_model": "mno"[n % 3], "uncached_input_tokens": n, "extra_units": {"web_search": n % 4} if n % 5 else {}}
        for n in range(40)
    ]
    whole = priced(prices, *rows)
    monkeypatch.setattr("warehouse.pricing.cost._ROWS_AT_ONCE", 7)
    assert priced(prices, *rows) == whole

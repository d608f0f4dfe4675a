"""Every price of every provider: what columns compute is what the Decimal reference says, to the last digit."""

import json
from random import Random

import pytest

from tests.factories.prices import TEXT_FORMULA, MemoryLevel, default, entry, plus, times
from tests.factories.usages import differences, random_usages
from warehouse.pricing.book import Listing, PriceBook
from warehouse.pricing.config import parse_provider
from warehouse.pricing.cost import price
from warehouse.pricing.sources import shipped_level
from warehouse.pricing.units import RATE_NAMES, TOKEN_UNITS
from warehouse.settings import CostPolicy

BOOK = PriceBook([shipped_level()])
ROWS_EACH = 100
UNIT_NAMES = (
    "web_search", "web_search_low_context", "file_search", "search", "maps", "audio_hours", "input_audio_hours",
    "video_seconds", "video_duration_seconds_1280_720", "video_duration_seconds_1792_1024", "input_video_token",
    "output_video_token", "input_characters", "document_pages", "routing_units", "generated_images", "megapixels",
    "default_duration_seconds", "default_sample_count", "default_steps", "default_unheard_of", *sorted(TOKEN_UNITS),
)  # fmt: skip
CALCULATIONS = (
    None,
    TEXT_FORMULA,
    {"request": times("0", "input_tokens"), "response": times("1", "rates.image")},
    {
        "request": plus(
            times("input_tokens", "rates.request_token"),
            times("cache_read_tokens", "rates.cache_read_token"),
            times("cache_write_tokens", "rates.cache_write_token"),
            times("audio_input_tokens", "rates.request_audio_token"),
        ),
        "response": plus(
            times("output_tokens", "rates.response_token"), times("response_audio_tokens", "rates.response_audio_token")
        ),
    },
)  # fmt: skip


@pytest.mark.parametrize("provider", BOOK.providers())
def test_shipped_prices_equal_the_reference(provider: str) -> None:
    frame = random_usages(BOOK, provider, ROWS_EACH)
    compared, wrong = differences(frame, price(frame, BOOK, CostPolicy.COMPUTED), BOOK)
    assert not wrong, wrong[0]
    assert compared > 0


@pytest.mark.parametrize("seed", range(6))
def test_files_nobody_has_seen_load_resolve_and_equal_the_reference(seed: int) -> None:
    """The format is trusted, not the samples: a file is drawn from all it allows."""
    random = Random(seed)
    models = {f"model-{number}{_suffix(random)}": _entry(random) for number in range(40)}
    file = {"default": default(random.choice(CALCULATIONS[:2] + CALCULATIONS[3:]))} | models
    parsed = parse_provider("acme", json.dumps(file))
    assert not parsed.problems
    assert set(parsed.models) == set(models)
    book = PriceBook([MemoryLevel({"acme": file})])
    assert all(isinstance(book.listing("acme", model), Listing) for model in models)
    frame = random_usages(book, "acme", 800, seed)
    compared, wrong = differences(frame, price(frame, book, CostPolicy.COMPUTED), book)
    assert not wrong, wrong[0]
    assert compared > 100


def _suffix(random: Random) -> str:
    return random.choice(("", "", "-lte-128k", "@20240307", ":free", "/v1"))


def _number(random: Random) -> float:
    return random.choice((0, 0.6, random.random() * 10 ** -random.randrange(8), 0.00007499999999999999, 3.625e-07))


def _entry(random: Random) -> dict:
    config = _config(random)
    found: dict = {"pricing_config": config}
    if random.random() < 0.4:
        regions = random.sample(["default", "us", "eu,us-east5", "eu-west-1,ap-south-1"], 2)
        found["custom_pricing"] = {
            "context_tier_map": {"0": "lte-200k", "200000": "gt-200k"},
            "regions": {region: {"execution_modes": _modes(random)} for region in regions},
        }
    return found


def _config(random: Random) -> dict:
    names = random.sample(sorted(RATE_NAMES), random.randrange(1, 8))
    units = {name: _number(random) for name in random.sample(UNIT_NAMES, random.randrange(6))}
    image = {
        quality: {size: _number(random) for size in random.sample(("default", "1024x1024", "1024x1792"), 2)}
        for quality in random.sample(("default", "standard", "hd", "high"), random.choice((0, 0, 2)))
    }
    config = entry(units, image, **{"request_token": 1e-05} | {name: _number(random) for name in names})
    config = config["pricing_config"] | {"calculate": random.choice(CALCULATIONS), "currency": "USD"}
    if random.random() < 0.3:
        config["batch_config"] = {name: {"price": _number(random)} for name in ("request_token", "response_token")}
    if random.random() < 0.3:
        config["finetune_config"] = {random.choice(("pay_per_token", "pay_per_hour")): {"price": _number(random)}}
    if random.random() < 0.2:
        config["fixed_cost"] = {"request": {"price": 0.5}, "response": {"price": 0}}
    return config


def _modes(random: Random) -> dict:
    tiers = {name: {"pricing_config": _config(random)} for name in ("lte-200k", "gt-200k")}
    modes = random.sample(["standard", "batch", "priority", "flex", "fast"], 3)
    return {mode: random.choice(({"context_tiers": tiers}, {"pricing_config": _config(random)})) for mode in modes}

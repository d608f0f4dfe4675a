"""A file put together from levels prices as the levels do, to the last digit."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories.prices import BUCKET_NAMES, IMAGE_FORMULA, TEXT_FORMULA, MemoryLevel, plus, priced, times
from warehouse.pricing.book import PriceBook
from warehouse.pricing.differences import differences
from warehouse.pricing.files import Library, merged_prices

CACHED = {
    "request": plus(times("input_tokens", "rates.request_token"), times("cache_read_tokens", "rates.cache_read_token")),
    "response": times("output_tokens", "rates.response_token"),
}
NAMES = ("a", "b", "c-lte-128k", "c-gt-128k")

rate = st.decimals(0, 10, places=6, allow_nan=False).map(lambda price: {"price": float(price)})
TOKEN_RATES = ("request_token", "response_token", "cache_read_input_token", "request_audio_token")
units = st.fixed_dictionaries({}, optional=dict.fromkeys(("web_search", "pages", "default_steps"), rate))
rates = st.fixed_dictionaries({}, optional={**dict.fromkeys(TOKEN_RATES, rate), "additional_units": units})
fixed = st.fixed_dictionaries({}, optional={"request": rate, "response": rate})
config = st.fixed_dictionaries(
    {"pay_as_you_go": rates},
    optional={
        "calculate": st.sampled_from([TEXT_FORMULA, IMAGE_FORMULA, CACHED]),
        "batch_config": rates,
        "fixed_cost": fixed,
    },
)
modes = st.fixed_dictionaries({"priority": st.fixed_dictionaries({"pricing_config": config})})
custom = modes.map(lambda found: {"regions": {"default": {"execution_modes": found}}})
plain = st.fixed_dictionaries({"pricing_config": st.none() | config}, optional={"custom_pricing": custom})
dated = st.tuples(plain, plain).map(lambda both: {**both[0], "effective_from": "2026-05-01", "periods": [both[1]]})
entries = plain | dated
files = st.fixed_dictionaries(
    {}, optional={"default": st.fixed_dictionaries({"pricing_config": config}), **dict.fromkeys(NAMES, entries)}
)


@settings(max_examples=40, deadline=None)
@given(levels=st.lists(files, min_size=1, max_size=3), counts=st.lists(st.integers(0, 200_000), min_size=4, max_size=4))
def test_a_merged_file_prices_as_its_levels(levels: list[dict[str, Any]], counts: list[int]) -> None:
    chain = [MemoryLevel({"acme": file}, f"level-{number}") for number, file in enumerate(levels)]
    merged = Library(chain, merged_prices).file("acme")
    assert merged is not None
    proxy = MemoryLevel({"acme": merged.text}, "proxy")
    rows = [
        {"ai_model": model, "created_at": at, "execution_mode": mode} | dict(zip(BUCKET_NAMES, counts, strict=False))
        for model in ("a", "b", "c", "none")
        for at in (datetime(2026, 4, 1), datetime(2026, 6, 1))  # noqa: DTZ001 - as rows are stored
        for mode in (None, "batch", "priority")
    ]
    at_home, elsewhere = priced(PriceBook(chain), *rows), priced(PriceBook([proxy]), *rows)
    for one, two in zip(at_home, elsewhere, strict=True):
        assert {key: one[key] for key in ("computed_cost", "unpriced_reason")} == {
            key: two[key] for key in ("computed_cost", "unpriced_reason")
        }
    again = Library([proxy], merged_prices)
    assert json.loads(again.file("acme").text) == json.loads(merged.text)
    assert list(differences(Library(chain, merged_prices), again, ["acme"])) == []


def test_without_any_level_there_is_no_file() -> None:
    assert Library([], merged_prices).file("acme") is None
    with pytest.raises(StopIteration):
        next(differences(Library([], merged_prices), Library([], merged_prices), ["acme"]))

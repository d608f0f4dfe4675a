"""Envelopes of real prices are what looking at every tariff of every price says, however they are found."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.factories.prices import MemoryLevel, default, entry, times
from warehouse.pricing.book import PriceBook, PriceRow
from warehouse.pricing.envelopes import envelope
from warehouse.pricing.multiplier import Multiplier
from warehouse.pricing.sources import shipped_level
from warehouse.pricing.tariff import Facets, Tariff, choose, has_price, tariff, thresholds

PROVIDERS = ("openai", "vertex-ai", "fal-ai", "deepseek", "perplexity-ai", "anthropic")
SPECIAL = ('"custom_pricing"', '"hours"', '"batch_config"', '"image"', '"periods"', '"fixed_cost"')
"""What makes prices differ by more than their model; of the models with each of them, and of all, a few are taken."""


def some_of(provider: str) -> dict[str, object]:
    """A shipped file with a few models of every kind: a whole one takes long to look through price by price."""
    text = shipped_level().read(provider)
    assert text is not None
    models: dict[str, object] = json.loads(text)
    taken = {"default", *list(models)[:: max(len(models) // 8, 1)]}
    for mark in SPECIAL:
        taken.update([name for name, entry in models.items() if mark in json.dumps(entry)][:4])
    return {name: entry for name, entry in models.items() if name in taken}


BOOK = PriceBook([MemoryLevel({provider: some_of(provider) for provider in PROVIDERS})])
KINDS = (
    Facets(has_output_tokens=True),
    Facets(execution_mode="batch"),
    Facets(region="us-east5", execution_mode="Priority", has_output_tokens=True),
    Facets(region="nowhere", execution_mode="unheard of"),
    Facets(has_images=True, image_quality="hd", image_size="1024x1792"),
)
HALF = Multiplier({"default": Decimal("0.5"), "response_token": Decimal(2)})


def tariffs(row: PriceRow, kind: Facets, factor: Multiplier | None, *, has_units: bool = False) -> Iterator[Tariff]:
    """All that a price could come to, worked out one by one."""
    minutes = {0, *(edge for hours in row.pricing.hours for edge in (hours.start, hours.end))}
    for size in {0, *(edge + 1 for edge in thresholds(row.pricing))} if has_price(row.pricing) else ():
        for minute in minutes:
            facets = replace(kind, prompt_tokens=size, minute_of_day=minute)
            config, _ = choose(row.default, row.pricing, facets)
            found = tariff(config, facets)
            if (found.needs_units and not has_units) or (found.needs_images and not kind.has_images):
                continue
            if found.is_free and kind.has_images:
                continue
            yield found if factor is None else factor.scaled(found, config.pay_as_you_go)


def amounts(of: Tariff) -> dict[object, Decimal]:
    """Every amount of a tariff by what it is for; what is free is left out."""
    products: dict[object, Decimal] = {}
    for term in of.products:
        products[term.variables] = products.get(term.variables, Decimal(0)) + term.coefficient
    units = {f"unit {name}": rate for name, rate in of.units.items()}
    return {key: amount for key, amount in {**of.rates, **units, **products, "": of.constant}.items() if amount}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [None, HALF])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("has_units", [False, True])
def test_an_envelope_is_the_least_and_the_most_of_every_tariff(has_units, provider, factor, kind):
    every = (one for row in BOOK.rows(provider) for one in tariffs(row, kind, factor, has_units=has_units))
    found = [amounts(one) for one in every]
    keys = {key for one in found for key in one}
    low, high = envelope(BOOK, provider, kind, factor, has_units=has_units)
    assert high is not None
    assert amounts(high) == {key: max(one.get(key, 0) for one in found) for key in keys}
    least = {key: min(one.get(key, 0) for one in found) for key in keys}
    assert amounts(low) == {key: amount for key, amount in least.items() if amount}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_units", [False, True])
def test_what_may_be_any_provider_is_at_most_the_dearest_of_all(has_units, kind):
    low, high = envelope(BOOK, "nobody", kind, HALF, has_units=has_units)
    found = [amounts(one) for row in BOOK.rows() for one in tariffs(row, kind, HALF, has_units=has_units)]
    assert not amounts(low)
    assert high is not None
    assert amounts(high) == {key: max(one.get(key, 0) for one in found) for key in {k for one in found for k in one}}


def test_equal_prices_below_other_defaults_are_other_prices():
    model = entry(request_token=3, response_token=5)
    dear = default({"request": times("input_tokens", "rates.request_token"), "response": {"value": "7"}})
    book = PriceBook([MemoryLevel({"one": {"default": default(), "m": model}, "two": {"default": dear, "m": model}})])
    _, high = envelope(book, "nobody", Facets(), None, has_units=False)
    assert high is not None
    assert (high.constant, high.rates["uncached_input_tokens"], high.rates["output_tokens"]) == (7, 3, 5)


@pytest.mark.parametrize("provider", ["acme", "nobody"])
def test_other_prices_of_a_provider_have_an_envelope_of_their_own(provider):
    def dearest(rate: int) -> Decimal:
        book = PriceBook([MemoryLevel({"acme": {"default": default(), "m": entry(request_token=rate)}})])
        _, high = envelope(book, provider, Facets(), None, has_units=False)
        assert high is not None
        return high.rates["uncached_input_tokens"]

    assert [dearest(rate) for rate in (3, 7, 3)] == [3, 7, 3]

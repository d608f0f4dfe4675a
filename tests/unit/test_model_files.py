"""Whole files put together from levels, and capabilities read leniently."""

import json
from datetime import UTC, datetime

import pytest

from tests.factories.prices import IMAGE_FORMULA, TEXT_FORMULA, MemoryLevel, default, entry
from warehouse.errors import PricingError
from warehouse.pricing.book import Listing, PriceBook
from warehouse.pricing.capabilities import parse_capabilities, resolved
from warehouse.pricing.files import (
    Library,
    capability,
    encoded,
    merged_capabilities,
    merged_prices,
    pricing_config,
)
from warehouse.pricing.inheritance import deep_merged

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def library(*levels, merge=merged_prices):
    return Library([MemoryLevel({"acme": file}, f"level-{number}") for number, file in enumerate(levels)], merge)


def test_models_of_lower_levels_keep_what_their_own_default_says():
    upper = {"default": default(), "a": entry(request_token=1, response_token=1)}
    lower = {
        "default": default(calculate=IMAGE_FORMULA),
        "a": entry(request_token=9),
        "b": entry(image={"hd": {"x": 4}}),
    }
    file = library(upper, lower).file("acme")
    assert file.levels == {"a": "level-0", "b": "level-1"}
    assert pricing_config(file, "a", NOW)["calculate"] == TEXT_FORMULA
    assert pricing_config(file, "b", NOW)["calculate"] == IMAGE_FORMULA
    assert file.entries["b"]["pricing_config"]["calculate"] == IMAGE_FORMULA


def test_a_merged_file_prices_as_its_levels_did():
    upper = {"default": default(), "a": entry(request_token=1, response_token=1)}
    lower = {
        "default": default(calculate=IMAGE_FORMULA, response_token=0),
        "b": entry(request_token=2, response_token=3),
    }
    levels = [MemoryLevel({"acme": upper}, "up"), MemoryLevel({"acme": lower}, "low")]
    merged = MemoryLevel({"acme": json.loads(Library(levels, merged_prices).file("acme").text)}, "proxy")
    for model in ("a", "b"):
        one, two = (PriceBook(each).listing("acme", model) for each in (levels, [merged]))
        assert isinstance(one, Listing)
        assert isinstance(two, Listing)
        for row in (one.row(None), two.row(None)):
            formula = row.pricing.config.calculate or row.default.calculate
            assert formula == (one.row(None).pricing.config.calculate or one.row(None).default.calculate)
        assert two.row(None).pricing.config.pay_as_you_go.tokens.items() >= (
            one.row(None).pricing.config.pay_as_you_go.tokens.items()
        )


def test_unreadable_parts_and_refused_entries_are_left_out():
    file = library(
        b"{", {"default": default(), "bad": entry(nonsense=1)}, {"default": default(), "bad": entry(request_token=2)}
    )
    found = file.file("acme")
    assert found.levels == {"bad": "level-2"}
    assert library(b"{").file("acme") is None
    assert (
        library(OSError("disk on fire"), {"default": default(), "m": entry(request_token=1)}).file("acme") is not None
    )
    assert library({}).file("nobody") is None


def test_a_file_is_made_once_for_the_same_texts():
    level = MemoryLevel({"acme": {"default": default(), "m": entry(request_token=1)}})
    prices = Library([level], merged_prices)
    first = prices.file("acme")
    assert prices.file("acme") is first
    level.files["acme"] = {"default": default(), "m": entry(request_token=2)}
    assert prices.file("acme") is not first
    assert prices.file("acme").etag != first.etag


def test_merging_replaces_a_formula_whole_and_a_null_changes_nothing():
    below = {"calculate": {"request": 1, "response": 2}, "a": {"x": 1, "y": 2}, "z": 1}
    assert deep_merged(below, {"calculate": {"request": 3}, "a": {"y": 5}, "z": None}) == {
        "calculate": {"request": 3}, "a": {"x": 1, "y": 5}, "z": 1
    }  # fmt: skip


@pytest.mark.parametrize("digits", ["0.1", "1e-7", "0.123456789012345678901234567890", "123456789.012345678901", "0"])
def test_numbers_keep_their_digits(digits):
    written = json.dumps({"default": default(), "m": entry(request_token="NUMBER")}).replace('"NUMBER"', digits)
    file = merged_prices("acme", [("one", written.encode())])
    assert f'"price":{digits}}}' in encoded(file.entries["m"]).decode().lower()


def test_dated_prices_start_when_they_say():
    dated = entry(request_token=3) | {
        "effective_from": "2026-07-01",
        "periods": [entry(request_token=1), entry(request_token=2) | {"effective_from": "2026-05-01T00:00:00+02:00"}],
    }
    file = merged_prices("acme", [("one", json.dumps({"default": default(), "m": dated}).encode())])
    for at, price in {"2026-01-01": 1, "2026-04-30": 1, "2026-05-02": 2, "2026-07-01": 3}.items():
        found = pricing_config(file, "m", datetime.fromisoformat(at).replace(tzinfo=UTC))
        assert found["pay_as_you_go"]["request_token"]["price"] == price


GENERAL = {
    "name": "acme", "description": "x",
    "default": {
        "params": [{"key": "max_tokens", "maxValue": 10, "minValue": 1}, {"key": "top_k"}, "nonsense", {"no": "key"}],
        "messages": {"options": ["user"]}, "type": {"primary": "chat", "supported": ["tools"]}, "isDefault": True,
    },
    "plain": {}, "bare": {"type": "image"}, "odd": {"type": 7, "params": "none", "removeParams": "top_k"},
    "less": {"removeParams": ["top_k"], "params": [{"key": "max_tokens", "maxValue": 20}], "disablePlayground": True},
    "not an entry": 5,
}  # fmt: skip


def test_capabilities_inherit_by_key():
    parsed = parse_capabilities("acme", json.dumps(GENERAL))
    assert set(parsed.models) == {"plain", "bare", "odd", "less"}
    plain, bare, odd, less = (
        resolved(parsed.models[name], parsed.default) for name in ("plain", "bare", "odd", "less")
    )
    assert [param["key"] for param in plain["params"]] == ["max_tokens", "top_k"]
    assert (plain["type"], plain["messages"]) == ({"primary": "chat", "supported": ["tools"]}, {"options": ["user"]})
    assert "isDefault" not in plain
    assert bare["type"] == {"primary": "image", "supported": []}
    assert odd["type"]["primary"] == "chat"
    assert [param["key"] for param in odd["params"]] == ["max_tokens", "top_k"]
    assert less["params"] == [{"key": "max_tokens", "maxValue": 20, "minValue": 1}]
    assert less["disablePlayground"] is True


def test_capabilities_of_a_lower_level_mean_the_same_below_another_default():
    lower = {"default": {"params": [{"key": "own"}], "type": "chat"}, "m": {"name": "M"}}
    file = library(GENERAL, lower, merge=merged_capabilities).file("acme")
    assert file.levels["m"] == "level-1"
    assert [param["key"] for param in capability(file, "m")["params"]] == ["own"]
    assert capability(file, "M")["name"] == "M"
    assert capability(file, "absent") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"error": {"message": "no"}}', "[" * 100_000])
def test_what_is_no_capabilities_file_is_refused(text):
    with pytest.raises(PricingError):
        parse_capabilities("acme", text)

"""A price file: what is read, what is refused, and what a refusal says."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from warehouse.errors import PricingError
from warehouse.pricing.config import parse_provider


def _file(**models):
    return json.dumps({"default": {"pricing_config": {"pay_as_you_go": {}}}, **models})


def _tokens(**rates):
    return {"pricing_config": {"pay_as_you_go": {name: {"price": price} for name, price in rates.items()}}}


def test_prices_are_the_text_of_the_file_never_floats():
    parsed = parse_provider("p", '{"m": {"pricing_config": {"pay_as_you_go": {"request_token": {"price": 2.5e-05}}}}}')
    assert parsed.models["m"][0].config.pay_as_you_go.tokens == {"request_token": Decimal("0.000025")}


def test_the_whole_format_is_kept():
    entry = _tokens(request_token=1)
    entry["pricing_config"] |= {
        "batch_config": {"request_token": {"price": 0.5}},
        "finetune_config": {"pay_per_token": {"price": 3}, "pay_per_hour": {"price": 10000}},
        "fixed_cost": {"request": {"price": 0.5}},
        "currency": "USD",
    }
    entry["pricing_config"]["pay_as_you_go"] |= {
        "image": {"hd": {"1024x1024": {"price": 8}}},
        "additional_units": {
            "web_search": {"price": 1},
            "default_duration_seconds": {"price": 8},
            "cache_write_1h": {"price": 2},
        },
    }
    entry["custom_pricing"] = {
        "context_tier_map": {"0": "lte-200k", "200000": "gt-200k"},
        "regions": {
            "us,eu": {
                "execution_modes": {
                    "standard": {"context_tiers": {"gt-200k": _tokens(request_token=2)}},
                    "batch": _tokens(request_token=0.7),
                }
            }
        },
    }
    model = parse_provider("p", _file(m=entry)).models["m"][0]
    rates = model.config.pay_as_you_go
    assert rates.image == {"hd": {"1024x1024": Decimal(8)}}
    assert rates.units == {"web_search": Decimal(1)}
    assert rates.defaults == {"default_duration_seconds": Decimal(8)}
    assert rates.tokens["additional_units.cache_write_1h"] == 2
    assert model.config.batch.tokens == {"request_token": Decimal("0.5")}
    assert model.config.finetune == {"pay_per_token": Decimal(3), "pay_per_hour": Decimal(10000)}
    assert model.config.fixed_cost == {"request": Decimal("0.5")}
    assert model.custom.tiers == ((0, "lte-200k"), (200000, "gt-200k"))
    assert model.custom.regions["eu"]["batch"].config.pay_as_you_go.tokens == {"request_token": Decimal("0.7")}
    assert model.custom.regions["us"]["standard"].tiers["gt-200k"].pay_as_you_go.tokens == {"request_token": Decimal(2)}


def test_periods_are_in_order_of_time_and_share_the_source():
    entry = _tokens(request_token=3) | {
        "effective_from": "2026-08-17",
        "periods": [_tokens(request_token=2) | {"effective_from": "2025-01-01"}, _tokens(request_token=1)],
        "source": "a page",
        "as_of": "2026-11-23",
    }
    periods = parse_provider("p", _file(m=entry)).models["m"]
    assert [p.config.pay_as_you_go.tokens["request_token"] for p in periods] == [1, 2, 3]
    assert [p.effective_from for p in periods] == [
        None,
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2026, 8, 17, tzinfo=UTC),
    ]
    assert {(p.source, p.as_of) for p in periods} == {("a page", date(2026, 11, 23))}


def _calculate(node):
    return {"pricing_config": {"calculate": {"request": node}}}


PAYG = "pricing_config.pay_as_you_go"
HOURS = {"hours": [{"from": "1", "to": "04:00", "pricing_config": {}}]}
TIERS = {"custom_pricing": {"context_tier_map": {"many": "x"}}}
BAD = [
    (_tokens(request_tokn=1), f"{PAYG}.request_tokn", "unknown rate"),
    (_tokens(request_token=-1), f"{PAYG}.request_token", "from 0"),
    (_tokens(request_token=None), f"{PAYG}.request_token", "number"),
    (_tokens(request_token="1"), f"{PAYG}.request_token", "number"),
    ({"pricing_config": {"currency": "EUR"}}, "pricing_config.currency", "not USD"),
    ({"pricing_config": {"pay_as_you_go": []}}, PAYG, "an object is expected"),
    (_calculate({"operation": "divide", "operands": []}), "pricing_config.calculate", "unknown operation 'divide'"),
    (_calculate({"value": "rates.nothing"}), "pricing_config.calculate", "unknown rate"),
    (_calculate({"value": "words"}), "pricing_config.calculate", "unknown value"),
    (_tokens(request_token=1) | {"effective_from": "soon"}, "effective_from", "ISO"),
    (_tokens(request_token=1) | {"periods": [_tokens(request_token=2)]}, "periods", "same time"),
    (_tokens(request_token=1) | HOURS, "hours[0]", "HH:MM"),
    (_tokens(request_token=1) | TIERS, "custom_pricing.context_tier_map.many", "tokens"),
    ("text", "", "an object is expected"),
]


@pytest.mark.parametrize(("entry", "path", "says"), BAD)
def test_a_bad_model_is_refused_with_its_place_and_the_rest_loads(entry, path, says):
    parsed = parse_provider("acme", _file(bad=entry, good=_tokens(request_token=1)), "acme.json")
    assert list(parsed.models) == ["good"]
    (problem,) = parsed.problems
    assert (problem.provider, problem.model, problem.path) == ("acme", "bad", path)
    assert says in problem.message
    assert "acme.json acme bad" in str(problem)


def test_unknown_keys_that_are_no_rates_are_skipped():
    entry = _tokens(request_token=1)
    entry["pricing_config"]["note"] = 7
    entry["gpt-image-1"] = {"pricing_config": None}
    entry["pricing_config"]["pay_as_you_go"]["gpt-image-1"] = {"pricing_config": {}}
    parsed = parse_provider("p", _file(m=entry))
    assert not parsed.problems
    assert parsed.models["m"][0].config.pay_as_you_go.tokens == {"request_token": Decimal(1)}


def test_a_model_may_be_listed_without_a_price():
    assert parse_provider("p", _file(m={"pricing_config": None})).models["m"][0].config is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"m": NaN}', "null", b"\xff\xfe\x00", "[" * 100_000])
def test_what_is_no_price_file_at_all_is_an_error_that_names_it(text):
    with pytest.raises(PricingError, match=r"here\.json: not a price file of acme"):
        parse_provider("acme", text, "here.json")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0." + "3" * 40, "0." + "3" * 24),
        ("1.6e-24", "2e-24"),  # few characters, and too many decimals all the same
        ("0." + "0" * 23 + "16", "2e-24"),
        ("0." + "0" * 22 + "16", "1.6e-23"),
    ],
)
def test_a_price_finer_than_any_float_text_is_rounded_once(written, kept):
    rate = parse_provider("p", _file(m=_tokens(request_token=1)).replace("1}", written + "}"))
    assert rate.models["m"][0].config.pay_as_you_go.tokens["request_token"] == Decimal(kept)

"""A negotiated `pricing_config`, checked by the same parser as a price file, and strictly: nothing is passed over."""

import json
from collections.abc import Mapping
from typing import Any, cast

from warehouse.errors import InvalidInput, PricingError, UnknownName
from warehouse.pricing.config import PricingConfig, parse_provider
from warehouse.pricing.units import RATE_NAMES

SECTIONS = ("pay_as_you_go", "batch_config", "fixed_cost")
RATES = (*sorted(RATE_NAMES), "additional_units", "image")
_PATH = "pricing_config"
_MODEL = "model"


def parse_static_price(given: Mapping[str, Any]) -> PricingConfig:
    """The price in a `pricing_config` of type static. Units: cents. Raises: InvalidInput that names the place."""
    if given.get("type", "static") != "static":
        raise InvalidInput(f"{_PATH}.type: '{given['type']}' is not 'static'")
    sections = {name: table for name, table in given.items() if name != "type"}
    for name, table in sections.items():
        if name not in SECTIONS:
            raise UnknownName(f"section of {_PATH}", name, SECTIONS)
        if not isinstance(table, dict):
            raise InvalidInput(f"{_PATH}.{name}: an object is expected")
        if name != "fixed_cost":
            for rate in cast("dict[str, Any]", table):
                if rate not in RATES:
                    raise UnknownName(f"rate in {_PATH}.{name}", rate, RATES)
    config = _parsed(sections)
    if config.pay_as_you_go.is_empty and not config.fixed_cost:
        raise InvalidInput(f"{_PATH}: says no price; pay_as_you_go needs at least one rate")
    return config


def _parsed(sections: Mapping[str, Any]) -> PricingConfig:
    try:
        text = json.dumps({_MODEL: {_PATH: sections}}, allow_nan=False)
        parsed = parse_provider("negotiated", text)
    except (ValueError, TypeError, PricingError) as error:
        raise InvalidInput(f"{_PATH}: {error}") from error
    for problem in parsed.problems:
        raise InvalidInput(f"{problem.path}: {problem.message}")
    return parsed.models[_MODEL][0].config or PricingConfig()

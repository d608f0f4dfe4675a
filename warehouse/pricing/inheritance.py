"""What an entry inherits from its file's default, written out, so that it means the same below another default.

A zero in a default is no price (see `tariff.merge`): written into an entry it would become one, and make a model free
that has no price. So only what prices is written out, and only into entries that say a price themselves.
"""

from collections.abc import Mapping
from typing import Any, cast

from warehouse.pricing.units import DEFAULT_PREFIX, RATE_NAMES

Entry = Mapping[str, Any]

TEXT_ONLY: Entry = {
    side: {"operation": "multiply", "operands": [{"value": f"{quantity}_tokens"}, {"value": f"rates.{side}_token"}]}
    for side, quantity in (("request", "input"), ("response", "output"))
}
"""The formula of a file whose default has none (see `tariff.route`)."""
_TABLES = ("pay_as_you_go", "batch_config", "fixed_cost")


def config_of(entry: Any) -> Entry:
    """The `pricing_config` of an entry; empty when it has none."""
    config = cast(Entry, entry).get("pricing_config") if isinstance(entry, Mapping) else None
    return cast(Entry, config) if isinstance(config, Mapping) else {}


def deep_merged(default: Entry, own: Entry) -> dict[str, Any]:
    """Both tables; `own` wins key by key, and its `calculate` replaces the other one whole."""
    both = dict(default)
    for key, value in own.items():
        if value is None:
            continue
        below = both.get(key)
        nested = key != "calculate" and isinstance(value, Mapping) and isinstance(below, Mapping)
        both[key] = deep_merged(cast(Entry, below), cast(Entry, value)) if nested else value
    return both


def without_prices(default: Entry) -> dict[str, Any]:
    """A default that prices nothing: its formula and its zeros."""
    config = config_of(default)
    rates = cast(Entry, config.get("pay_as_you_go") or {})
    zeros = {name: rate for name, rate in rates.items() if name in RATE_NAMES and not _price(rate)}
    kept = {key: config[key] for key in ("calculate", "currency") if config.get(key) is not None}
    return {**default, "pricing_config": {"pay_as_you_go": zeros, **kept}}


def written_out(entry: Entry, default: Entry, formula: Any) -> dict[str, Any]:
    """An entry with what it inherits from `default`, for a file whose default has `formula` and prices nothing."""
    whole = dict(entry)
    if _says_a_price(entry):
        inherited = _pricing_part(config_of(default))
        own_formula = config_of(default).get("calculate") or TEXT_ONLY
        if own_formula == (formula or TEXT_ONLY):
            inherited.pop("calculate", None)
        else:
            inherited["calculate"] = own_formula
        whole["pricing_config"] = deep_merged(inherited, config_of(entry))
    if isinstance(entry.get("periods"), list):
        whole["periods"] = [written_out(cast(Entry, period), default, formula) for period in entry["periods"]]
    return whole


def _says_a_price(entry: Entry) -> bool:
    """As `tariff.has_price`: the entry itself has a price, or prices by region and mode."""
    config = config_of(entry)
    rates = cast(Entry, config.get("pay_as_you_go") or {})
    units = cast(Entry, rates.get("additional_units") or {})
    billed = any(not unit.startswith(DEFAULT_PREFIX) for unit in units)
    own = bool(rates.keys() & RATE_NAMES or billed or rates.get("image"))
    return own or bool(config.get("fixed_cost")) or entry.get("custom_pricing") is not None


def _pricing_part(config: Entry) -> dict[str, Any]:
    """A config without the zeros that price nothing; quantities to assume stay, whatever they are."""
    return {key: _without_zeros(value) if key in _TABLES else value for key, value in config.items()}


def _without_zeros(table: Any) -> Any:
    if not isinstance(table, Mapping):
        return table
    kept: dict[str, Any] = {}
    for name, value in cast(Entry, table).items():
        if not isinstance(value, Mapping):
            continue
        if "price" in value:
            if _price(value) or name.startswith(DEFAULT_PREFIX):
                kept[name] = value
        elif below := _without_zeros(value):
            kept[name] = below
    return kept


def _price(rate: Any) -> Any:
    return cast(Entry, rate).get("price") if isinstance(rate, Mapping) else None

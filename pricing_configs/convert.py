"""A model of `genai-prices` → an entry of a price file: USD per million tokens → cents per token, exactly."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

PER_TOKEN, PER_THOUSAND, PER_ONE = -4, -1, 2
"""Powers of ten from USD per million, per thousand, or per one, to cents each."""
RATES: dict[str, tuple[str, int]] = {
    "input_mtok": ("request_token", PER_TOKEN),
    "output_mtok": ("response_token", PER_TOKEN),
    "cache_read_mtok": ("cache_read_input_token", PER_TOKEN),
    "cache_write_mtok": ("cache_write_input_token", PER_TOKEN),
    "input_audio_mtok": ("request_audio_token", PER_TOKEN),
    "output_audio_mtok": ("response_audio_token", PER_TOKEN),
    "cache_audio_read_mtok": ("cache_read_audio_input_token", PER_TOKEN),
    "input_image_mtok": ("request_image_token", PER_TOKEN),
    "output_image_mtok": ("response_image_token", PER_TOKEN),
    "cache_image_read_mtok": ("cache_read_image_input_token", PER_TOKEN),
    "output_reasoning_mtok": ("reasoning_token", PER_TOKEN),
}
UNITS: dict[str, tuple[str, int]] = {
    "cache_write_1h_mtok": ("cache_write_1h", PER_TOKEN),
    "web_searches_kcount": ("web_search", PER_THOUSAND),
    "storage_searches_kcount": ("file_search", PER_THOUSAND),
    "social_searches_kcount": ("x_search", PER_THOUSAND),
    "code_executions_kcount": ("code_execution", PER_THOUSAND),
    "rerank_searches_kcount": ("rerank_searches", PER_THOUSAND),
    "input_document_kpages": ("document_pages", PER_THOUSAND),
    "input_annotated_document_kpages": ("annotated_document_pages", PER_THOUSAND),
    "input_text_messages_kcount": ("text_messages", PER_THOUSAND),
    "input_mchars": ("input_characters", PER_TOKEN),
    "input_video_mtok": ("input_video_token", PER_TOKEN),
    "output_video_mtok": ("output_video_token", PER_TOKEN),
    "output_citation_mtok": ("citation_token", PER_TOKEN),
    "audio_hours": ("audio_hours", PER_ONE),
    "input_audio_hours": ("input_audio_hours", PER_ONE),
    "output_audio_hours": ("output_audio_hours", PER_ONE),
    "input_gpixels": ("input_gigapixels", PER_ONE),
}
MODES = {
    ("processing", "batch"): "batch",
    ("service_tier", "priority"): "priority",
    ("service_tier", "flex"): "flex",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}
"""Variants that a price file has a word for. Others (a route, a kind of search) are left out."""
Prices = dict[str, Decimal | TieredPrices]
_BEGINNING = date.min


def default_entry() -> dict[str, Any]:
    """The default of every shipped file: no prices, one formula."""

    def times(quantity: str, rate: str) -> dict[str, Any]:
        return {"operation": "multiply", "operands": [{"value": quantity}, {"value": f"rates.{rate}"}]}

    zero = {"price": 0}
    cached = [
        times("cache_write_tokens", "cache_write_input_token"),
        times("cache_read_tokens", "cache_read_input_token"),
    ]
    return {
        "pricing_config": {
            "pay_as_you_go": {"request_token": zero, "response_token": zero},
            "calculate": {
                "request": {"operation": "sum", "operands": [times("input_tokens", "request_token"), *cached]},
                "response": times("output_tokens", "response_token"),
            },
            "currency": "USD",
        }
    }


@dataclass(frozen=True)
class _Period:
    """What a model costs from a day on."""

    start: date
    prices: Prices
    modes: dict[str, Prices]
    hours: list[dict[str, Any]]

    def follows(self, older: "_Period") -> bool:
        """True when it only tells more than the older one: modes that were not known yet, at the same prices."""
        same = self.prices == older.prices and self.hours == older.hours
        return same and all(self.modes.get(mode) == prices for mode, prices in older.modes.items())


def entry_of(model: ModelInfo, *, free: bool) -> dict[str, Any] | None:
    """The entry of a model: its newest prices, with every other period under `periods`.

    None when no price is known. The package writes free and unknown alike, as no price; `free` says which it is.
    """
    conditional = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    variants = model.price_variants or []
    starts = {
        c.constraint.start_date for c in (*conditional, *variants) if isinstance(c.constraint, StartDateConstraint)
    }
    if not conditional:
        return None
    periods: list[_Period] = []
    for start in sorted({_BEGINNING, *starts}):
        period = _period(conditional, variants, start)
        if periods and period.follows(periods[-1]):
            period = replace(period, start=periods.pop().start)
        periods.append(period)
    if not any(period.prices for period in periods):
        zero = {"price": Decimal(0)}
        return {"pricing_config": {"pay_as_you_go": {"request_token": zero, "response_token": zero}}} if free else None
    older = [_entry(period) for period in periods[:-1]]
    return _entry(periods[-1]) | ({"periods": older} if older else {})


def _period(conditional: list[ConditionalPrice], variants: list[PriceVariant], start: date) -> _Period:
    dated = [c for c in conditional if not isinstance(c.constraint, TimeOfDateConstraint)]
    base = next((c for c in reversed(dated) if _active(c, start)), dated[0]).prices
    modes: dict[str, Prices] = {}
    for variant in variants:
        keys = list(variant.when.items())
        if _active(variant, start) and len(keys) == 1 and keys[0] in MODES:
            # Of two variants for the same request, the first one wins, key by key.
            modes[MODES[keys[0]]] = _known(variant.prices) | modes.get(MODES[keys[0]], {})
    hours = [_hours(c) for c in reversed(conditional) if isinstance(c.constraint, TimeOfDateConstraint)]
    return _Period(start, _known(base), modes, hours)


def _entry(period: _Period) -> dict[str, Any]:
    entry: dict[str, Any] = {} if period.start == _BEGINNING else {"effective_from": period.start.isoformat()}
    entry["pricing_config"] = _config(period.prices)
    modes = dict(period.modes)
    if "batch" in modes and not _thresholds([period.prices, *modes.values()]):
        entry["pricing_config"]["batch_config"] = _config(modes.pop("batch"))["pay_as_you_go"]
    custom = _custom(period.prices, modes)
    return entry | ({"custom_pricing": custom} if custom else {}) | ({"hours": period.hours} if period.hours else {})


def _active(item: ConditionalPrice | PriceVariant, start: date) -> bool:
    constraint = item.constraint
    return constraint is None or (isinstance(constraint, StartDateConstraint) and constraint.start_date <= start)


def _hours(item: ConditionalPrice) -> dict[str, Any]:
    constraint = item.constraint
    assert isinstance(constraint, TimeOfDateConstraint)  # noqa: S101 - chosen by this type above
    at = {"from": constraint.start_time.strftime("%H:%M"), "to": constraint.end_time.strftime("%H:%M")}
    return at | {"pricing_config": _config(_known(item.prices))}


def _known(prices: ModelPrice) -> Prices:
    found = {k: v for k, v in vars(prices).items() if not k.startswith("_") and v is not None}
    unknown = found.keys() - RATES.keys() - UNITS.keys() - {"requests_kcount"}
    if unknown:
        raise SystemExit(f"genai-prices has units that no rate is known for: {sorted(unknown)}")
    return found


def _thresholds(tables: Iterable[Prices]) -> list[int]:
    return sorted(
        {t.start for prices in tables for v in prices.values() if isinstance(v, TieredPrices) for t in v.tiers}
    )


def _custom(prices: Prices, modes: dict[str, Prices]) -> dict[str, Any] | None:
    """The prices by mode and prompt size, for a model that has any."""
    thresholds = _thresholds([prices, *modes.values()])
    if not thresholds and not modes:
        return None
    everything = (
        {"standard": prices, **{mode: prices | own for mode, own in sorted(modes.items())}} if thresholds else modes
    )
    if not thresholds:
        tables = {mode: {"pricing_config": _config(prices | own)} for mode, own in sorted(modes.items())}
        return {"regions": {"default": {"execution_modes": tables}}}
    names = [(0, f"lte-{_size(thresholds[0])}"), *((threshold, f"gt-{_size(threshold)}") for threshold in thresholds)]
    tables = {
        mode: {"context_tiers": {name: {"pricing_config": _config(own, at)} for at, name in names}}
        for mode, own in everything.items()
    }
    return {
        "context_tier_map": {str(threshold): name for threshold, name in names},
        "regions": {"default": {"execution_modes": tables}},
    }


def _size(tokens: int) -> str:
    return f"{tokens // 1000}k" if tokens % 1000 == 0 else str(tokens)


def _config(prices: Prices, threshold: int = 0) -> dict[str, Any]:
    """A `pricing_config`, at the prices for prompts above `threshold` tokens."""
    rates: dict[str, Any] = {}
    units: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for key, value in prices.items():
        price = _at(value, threshold)
        if key in RATES:
            rates[RATES[key][0]] = {"price": _number(price.scaleb(RATES[key][1]))}
        elif key in UNITS:
            units[UNITS[key][0]] = {"price": _number(price.scaleb(UNITS[key][1]))}
        else:
            fixed["request"] = {"price": _number(price.scaleb(PER_THOUSAND))}
    rates |= {"additional_units": units} if units else {}
    return {"pay_as_you_go": rates} | ({"fixed_cost": fixed} if fixed else {})


def _at(value: Decimal | TieredPrices, threshold: int) -> Decimal:
    if isinstance(value, Decimal):
        return value
    return next((tier.price for tier in reversed(value.tiers) if tier.start <= threshold), value.base)


def _number(price: Decimal) -> Decimal:
    """The price without trailing zeros."""
    return price.normalize() if price else Decimal(0)

"""A provider's price file, parsed and checked: one bad model is refused with its path, the rest loads.

Source: dataplane contract 5.3. Units: US cents per token or unit.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, cast

from warehouse.errors import PricingError
from warehouse.pricing.collector import uncollected
from warehouse.pricing.formula import EXACT, Calculation, parse_calculation
from warehouse.pricing.units import (
    DEFAULT_PREFIX,
    FINETUNE_COSTS,
    FIXED_COSTS,
    RATE_NAMES,
    TOKEN_UNITS,
    UNIT_NAME,
    UNIT_PREFIX,
)

RATE_DIGITS = 24
"""Decimals that a rate keeps. A price file holds float text, whose last digit lies within 24 decimals."""
_SMALLEST = Decimal(1).scaleb(-RATE_DIGITS)
_LARGEST = Decimal(10) ** 9
_ZERO = Decimal(0)
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_Path = tuple[str, ...]
"""Where something stands in an entry: it becomes text only where something is refused."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a price file that was not used, and why. `model` is empty when it is the whole file."""

    provider: str
    model: str
    path: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        where = " ".join(part for part in (self.source, self.provider, self.model, self.path) if part)
        return f"{where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of one table. Units: cents per token, unit or image."""

    tokens: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    """By rate name; additional units that are token rates stand here as `additional_units.<name>`."""
    units: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    defaults: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    """Quantities to assume when a request names none. Not prices."""
    image: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict[str, Mapping[str, Decimal]])

    @property
    def is_empty(self) -> bool:
        return not (self.tokens or self.units or self.image)

    @property
    def without_zeros(self) -> "Rates":
        return Rates(
            tokens={name: price for name, price in self.tokens.items() if price},
            units={name: price for name, price in self.units.items() if price},
            defaults=self.defaults,
            image={q: kept for q, sizes in self.image.items() if (kept := {s: p for s, p in sizes.items() if p})},
        )


@dataclass(frozen=True)
class PricingConfig:
    """One `pricing_config`: what is billed now, and what is kept for later."""

    pay_as_you_go: Rates = Rates()
    batch: Rates = Rates()
    calculate: Calculation | None = None
    currency: str | None = None
    finetune: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    fixed_cost: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])

    @cached_property
    def without_zeros(self) -> "PricingConfig":
        """What a provider's default says that its models can inherit."""
        return replace(
            self,
            pay_as_you_go=self.pay_as_you_go.without_zeros,
            batch=self.batch.without_zeros,
            fixed_cost={name: price for name, price in self.fixed_cost.items() if price},
        )


@dataclass(frozen=True, slots=True)
class ModePricing:
    """Prices of one execution mode: one for all prompts, or one per context tier."""

    config: PricingConfig | None = None
    tiers: Mapping[str, PricingConfig] = field(default_factory=dict[str, PricingConfig])


@dataclass(frozen=True, slots=True)
class CustomPricing:
    """Prices by region, execution mode and context tier."""

    tiers: tuple[tuple[int, str], ...] = ()
    """(threshold in prompt tokens, tier name), ascending."""
    regions: Mapping[str, Mapping[str, ModePricing]] = field(default_factory=dict[str, Mapping[str, ModePricing]])


@dataclass(frozen=True, slots=True)
class HourPricing:
    """Prices of some hours of every day (UTC): from `start` up to `end`, in minutes, past midnight when end < start."""

    start: int
    end: int
    config: PricingConfig

    def holds_at(self, minute: int) -> bool:
        if self.end < self.start:
            return minute >= self.start or minute < self.end
        return self.start <= minute < self.end


@dataclass(frozen=True, slots=True)
class ModelPricing:
    """The prices of a model over one period. `config` None means that the file knows the model but has no price."""

    config: PricingConfig | None
    custom: CustomPricing | None = None
    hours: tuple[HourPricing, ...] = ()
    """The first that holds counts instead of `config`."""
    effective_from: datetime | None = None
    """None: from the beginning of time."""
    source: str = ""
    as_of: date | None = None


@dataclass(frozen=True, slots=True)
class ProviderPricing:
    """A whole price file. `models` hold one or more periods, in order of time."""

    provider: str
    default: PricingConfig
    models: Mapping[str, tuple[ModelPricing, ...]]
    problems: tuple[Problem, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)


class _Refused(Exception):
    def __init__(self, path: _Path, message: str) -> None:
        self.path = ".".join(filter(None, path))
        super().__init__(message)


@uncollected()
def parse_provider(provider: str, text: bytes | str, source: str = "") -> ProviderPricing:
    """The prices in one provider's file; what could not be used is in `problems`.

    Raises: PricingError when the text is not a JSON object of models.
    """
    try:
        raw = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise PricingError(f"{source or provider}: not a price file of {provider}: {error}") from error
    if not isinstance(raw, dict):
        raise PricingError(f"{source or provider}: not a price file of {provider}: a JSON object of models is expected")
    entries = cast("dict[str, Any]", raw)
    problems: list[Problem] = []
    default = PricingConfig()
    models: dict[str, tuple[ModelPricing, ...]] = {}
    for model, entry in entries.items():
        try:
            periods = _periods(_object(entry, ()))
        except _Refused as refused:
            problems.append(Problem(provider, model, refused.path, str(refused), source))
            continue
        if model == "default":
            default = periods[-1].config or default
        else:
            models[model] = periods
    return ProviderPricing(provider, default, models, tuple(problems), entries)


def _no_constant(name: str) -> Decimal:
    raise ValueError(f"{name} is not a price")


# What most entries do not have is one object for all of them: thousands less to make and to keep.
_NO_PRICES: Mapping[str, Decimal] = {}
_NO_IMAGES: Mapping[str, Mapping[str, Decimal]] = {}
_NO_RATES = Rates(_NO_PRICES, _NO_PRICES, _NO_PRICES, _NO_IMAGES)


def _periods(entry: Mapping[str, Any]) -> tuple[ModelPricing, ...]:
    """The dated prices of an entry. `periods` is our sibling key; readers of the plain format skip it."""
    first = _model(entry, ())
    if not (written := entry.get("periods")):
        return (first,)
    found, shared = [first], {name: entry.get(name) for name in ("source", "as_of")}
    for index, period in enumerate(_list(written, ("periods",))):
        path = (f"periods[{index}]",)
        found.append(_model({**_object(period, path), **shared}, path))
    found.sort(key=lambda period: period.effective_from or _BEGINNING)
    starts = [period.effective_from for period in found]
    if len(set(starts)) != len(starts):
        raise _Refused(("periods",), "two periods start at the same time")
    return tuple(found)


def _model(entry: Mapping[str, Any], path: _Path) -> ModelPricing:
    custom = entry.get("custom_pricing")
    source = entry.get("source")
    return ModelPricing(
        config=_config_of(entry, path),
        custom=None if custom is None else _custom(_object(custom, path, "custom_pricing"), (*path, "custom_pricing")),
        hours=_hours(hours, path) if (hours := entry.get("hours")) else (),
        effective_from=_instant(entry.get("effective_from"), path, "effective_from"),
        source=source if isinstance(source, str) else "",
        as_of=_date(entry.get("as_of"), path, "as_of"),
    )


def _config_of(entry: Mapping[str, Any], path: _Path) -> PricingConfig | None:
    """The `pricing_config` of an entry, a mode or a tier; None when it has none."""
    config = entry.get("pricing_config")
    return None if config is None else _config(_object(config, path, "pricing_config"), (*path, "pricing_config"))


def _config(config: Mapping[str, Any], path: _Path) -> PricingConfig:
    calculate = config.get("calculate")
    currency = config.get("currency")
    if currency is not None and currency != "USD":
        raise _Refused((*path, "currency"), f"currency {currency!r} is not USD, and cents are US cents")
    return PricingConfig(
        pay_as_you_go=_rates(config, "pay_as_you_go", path),
        batch=_rates(config, "batch_config", path),
        calculate=None if calculate is None else _calculation(calculate, (*path, "calculate")),
        currency=currency,
        finetune=_prices(config, "finetune_config", path, FINETUNE_COSTS),
        fixed_cost=_prices(config, "fixed_cost", path, FIXED_COSTS),
    )


def _calculation(tree: Any, path: _Path) -> Calculation:
    try:
        return parse_calculation(tree)
    except PricingError as error:
        raise _Refused(path, str(error)) from error


def _rates(config: Mapping[str, Any], section: str, path: _Path) -> Rates:
    if (written := config.get(section)) is None:
        return _NO_RATES
    table = _object(written, path, section)
    path = (*path, section)
    tokens: dict[str, Decimal] = {}
    for name, rate in table.items():
        if name in RATE_NAMES:
            tokens[name] = _price(rate, path, name)
        elif isinstance(rate, dict) and "price" in rate and name not in {"additional_units", "image"}:
            raise _Refused((*path, name), f"unknown rate {name!r}; known rates are {', '.join(sorted(RATE_NAMES))}")
    units, images = table.get("additional_units"), table.get("image")
    if not units and not images:
        return Rates(tokens, _NO_PRICES, _NO_PRICES, _NO_IMAGES) if tokens else _NO_RATES
    prices = _units(_object(units or {}, path, "additional_units"), path)
    for name in TOKEN_UNITS & prices.keys():
        tokens[UNIT_PREFIX + name] = prices.pop(name)
    return Rates(
        tokens=tokens,
        units={name: price for name, price in prices.items() if not name.startswith(DEFAULT_PREFIX)},
        defaults={name: price for name, price in prices.items() if name.startswith(DEFAULT_PREFIX)},
        image=_images(_object(images, path, "image"), (*path, "image")) if images else _NO_IMAGES,
    )


def _units(table: Mapping[str, Any], path: _Path) -> dict[str, Decimal]:
    path = (*path, "additional_units")
    for name in table:
        if not UNIT_NAME.fullmatch(name):
            raise _Refused((*path, name), f"unit name {name!r}: lower case words joined by _ are expected")
    return {name: _price(price, path, name) for name, price in table.items()}


def _images(table: Mapping[str, Any], path: _Path) -> dict[str, dict[str, Decimal]]:
    return {
        quality: {size: _price(price, (*path, quality), size) for size, price in _object(sizes, path, quality).items()}
        for quality, sizes in table.items()
    }


def _custom(table: Mapping[str, Any], path: _Path) -> CustomPricing:
    names = _object(table.get("context_tier_map") or {}, path, "context_tier_map")
    tiers: list[tuple[int, str]] = []
    for threshold, name in names.items():
        if not threshold.isdecimal() or not isinstance(name, str):
            where = (*path, "context_tier_map", threshold)
            raise _Refused(where, "a number of tokens and a tier name are expected")
        tiers.append((int(threshold), name))
    regions: dict[str, Mapping[str, ModePricing]] = {}
    for region, body in _object(table.get("regions") or {}, path, "regions").items():
        here = (*path, "regions", region)
        modes = _object(_object(body, here).get("execution_modes") or {}, here, "execution_modes")
        parsed = {mode: _mode(_object(m, here, mode), (*here, "execution_modes", mode)) for mode, m in modes.items()}
        for name in filter(None, (part.strip() for part in region.split(","))):
            regions[name] = parsed
    return CustomPricing(tuple(sorted(tiers)), regions)


def _mode(table: Mapping[str, Any], path: _Path) -> ModePricing:
    tiers = _object(table.get("context_tiers") or {}, path, "context_tiers")
    return ModePricing(
        config=_config_of(table, path),
        tiers={
            name: found
            for name, tier in tiers.items()
            if (found := _config_of(_object(tier, path, name), (*path, "context_tiers", name)))
        },
    )


def _prices(config: Mapping[str, Any], section: str, path: _Path, known: frozenset[str]) -> Mapping[str, Decimal]:
    if (written := config.get(section)) is None:
        return _NO_PRICES
    table = _object(written, path, section)
    path = (*path, section)
    for name in table.keys() - known:
        raise _Refused((*path, name), f"unknown price {name!r}; known are {', '.join(sorted(known))}")
    return {name: _price(price, path, name) for name, price in table.items()}


def _price(value: Any, path: _Path, name: str) -> Decimal:
    price = cast("dict[str, Any]", value).get("price") if isinstance(value, dict) else None
    if not isinstance(price, Decimal) or not price.is_finite() or not _ZERO <= price <= _LARGEST:
        raise _Refused((*path, name), '{"price": number} is expected, in cents, from 0 to 1e9')
    text = str(price)
    if len(text) <= RATE_DIGITS and "E" not in text:
        return price  # nearly all: written out in so few characters, it has no more decimals than a rate keeps
    exponent = price.as_tuple().exponent
    return price.quantize(_SMALLEST, context=EXACT) if isinstance(exponent, int) and -exponent > RATE_DIGITS else price


def _object(value: Any, path: _Path, *names: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Refused((*path, *names), f"an object is expected, not {type(cast(object, value)).__name__}")
    return cast("dict[str, Any]", value)


def _list(value: Any, path: _Path) -> list[Any]:
    if not isinstance(value, list):
        raise _Refused(path, "a list is expected")
    return cast("list[Any]", value)


def _hours(written: Any, path: _Path) -> tuple[HourPricing, ...]:
    """Prices by time of day. `hours` is our sibling key; readers of the plain format skip it."""
    found: list[HourPricing] = []
    for index, item in enumerate(_list(written, (*path, "hours"))):
        here = (*path, f"hours[{index}]")
        hours = _object(item, here)
        config = _config_of(hours, here)
        if config is None:
            raise _Refused(here, "a pricing_config is expected")
        found.append(HourPricing(_minute(hours.get("from"), here), _minute(hours.get("to"), here), config))
    return tuple(found)


def _minute(value: Any, path: _Path) -> int:
    try:
        clock = datetime.strptime(value, "%H:%M")  # noqa: DTZ007 - a time of day, in UTC by definition
    except (TypeError, ValueError):
        raise _Refused(path, f"a time of day as HH:MM is expected, not {value!r}") from None
    return clock.hour * 60 + clock.minute


@lru_cache(1024)
def _instant_of(text: str) -> datetime:
    """Raises: TypeError, ValueError."""
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _instant(value: Any, path: _Path, name: str) -> datetime | None:
    if value is None:
        return None
    try:
        return _instant_of(value)
    except (TypeError, ValueError):
        raise _Refused((*path, name), f"a date or time in ISO form is expected, not {value!r}") from None


def _date(value: Any, path: _Path, name: str) -> date | None:
    instant = _instant(value, path, name)
    return None if instant is None else instant.date()

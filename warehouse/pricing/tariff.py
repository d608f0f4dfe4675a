"""What a request pays per quantity: a price merged with its provider's default, its tier chosen, its formula resolved.

Three rules keep tokens from being billed twice or not at all (dataplane contract 5.5):
- A quantity with a rate of its own is billed by the formula when the formula names it, else beside the formula.
- A quantity without one joins its parent (cached → uncached input, reasoning → output) and is billed as that.
- A zero in the provider's default is no rate, so it cannot make anything free.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import cast

from warehouse.pricing.config import CustomPricing, ModelPricing, PricingConfig, Rates
from warehouse.pricing.facets import Facets as Facets
from warehouse.pricing.formula import (
    EXACT,
    Branch,
    Calculation,
    Operation,
    RateRef,
    Term,
    Variable,
    exact_sum,
)
from warehouse.pricing.metered import unit_rates
from warehouse.pricing.units import BY_COLUMN, BY_RATE, IMAGES, QUANTITIES, UNIT_PREFIX, Quantity, Side, is_meter

STANDARD, BATCH = "standard", "batch"
_ZERO = Decimal(0)
_TEXT_ONLY = Calculation(
    Branch(Operation.MULTIPLY, (Variable("uncached_input_tokens"), RateRef("request_token"))),
    Branch(Operation.MULTIPLY, (Variable("output_tokens"), RateRef("response_token"))),
)
"""The formula of 40 of 46 known providers; used when a file's default has none."""
CONSTANT = "#constant"
_NOT_BY_FORMULA = Calculation()
_OF_MADE_IMAGES = BY_COLUMN["image_output_tokens"].rates


@dataclass(frozen=True)
class Tariff:
    """Exact cost per quantity. Units: cents."""

    rates: Mapping[str, Decimal]
    """Bucket column → cents each; zero rates are left out."""
    constant: Decimal
    """Cents per request, whatever it used."""
    products: tuple[Term, ...]
    """All of a formula that multiplies quantities with each other; its cost can't be told apart by bucket."""
    units: Mapping[str, Decimal]
    needs_images: bool = False
    """True when tokens say nothing about the cost: the number of images must be known."""
    needs_units: bool = False

    @cached_property
    def is_free(self) -> bool:
        """True when nothing costs anything, but for tools that come on top."""
        return not (self.rates or self.constant or self.products or any(map(is_meter, self.units)))

    @cached_property
    def amounts(self) -> tuple[Decimal, ...]:
        """All amounts but those of units."""
        return (*self.rates.values(), self.constant, *(term.coefficient for term in self.products))

    @cached_property
    def digits(self) -> int:
        """Decimals of the finest amount."""
        return max(map(decimals, self.amounts))

    @cached_property
    def dearest(self) -> Decimal:
        """The largest amount."""
        return max(self.amounts)

    def whole(self, column: str, digits: int) -> int:
        """The rate of a bucket column (`CONSTANT`: the constant) as a whole number of 10^-digits cents."""
        known = self._wholes.get(digits)
        if known is None:
            amounts = {**self.rates, CONSTANT: self.constant}
            known = {name: whole(amount, digits) for name, amount in amounts.items()}
            self._wholes[digits] = known
        return known.get(column, 0)

    @cached_property
    def _wholes(self) -> dict[int, dict[str, int]]:
        return {}


def whole(amount: Decimal, digits: int) -> int:
    """An amount as a whole number of 10^-digits, half even where it is finer."""
    return int(amount.scaleb(digits, EXACT).to_integral_value(context=EXACT))


def decimals(amount: Decimal) -> int:
    """How many decimals an amount needs; below 0 for multiples of ten."""
    return -cast(int, amount.normalize(EXACT).as_tuple().exponent)  # prices are finite


@dataclass(frozen=True, slots=True)
class Routing:
    """Where each quantity is billed: as a variable of the formula, or beside it at a rate."""

    calculation: Calculation
    named: Mapping[str, Decimal]
    """Rate name → cents, for the formula."""
    variables: Mapping[str, str]
    """Bucket column → column of the variable it is counted as."""
    beside: Mapping[str, Decimal]
    """Bucket column → cents each, outside the formula."""


def merge(default: PricingConfig, own: PricingConfig) -> PricingConfig:
    """`own` completed by what the default has; zeros of the default do not count as prices."""
    return overlay(default.without_zeros, own)


def overlay(base: PricingConfig, top: PricingConfig) -> PricingConfig:
    """`base` with every key that `top` has replaced; a formula is replaced whole."""
    return PricingConfig(
        pay_as_you_go=_overlay_rates(base.pay_as_you_go, top.pay_as_you_go),
        batch=_overlay_rates(base.batch, top.batch),
        calculate=top.calculate or base.calculate,
        currency=top.currency or base.currency,
        finetune={**base.finetune, **top.finetune},
        fixed_cost={**base.fixed_cost, **top.fixed_cost},
    )


def _overlay_rates(base: Rates, top: Rates) -> Rates:
    if not top.defaults and top.is_empty:
        return base
    if not base.defaults and base.is_empty:
        return top
    qualities = {**base.image, **{q: {**base.image.get(q, {}), **sizes} for q, sizes in top.image.items()}}
    return Rates(
        {**base.tokens, **top.tokens}, {**base.units, **top.units}, {**base.defaults, **top.defaults}, qualities
    )


def has_price(pricing: ModelPricing) -> bool:
    """True when the model itself says a price; what only its provider's default says is none."""
    config = pricing.config
    own = config is not None and not (config.pay_as_you_go.is_empty and not (config.fixed_cost or config.finetune))
    return own or pricing.custom is not None


def choose(default: PricingConfig, pricing: ModelPricing, facets: Facets) -> tuple[PricingConfig, str]:
    """The price that fits the request, and the name of the variant ('' for the plain price).

    The plain price is `pricing_config`: `custom_pricing` counts only where it says something else (another region,
    mode or a higher tier), because some files repeat the plain price there with fewer digits.
    """
    config = merge(default, pricing.config or PricingConfig())
    mode = (facets.execution_mode or STANDARD).lower()
    variant: list[str] = []
    dear = next((hours for hours in pricing.hours if hours.holds_at(facets.minute_of_day)), None)
    if dear is not None:
        config = overlay(config, dear.config)
        variant.append(f"{dear.start // 60:02}:{dear.start % 60:02}-{dear.end // 60:02}:{dear.end % 60:02}")
    if mode == BATCH and not config.batch.is_empty:
        config = replace(config, pay_as_you_go=_overlay_rates(config.pay_as_you_go, config.batch))
        variant.append(BATCH)
    if pricing.custom is not None:
        found, names = _choose_custom(pricing.custom, mode, facets)
        if found is not None:
            config = overlay(config, found)
            variant = names
    return config, ",".join(variant)


def _choose_custom(custom: CustomPricing, mode: str, facets: Facets) -> tuple[PricingConfig | None, list[str]]:
    region = facets.region if facets.region in custom.regions else "default"
    modes = custom.regions.get(region or "default", {})
    mode = mode if mode in modes else STANDARD
    # A tier is named lte-/gt-: the threshold itself still belongs to the lower one.
    reached = [name for threshold, name in custom.tiers if threshold < facets.prompt_tokens or threshold == 0]
    tier = reached[-1] if reached else ""
    lowest = not reached or len(reached) == 1
    if region == "default" and mode == STANDARD and lowest:
        return None, []
    found = modes.get(mode)
    if found is None:
        return None, []
    config = found.tiers.get(tier) or found.config
    if config is None:
        return None, []
    return config, [
        name for name in (region, mode, tier if found.tiers else "") if name and name not in {"default", STANDARD}
    ]


def thresholds(pricing: ModelPricing) -> frozenset[int]:
    """Prompt sizes, in tokens, above which another price counts."""
    return frozenset(threshold for threshold, _ in pricing.custom.tiers if threshold) if pricing.custom else frozenset()


def _sells_images(rates: Rates) -> bool:
    return bool(rates.image) or bool(rates.units.get(IMAGES))


def image_price(rates: Rates, facets: Facets) -> Decimal | None:
    """Cents per image of that quality and size; the table's default where they are unknown or not listed."""
    if not rates.image:
        return rates.units.get(IMAGES)
    sizes = rates.image.get(facets.image_quality or "default") or rates.image.get("default")
    if sizes is None:
        sizes = next(iter(rates.image.values()), {}) if len(rates.image) == 1 else {}
    price = sizes.get(facets.image_size or "default")
    return sizes.get("default") if price is None else price


def route(config: PricingConfig, facets: Facets) -> Routing:
    """Where each quantity of the request is billed."""
    rates, calculation = config.pay_as_you_go, config.calculate or _TEXT_ONLY
    images = image_price(rates, facets)
    tokens = rates.tokens
    by_tokens = images is not None and facets.has_output_tokens and any(name in tokens for name in _OF_MADE_IMAGES)
    if facets.has_images and images is not None and not by_tokens and "image" not in calculation.rate_names:
        # An image request pays per image even where the provider's default formula counts tokens.
        return Routing(_NOT_BY_FORMULA, {}, {}, {IMAGES: images})
    shape = _shape(frozenset(tokens), calculation.variables, calculation.rate_names)
    named = {name: tokens[source] for name, source in shape.named.items()}
    if rates.units:
        named.update((name, rates.units[unit]) for name, unit in shape.units.items() if unit in rates.units)
    if images is not None and not by_tokens:
        named["image"] = images
    return Routing(calculation, named, shape.variables, {bucket: tokens[name] for bucket, name in shape.beside.items()})


@dataclass(frozen=True, slots=True)
class _Shape:
    """How prices that have the same rates, whatever they are, fit a formula."""

    named: Mapping[str, str]
    """Rate name in the formula → name that the price has it under."""
    units: Mapping[str, str]
    """Rate name in the formula → additional unit."""
    variables: Mapping[str, str]
    beside: Mapping[str, str]
    """Bucket column → name of the rate that it is billed at beside the formula."""


@lru_cache(4096)
def _shape(rates: frozenset[str], in_formula: frozenset[str], asked: frozenset[str]) -> _Shape:
    variables: dict[str, str] = {IMAGES: IMAGES}
    beside: dict[str, str] = {}
    for quantity in QUANTITIES:
        if quantity.side is Side.NONE:
            continue
        bearer = _bearer(quantity, rates)
        rate = _own(bearer, rates)
        if rate is not None and bearer.parents and bearer.column not in in_formula:
            beside[quantity.column] = rate
        else:
            variables[quantity.column] = bearer.column
    sources = {name: name if name in rates else _priced(BY_RATE[name], rates) for name in asked & BY_RATE.keys()}
    return _Shape(
        named={name: source for name, source in sources.items() if source is not None},
        units={name: name.removeprefix(UNIT_PREFIX) for name in asked - BY_RATE.keys()},
        variables=variables,
        beside=beside,
    )


def _bearer(quantity: Quantity, rates: frozenset[str]) -> Quantity:
    """The quantity whose rate is paid: itself, or the nearest parent that has one."""
    while _own(quantity, rates) is None and quantity.parents:
        parents = [BY_COLUMN[name] for name in quantity.parents]
        quantity = next((parent for parent in parents if _own(parent, rates) is not None), parents[-1])
    return quantity


def _own(quantity: Quantity, rates: frozenset[str]) -> str | None:
    for name in quantity.rates:
        if name in rates:
            return name
    return None


def _priced(quantity: Quantity, rates: frozenset[str]) -> str | None:
    """The rate of a quantity; for text without one, the only rate its side has: an image model's output is images."""
    own = _own(quantity, rates)
    if own is not None or quantity.parents:
        return own
    modalities = [q for q in QUANTITIES if q.side is quantity.side and q.column.startswith(("audio_", "image_"))]
    found = [rate for q in modalities if (rate := _own(q, rates)) is not None]
    return found[0] if len(found) == 1 else None


def tariff(config: PricingConfig, facets: Facets) -> Tariff:
    """The price as exact factors. It equals the tree: `tests/property` holds both against each other."""
    routing = route(config, facets)
    polynomial = routing.calculation.polynomial(routing.named)
    rates = {bucket: rate for bucket, rate in routing.beside.items() if rate}
    constant = exact_sum(config.fixed_cost.values())
    products: tuple[Term, ...] = ()
    if routing.calculation.degree <= 1:
        constant = EXACT.add(constant, polynomial.get((), _ZERO))
        single = {names[0]: coefficient for names, coefficient in polynomial.items() if names and coefficient}
        for bucket, name in routing.variables.items():
            if name in single:
                rates[bucket] = single[name]
    else:
        products = tuple(
            Term(c, tuple(sorted(bucket)))
            for names, c in polynomial.items()
            for bucket in _unfold(names, routing.variables)
        )
    tokens_cost = bool(rates.keys() - {IMAGES}) or bool(products)
    sells_images = not tokens_cost and _sells_images(config.pay_as_you_go)
    return Tariff(
        rates=rates,
        constant=constant,
        products=products,
        units={unit: price for unit, price in unit_rates(config, facets).items() if unit != IMAGES},
        needs_images=sells_images,
        needs_units=not (tokens_cost or constant or sells_images) and _sells_units(config),
    )


def _sells_units(config: PricingConfig) -> bool:
    """Some models are priced for training only: what they cost to use is not known."""
    sold = any(price and name != IMAGES and is_meter(name) for name, price in config.pay_as_you_go.units.items())
    return sold or (bool(config.finetune) and config.pay_as_you_go.is_empty)


def _unfold(names: tuple[str, ...], variables: Mapping[str, str]) -> list[tuple[str, ...]]:
    """A product of variables as products of the buckets that are counted as them."""
    found: list[tuple[str, ...]] = [()]
    for name in names:
        buckets = [bucket for bucket, variable in variables.items() if variable == name]
        found = [(*product, bucket) for product in found for bucket in buckets]
    return found

"""The exact cost of one request in Decimal, straight from the formula's tree: the reference for the columnar code.

It is also what explains a single cost. Units: cents.
"""

from collections.abc import Mapping
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

from warehouse.pricing.config import PricingConfig
from warehouse.pricing.formula import EXACT, evaluate, exact_sum
from warehouse.pricing.metered import unit_rates
from warehouse.pricing.tariff import Facets, route
from warehouse.pricing.units import BY_COLUMN, COST_COLUMNS, IMAGES, OTHER_COST

COST_DIGITS = 12
PICOCENT = Decimal(1).scaleb(-COST_DIGITS)
_ZERO = Decimal(0)


def cost_of(
    config: PricingConfig,
    quantities: Mapping[str, int],
    facets: Facets,
    units: Mapping[str, Decimal | int] | None = None,
) -> dict[str, Decimal]:
    """Cost by cost column, rounded to 12 digits; their sum is the cost of the request, rounded once."""
    routing = route(config, facets)
    exact = dict.fromkeys(COST_COLUMNS, _ZERO)
    for bucket, rate in routing.beside.items():
        _put(exact, BY_COLUMN[bucket].cost_column, EXACT.multiply(rate, Decimal(quantities.get(bucket, 0))))
    counted = {bucket: quantities.get(bucket, 0) for bucket in routing.variables}

    def formula(buckets: Mapping[str, int]) -> Decimal:
        values: dict[str, Decimal] = {}
        for bucket, count in buckets.items():
            name = routing.variables[bucket]
            values[name] = values.get(name, _ZERO) + count
        return EXACT.add(*(evaluate(root, values, routing.named) for root in routing.calculation.roots))

    whole, nothing = formula(counted), formula({})
    _put(exact, OTHER_COST, nothing)
    if routing.calculation.degree > 1:
        _put(exact, OTHER_COST, EXACT.subtract(whole, nothing))
    else:
        for bucket, count in counted.items():
            _put(exact, BY_COLUMN[bucket].cost_column, EXACT.subtract(formula({bucket: count}), nothing))
    for price in config.fixed_cost.values():
        _put(exact, OTHER_COST, price)
    rates = unit_rates(config, facets) if units else {}
    for name, count in (units or {}).items():
        if name != IMAGES:
            _put(exact, OTHER_COST, EXACT.multiply(rates.get(name, _ZERO), Decimal(count)))
    return settle(exact)


def settle(exact: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The parts rounded so that they sum to the rounded whole: all are cut to 12 digits, the dearest takes the rest."""
    total = exact_sum(exact.values()).quantize(PICOCENT, ROUND_HALF_EVEN, EXACT)
    parts = {column: cost.quantize(PICOCENT, ROUND_DOWN, EXACT) for column, cost in exact.items()}
    dearest = max(COST_COLUMNS, key=lambda column: (exact[column], -COST_COLUMNS.index(column)))
    parts[dearest] = EXACT.add(parts[dearest], EXACT.subtract(total, exact_sum(parts.values())))
    return parts


def _put(costs: dict[str, Decimal], column: str, cost: Decimal) -> None:
    costs[column] = EXACT.add(costs[column], cost)

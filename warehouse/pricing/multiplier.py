"""Factors on prices, one per unit, as they are negotiated on top of a price. Source: dataplane contract 5.7."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, cast

from warehouse.errors import InvalidInput, UnknownName
from warehouse.pricing.config import Rates
from warehouse.pricing.formula import EXACT
from warehouse.pricing.tariff import Tariff
from warehouse.pricing.units import BY_COLUMN, IMAGES, RATE_NAMES, UNIT_NAME, UNIT_PREFIX, Quantity

DEFAULT, IMAGE = "default", "image"
PREDICTION_TOKENS = frozenset({"prediction_accepted_token", "prediction_rejected_token"})
"""Known to the contract, billed as output tokens: their factors are kept and change nothing."""
UNITS: tuple[str, ...] = (DEFAULT, *sorted(RATE_NAMES | PREDICTION_TOKENS))
LARGEST_FACTOR, FACTOR_DIGITS = Decimal(10**6), 6
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Multiplier:
    """Factors on prices: rate name, `additional_units.<name>`, `image` or `default` → factor. An empty one is ×1."""

    factors: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])

    def scaled(self, tariff: Tariff, rates: Rates) -> Tariff:
        """The tariff times the factors, exactly. `rates` are those it was made from.

        A unit without a factor takes that of the unit it is billed as, then the default's. What cannot be told apart
        by unit (a price per request, a product of quantities) takes the default's.
        """
        rest = self.factors.get(DEFAULT, _ONE)
        return replace(
            tariff,
            rates={name: EXACT.multiply(rate, self._of(name, rates)) for name, rate in tariff.rates.items()},
            constant=EXACT.multiply(tariff.constant, rest),
            products=tuple(
                replace(term, coefficient=EXACT.multiply(term.coefficient, rest)) for term in tariff.products
            ),
            units={
                name: EXACT.multiply(rate, self.factors.get(UNIT_PREFIX + name, rest))
                for name, rate in tariff.units.items()
            },
        )

    def _of(self, bucket: str, rates: Rates) -> Decimal:
        if bucket == IMAGES:
            return self.factors.get(IMAGE, self.factors.get(DEFAULT, _ONE))
        quantity: Quantity = BY_COLUMN[bucket]
        while True:
            # Of several names of a unit, the one that the price is written under counts first.
            names = sorted(quantity.rates, key=lambda name: name not in rates.tokens)
            own = next((self.factors[name] for name in names if name in self.factors), None)
            if own is not None:
                return own
            if not quantity.parents or any(name in rates.tokens for name in quantity.rates):
                return self.factors.get(DEFAULT, _ONE)
            parents = [BY_COLUMN[name] for name in quantity.parents]
            rated = (parent for parent in parents if any(name in rates.tokens for name in parent.rates))
            quantity = next(rated, parents[-1])


def parse_multiplier(given: Mapping[str, Any] | None) -> Multiplier:
    """The factors of a `multiplier` as clients write it; None clears: every unit is ×1 from then on.

    A unit that is null is as if it were not there. Raises: InvalidInput, UnknownName.
    """
    factors: dict[str, Decimal] = {}
    for name, value in (given or {}).items():
        if name == "additional_units":
            for unit, factor in _table(name, value).items():
                if not UNIT_NAME.fullmatch(unit):
                    raise InvalidInput(f"multiplier.{name}: '{unit}' is not lower case words joined by _")
                _put(factors, UNIT_PREFIX + unit, factor, f"multiplier.{name}.{unit}")
        elif name == IMAGE:
            for quality, factor in _table(name, value).items():
                if quality != DEFAULT:
                    raise UnknownName("key of multiplier.image", quality, [DEFAULT])
                _put(factors, IMAGE, factor, f"multiplier.{name}.{quality}")
        elif name in UNITS:
            _put(factors, name, value, f"multiplier.{name}")
        else:
            raise UnknownName("unit of a multiplier", name, [*UNITS, "additional_units", IMAGE])
    return Multiplier(factors)


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"multiplier.{name}: an object is expected")
    return cast("dict[str, Any]", value)


def _put(factors: dict[str, Decimal], name: str, value: Any, path: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise InvalidInput(f"{path}: a number from 0 to {LARGEST_FACTOR} is expected")
    factor = value if isinstance(value, Decimal) else Decimal(str(value))
    if not factor.is_finite() or not 0 <= factor <= LARGEST_FACTOR:
        raise InvalidInput(f"{path}: a number from 0 to {LARGEST_FACTOR} is expected")
    exponent = factor.normalize(EXACT).as_tuple().exponent
    if isinstance(exponent, int) and -exponent > FACTOR_DIGITS:
        raise InvalidInput(f"{path}: at most {FACTOR_DIGITS} decimals are allowed")
    factors[name] = factor

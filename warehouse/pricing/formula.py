"""The `calculate` tree of a price: parsed, evaluated exactly in Decimal, and expanded to a polynomial.

The evaluator is the reference for money; the polynomial is what the columnar arithmetic is made from.
Source: dataplane contract 5.4.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from enum import StrEnum
from functools import cached_property, lru_cache, reduce
from typing import Any, cast

from warehouse.errors import PricingError
from warehouse.pricing.units import BY_RATE, BY_VARIABLE, UNIT_NAME, UNIT_PREFIX

EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)
"""Wide enough that no sum or product of prices and counts is ever rounded."""
_MAX_DEPTH = 32
_MOST_MONOMIALS = 64
"""Trees that multiply out to more are expanded with each price's numbers instead of once for all prices."""
_ZERO, _ONE = Decimal(0), Decimal(1)


class Operation(StrEnum):
    """What a node does with its operands."""

    SUM = "sum"
    MULTIPLY = "multiply"


@dataclass(frozen=True, slots=True)
class Constant:
    number: Decimal


@dataclass(frozen=True, slots=True)
class Variable:
    """A quantity, by the column of its bucket."""

    column: str


@dataclass(frozen=True, slots=True)
class RateRef:
    """A rate of the price, by the name after `rates.`."""

    name: str


@dataclass(frozen=True, slots=True)
class Branch:
    operation: Operation
    operands: tuple["Node", ...]


Node = Constant | Variable | RateRef | Branch


Monomials = dict[tuple[tuple[str, ...], tuple[str, ...]], Decimal]
"""(sorted variables, rate names) → number: what a tree comes to before its rates are known."""
_Monomial = tuple[tuple[tuple[str, ...], tuple[str, ...]], Decimal]


@dataclass(frozen=True)
class Calculation:
    """The two roots of a `calculate` tree; cost is the sum of both. What many prices ask of it is worked out once."""

    request: Node = Constant(_ZERO)
    response: Node = Constant(_ZERO)

    @property
    def roots(self) -> tuple[Node, Node]:
        return self.request, self.response

    @cached_property
    def variables(self) -> frozenset[str]:
        """Columns of the quantities that it names; `generated_images` also for the image rate."""
        named = (node.column for node in self._nodes if isinstance(node, Variable))
        return frozenset((*named, *(("generated_images",) if "image" in self.rate_names else ())))

    @cached_property
    def rate_names(self) -> frozenset[str]:
        """Names of the rates that it asks for; `image` tells that it bills per image by itself."""
        return frozenset(node.name for node in self._nodes if isinstance(node, RateRef))

    @cached_property
    def degree(self) -> int:
        """How many quantities it multiplies with each other at most."""
        return max(map(degree, self.roots))

    def polynomial(self, rates: Mapping[str, Decimal]) -> dict[tuple[str, ...], Decimal]:
        """Both roots together at these rates: sorted variables → coefficient, zero terms left out."""
        found: dict[tuple[str, ...], Decimal] = {}
        if self._monomials is None:
            for root in self.roots:
                found = _add(found, expand(root, rates))
            return found
        for (variables, names), coefficient in self._monomials.items():
            for name in names:
                rate = rates.get(name, _ZERO)
                coefficient = rate if coefficient == _ONE else EXACT.multiply(coefficient, rate)
            if coefficient:
                found[variables] = EXACT.add(found[variables], coefficient) if variables in found else coefficient
        return found

    @cached_property
    def _monomials(self) -> Monomials | None:
        """The tree multiplied out, whatever the rates are; None where that would be long."""
        return _multiplied_out(Branch(Operation.SUM, self.roots))

    @cached_property
    def _nodes(self) -> tuple[Node, ...]:
        return tuple(node for root in self.roots for node in _walk(root))


@dataclass(frozen=True, slots=True)
class Term:
    """`coefficient × product of the variables`; a variable that stands twice is squared."""

    coefficient: Decimal
    variables: tuple[str, ...]


def parse_calculation(tree: Any) -> Calculation:
    """The parsed tree. Raises: PricingError that names the place in the tree and what is allowed there."""
    if not isinstance(tree, dict):
        raise PricingError("an object with request and response is expected")
    roots = cast(dict[str, Any], tree)
    parsed = {root: _node(roots[root], root, 0) for root in ("request", "response") if roots.get(root) is not None}
    return _one_of_equal(Calculation(**parsed))


@lru_cache(256)
def _one_of_equal(calculation: Calculation) -> Calculation:
    """The first formula that equals this one: nearly all files have the same, and it is multiplied out once."""
    return calculation


def _node(node: Any, path: str, depth: int) -> Node:
    if depth > _MAX_DEPTH:
        raise PricingError(f"{path}: deeper than {_MAX_DEPTH} levels")
    if not isinstance(node, dict):
        raise PricingError(f"{path}: a node is an object with an operation or a value")
    parts = cast(dict[str, Any], node)
    if "value" in parts:
        return _reference(parts["value"], path)
    operation, operands = parts.get("operation"), parts.get("operands")
    if operation not in tuple(Operation):
        raise PricingError(f"{path}: unknown operation {operation!r}; known are {', '.join(Operation)}")
    if not isinstance(operands, list) or not operands:
        raise PricingError(f"{path}: operands are a list of one or more nodes")
    children = cast(list[Any], operands)
    return Branch(
        Operation(operation),
        tuple(_node(child, f"{path}.operands[{index}]", depth + 1) for index, child in enumerate(children)),
    )


def _reference(value: Any, path: str) -> Node:
    if isinstance(value, str) and value in BY_VARIABLE:
        return Variable(BY_VARIABLE[value].column)
    if isinstance(value, str) and value.startswith("rates."):
        name = value.removeprefix("rates.")
        if name in BY_RATE or (name.startswith(UNIT_PREFIX) and UNIT_NAME.fullmatch(name.removeprefix(UNIT_PREFIX))):
            return RateRef(name)
        raise PricingError(f"{path}: unknown rate {value!r}; known are {', '.join(sorted(BY_RATE))}")
    try:
        number = Decimal(value) if isinstance(value, str | Decimal) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise PricingError(
            f"{path}: unknown value {value!r}; known are {', '.join(sorted(BY_VARIABLE))}, rates.<name>, numbers"
        )
    return Constant(number)


def evaluate(node: Node, quantities: Mapping[str, Decimal], rates: Mapping[str, Decimal]) -> Decimal:
    """The value of a tree: exact, with 0 for a quantity or rate that is missing. Units: cents."""
    if isinstance(node, Constant):
        return node.number
    if isinstance(node, Variable):
        return quantities.get(node.column, _ZERO)
    if isinstance(node, RateRef):
        # An image rate is per image: it always comes with how many there are.
        count = quantities.get("generated_images", _ZERO) if node.name == "image" else _ONE
        return EXACT.multiply(rates.get(node.name, _ZERO), count)
    values = [evaluate(operand, quantities, rates) for operand in node.operands]
    result = _ZERO if node.operation is Operation.SUM else _ONE
    for value in values:
        result = EXACT.add(result, value) if node.operation is Operation.SUM else EXACT.multiply(result, value)
    return result


def expand(node: Node, rates: Mapping[str, Decimal]) -> dict[tuple[str, ...], Decimal]:
    """The tree as a polynomial: sorted variables → coefficient, zero terms left out."""
    if isinstance(node, Constant):
        return {(): node.number} if node.number else {}
    if isinstance(node, Variable):
        return {(node.column,): _ONE}
    if isinstance(node, RateRef):
        rate = rates.get(node.name, _ZERO)
        return {(("generated_images",) if node.name == "image" else ()): rate} if rate else {}
    parts = [expand(operand, rates) for operand in node.operands]
    result = parts[0]
    for part in parts[1:]:
        result = _add(result, part) if node.operation is Operation.SUM else _multiply(result, part)
    return result


def _add(one: dict[tuple[str, ...], Decimal], two: dict[tuple[str, ...], Decimal]) -> dict[tuple[str, ...], Decimal]:
    total = dict(one)
    for variables, coefficient in two.items():
        total[variables] = EXACT.add(total.get(variables, _ZERO), coefficient)
    return total


def _multiply(
    one: dict[tuple[str, ...], Decimal], two: dict[tuple[str, ...], Decimal]
) -> dict[tuple[str, ...], Decimal]:
    total: dict[tuple[str, ...], Decimal] = {}
    for left, a in one.items():
        for right, b in two.items():
            key = tuple(sorted((*left, *right)))
            total[key] = EXACT.add(total.get(key, _ZERO), EXACT.multiply(a, b))
    return total


def _multiplied_out(node: Node) -> Monomials | None:
    if isinstance(node, Constant):
        return {((), ()): node.number} if node.number else {}
    if isinstance(node, Variable):
        return {((node.column,), ()): _ONE}
    if isinstance(node, RateRef):
        return {(("generated_images",) if node.name == "image" else (), (node.name,)): _ONE}
    result: Monomials | None = None
    for operand in node.operands:
        part = _multiplied_out(operand)
        if part is None:
            return None
        if result is None:
            result = part
        elif node.operation is Operation.SUM:
            result = _joined((*result.items(), *part.items()))
        elif len(result) * len(part) > _MOST_MONOMIALS:
            return None
        else:
            result = _joined(_product(one, two) for one in result.items() for two in part.items())
        if len(result) > _MOST_MONOMIALS:
            return None
    return result


def _product(one: _Monomial, two: _Monomial) -> _Monomial:
    (variables, names), number = one
    (more_variables, more_names), factor = two
    key = tuple(sorted((*variables, *more_variables))), tuple(sorted((*names, *more_names)))
    return key, EXACT.multiply(number, factor)


def _joined(monomials: Iterable[_Monomial]) -> Monomials:
    total: Monomials = {}
    for key, number in monomials:
        total[key] = EXACT.add(total.get(key, _ZERO), number)
    return total


def _walk(node: Node) -> list[Node]:
    if isinstance(node, Branch):
        return [node, *(part for operand in node.operands for part in _walk(operand))]
    return [node]


def degree(node: Node) -> int:
    """How many quantities a tree multiplies with each other at most; 1 is what can be told apart by quantity."""
    if isinstance(node, Variable):
        return 1
    if isinstance(node, Branch):
        degrees = [degree(operand) for operand in node.operands]
        return max(degrees) if node.operation is Operation.SUM else sum(degrees)
    return 1 if isinstance(node, RateRef) and node.name == "image" else 0


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum without rounding; the built-in one rounds to 28 digits."""
    return reduce(EXACT.add, amounts, _ZERO)

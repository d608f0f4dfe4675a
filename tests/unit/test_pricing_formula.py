"""The calculate tree: exact values, and the polynomial that says the same."""

from decimal import Decimal

import pytest

from warehouse.errors import PricingError
from warehouse.pricing.formula import degree, evaluate, expand, parse_calculation


def _multiply(*values):
    return {"operation": "multiply", "operands": [{"value": value} for value in values]}


def _sum(*nodes):
    return {"operation": "sum", "operands": list(nodes)}


RATES = {"request_token": Decimal("0.00025"), "cache_read_input_token": Decimal("0.000125"), "image": Decimal(12)}


def test_a_sum_of_products():
    tree = _sum(
        _multiply("input_tokens", "rates.request_token"), _multiply("cache_read_tokens", "rates.cache_read_input_token")
    )
    root = parse_calculation({"request": tree}).request
    quantities = {"uncached_input_tokens": Decimal(600), "cache_read_tokens": Decimal(400)}
    assert evaluate(root, quantities, RATES) == Decimal("0.2")
    assert expand(root, RATES) == {
        ("uncached_input_tokens",): Decimal("0.00025"),
        ("cache_read_tokens",): Decimal("0.000125"),
    }


def test_numeric_strings_and_the_image_rate_times_the_images():
    calculation = parse_calculation(
        {"request": _multiply("0", "input_tokens"), "response": _multiply("1", "rates.image")}
    )
    quantities = {"uncached_input_tokens": Decimal(50), "generated_images": Decimal(2)}
    assert [evaluate(root, quantities, RATES) for root in calculation.roots] == [0, 24]
    assert expand(calculation.response, RATES) == {("generated_images",): Decimal(12)}


def test_what_is_missing_counts_as_nothing():
    root = parse_calculation({"request": _multiply("output_tokens", "rates.response_token")}).request
    assert evaluate(root, {}, {}) == 0
    assert evaluate(parse_calculation({}).response, {}, {}) == 0


def test_nothing_is_rounded():
    root = parse_calculation({"request": _multiply("input_tokens", "rates.request_token")}).request
    rate = Decimal("0.123456789012345678901234")
    cost = evaluate(root, {"uncached_input_tokens": Decimal(10**18 + 1)}, {"request_token": rate})
    assert cost == Decimal("123456789012345679.024690789012345678901234")


def test_degree_tells_what_cannot_be_split_by_quantity():
    assert degree(parse_calculation({"request": _multiply("input_tokens", "rates.request_token")}).request) == 1
    assert degree(parse_calculation({"request": _multiply("input_tokens", "output_tokens")}).request) == 2


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"request": 5}, "request: a node is an object"),
        ([], "an object with request and response"),
        ({"request": {}}, "request: unknown operation None; known are sum, multiply"),
        ({"request": {"operation": "sum", "operands": []}}, "request: operands are a list"),
        ({"request": _sum({"value": "Infinity"})}, r"request\.operands\[0\]: unknown value 'Infinity'"),
        ({"response": _sum({"value": "-1"})}, r"response\.operands\[0\]: unknown value '-1'"),
        ({"request": {"value": True}}, "unknown value True"),
        ({"request": {"value": "rates.imagine"}}, "unknown rate 'rates.imagine'; known are .*request_token"),
    ],
)
def test_a_bad_tree_says_where_and_what_is_allowed(tree, says):
    with pytest.raises(PricingError, match=says):
        parse_calculation(tree)


def test_a_bottomless_tree_is_refused():
    node = {"value": "1"}
    for _ in range(100):
        node = _sum(node)
    with pytest.raises(PricingError, match="deeper than"):
        parse_calculation({"request": node})


@pytest.mark.parametrize("operands", [2, 5, 9])
def test_a_formula_multiplied_out_once_equals_one_expanded_with_its_rates(operands):
    names = ["request_token", "response_token", "cache_read_input_token", "reasoning_token", "request_audio_token"]
    nodes = [_sum(_multiply("input_tokens", f"rates.{names[n % 5]}"), {"value": "0.5"}) for n in range(operands)]
    trees = {
        "request": {"operation": "multiply", "operands": nodes},
        "response": _sum(_multiply("output_tokens", "rates.image"), _multiply("output_tokens", "2"), *nodes),
    }
    calculation = parse_calculation(trees)
    for rates in ({}, {name: Decimal(f"0.{number}7") for number, name in enumerate([*names, "image"])}):
        expected: dict[tuple[str, ...], Decimal] = {}
        for root in calculation.roots:
            for variables, number in expand(root, rates).items():
                expected[variables] = expected.get(variables, Decimal(0)) + number
        assert calculation.polynomial(rates) == expected

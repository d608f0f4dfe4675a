"""What a filter takes as its value."""

import math
from decimal import Decimal

from warehouse.catalog.model import Filter, Kind, Operator
from warehouse.errors import InvalidInput

FilterValue = int | float | Decimal | tuple[str, ...] | tuple[int, ...] | tuple[tuple[str, str], ...]
"""By operator: AT_LEAST/AT_MOST a number; ONE_OF texts or integers; ALL_PAIRS and MODEL_OF_PROVIDER pairs."""

_INT64 = 2**63


def check_condition(of: Filter, value: FilterValue) -> None:
    """Nothing, when `value` is one that the filter takes. Raises: InvalidInput."""
    if of.operator in (Operator.AT_LEAST, Operator.AT_MOST):
        _check_number(of, value)
        return
    if not isinstance(value, tuple):
        raise InvalidInput(f"{of.name} takes a list, not {value!r}")
    for item in value:
        if of.operator in (Operator.ALL_PAIRS, Operator.MODEL_OF_PROVIDER):
            if not isinstance(item, tuple) or len(item) != 2:
                raise InvalidInput(f"{of.name} takes pairs, not {item!r}")
            for part in item:
                check_text(of.name, part)
        elif of.kind is Kind.INTEGER:
            if not isinstance(item, int):
                raise InvalidInput(f"{of.name} takes whole numbers, not {item!r}")
            _check_number(of, item)
        else:
            check_text(of.name, item)


def check_number(who: str, value: object) -> int | float | Decimal:
    """The value, when it is a number that a column can hold. Raises: InvalidInput."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not _is_finite(value):
        raise InvalidInput(f"{who} takes a number, not {value!r}")
    if not -_INT64 <= value < _INT64:
        raise InvalidInput(f"{who} is too large: {value}")
    return value


def _check_number(of: Filter, given: object) -> None:
    value = check_number(of.name, given)
    if of.minimum is not None and value < of.minimum:
        raise InvalidInput(f"{of.name} is {of.minimum:g} or more, not {value}")
    if of.maximum is not None and value > of.maximum:
        raise InvalidInput(f"{of.name} is {of.maximum:g} or less, not {value}")


def _is_finite(value: float | Decimal) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def check_text(who: str, value: object) -> None:
    """Nothing, when `value` is text that can be encoded. Raises: InvalidInput."""
    if not isinstance(value, str):
        raise InvalidInput(f"{who} takes text, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{who} holds a character that is not Unicode text: {value!r}") from None

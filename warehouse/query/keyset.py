"""Pages that stay where they are while rows arrive: a page starts after the last row of the one before it.

An offset counts rows, so a new row in front moves every page; a position names a row, which nothing moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from sqlglot import exp

from warehouse.catalog.functions import column, text
from warehouse.catalog.model import Kind
from warehouse.errors import InvalidInput
from warehouse.query.conditions import instant

Value = str | int | float | Decimal | datetime | None
Direction = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an order. Rows without a value come last, whatever the direction."""

    name: str
    direction: Direction = "desc"


_TYPES: Mapping[Kind, tuple[type, ...]] = {
    Kind.TEXT: (str,),
    Kind.INTEGER: (int,),
    Kind.FLOAT: (int, float),
    Kind.MONEY: (Decimal,),
    Kind.INSTANT: (datetime,),
}
_INT64 = 2**63


def check_position(kinds: Sequence[Kind], position: Sequence[Value]) -> None:
    """Nothing, when the values are such as these keys have. Raises: InvalidInput."""
    fits = len(kinds) == len(position) and all(
        value is None or (isinstance(value, _TYPES[kind]) and not isinstance(value, bool))
        for kind, value in zip(kinds, position, strict=True)
    )
    if not fits or any(isinstance(value, int | Decimal) and not -_INT64 <= value < _INT64 for value in position):
        raise InvalidInput("the cursor is not one of this list")


def ordered(keys: Sequence[SortKey]) -> list[exp.Ordered]:
    """What to order by; the same on every engine, which differ in where a NULL goes."""
    parts: list[exp.Ordered] = []
    for key in keys:
        parts.append(exp.Ordered(this=_missing(key), desc=False, nulls_first=False))
        parts.append(exp.Ordered(this=column(key.name), desc=key.direction == "desc", nulls_first=False))
    return parts


def after(keys: Sequence[SortKey], position: Sequence[Value]) -> exp.Expr:
    """True for rows that come after the one with these values. Raises: ValueError for another number of values."""
    pairs = list(zip(keys, position, strict=True))
    ways = [
        exp.and_(*(_same(*pair) for pair in pairs[:index]), _beyond(key, value), copy=False)
        for index, (key, value) in enumerate(pairs)
        if value is not None
    ]
    return exp.or_(*ways, copy=False) if ways else exp.false()


def _beyond(key: SortKey, value: Value) -> exp.Expr:
    compare = exp.LT if key.direction == "desc" else exp.GT
    further = compare(this=column(key.name), expression=_literal(value))
    return exp.paren(exp.or_(further, _missing(key), copy=False), copy=False)


def _same(key: SortKey, value: Value) -> exp.Expr:
    return _missing(key) if value is None else exp.EQ(this=column(key.name), expression=_literal(value))


def _missing(key: SortKey) -> exp.Expr:
    return exp.Is(this=column(key.name), expression=exp.Null())


def _literal(value: Value) -> exp.Expr:
    match value:
        case datetime():
            return instant(value)
        case Decimal():
            return exp.cast(text(f"{value:f}"), "DECIMAL(38, 12)")
        case str():
            return text(value)
        case float():
            return exp.cast(text(repr(value)), "DOUBLE")
        case _:
            return exp.Literal.number(str(value))

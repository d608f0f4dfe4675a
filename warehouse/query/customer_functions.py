"""The functions of a caller's SQL, and how each engine spells them so that they mean the same.

What has no equal on every engine is not here. None reads anything but its arguments, and none doubles an argument:
a query that calls one within the other must not grow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from warehouse.catalog.functions import call

PREFIX = "fn__"
"""Before the name of every function in a caller's tree."""
AS_LIST = PREFIX + "as_list"
"""Ours: a list, empty where there is none."""

UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
PARTS: Mapping[str, tuple[str, str]] = {
    "year": ("YEAR", "toYear"),
    "quarter": ("QUARTER", "toQuarter"),
    "month": ("MONTH", "toMonth"),
    "week": ("WEEK", "toISOWeek"),
    "day": ("DAY", "toDayOfMonth"),
    "hour": ("HOUR", "toHour"),
    "minute": ("MINUTE", "toMinute"),
    "isodow": ("ISODOW", "toDayOfWeek"),
    "doy": ("DOY", "toDayOfYear"),
}
"""Part of an instant → DuckDB's name, ClickHouse's function."""

TYPES: Mapping[exp.DType, str] = {
    exp.DType.BIGINT: "BIGINT",
    exp.DType.INT: "BIGINT",
    exp.DType.DOUBLE: "DOUBLE",
    exp.DType.FLOAT: "DOUBLE",
    exp.DType.DECIMAL: "DECIMAL",
    exp.DType.TEXT: "VARCHAR",
    exp.DType.VARCHAR: "VARCHAR",
    exp.DType.BOOLEAN: "BOOLEAN",
    exp.DType.DATE: "DATE",
    exp.DType.TIMESTAMP: "TIMESTAMP",
    exp.DType.TIMESTAMPNTZ: "TIMESTAMP",
}
"""What can be cast to → the type that it is."""

CLICKHOUSE = "clickhouse"
Arguments = list[exp.Expr]
FunctionKind = Literal["aggregate", "window", "scalar"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a caller's SQL."""

    signature: str
    description: str
    kind: FunctionKind
    least: int
    most: int
    duckdb: Callable[[Arguments], exp.Expr]
    clickhouse: Callable[[Arguments], exp.Expr]
    literal: int | None = None
    """The argument that must be written out."""
    units: tuple[str, ...] = ()
    """What the first argument may be."""


def spelled(tree: exp.Query, dialect: str) -> exp.Query:
    """The tree with every function, cast and operator as the engine of this dialect means it; changed in place."""
    for node in reversed(list(tree.find_all(*_SPELLED, bfs=False))):
        node.replace(_spelled(node, dialect))
    if dialect == CLICKHOUSE:
        for select in tree.find_all(exp.Select):
            select.set("expressions", [_as_boolean(each) for each in select.expressions])
    return tree


_SPELLED = (
    exp.Anonymous,
    exp.Cast,
    exp.TryCast,
    exp.Extract,
    exp.Interval,
    exp.Div,
    exp.Mod,
    exp.Like,
    exp.ILike,
)


def _spelled(node: exp.Expr, dialect: str) -> exp.Expr:
    at_clickhouse = dialect == CLICKHOUSE
    match node:
        case exp.Anonymous() if str(node.this) == AS_LIST:
            return node.expressions[0] if at_clickhouse else _list_in_duckdb(node.expressions[0])
        case exp.Anonymous() if str(node.this).startswith(PREFIX):
            function = FUNCTIONS[str(node.this).removeprefix(PREFIX)]
            return (function.clickhouse if at_clickhouse else function.duckdb)(list(node.expressions))
        case exp.TryCast():
            return _try_double(node.this, at_clickhouse=at_clickhouse)
        case exp.Cast():
            return _cast(node, at_clickhouse=at_clickhouse)
        case exp.Extract():
            return _part([exp.Literal.string(node.this.name), node.expression], at_clickhouse=at_clickhouse)
        case exp.Interval():
            return exp.Interval(this=exp.Literal.number(int(node.this.name)), unit=node.args["unit"])
        case exp.Div():
            return call("GL_RATIO", node.this, node.expression)
        case exp.Mod():
            divisor = exp.Nullif(this=exp.paren(node.expression), expression=exp.Literal.number(0))
            return exp.Mod(this=exp.paren(node.this), expression=divisor)
        case exp.Like() | exp.ILike() if at_clickhouse:
            # There a backslash in a pattern escapes; in the language of the query it is a letter.
            node.set("expression", _as("replaceAll", node.expression, _text("\\"), _text("\\\\")))
            return node
        case _:
            return node


def _as_boolean(projected: exp.Expr) -> exp.Expr:
    """ClickHouse's conditions are numbers; as a column they are what they are elsewhere."""
    value = projected.unalias()
    if isinstance(value.unnest(), exp.Predicate | exp.Connector | exp.Not) and isinstance(projected, exp.Alias):
        projected.set("this", exp.cast(value, "BOOLEAN"))
    return projected


def _as(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _text(value: str) -> exp.Literal:
    return exp.Literal.string(value)


def _instant(of: exp.Expr, *, at_clickhouse: bool) -> exp.Expr:
    if at_clickhouse:
        return exp.cast(of, "Nullable(DateTime64(3, 'UTC'))", dialect=CLICKHOUSE)
    return _cast_to(of, "TIMESTAMP", at_clickhouse=False)


def _cast_to(of: exp.Expr, kind: str | exp.DataType, *, at_clickhouse: bool) -> exp.Expr:
    """NULL where the value is none of that kind, as ClickHouse's cast to a type that can be NULL."""
    if at_clickhouse:
        return exp.cast(of, kind)
    return exp.TryCast(this=of, to=exp.DataType.build(kind), safe=True)


def _list_in_duckdb(of: exp.Expr) -> exp.Expr:
    return exp.Coalesce(this=of, expressions=[exp.cast(exp.Array(expressions=[]), "VARCHAR[]", dialect="duckdb")])


def _try_double(of: exp.Expr, *, at_clickhouse: bool) -> exp.Expr:
    if at_clickhouse:
        return _as("toFloat64OrNull", _as("toString", of))
    return _cast_to(exp.cast(of, "VARCHAR"), "DOUBLE", at_clickhouse=False)


def _cast(node: exp.Cast, *, at_clickhouse: bool) -> exp.Expr:
    of, kind = node.this, TYPES[node.to.this]
    if kind == "BIGINT":
        # By way of a decimal: each engine rounds a float in its own way, a decimal all alike.
        exact = _cast_to(of, "DECIMAL(38, 12)", at_clickhouse=at_clickhouse)
        return _cast_to(_as("round", exact, exp.Literal.number(0)), "BIGINT", at_clickhouse=at_clickhouse)
    if kind == "TIMESTAMP":
        return _instant(of, at_clickhouse=at_clickhouse)
    if kind == "DATE" and at_clickhouse:
        return exp.cast(_instant(of, at_clickhouse=True), "DATE")
    return _cast_to(of, node.to if kind == "DECIMAL" else kind, at_clickhouse=at_clickhouse)


def _part(of: Arguments, *, at_clickhouse: bool) -> exp.Expr:
    in_duckdb, in_clickhouse = PARTS[of[0].name.lower()]
    instant = _instant(of[1], at_clickhouse=at_clickhouse)
    if at_clickhouse:
        return _as("toInt64", _as(in_clickhouse, instant))
    return _as("date_part", _text(in_duckdb.lower()), instant)


def _truncated_in_clickhouse(of: Arguments) -> exp.Expr:
    unit, instant = _text(of[0].name.lower()), _instant(of[1], at_clickhouse=True)
    return _instant(_as("dateTrunc", unit, instant, _text("UTC")), at_clickhouse=True)


def _difference_in_clickhouse(of: Arguments) -> exp.Expr:
    first, last = (_instant(each, at_clickhouse=True) for each in of[1:])
    return _as("dateDiff", _text(of[0].name.lower()), first, last, _text("UTC"))


def _difference_in_duckdb(of: Arguments) -> exp.Expr:
    first, last = (_instant(each, at_clickhouse=False) for each in of[1:])
    return _as("date_diff", _text(of[0].name.lower()), first, last)


def _quantile_in_clickhouse(of: Arguments) -> exp.Expr:
    share = of[1] if len(of) > 1 else exp.Literal.number("0.5")
    name, value = "quantileExactInclusiveOrNull", _as("toFloat64", of[0])
    return exp.CombinedParameterizedAgg(this=name, expressions=[share], params=[value])


def _quantile_in_duckdb(of: Arguments) -> exp.Expr:
    share = of[1] if len(of) > 1 else exp.Literal.number("0.5")
    return _as("quantile_cont", exp.cast(of[0], "DOUBLE"), share)


def _count(of: Arguments) -> exp.Expr:
    return exp.Count(this=of[0] if of else exp.Star())


def _rounded(*, at_clickhouse: bool) -> Callable[[Arguments], exp.Expr]:
    def rounded(of: Arguments) -> exp.Expr:
        exact = _cast_to(of[0], "DECIMAL(38, 12)", at_clickhouse=at_clickhouse)
        return _as("round", exact, of[1] if len(of) > 1 else exp.Literal.number(0))

    return rounded


def _count_if_in_duckdb(of: Arguments) -> exp.Expr:
    # Its own count_if is NULL over no rows.
    return exp.Count(this=exp.Case(ifs=[exp.If(this=of[0], true=exp.Literal.number(1))]))


def _joined(of: Arguments) -> exp.Expr:
    texts = [exp.Coalesce(this=exp.cast(each, "VARCHAR"), expressions=[_text("")]) for each in of]
    return _as("concat", *texts, _text(""))


def _shifted(name: str) -> Callable[[Arguments], exp.Expr]:
    def at_clickhouse(of: Arguments) -> exp.Expr:
        return _as(name, _as("toNullable", of[0]), *of[1:])

    return at_clickhouse


def _named(name: str) -> Callable[[Arguments], exp.Expr]:
    return lambda of: _as(name, *of)


def _absent_is(default: exp.Expr, name: str) -> Callable[[Arguments], exp.Expr]:
    return lambda of: exp.Coalesce(this=_as(name, *of), expressions=[default.copy()])


def _pattern_in_clickhouse(of: Arguments) -> exp.Expr:
    return _true(_as("match", of[0], _text("(?-s)" + of[1].name)))


def _true(number: exp.Expr) -> exp.Expr:
    return exp.paren(exp.NEQ(this=number, expression=exp.Literal.number(0)))


def _holds_in_clickhouse(name: str) -> Callable[[Arguments], exp.Expr]:
    """ClickHouse's yes or no, which is a number, as a condition."""
    return lambda of: _true(_as(name, *of))


def _one(
    signature: str,
    description: str,
    kind: FunctionKind,
    arity: tuple[int, int],
    duckdb: str | Callable[[Arguments], exp.Expr],
    clickhouse: str | Callable[[Arguments], exp.Expr] = "",
    literal: int | None = None,
    units: tuple[str, ...] = (),
) -> Function:
    first = _named(duckdb) if isinstance(duckdb, str) else duckdb
    second = first if not clickhouse else _named(clickhouse) if isinstance(clickhouse, str) else clickhouse
    return Function(signature, description, kind, *arity, first, second, literal, units)


_AGGREGATE: FunctionKind = "aggregate"
_WINDOW: FunctionKind = "window"
_SCALAR: FunctionKind = "scalar"
_MANY = 20

_ALL = (
    _one("count(*)", "Rows; count(x) and count(DISTINCT x) count values.", _AGGREGATE, (0, 1), _count),
    _one("count_if(condition)", "Rows where it holds.", _AGGREGATE, (1, 1), _count_if_in_duckdb, "countIf"),
    _one("sum(x)", "Sum; NULL over no values.", _AGGREGATE, (1, 1), "sum", "sumOrNull"),
    _one("avg(x)", "Mean; NULL over no values.", _AGGREGATE, (1, 1), "avg", "avgOrNull"),
    _one("min(x)", "Smallest value.", _AGGREGATE, (1, 1), "min", "minOrNull"),
    _one("max(x)", "Largest value.", _AGGREGATE, (1, 1), "max", "maxOrNull"),
    _one("median(x)", "Exact median.", _AGGREGATE, (1, 1), _quantile_in_duckdb, _quantile_in_clickhouse),
    _one("quantile_cont(x, 0.95)", "Exact quantile, interpolated.", _AGGREGATE, (2, 2), _quantile_in_duckdb, _quantile_in_clickhouse, literal=1),
    _one("any_value(x)", "Some value that is not NULL.", _AGGREGATE, (1, 1), "any_value", "anyOrNull"),
    _one("arg_max(x, y)", "x of the row with the largest y.", _AGGREGATE, (2, 2), "arg_max", "argMaxOrNull"),
    _one("arg_min(x, y)", "x of the row with the smallest y.", _AGGREGATE, (2, 2), "arg_min", "argMinOrNull"),
    _one("row_number()", "Place in the window, from 1.", _WINDOW, (0, 0), "row_number"),
    _one("rank()", "Place in the window, with gaps after ties.", _WINDOW, (0, 0), "rank"),
    _one("dense_rank()", "Place in the window, without gaps.", _WINDOW, (0, 0), "dense_rank"),
    _one("lag(x, 1)", "x of an earlier row of the window.", _WINDOW, (1, 2), "lag", _shifted("lag")),
    _one("lead(x, 1)", "x of a later row of the window.", _WINDOW, (1, 2), "lead", _shifted("lead")),
    _one("first_value(x)", "x of the first row of the frame.", _WINDOW, (1, 1), "first_value", "first_value_respect_nulls"),
    _one("last_value(x)", "x of the last row of the frame.", _WINDOW, (1, 1), "last_value", "last_value_respect_nulls"),
    _one("abs(x)", "Absolute value.", _SCALAR, (1, 1), "abs"),
    _one("ceil(x)", "Next whole number above.", _SCALAR, (1, 1), "ceil"),
    _one("floor(x)", "Next whole number below.", _SCALAR, (1, 1), "floor"),
    _one("round(x, 2)", "x to so many digits, halves away from 0.", _SCALAR, (1, 2), _rounded(at_clickhouse=False), _rounded(at_clickhouse=True)),
    _one("sign(x)", "-1, 0 or 1.", _SCALAR, (1, 1), "sign"),
    _one("greatest(x, y)", "The largest; NULLs don't count.", _SCALAR, (1, _MANY), "greatest"),
    _one("least(x, y)", "The smallest; NULLs don't count.", _SCALAR, (1, _MANY), "least"),
    _one("coalesce(x, y)", "The first that is not NULL.", _SCALAR, (1, _MANY), "coalesce"),
    _one("nullif(x, y)", "NULL where x is y, else x.", _SCALAR, (2, 2), lambda of: exp.Nullif(this=of[0], expression=of[1]), "nullIf"),
    _one("lower(text)", "Lower case.", _SCALAR, (1, 1), "lower", "lowerUTF8"),
    _one("upper(text)", "Upper case.", _SCALAR, (1, 1), "upper", "upperUTF8"),
    _one("length(text)", "Characters.", _SCALAR, (1, 1), "length", "lengthUTF8"),
    _one("substr(text, 1, 3)", "Part of a text, from a place counted from 1.", _SCALAR, (2, 3), "substr", "substringUTF8"),
    _one("left(text, 3)", "The first characters.", _SCALAR, (2, 2), "left", "leftUTF8"),
    _one("right(text, 3)", "The last characters.", _SCALAR, (2, 2), "right", "rightUTF8"),
    _one("replace(text, 'a', 'b')", "Every 'a' becomes 'b'.", _SCALAR, (3, 3), "replace", "replaceAll"),
    _one("trim(text)", "Without blanks at both ends.", _SCALAR, (1, 1), "trim", "trimBoth"),
    _one("concat(x, y)", "As one text; NULL as ''.", _SCALAR, (1, _MANY), _joined),
    _one("starts_with(text, 'a')", "Whether it begins so.", _SCALAR, (2, 2), "starts_with", _holds_in_clickhouse("startsWith")),
    _one("ends_with(text, 'a')", "Whether it ends so.", _SCALAR, (2, 2), "ends_with", _holds_in_clickhouse("endsWith")),
    _one("contains(text, 'a')", "Whether it holds that.", _SCALAR, (2, 2), "contains", _holds_in_clickhouse("position")),
    _one("regexp_matches(text, 'a.c')", "Whether the RE2 pattern occurs.", _SCALAR, (2, 2), "regexp_matches", _pattern_in_clickhouse, literal=1),
    _one("len(list)", "Items of a list.", _SCALAR, (1, 1), _absent_is(exp.Literal.number(0), "len"), "length"),
    _one("list_contains(list, 'a')", "Whether a list has the item.", _SCALAR, (2, 2), _absent_is(exp.false(), "list_contains"), _holds_in_clickhouse("has")),
    _one("map_value(keys, values, 'team')", "The value beside a key in two lists; '' where absent: map_value(\"metadata.key\", \"metadata.value\", 'team').", _SCALAR, (3, 3), lambda of: call("GL_MAP_VALUE", *of)),
    _one("date_trunc('day', t)", "Start of the UTC second … year.", _SCALAR, (2, 2), lambda of: _as("date_trunc", _text(of[0].name.lower()), _instant(of[1], at_clickhouse=False)), _truncated_in_clickhouse, 0, UNITS),
    _one("date_part('hour', t)", "Part of a UTC instant, as EXTRACT(hour FROM t).", _SCALAR, (2, 2), lambda of: _part(of, at_clickhouse=False), lambda of: _part(of, at_clickhouse=True), 0, tuple(PARTS)),
    _one("date_diff('day', t, u)", "Ends of such units between two instants.", _SCALAR, (3, 3), _difference_in_duckdb, _difference_in_clickhouse, 0, UNITS),
    _one("now()", "The instant of the request, as current_timestamp.", _SCALAR, (0, 0), "now"),
    _one("today()", "The UTC day of the request, as current_date.", _SCALAR, (0, 0), "today"),
)  # fmt: skip

FUNCTIONS: Mapping[str, Function] = {each.signature.split("(")[0]: each for each in _ALL}

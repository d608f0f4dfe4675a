"""How ClickHouse spells the neutral functions.

Every spelling also takes the types of a gateway's own table (UInt8 for a boolean, Float64 for money), so such a
table can be asked as it is.
"""

from collections.abc import Mapping

from sqlglot import exp

from warehouse.engines.base import Spelling

UTC = exp.Literal.string("UTC")
MILLISECONDS = exp.Literal.number(3)


def function(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A call of a ClickHouse function, by its exact name."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def instant(text: exp.Expr) -> exp.Expr:
    """A UTC instant of millisecond precision, from a text or another instant."""
    return function("toDateTime64", text, MILLISECONDS.copy(), UTC.copy())


def _int64(x: exp.Expr) -> exp.Expr:
    return function("toInt64", x)


def _zero_for_null(x: exp.Expr) -> exp.Expr:
    return function("ifNull", x, exp.Literal.number(0))


def _count(_: list[exp.Expr]) -> exp.Expr:
    return _int64(function("count"))


def _count_if(arguments: list[exp.Expr]) -> exp.Expr:
    # A gateway's own table may hold 0/1 as a float, which countIf refuses; the comparison takes every number.
    true = exp.NEQ(this=exp.paren(arguments[0]), expression=exp.Literal.number(0))
    return _int64(function("countIf", true))


def _count_distinct(arguments: list[exp.Expr]) -> exp.Expr:
    return _int64(function("uniqExact", arguments[0]))


def _sum_int(arguments: list[exp.Expr]) -> exp.Expr:
    return _int64(_zero_for_null(function("sum", arguments[0])))


def _sum_float(arguments: list[exp.Expr]) -> exp.Expr:
    return function("toFloat64", function("sumOrNull", arguments[0]))


def _sum_money(arguments: list[exp.Expr]) -> exp.Expr:
    return exp.cast(function("sumOrNull", arguments[0]), "Nullable(Decimal(38, 12))", dialect="clickhouse")


def _ratio(arguments: list[exp.Expr]) -> exp.Expr:
    divisor = function("nullIf", function("toFloat64", arguments[1]), exp.Literal.number(0))
    return exp.paren(exp.Div(this=function("toFloat64", arguments[0]), expression=divisor, typed=False))


def _quantile(arguments: list[exp.Expr]) -> exp.Expr:
    # The inclusive one interpolates as DuckDB's quantile_cont does; plain quantileExact differs on small groups.
    return exp.CombinedParameterizedAgg(
        this="quantileExactInclusiveOrNull", expressions=[arguments[1]], params=[arguments[0]]
    )


def _min(arguments: list[exp.Expr]) -> exp.Expr:
    return function("minOrNull", arguments[0])


def _max(arguments: list[exp.Expr]) -> exp.Expr:
    return function("maxOrNull", arguments[0])


def _map_value(arguments: list[exp.Expr]) -> exp.Expr:
    keys, values, key = arguments
    # indexOf says 0 for an absent key, and element 0 of a list of texts is ''.
    return function("arrayElement", values, function("indexOf", keys, key))


def _each(arguments: list[exp.Expr]) -> exp.Expr:
    return function("arrayJoin", arguments[0])


def _lower(arguments: list[exp.Expr]) -> exp.Expr:
    return function("lowerUTF8", arguments[0])


def _joined(arguments: list[exp.Expr]) -> exp.Expr:
    return function("arrayStringConcat", arguments[0], exp.Literal.string("\n"))


def _to_text(arguments: list[exp.Expr]) -> exp.Expr:
    return function("ifNull", function("toString", arguments[0]), exp.Literal.string(""))


def _bucket(arguments: list[exp.Expr]) -> exp.Expr:
    width_ms = exp.paren(exp.Mul(this=arguments[1], expression=exp.Literal.number(1000)))
    ticks = function("toUnixTimestamp64Milli", instant(arguments[0]))
    start = exp.Mul(this=function("intDiv", ticks, width_ms), expression=width_ms.copy())
    return function("fromUnixTimestamp64Milli", start, UTC.copy())


def _steps(arguments: list[exp.Expr]) -> exp.Expr:
    at, origin = (function("toUnixTimestamp64Milli", instant(each)) for each in arguments[:2])
    return _int64(function("intDiv", exp.Sub(this=at, expression=origin), arguments[2]))


def _day(arguments: list[exp.Expr]) -> exp.Expr:
    return function("toDate", arguments[0], UTC.copy())


def _instant(arguments: list[exp.Expr]) -> exp.Expr:
    return instant(arguments[0])


SPELLINGS: Mapping[str, Spelling] = {
    "GL_COUNT": _count,
    "GL_COUNT_IF": _count_if,
    "GL_COUNT_DISTINCT": _count_distinct,
    "GL_SUM_INT": _sum_int,
    "GL_SUM_FLOAT": _sum_float,
    "GL_SUM_MONEY": _sum_money,
    "GL_RATIO": _ratio,
    "GL_QUANTILE": _quantile,
    "GL_MIN": _min,
    "GL_MAX": _max,
    "GL_MAP_VALUE": _map_value,
    "GL_EACH": _each,
    "GL_LOWER": _lower,
    "GL_JOINED": _joined,
    "GL_TO_TEXT": _to_text,
    "GL_BUCKET": _bucket,
    "GL_STEPS": _steps,
    "GL_DAY": _day,
    "GL_INSTANT": _instant,
}

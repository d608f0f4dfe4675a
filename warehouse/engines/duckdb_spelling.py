"""DuckDB's spelling of the neutral functions."""

from collections.abc import Mapping

from sqlglot import exp

from warehouse.engines.base import Spelling

_TOGETHER = ("0.5", "0.9", "0.95", "0.99")
"""Quantiles that questions ask together."""
_BIGINT, _DOUBLE, _TIMESTAMP, _DATE, _TEXT = map(
    exp.DataType.build, ("BIGINT", "DOUBLE", "TIMESTAMP", "DATE", "VARCHAR")
)
_MONEY_SUM = exp.DataType.build("DECIMAL(38, 12)")
"""Types are read once: each reading of a name costs more than all else of a spelling."""


def _cast(of: exp.Expr, to: exp.DataType) -> exp.Expr:
    return of if isinstance(of, exp.Cast) and of.to == to else exp.Cast(this=of, to=to.copy())


def _count(_: list[exp.Expr]) -> exp.Expr:
    return exp.Count(this=exp.Star())


def _count_if(of: list[exp.Expr]) -> exp.Expr:
    # Half as dear as COUNT(*) FILTER, but a HUGEINT, and NULL where there is no row at all.
    return _cast(exp.Coalesce(this=exp.CountIf(this=of[0]), expressions=[exp.Literal.number(0)]), _BIGINT)


def _count_distinct(of: list[exp.Expr]) -> exp.Expr:
    return exp.Count(this=exp.Distinct(expressions=[of[0]]))


def _sum_int(of: list[exp.Expr]) -> exp.Expr:
    # A HUGEINT sum becomes a DOUBLE in Parquet without a word.
    return _cast(exp.Coalesce(this=exp.Sum(this=of[0]), expressions=[exp.Literal.number(0)]), _BIGINT)


def _sum_float(of: list[exp.Expr]) -> exp.Expr:
    return exp.Sum(this=_cast(of[0], _DOUBLE))


def _sum_money(of: list[exp.Expr]) -> exp.Expr:
    return _cast(exp.Sum(this=of[0]), _MONEY_SUM)


def _ratio(of: list[exp.Expr]) -> exp.Expr:
    divisor = exp.Nullif(this=_cast(of[1], _DOUBLE), expression=exp.Literal.number(0))
    return exp.Div(this=_cast(of[0], _DOUBLE), expression=divisor)


def _quantile(of: list[exp.Expr]) -> exp.Expr:
    value, share = of
    asked: exp.Expr = share
    if share.name in _TOGETHER:
        # DuckDB sees that both read the same list and sorts once; two quantiles of their own would sort twice.
        asked = exp.Array(expressions=[exp.Literal.number(each) for each in _TOGETHER])
    quantile: exp.Expr = exp.Anonymous(this="QUANTILE_CONT", expressions=[value, asked])
    if asked is not share:
        place = exp.Literal.number(_TOGETHER.index(share.name) + 1)
        quantile = exp.Anonymous(this="LIST_EXTRACT", expressions=[quantile, place])
    return _cast(quantile, _DOUBLE)


def _map_value(of: list[exp.Expr]) -> exp.Expr:
    position = exp.Anonymous(this="LIST_POSITION", expressions=[of[0], of[2]])
    value = exp.Anonymous(this="LIST_EXTRACT", expressions=[of[1], position])
    return exp.Coalesce(this=value, expressions=[exp.Literal.string("")])


def _each(of: list[exp.Expr]) -> exp.Expr:
    return exp.Anonymous(this="UNNEST", expressions=[of[0]])


def _joined(of: list[exp.Expr]) -> exp.Expr:
    return exp.Anonymous(this="ARRAY_TO_STRING", expressions=[of[0], exp.Literal.string("\n")])


def _to_text(of: list[exp.Expr]) -> exp.Expr:
    return exp.Coalesce(this=_cast(of[0], _TEXT), expressions=[exp.Literal.string("")])


def _bucket(of: list[exp.Expr]) -> exp.Expr:
    width = exp.Anonymous(this="TO_SECONDS", expressions=[of[1]])
    epoch = _cast(exp.Literal.string("1970-01-01 00:00:00"), _TIMESTAMP)
    return exp.Anonymous(this="TIME_BUCKET", expressions=[width, of[0], epoch])


def _steps(of: list[exp.Expr]) -> exp.Expr:
    at, origin = (exp.Anonymous(this="EPOCH_US", expressions=[_cast(each, _TIMESTAMP)]) for each in of[:2])
    width_us = exp.Literal.number(int(of[2].name) * 1000)
    return _cast(exp.IntDiv(this=exp.paren(exp.Sub(this=at, expression=origin)), expression=width_us), _BIGINT)


SPELLINGS: Mapping[str, Spelling] = {
    "GL_COUNT": _count,
    "GL_COUNT_IF": _count_if,
    "GL_COUNT_DISTINCT": _count_distinct,
    "GL_SUM_INT": _sum_int,
    "GL_SUM_FLOAT": _sum_float,
    "GL_SUM_MONEY": _sum_money,
    "GL_RATIO": _ratio,
    "GL_QUANTILE": _quantile,
    "GL_MIN": lambda of: exp.Min(this=of[0]),
    "GL_MAX": lambda of: exp.Max(this=of[0]),
    "GL_MAP_VALUE": _map_value,
    "GL_EACH": _each,
    "GL_LOWER": lambda of: exp.Lower(this=of[0]),
    "GL_JOINED": _joined,
    "GL_TO_TEXT": _to_text,
    "GL_BUCKET": _bucket,
    "GL_STEPS": _steps,
    "GL_DAY": lambda of: _cast(of[0], _DATE),
    "GL_INSTANT": lambda of: _cast(of[0], _TIMESTAMP),
}

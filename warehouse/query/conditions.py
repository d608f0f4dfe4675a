"""Predicates of a question as neutral trees: whose rows, when, and the catalog's filters."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from sqlglot import exp

from warehouse.catalog import registry
from warehouse.catalog.functions import call, column, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset, Filter, Kind, Operator
from warehouse.engines.base import Window, scan
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, Having

MILLISECOND = timedelta(milliseconds=1)
_CENT_STEP = Decimal("0.000000000001")
_EXACT = exp.DataType.build("DECIMAL(38, 12)")


def within_scope(scope: TenantScope) -> exp.Expr:
    """True for the rows of `scope`; FALSE when it holds no workspace."""
    parts: list[exp.Expr] = [column("organisation_id").eq(text(scope.organisation_id))]
    if scope.workspaces is not None:
        if not scope.workspaces:
            return exp.false()
        parts.append(is_one_of("workspace_slug", sorted(scope.workspaces)))
    if scope.own is not None:
        by_key = is_one_of("api_key_id", sorted(scope.own.api_key_ids))
        parts.append(exp.or_(is_one_of("user_id", [scope.own.user_id]), by_key))
    return exp.and_(*parts)


def to_millisecond(instant: datetime) -> datetime:
    """The instant in UTC without what is finer than a millisecond, as rows are stored."""
    utc = instant.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def instant(value: datetime) -> exp.Expr:
    """A neutral literal of an instant, to the millisecond."""
    return call("GL_INSTANT", text(to_millisecond(value).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]))


def within_windows(time_column: str, windows: Sequence[Window]) -> exp.Expr:
    """True for rows of any of the windows, both ends included; FALSE for no window."""
    if not windows:
        return exp.false()
    return exp.or_(*(_within(time_column, window) for window in windows), copy=False)


def within_days(windows: Sequence[Window], day_column: str = "day") -> exp.Expr:
    """True for the UTC days of a derived dataset from each window's first to its last."""

    def days(window: Window) -> exp.Expr:
        first, last = (call("GL_DAY", instant(end)) for end in (window.since, window.until) if end)
        return exp.Between(this=column(day_column), low=first, high=last)

    return _any(days(window) for window in windows)


def matches(dataset: Dataset, condition: Condition, scope: TenantScope) -> exp.Expr:
    """The predicate of one condition; what it looks up elsewhere is looked up within `scope`."""
    of = registry.filter_(dataset, condition.filter)
    if of.through is None:
        return _predicate(of, condition.value)
    return _looked_up(of, condition.value, scope)


def trace_matches(of_requests: Sequence[Condition], scope: TenantScope) -> exp.Expr:
    """The row's trace has a request of `scope` that passes all conditions, whenever it was made."""
    traces = exp.select(column("trace_id"), copy=False).from_(scan(GENERATIONS.name, Window()), copy=False)
    passing = [matches(GENERATIONS, condition, scope) for condition in of_requests]
    has_trace = column("trace_id").neq(text(""))
    traces = traces.where(within_scope(scope), has_trace, *passing, copy=False)
    return exp.In(this=column("trace_id"), query=exp.Subquery(this=traces))


def is_none_of(keys: Sequence[exp.Expr], groups: Sequence[Sequence[str | int | None]]) -> exp.Expr:
    """The row is in none of the groups that have these values as their keys."""
    return exp.Not(this=exp.paren(_any(_all(map(_is, keys, values)) for values in groups), copy=False))


def passes(having: Having, kind: Kind, value: exp.Expr) -> exp.Expr:
    """The predicate of a group's number, rounded to what a number of this kind can be without changing what passes."""
    compare: dict[str, type[exp.Binary]] = {
        ">=": exp.GTE, "<=": exp.LTE, ">": exp.GT, "<": exp.LT, "=": exp.EQ, "!=": exp.NEQ,
    }  # fmt: skip
    exact = Decimal(str(having.value))
    step = {Kind.INTEGER: Decimal(1), Kind.MONEY: _CENT_STEP}.get(kind)
    between = step is not None and exact != exact.quantize(step, rounding=ROUND_FLOOR)
    if between and having.comparison in ("=", "!="):
        never = having.comparison == "="
        return exp.false() if never else exp.Not(this=exp.Is(this=value, expression=exp.Null()))
    up = having.comparison in (">=", "<")
    return exp.paren(compare[having.comparison](this=value, expression=_number(kind, exact, up=up)), copy=False)


def _is(key: exp.Expr, value: str | int | None) -> exp.Expr:
    """True or false, never unknown: the whole is negated."""
    if value is None:
        return exp.Is(this=key.copy(), expression=exp.Null())
    same = exp.EQ(this=key.copy(), expression=text(value) if isinstance(value, str) else exp.Literal.number(str(value)))
    return exp.Coalesce(this=same, expressions=[exp.false()])


def _within(time_column: str, window: Window) -> exp.Expr:
    bounds: list[exp.Expr] = []
    if window.since is not None:
        bounds.append(exp.GTE(this=column(time_column), expression=instant(window.since)))
    if window.until is not None:
        bounds.append(exp.LTE(this=column(time_column), expression=instant(window.until)))
    return exp.and_(*bounds, copy=False) if bounds else exp.true()


def _looked_up(of: Filter, value: object, scope: TenantScope) -> exp.Expr:
    """The row's trace has a mean that passes. No window: what is said of a trace can come long after its requests."""
    measured = of.columns[0]
    mean = call("GL_RATIO", call("GL_SUM_FLOAT", measured), call("GL_COUNT_IF", _known(measured)))
    traces = (
        exp.select(column("trace_id"))
        .from_(scan(str(of.through), Window()))
        .where(within_scope(scope), _known("trace_id"), column("trace_id").neq(text("")), copy=False)
        .group_by(column("trace_id"), copy=False)
        .having(_compared(of, mean, value), copy=False)
    )
    return exp.In(this=column("trace_id"), query=exp.Subquery(this=traces))


def _predicate(of: Filter, value: object) -> exp.Expr:
    name = of.columns[0]
    match of.operator, value:
        case ((Operator.AT_LEAST | Operator.AT_MOST), _):
            return _compared(of, column(name), value)
        case Operator.ONE_OF, tuple():
            return is_one_of(name, value)
        case Operator.ONE_OF_IGNORING_CASE, tuple():
            # Both sides are lowered by the engine, so that one notion of lower case decides.
            texts = [call("GL_LOWER", text(str(item))) for item in value]
            return _in(call("GL_LOWER", _or_blank(name) if "" in value else column(name)), texts)
        case Operator.ALL_PAIRS, tuple():
            return _all(
                exp.EQ(this=call("GL_MAP_VALUE", *of.columns, text(pair[0])), expression=text(pair[1]))
                for pair in value
            )
        case Operator.MODEL_OF_PROVIDER, tuple():
            provider, model = of.columns
            return _any(
                exp.and_(is_one_of(provider, [pair[0]]), is_one_of(model, [pair[1]]), copy=False) for pair in value
            )
        case _:
            raise TypeError(f"filter {of.name}: {of.operator} cannot compare with {value!r}")


def _compared(of: Filter, left: exp.Expr, value: object) -> exp.Expr:
    """`left` at least or at most `value`, rounded to what the column can hold without changing which rows pass."""
    if not isinstance(value, int | float | Decimal):
        raise TypeError(f"filter {of.name} compares numbers, not {value!r}")
    at_least = of.operator is Operator.AT_LEAST
    compare = exp.GTE if at_least else exp.LTE
    return compare(this=left, expression=_number(of.kind, value, up=at_least))


def _number(kind: Kind, value: float | Decimal, *, up: bool) -> exp.Expr:
    if kind is Kind.INTEGER:
        return exp.Literal.number(math.ceil(value) if up else math.floor(value))
    if kind is Kind.MONEY:
        exact = Decimal(str(value)).quantize(_CENT_STEP, rounding=ROUND_CEILING if up else ROUND_FLOOR)
        return exp.Cast(this=text(f"{exact:f}"), to=_EXACT.copy())
    return exp.Cast(this=text(repr(float(value))), to=exp.DataType(this=exp.DType.DOUBLE))


def is_one_of(name: str, values: Iterable[object]) -> exp.Expr:
    """The column holds one of the values; an empty text stands for rows without one."""
    wanted = list(values)
    left = _or_blank(name) if "" in wanted else column(name)
    return _in(left, [text(item) if isinstance(item, str) else exp.Literal.number(str(item)) for item in wanted])


def _in(left: exp.Expr, values: Sequence[exp.Expr]) -> exp.Expr:
    match values:
        case []:
            return exp.false()
        case [only]:
            return exp.EQ(this=left, expression=only)
        case _:
            return exp.In(this=left, expressions=list(values))


def _all(parts: Iterable[exp.Expr]) -> exp.Expr:
    conditions = list(parts)
    return exp.and_(*conditions, copy=False) if conditions else exp.true()


def _any(parts: Iterable[exp.Expr]) -> exp.Expr:
    conditions = list(parts)
    return exp.or_(*conditions, copy=False) if conditions else exp.false()


def _or_blank(name: str) -> exp.Expr:
    return exp.Coalesce(this=column(name), expressions=[text("")])


def _known(name: str) -> exp.Expr:
    return exp.Not(this=exp.Is(this=column(name), expression=exp.Null()))

"""A question → one neutral tree: pure, and the same tree for the same question.

The tree has two levels. The inner one groups rows into parts (keys `k0…`, measures `m_<name>`); the outer one names
the answer's columns `c0…`, divides ratios, counts the groups and cuts out the page. Names within the SQL are ours
alone: what a caller wrote only ever becomes a literal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlglot import exp

from warehouse.catalog import registry
from warehouse.catalog.functions import call, column, named, text
from warehouse.catalog.model import Dataset, Kind, Measure, Ratio
from warehouse.catalog.rollups import Rollup
from warehouse.engines.base import Window, scan
from warehouse.query import conditions
from warehouse.query.knowledge import known_rows
from warehouse.query.spec import GroupedQuery, MetadataDimension, Order, dimension_of

TOTAL = "total"
"""Column of the tree's answer that holds the number of groups before paging."""
RANK = "rank"
"""Column of the tree's answer, where the page starts later, that holds a group's place in the order, from 1."""


@dataclass(frozen=True, slots=True)
class Split:
    """How a question's time is divided: whole days from a rollup, the rest from the rows."""

    rollup: Rollup
    days: tuple[Window, ...]
    """Whole UTC days that the rollup answers, from the first day's start to the last day's last millisecond."""
    rest: tuple[Window, ...]


def compile_grouped(query: GroupedQuery, split: Split | None = None) -> exp.Select:
    """The tree of a question, over the rows or, by `split`, over a rollup and the rows it lacks."""
    parts = needed_parts(query.dataset, (*measures_of(query), *(order.by for order in query.order)))
    if split is None:
        groups = _grouped_rows(query, parts, (Window(query.since, query.until),))
    else:
        groups = _grouped_partials(query, parts, split)
    return _page(query, groups)


def measures_of(query: GroupedQuery) -> tuple[str, ...]:
    """The measures of the answer: those asked for, then the ones that must stand beside them."""
    beside = [part.beside for part in needed_parts(query.dataset, query.measures) if part.beside]
    return tuple(dict.fromkeys((*query.measures, *beside)))


def needed_parts(dataset: Dataset, names: Sequence[str]) -> tuple[Measure, ...]:
    """The measures that must be computed for these measures and ratios, each once, the row count always first."""
    parts = {dataset.count.name: dataset.count}
    ratios = {ratio.name: ratio for ratio in dataset.ratios}
    for name in names:
        ratio = ratios.get(name)
        for part in (ratio.numerator, ratio.denominator) if ratio else (name,):
            if dataset.has_measure(part):
                parts[part] = dataset.measure(part)
    return tuple(parts.values())


def _grouped_rows(query: GroupedQuery, parts: Sequence[Measure], windows: Sequence[Window]) -> exp.Select:
    rows = _keyed(query, parts, [named(f"{query.dataset.name}.{part.name}", part.expression) for part in parts])
    where = [conditions.within_windows(query.dataset.time_column, windows), *_restrictions(query)]
    rows = rows.where(*where, copy=False).from_(_source(query, parts, where, windows), copy=False)
    return rows.group_by(*_key_names(query), copy=False)


def _source(
    query: GroupedQuery, parts: Sequence[Measure], where: Sequence[exp.Expr], windows: Sequence[Window]
) -> exp.Expr:
    """The rows, or what was known of them."""
    if query.as_known_at is None:
        return scan(query.dataset.name, *windows)
    read = [*where, *(_key(query.dataset, name) for name in query.by), *(part.expression for part in parts)]
    names = {node.name for tree in read for node in tree.find_all(exp.Column)}
    kept = [column.name for column in query.dataset.columns if column.name in names]
    return known_rows(query.as_known_at, query.scope, windows, kept).subquery("known", copy=False)


def _grouped_partials(query: GroupedQuery, parts: Sequence[Measure], split: Split) -> exp.Select:
    """Groups whose parts are merged from a rollup's days and from the rows of the other instants."""
    kept = _keyed(query, parts, [column(part.name) for part in parts])
    kept = kept.from_(scan(split.rollup.name, *split.days), copy=False)
    kept = kept.where(conditions.within_days(split.days), *_restrictions(query), copy=False)
    partials: exp.Query = kept
    if split.rest:
        partials = exp.union(kept, _grouped_rows(query, parts, split.rest), distinct=False, copy=False)
    keys = _key_names(query)
    merged = [exp.alias_(_merge(part), f"m_{part.name}") for part in parts]
    groups = exp.select(*(key.copy() for key in keys), *merged)
    return groups.from_(partials.subquery("partials", copy=False), copy=False).group_by(*keys, copy=False)


def _keyed(query: GroupedQuery, parts: Sequence[Measure], values: Sequence[exp.Expr]) -> exp.Select:
    keys = [exp.alias_(_key(query.dataset, name), f"k{index}") for index, name in enumerate(query.by)]
    named = [exp.alias_(value, f"m_{part.name}") for part, value in zip(parts, values, strict=True)]
    return exp.select(*keys, *named, copy=False)


def _key(dataset: Dataset, name: str) -> exp.Expr:
    dimension = dimension_of(dataset, name)
    if isinstance(dimension, MetadataDimension):
        return call("GL_MAP_VALUE", "metadata.key", "metadata.value", text(dimension.metadata_key))
    if dimension.kind is Kind.TEXT:
        return exp.Coalesce(this=column(dimension.column), expressions=[text("")])
    return column(dimension.column)


def _key_names(query: GroupedQuery) -> list[exp.Expr]:
    return [exp.column(f"k{index}") for index in range(len(query.by))]


def _restrictions(query: GroupedQuery) -> list[exp.Expr]:
    own = conditions.within_scope(query.scope)
    return [own, *(conditions.matches(query.dataset, condition, query.scope) for condition in query.conditions)]


def _merge(part: Measure) -> exp.Expr:
    sums = {Kind.INTEGER: "GL_SUM_INT", Kind.FLOAT: "GL_SUM_FLOAT", Kind.MONEY: "GL_SUM_MONEY"}
    name = sums[part.kind] if part.merge == "sum" else {"min": "GL_MIN", "max": "GL_MAX"}[part.merge]
    return call(name, exp.column(f"m_{part.name}"))


def _page(query: GroupedQuery, groups: exp.Select) -> exp.Select:
    keys = [exp.alias_(exp.column(f"k{index}"), f"c{index}") for index in range(len(query.by))]
    values = [
        exp.alias_(_value(query.dataset, name), f"c{index}")
        for index, name in enumerate(measures_of(query), start=len(keys))
    ]
    page = exp.select(*keys, *values, copy=False).from_(groups.subquery("groups", copy=False), copy=False)
    order = exp.Order(expressions=_order(query))
    if query.include_total and query.offset:
        return _ranked(query, page, order)
    if query.include_total:
        page = page.select(_over(exp.Count(this=exp.Star()), TOTAL), copy=False)
    page.set("order", order)
    if query.limit is not None:
        # One group is read even for an empty page: the number of groups comes with it.
        limit = max(query.limit, 1) if query.include_total else query.limit
        page.set("limit", exp.Limit(expression=exp.Literal.number(limit)))
    if query.offset:
        page.set("offset", exp.Offset(expression=exp.Literal.number(query.offset)))
    return page


def _ranked(query: GroupedQuery, page: exp.Select, order: exp.Order) -> exp.Select:
    """A later page, and the first group with it: the number of groups is known even when the page is empty."""
    page = page.select(_over(exp.Count(this=exp.Star()), TOTAL), _over(exp.RowNumber(), RANK, order), copy=False)
    rank = exp.column(RANK)
    wanted: exp.Expr = exp.GT(this=rank, expression=exp.Literal.number(query.offset))
    if query.limit is not None:
        last = exp.LTE(this=rank.copy(), expression=exp.Literal.number(query.offset + query.limit))
        wanted = exp.and_(wanted, last, copy=False)
    first = exp.EQ(this=rank.copy(), expression=exp.Literal.number(1))
    ranked = exp.select(exp.Star()).from_(page.subquery("ranked", copy=False), copy=False)
    return ranked.where(exp.or_(first, wanted, copy=False), copy=False).order_by(rank.copy(), copy=False)


def _over(function: exp.Expr, name: str, order: exp.Order | None = None) -> exp.Expr:
    return exp.alias_(exp.Window(this=function, order=order), name)


def _order(query: GroupedQuery) -> list[exp.Expr]:
    """The order asked for, groups without a value last, ties by key: always total, so pages never overlap."""
    by_key = {dimension_of(query.dataset, name).key: f"k{index}" for index, name in enumerate(query.by)}
    asked = query.order or (Order(query.dataset.count.name),)
    ordered = [
        _ordered(exp.column(by_key[order.by]) if order.by in by_key else _value(query.dataset, order.by), order)
        for order in asked
    ]
    named = {order.by for order in asked}
    return [
        *ordered,
        *(_ordered(exp.column(name), Order(key, "asc")) for key, name in by_key.items() if key not in named),
    ]


def _ordered(value: exp.Expr, order: Order) -> exp.Expr:
    return exp.Ordered(this=value, desc=order.direction == "desc", nulls_first=False)


def _value(dataset: Dataset, name: str) -> exp.Expr:
    measure = dataset.count if name == dataset.count.name else registry.measure(dataset, name)
    if not isinstance(measure, Ratio):
        return exp.column(f"m_{name}")
    return named(f"{dataset.name}.{name}", divided(measure))


@lru_cache
def divided(ratio: Ratio) -> exp.Expr:
    """A ratio over the parts of a group. It is scaled before it is divided, so that it is rounded once."""
    numerator: exp.Expr = exp.column(f"m_{ratio.numerator}")
    if ratio.scale != 1:
        numerator = exp.Mul(this=numerator, expression=exp.Literal.number(ratio.scale))
    return call("GL_RATIO", numerator, exp.column(f"m_{ratio.denominator}"))

"""A question → one neutral tree: pure, and the same tree for the same question.

The tree has two levels. The inner one (`warehouse/query/parts.py`) groups rows into parts (keys `k0…`, measures
`m_<name>`); the outer one names the answer's columns `c0…`, divides ratios, counts the groups and cuts out the page.
Names within the SQL are ours alone: what a caller wrote only ever becomes a literal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from itertools import pairwise

from sqlglot import exp

from warehouse.catalog import registry
from warehouse.catalog.functions import call, column, named
from warehouse.catalog.model import Dataset, Measure, Ratio
from warehouse.query import conditions
from warehouse.query.parts import Keys, RatedSplit, Split, dimension_keys, groups_of
from warehouse.query.spec import GroupedQuery, Order, Question, SeriesQuery, dimension_of

TOTAL = "total"
"""Column of the tree's answer that holds the number of groups before paging."""
RANK = "rank"
"""Column of the tree's answer, where the page starts later, that holds a group's place in the order, from 1."""
_MILLISECOND = timedelta(milliseconds=1)


def compile_grouped(query: GroupedQuery, split: Split | None = None, rated: RatedSplit | None = None) -> exp.Select:
    """The tree of a question, over the rows or, by `split`, over a rollup and the rows it lacks.

    Traces are looked up for all rows or, by `rated`, for the rated requests and the rows they lack.
    """
    keys = Keys(lambda _: dimension_keys(query), len(query.by))
    return _page(query, groups_of(query, keys, parts_of(query), split, rated))


def compile_series(query: SeriesQuery, split: Split | None = None, rated: RatedSplit | None = None) -> exp.Select:
    """The tree of a series: the bucket's number from 1 as `c0`, then keys and measures, in this order.

    One more line holds the whole time: its bucket is NULL or 0.
    """
    keys = Keys(partial(_series_keys, query), 1 + len(query.by), and_all=True)
    groups = groups_of(query, keys, parts_of(query), split, rated)
    names = keys.names()
    tree = exp.select(*_columns(query, names), copy=False).from_(groups.subquery("groups", copy=False), copy=False)
    tree = tree.order_by(*(_ordered(name.copy(), "asc") for name in names), copy=False)
    if not query.by:
        # There are never more lines; an engine that knows how few there are plans the question once.
        tree.set("limit", exp.Limit(expression=exp.Literal.number(len(query.starts) + 1)))
    return tree


def measures_of(query: Question) -> tuple[str, ...]:
    """The measures of the answer: those asked for, then the ones that must stand beside them."""
    beside = [part.beside for part in needed_parts(query.dataset, query.measures) if part.beside]
    return tuple(dict.fromkeys((*query.measures, *beside)))


def parts_of(query: Question) -> tuple[Measure, ...]:
    """Everything that must be computed of a group. A page is ordered by the number of rows unless told otherwise."""
    counted = (query.dataset.count.name,) if isinstance(query, GroupedQuery) else ()
    return needed_parts(query.dataset, (*counted, *measures_of(query), *query.numbers()))


def needed_parts(dataset: Dataset, names: Sequence[str]) -> tuple[Measure, ...]:
    """The measures that must be computed for these measures and ratios, each once."""
    parts: dict[str, Measure] = {}
    ratios = {ratio.name: ratio for ratio in dataset.ratios}
    for name in names:
        ratio = ratios.get(name)
        for part in (ratio.numerator, ratio.denominator) if ratio else (name,):
            if dataset.has_measure(part):
                parts[part] = dataset.measure(part)
    return tuple(parts.values())


@dataclass(frozen=True, slots=True)
class _Run:
    """Buckets of one width side by side."""

    start: datetime
    width: timedelta
    first: int
    """Number of its first bucket."""
    count: int


def _series_keys(query: SeriesQuery, time_column: str) -> list[exp.Expr]:
    return [_numbered(_runs(query.edges), time_column), *dimension_keys(query)]


def _runs(edges: Sequence[datetime]) -> list[_Run]:
    runs: list[_Run] = []
    for number, (start, end) in enumerate(pairwise(edges), start=1):
        if runs and runs[-1].width == end - start:
            last = runs[-1]
            runs[-1] = _Run(last.start, last.width, last.first, last.count + 1)
        else:
            runs.append(_Run(start, end - start, number, 1))
    return runs


def _numbered(runs: Sequence[_Run], time_column: str) -> exp.Expr:
    """The number of the bucket that an instant lies in: arithmetic within a run, halving between runs.

    No row's instant is brought into a zone: that would cost more than all the rest.
    """
    if len(runs) > 1:
        half = len(runs) // 2
        before = exp.LT(this=column(time_column), expression=conditions.instant(runs[half].start))
        left, right = _numbered(runs[:half], time_column), _numbered(runs[half:], time_column)
        return exp.Case(ifs=[exp.If(this=before, true=left)], default=right)
    if not runs or runs[0].count == 1:
        return exp.Literal.number(runs[0].first if runs else 1)
    run = runs[0]
    steps = call("GL_STEPS", time_column, conditions.instant(run.start), run.width // _MILLISECOND)
    return exp.Add(this=steps, expression=exp.Literal.number(run.first))


def _columns(query: Question, keys: Sequence[exp.Expr]) -> list[exp.Expr]:
    """The answer's columns `c0…`: keys, then measures."""
    values = [*keys, *(_value(query.dataset, name) for name in measures_of(query))]
    return [exp.alias_(value, f"c{index}", copy=False) for index, value in enumerate(values)]


def _page(query: GroupedQuery, groups: exp.Select) -> exp.Select:
    keys = [exp.column(f"k{index}") for index in range(len(query.by))]
    page = exp.select(*_columns(query, keys), copy=False).from_(groups.subquery("groups", copy=False), copy=False)
    for having in query.having:
        kind = registry.measure(query.dataset, having.measure).kind
        page = page.where(conditions.passes(having, kind, _value(query.dataset, having.measure)), copy=False)
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
        _ordered(
            exp.column(by_key[order.by]) if order.by in by_key else _value(query.dataset, order.by), order.direction
        )
        for order in asked
    ]
    named_keys = {order.by for order in asked}
    return [*ordered, *(_ordered(exp.column(name), "asc") for key, name in by_key.items() if key not in named_keys)]


def _ordered(value: exp.Expr, direction: str) -> exp.Expr:
    return exp.Ordered(this=value, desc=direction == "desc", nulls_first=False)


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

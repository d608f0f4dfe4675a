"""The inner half of a tree: rows grouped by keys (`k0`…) into parts (`m_<name>`), from rows, a rollup, or both.

Parts are what can be divided, ordered by and shown; `warehouse/query/compile.py` does that around them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import call, column, named, text
from warehouse.catalog.model import Dataset, Kind, Measure
from warehouse.catalog.rollups import Rollup
from warehouse.engines.base import Window, scan
from warehouse.query import conditions
from warehouse.query.knowledge import known_rows
from warehouse.query.spec import MetadataDimension, Question, dimension_of

_RATED = "rated_trace"
_RATINGS = {"rated_feedbacks": "feedbacks", "rated_sum": "weighted_sum", "rated_count": "weighted_count"}
"""Columns of a trace's ratings, and what a measure through feedbacks calls each (`PER_TRACE`)."""
_SUMS = {Kind.INTEGER: "GL_SUM_INT", Kind.FLOAT: "GL_SUM_FLOAT", Kind.MONEY: "GL_SUM_MONEY"}


@dataclass(frozen=True, slots=True)
class Split:
    """How a question's time is divided: whole days from a rollup, the rest from the rows."""

    rollup: Rollup
    days: tuple[Window, ...]
    """Whole UTC days that the rollup answers, from the first day's start to the last day's last millisecond."""
    rest: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """What groups are made by: an expression for each key over rows that have their instant in the given column."""

    of: Callable[[str], Sequence[exp.Expr]]
    count: int
    and_all: bool = False
    """Whether one more group holds all rows; its first key is NULL or 0, whatever the engine puts there."""

    def names(self) -> list[exp.Expr]:
        return [exp.column(f"k{index}") for index in range(self.count)]

    def sets(self, *further: exp.Expr) -> list[exp.Expr]:
        """What to group by, and by `further` columns within each group."""
        if not self.and_all:
            return [*self.names(), *further]
        every = [
            exp.Tuple(expressions=[*self.names(), *further]),
            exp.Tuple(expressions=[each.copy() for each in further]),
        ]
        return [exp.GroupingSets(expressions=every)]


def dimension_keys(query: Question) -> list[exp.Expr]:
    """The key of each group-by over rows: blank for a text that is not there."""
    return [_key(query.dataset, name) for name in query.by]


def groups_of(query: Question, keys: Keys, parts: Sequence[Measure], split: Split | None) -> exp.Select:
    """Every group with its parts."""
    whole = (Window(query.since, query.until),)
    if any(part.through for part in parts):
        of_traces = _of_traces(query, keys, parts, whole)
        if all(part.through for part in parts):
            return of_traces
        return _merged([of_traces, _of_rows(query, keys, parts, whole)], Keys(keys.of, keys.count), parts)
    if split is None and (not keys.and_all or not all(part.merge for part in parts)):
        return _of_rows(query, keys, parts, whole)
    # What merges is grouped first, and once more over all: that reads a few groups instead of every row twice.
    plain = Keys(keys.of, keys.count)
    partials = [_of_rows(query, plain, parts, split.rest if split else whole)] if split is None or split.rest else []
    if split is not None:
        partials.insert(0, _of_rollup(query, plain, parts, split))
    return _merged(partials, keys, parts)


def _of_rows(query: Question, keys: Keys, parts: Sequence[Measure], windows: Sequence[Window]) -> exp.Select:
    own = [
        exp.Null() if part.through else named(f"{query.dataset.name}.{part.name}", part.expression) for part in parts
    ]
    read = [part.expression for part in parts if not part.through]
    if not keys.and_all:
        return _grouped(_read(query, _select(_row_keys(query, keys), parts, own), read, windows), keys.sets())
    tree = _select(keys.names(), parts, own).from_(_keyed_rows(query, keys, read, windows), copy=False)
    return _grouped(tree, keys.sets())


def _keyed_rows(query: Question, keys: Keys, read: Sequence[exp.Expr], windows: Sequence[Window]) -> exp.Expr:
    """The rows with their keys as columns: ClickHouse cannot group by several sets of expressions (26.9, code 10)."""
    columns = [column(name) for name in _columns_of(query, read)]
    rows = exp.select(*_aliased(_row_keys(query, keys)), *columns, copy=False)
    return _read(query, rows, read, windows).subquery("keyed", copy=False)


def _read(query: Question, tree: exp.Select, read: Sequence[exp.Expr], windows: Sequence[Window]) -> exp.Select:
    """The tree over the question's rows within the windows; `read` is what it reads beside its keys."""
    where = [conditions.within_windows(query.dataset.time_column, windows), *restrictions(query)]
    source = _source(query, [*where, *dimension_keys(query), *read], windows)
    return tree.where(*where, copy=False).from_(source, copy=False)


def _of_rollup(query: Question, keys: Keys, parts: Sequence[Measure], split: Split) -> exp.Select:
    time_column = "hour" if split.rollup.hourly else "day"
    kept = _select(keys.of(time_column), parts, [column(part.name) for part in parts])
    kept = kept.from_(scan(split.rollup.name, *split.days), copy=False)
    return kept.where(conditions.within_days(split.days), *restrictions(query), copy=False)


def _of_traces(query: Question, keys: Keys, parts: Sequence[Measure], windows: Sequence[Window]) -> exp.Select:
    """The parts that look into feedbacks: each trace counts once per group, however many of its requests are in it."""
    rows = exp.select(*_aliased(_row_keys(query, keys)), *map(exp.column, (_RATED, *_RATINGS)), copy=False)
    rows = _read(query, rows, [column("trace_id")], windows)
    same = exp.EQ(this=column("trace_id"), expression=exp.column(_RATED))
    rows = rows.join(_ratings(query).subquery("ratings", copy=False), on=same, copy=False)
    of_trace = [_named(call("GL_MAX", exp.column(rating)), name) for rating, name in _RATINGS.items()]
    traces = exp.select(*keys.names(), _named(call("GL_COUNT"), "requests"), *of_trace, copy=False)
    traces = _grouped(traces.from_(rows.subquery("keyed", copy=False), copy=False), keys.sets(exp.column(_RATED)))
    own = [part.expression.copy() if part.through else exp.Null() for part in parts]
    plain = Keys(keys.of, keys.count)
    tree = _select(plain.names(), parts, own).from_(traces.subquery("traces", copy=False), copy=False)
    return _grouped(tree, plain.sets())


def _ratings(query: Question) -> exp.Select:
    """For each trace what its feedbacks add up to. No window: they may come long after the requests.

    Everybody's feedback counts: it is joined to requests that the scope holds.
    """
    rated = exp.Not(this=exp.Is(this=column("weighted"), expression=exp.Null()))
    sums = (call("GL_COUNT"), call("GL_SUM_FLOAT", "weighted"), call("GL_COUNT_IF", rated))
    named_sums = [exp.alias_(value, name) for value, name in zip(sums, _RATINGS, strict=True)]
    tree = exp.select(exp.alias_(column("trace_id"), _RATED), *named_sums, copy=False)
    own = conditions.within_scope(query.scope.of_everybody())
    has_trace = exp.NEQ(this=column("trace_id"), expression=text(""))
    tree = tree.from_(scan(FEEDBACKS.name, Window()), copy=False).where(own, has_trace, copy=False)
    return tree.group_by(exp.column(_RATED), copy=False)


def _merged(partials: Sequence[exp.Select], keys: Keys, parts: Sequence[Measure]) -> exp.Select:
    """Groups whose parts are put together from those of each partial."""
    union: exp.Query = partials[0]
    for partial in partials[1:]:
        union = exp.union(union, partial, distinct=False, copy=False)
    values = [
        exp.alias_(call(_merge(part), exp.column(f"m_{part.name}")), f"m_{part.name}", copy=False) for part in parts
    ]
    tree = exp.select(*keys.names(), *values, copy=False).from_(union.subquery("partials", copy=False), copy=False)
    return _grouped(tree, keys.sets())


def _merge(part: Measure) -> str:
    """How two values of a part become one; what does not merge has a value in one partial only."""
    return _SUMS[part.kind] if part.additive or part.through else {"min": "GL_MIN"}.get(part.merge, "GL_MAX")


def _select(keys: Sequence[exp.Expr], parts: Sequence[Measure], values: Sequence[exp.Expr]) -> exp.Select:
    of_parts = [exp.alias_(value, f"m_{part.name}", copy=False) for part, value in zip(parts, values, strict=True)]
    return exp.select(*_aliased(keys), *of_parts, copy=False)


def _aliased(keys: Sequence[exp.Expr]) -> list[exp.Expr]:
    return [exp.alias_(key, f"k{index}", copy=False) for index, key in enumerate(keys)]


def _row_keys(query: Question, keys: Keys) -> Sequence[exp.Expr]:
    return keys.of(query.dataset.time_column)


def _grouped(tree: exp.Select, sets: Sequence[exp.Expr]) -> exp.Select:
    return tree.group_by(*sets, copy=False) if sets else tree


def _named(value: exp.Expr, name: str) -> exp.Expr:
    return exp.alias_(value, name, quoted=True, copy=False)


def _source(query: Question, read: Sequence[exp.Expr], windows: Sequence[Window]) -> exp.Expr:
    """The rows, or what was known of them."""
    if query.as_known_at is None:
        return scan(query.dataset.name, *windows)
    kept = _columns_of(query, [*read, column(query.dataset.time_column)])
    return known_rows(query.as_known_at, query.scope, windows, kept).subquery("known", copy=False)


def _columns_of(query: Question, read: Sequence[exp.Expr]) -> list[str]:
    names = {node.name for tree in read for node in tree.find_all(exp.Column)}
    return [column.name for column in query.dataset.columns if column.name in names]


def _key(dataset: Dataset, name: str) -> exp.Expr:
    dimension = dimension_of(dataset, name)
    if isinstance(dimension, MetadataDimension):
        return call("GL_MAP_VALUE", "metadata.key", "metadata.value", text(dimension.metadata_key))
    if dimension.kind is Kind.TEXT:
        return exp.Coalesce(this=column(dimension.column), expressions=[text("")])
    return column(dimension.column)


def restrictions(query: Question) -> list[exp.Expr]:
    """What holds for every row of the question, wherever it is read from."""
    found = [conditions.within_scope(query.scope)]
    found += [conditions.matches(query.dataset, condition, query.scope) for condition in query.conditions]
    if query.trace_conditions:
        found.append(conditions.trace_matches(query.trace_conditions, query.scope))
    if query.outside is not None:
        keys = [_key(query.dataset, name) for name in query.outside.by]
        found.append(conditions.is_none_of(keys, query.outside.keys))
    return found

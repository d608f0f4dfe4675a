"""The inner half of a tree: rows grouped by keys (`k0`…) into parts (`m_<name>`), from rows, a rollup, or both.

Parts are what can be divided, ordered by and shown; `warehouse/query/compile.py` does that around them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import call, column, named, text
from warehouse.catalog.model import Dataset, Kind, Measure
from warehouse.catalog.rated import Rated
from warehouse.catalog.rollups import METADATA_KEY, METADATA_VALUE, Rollup
from warehouse.engines.base import Window, scan, within_windows_of
from warehouse.query import conditions
from warehouse.query.knowledge import known_rows
from warehouse.query.spec import MetadataDimension, Question, dimension_of

_RATED = "rated_trace"
_RATINGS = {"rated_feedbacks": "feedbacks", "rated_sum": "weighted_sum", "rated_count": "weighted_count"}
"""Columns of a trace's ratings, and what a measure through feedbacks calls each (`PER_TRACE`)."""
_SUMS = {Kind.INTEGER: "GL_SUM_INT", Kind.FLOAT: "GL_SUM_FLOAT", Kind.MONEY: "GL_SUM_MONEY"}


@dataclass(frozen=True, slots=True)
class Split:
    """How a question's time is divided: what is whole from a rollup, the rest from the rows."""

    rollup: Rollup
    whole: tuple[Window, ...]
    """Whole UTC days, or hours of an hourly rollup, that the rollup answers: to the last millisecond."""
    rest: tuple[Window, ...]
    metadata_key: str = ""
    """The key that is asked about, of a rollup of metadata."""


@dataclass(frozen=True, slots=True)
class RatedSplit:
    """How a question's time is divided where traces are looked up: over the rated requests, and all rows."""

    rated: Rated
    whole: tuple[Window, ...]
    """What the rated requests answer: stretches of any length within fresh days."""
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


def groups_of(
    query: Question, keys: Keys, parts: Sequence[Measure], split: Split | None, rated: RatedSplit | None = None
) -> exp.Select:
    """Every group with its parts."""
    whole = (Window(query.since, query.until),)
    if split is not None:
        return _with_rollup(query, keys, parts, split, rated)
    if all(part.through for part in parts):
        return _of_traces(query, keys, parts, rated)
    if any(part.through for part in parts):
        # Without rated requests every row is looked up: where it can be, then it is read once.
        if rated is None and not keys.and_all and all(part.merge or part.through for part in parts):
            return _of_rows_and_traces(query, keys, parts, whole)
        partials = [_of_traces(query, keys, parts, rated), _of_rows(query, keys, _own(parts), whole, parts)]
        return _merged(partials, Keys(keys.of, keys.count), parts)
    if not keys.and_all or not all(part.merge for part in parts):
        return _of_rows(query, keys, parts, whole)
    # What merges is grouped first, and once more over all: that reads a few groups instead of every row twice.
    return _merged([_of_rows(query, Keys(keys.of, keys.count), parts, whole)], keys, parts)


def _with_rollup(
    query: Question, keys: Keys, parts: Sequence[Measure], split: Split, rated: RatedSplit | None
) -> exp.Select:
    """What merges from the rollup and the rows it lacks, all else from the rows of the whole time."""
    plain, whole = Keys(keys.of, keys.count), (Window(query.since, query.until),)
    merging = [part for part in parts if part.merge]
    partials = [_of_rollup(query, plain, parts, split)]
    if split.rest:
        partials.append(_of_rows(query, plain, merging, split.rest, parts))
    if own := [part for part in _own(parts) if not part.merge]:
        partials.append(_of_rows(query, plain, own, whole, parts))
    if any(part.through for part in parts):
        partials.append(_of_traces(query, plain, parts, rated))
    return _merged(partials, keys, parts)


def _own(parts: Sequence[Measure]) -> list[Measure]:
    return [part for part in parts if not part.through]


def _of_rows(
    query: Question,
    keys: Keys,
    wanted: Sequence[Measure],
    windows: Sequence[Window],
    parts: Sequence[Measure] | None = None,
) -> exp.Select:
    """Groups of rows with the `wanted` of all `parts`; the others are NULL."""
    parts, names = wanted if parts is None else parts, {part.name for part in wanted}
    own = [_expression(query, part) if part.name in names else exp.Null() for part in parts]
    read = [part.expression for part in wanted]
    if not keys.and_all:
        return _grouped(_read(query, _select(_row_keys(query, keys), parts, own), read, windows), keys.sets())
    tree = _select(keys.names(), parts, own).from_(_keyed_rows(query, keys, read, windows), copy=False)
    return _grouped(tree, keys.sets())


def _expression(query: Question, part: Measure) -> exp.Expr:
    return named(f"{query.dataset.name}.{part.name}", part.expression)


def _keyed_rows(query: Question, keys: Keys, read: Sequence[exp.Expr], windows: Sequence[Window]) -> exp.Expr:
    """The rows with their keys as columns: ClickHouse cannot group by several sets of expressions (26.9, code 10)."""
    columns = [column(name) for name in _columns_of(query, read)]
    rows = exp.select(*_aliased(_row_keys(query, keys)), *columns, copy=False)
    return _read(query, rows, read, windows).subquery("keyed", copy=False)


def _read(query: Question, tree: exp.Select, read: Sequence[exp.Expr], windows: Sequence[Window]) -> exp.Select:
    """The tree over the question's rows within the windows; `read` is what it reads beside its keys."""
    within = within_windows_of(conditions.within_windows(query.dataset.time_column, windows))
    where = [within, *restrictions(query)]
    source = _source(query, [*where, *dimension_keys(query), *read], windows)
    return tree.where(*where, copy=False).from_(source, copy=False)


def _of_rollup(query: Question, keys: Keys, parts: Sequence[Measure], split: Split) -> exp.Select:
    values = [column(part.name) if part.merge else exp.Null() for part in parts]
    if split.rollup.hourly:
        kept, within = keys.of("hour"), conditions.within_windows("hour", split.whole)
    else:
        kept, within = keys.of("day"), conditions.within_days(split.whole)
    where = restrictions(query)
    if split.rollup.by_metadata:
        kept, where = ([_of_metadata(tree) for tree in trees] for trees in (kept, where))
        where.append(column(METADATA_KEY).eq(text(split.metadata_key)))
    tree = _select(kept, parts, values).from_(scan(split.rollup.name, *split.whole), copy=False)
    return tree.where(within, *where, copy=False)


def _of_metadata(tree: exp.Expr) -> exp.Expr:
    """The tree over a rollup of metadata, whose lines hold the value of the one key that is asked about."""
    if _is_map_value(tree):
        return column(METADATA_VALUE)
    for node in [node for node in tree.find_all(exp.Anonymous) if _is_map_value(node)]:
        node.replace(column(METADATA_VALUE))
    return tree


def _is_map_value(tree: exp.Expr) -> bool:
    return isinstance(tree, exp.Anonymous) and tree.this == "GL_MAP_VALUE"


def _of_traces(query: Question, keys: Keys, parts: Sequence[Measure], rated: RatedSplit | None) -> exp.Select:
    """The parts that look into feedbacks: each trace counts once per group, however many of its requests are in it."""
    whole = (Window(query.since, query.until),)
    rows = _rated_rows(query, keys, [], whole, side="") if rated is None else _rows_kept_and_rest(query, keys, rated)
    traces = exp.select(*keys.names(), _named(call("GL_COUNT"), "requests"), *_of_trace(), copy=False)
    traces = _grouped(traces.from_(rows, copy=False), keys.sets(exp.column(_RATED)))
    own = [part.expression.copy() if part.through else exp.Null() for part in parts]
    plain = Keys(keys.of, keys.count)
    tree = _select(plain.names(), parts, own).from_(traces.subquery("traces", copy=False), copy=False)
    return _grouped(tree, plain.sets())


def _of_rows_and_traces(query: Question, keys: Keys, parts: Sequence[Measure], windows: Sequence[Window]) -> exp.Select:
    """The same beside parts of the rows that merge, reading every row once: one group of rows is of no rated trace."""
    own = _own(parts)
    rated = _rated_rows(query, keys, [part.expression for part in own], windows, side="left")
    has_trace = exp.Not(this=exp.Is(this=exp.column(_RATED), expression=exp.Null()))
    requests = _named(call("GL_COUNT_IF", has_trace), "requests")
    traces = _select(keys.names(), own, [_expression(query, part) for part in own])
    traces = traces.select(requests, *_of_trace(), copy=False).from_(rated, copy=False)
    traces = _grouped(traces, keys.sets(exp.column(_RATED)))
    values = [part.expression.copy() if part.through else _together(part) for part in parts]
    tree = _select(keys.names(), parts, values).from_(traces.subquery("traces", copy=False), copy=False)
    return _grouped(tree, keys.sets())


def _rated_rows(
    query: Question, keys: Keys, read: Sequence[exp.Expr], windows: Sequence[Window], *, side: str
) -> exp.Subquery:
    """The rows with their keys, what of them is `read`, and the ratings of their trace."""
    columns = [column(name) for name in _columns_of(query, read)]
    rows = exp.select(*_aliased(_row_keys(query, keys)), *columns, *map(exp.column, (_RATED, *_RATINGS)), copy=False)
    return _with_ratings(query, _read(query, rows, [column("trace_id"), *read], windows), side=side)


def _rows_kept_and_rest(query: Question, keys: Keys, rated: RatedSplit) -> exp.Subquery:
    """The same of the rated requests, and of all rows of the time that those do not answer."""

    def lines() -> exp.Select:
        return exp.select(*_aliased(_row_keys(query, keys)), column("trace_id"), copy=False)

    within = conditions.within_windows(query.dataset.time_column, rated.whole)
    rows: exp.Query = lines().from_(scan(rated.rated.name, *rated.whole), copy=False)
    rows = rows.where(within, *restrictions(query), copy=False)
    if rated.rest:
        rest = _read(query, lines(), [column("trace_id")], rated.rest)
        rows = exp.union(rows, rest, distinct=False, copy=False)
    names = (*keys.names(), *map(exp.column, (_RATED, *_RATINGS)))
    tree = exp.select(*names, copy=False).from_(rows.subquery("looked_up", copy=False), copy=False)
    return _with_ratings(query, tree, side="")


def _with_ratings(query: Question, rows: exp.Select, *, side: str) -> exp.Subquery:
    same = exp.EQ(this=column("trace_id"), expression=exp.column(_RATED))
    ratings = _ratings(query).subquery("ratings", copy=False)
    return rows.join(ratings, on=same, join_type=side, copy=False).subquery("keyed", copy=False)


def _of_trace() -> list[exp.Expr]:
    """What the ratings of a trace add up to, from any of its rows."""
    return [_named(call("GL_MAX", exp.column(rating)), name) for rating, name in _RATINGS.items()]


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
    tree = _select(keys.names(), parts, list(map(_together, parts)), aliased=False)
    return _grouped(tree.from_(union.subquery("partials", copy=False), copy=False), keys.sets())


def _together(part: Measure) -> exp.Expr:
    """Values of a part as one; what does not merge has a value in one partial only."""
    merge = _SUMS[part.kind] if part.additive or part.through else {"min": "GL_MIN"}.get(part.merge, "GL_MAX")
    return call(merge, exp.column(f"m_{part.name}"))


def _select(
    keys: Sequence[exp.Expr], parts: Sequence[Measure], values: Sequence[exp.Expr], *, aliased: bool = True
) -> exp.Select:
    of_parts = [exp.alias_(value, f"m_{part.name}", copy=False) for part, value in zip(parts, values, strict=True)]
    return exp.select(*(_aliased(keys) if aliased else keys), *of_parts, copy=False)


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

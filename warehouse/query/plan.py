"""Which days of a question a derived dataset can answer to the last digit; everything else comes from the rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlglot import exp

from warehouse.catalog import registry
from warehouse.catalog.functions import call, column, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Dataset, Measure, Operator
from warehouse.catalog.prices import CORRECTIONS
from warehouse.catalog.rated import RATED, Derived, Rated
from warehouse.catalog.rollups import METADATA_KEY, ROLLUP_OF, SOURCE_VERSION, Rollup
from warehouse.engines.base import Engine, Window, scan
from warehouse.query import conditions
from warehouse.query.compile import parts_of
from warehouse.query.parts import RatedSplit, Split
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery, MetadataDimension, Question, SeriesQuery, dimension_of

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S, _HOUR_S = 86_400, 3_600
LEAST_GAIN = 4
"""A rollup is taken when it stands for at least this many times its own rows; else reading the rows is as quick."""
LEAST_COLUMNS = 3
"""Beside measures that do not merge, it is taken when at least this many columns of the rows need not be read then."""
LEAST_SHARE = 0.5
"""Rated requests are taken where they answer at least this share of the days; else all rows are read anyway."""


@dataclass(frozen=True, slots=True)
class RolledDay:
    """What a derived dataset holds of one day."""

    fingerprints: frozenset[str]
    """What it was made from, as labels: one, when it is whole."""
    rows: int
    summed: int
    """How many rows of the rolled up dataset it stands for."""


def candidates(query: Question) -> list[Rollup]:
    """The rollups that know every column, and the measures that merge, of the question, the narrowest first."""
    if query.as_known_at is not None or not _merges(query):
        return []
    columns = _columns_asked(query)
    if columns is None:
        return []
    by_metadata = metadata_keys(query)
    if len(by_metadata) > 1 or "" in by_metadata:
        return []
    step_s = query.step_s() if isinstance(query, SeriesQuery) else 0
    able = [
        rollup
        for rollup in ROLLUP_OF.values()
        if rollup.of is query.dataset
        and columns <= set(rollup.keys)
        and rollup.by_metadata == bool(by_metadata)
        and step_s % (_HOUR_S if rollup.hourly else _DAY_S) == 0
    ]
    return sorted(able, key=lambda rollup: len(rollup.keys))


def metadata_keys(query: Question) -> frozenset[str]:
    """The keys of the metadata whose values decide which rows count, and in which group."""
    names = (*query.by, *(query.outside.by if query.outside else ()))
    dimensions = [dimension_of(query.dataset, name) for name in names]
    keys = [each.metadata_key for each in dimensions if isinstance(each, MetadataDimension)]
    for condition in query.conditions:
        by_pairs = registry.filter_(query.dataset, condition.filter).operator is Operator.ALL_PAIRS
        if by_pairs and isinstance(condition.value, tuple):
            keys += [pair[0] for pair in condition.value if isinstance(pair, tuple)]
    return frozenset(keys)


def split_by(query: Question, rollup: Rollup, fresh: Mapping[date, bool]) -> Split | None:
    """The question's time divided over a rollup and the rows; None when the rollup answers nothing of it.

    `fresh` tells of each day that holds rows or is rolled up whether the rollup has exactly its rows; a day in
    neither holds nothing, so it may lie within a stretch of fresh ones. What it says of other days is not read.
    """
    whole, rest = _divided(query, HOUR if rollup.hourly else DAY, fresh)
    [key] = metadata_keys(query) if rollup.by_metadata else [""]
    return Split(rollup, whole, rest, key) if whole else None


def looks_up_rated(query: Question) -> bool:
    """True where the question looks into feedbacks, and rated requests have all columns by which it picks rows."""
    if query.dataset is not RATED.of or query.as_known_at is not None or query.trace_conditions:
        return False
    # Beside those, a group or a filter may read the two lists of metadata, which are there.
    return any(part.through for part in parts_of(query)) and _columns_picked_by(query) <= set(RATED.copied)


def split_by_rated(query: Question, fresh: Mapping[date, bool], own: Mapping[date, RolledDay]) -> RatedSplit | None:
    """The question's time divided over the rated requests and all rows; None where the former do not pay.

    `own` is what is held of the question's organisation: days of which its requests were not kept are as stale ones,
    and on days that are not in it the organisation has no request.
    """
    kept = {day: is_fresh and (day not in own or own[day].summed > 0) for day, is_fresh in fresh.items()}
    whole, rest = _divided(query, conditions.MILLISECOND, kept)
    asked = [kept[day] for day in kept if _is_within(day, days_window(query))]
    pays_off = whole and sum(asked) >= LEAST_SHARE * len(asked) and _gain(whole, own)
    return RatedSplit(RATED, whole, rest) if pays_off else None


def days_window(query: Question) -> Window:
    """The whole days that the question touches, as one window."""
    until = conditions.to_millisecond(query.until)
    last = _start(until.date()) + DAY - conditions.MILLISECOND
    return Window(_start(conditions.to_millisecond(query.since).date()), last)


def labels_of(engine: Engine, derived: Derived, window: Window = Window()) -> dict[date, str]:
    """What each day of the window that holds rows is to be labelled with. Read before the rows are, never after."""
    looked_into = engine.version(derived.through.name) if isinstance(derived, Rated) else ""
    return labelled(derived, engine.day_fingerprints(derived.of, window), looked_into)


def labelled(derived: Derived, fingerprints: Mapping[date, str], looked_into: str = "") -> dict[date, str]:
    """The labels of days with these fingerprints; `looked_into` is the version of what is looked into beside them."""
    if isinstance(derived, Rated):
        return {day: derived.label_of(each, looked_into) for day, each in fingerprints.items()}
    return {day: derived.label_of(each) for day, each in fingerprints.items()}


def rolled_days(engine: Engine, derived: Derived, window: Window = Window()) -> dict[date, RolledDay]:
    """What a derived dataset holds of each day."""
    day, version = column("day"), column(SOURCE_VERSION)
    summed = call("GL_SUM_INT", derived.of.count.name)
    counts = exp.alias_(call("GL_COUNT"), "rows"), exp.alias_(summed, "summed")
    tree = exp.select(day, exp.alias_(version, "version"), *counts)
    tree = tree.from_(scan(derived.name, window)).group_by(day, version)
    if window.since and window.until:
        tree = tree.where(conditions.within_days((window,)))
    held: dict[date, RolledDay] = {}
    for row in engine.query(tree, window).to_pylist():
        known = held.get(row["day"], RolledDay(frozenset(), 0, 0))
        versions = known.fingerprints | {row["version"] or ""}
        held[row["day"]] = RolledDay(versions, known.rows + row["rows"], known.summed + row["summed"])
    return held


def kept_days(engine: Engine, derived: Derived, query: Question) -> dict[date, RolledDay]:
    """What is held of the question's organisation on each day, and of its key where metadata is rolled up."""
    window = days_window(query)
    counts = exp.alias_(call("GL_COUNT"), "rows"), exp.alias_(call("GL_SUM_INT", derived.of.count.name), "summed")
    tree = exp.select(column("day"), *counts).from_(scan(derived.name, window)).group_by(column("day"))
    tree = tree.where(
        conditions.within_days((window,)), conditions.within_scope(TenantScope(query.scope.organisation_id))
    )
    if isinstance(derived, Rollup) and derived.by_metadata:
        [key] = metadata_keys(query)
        tree = tree.where(column(METADATA_KEY).eq(text(key)))
    found = engine.query(tree, window).to_pylist()
    return {row["day"]: RolledDay(frozenset(), row["rows"], row["summed"]) for row in found}


def pays(split: Split, held: Mapping[date, RolledDay]) -> bool:
    """True when the rollup's days are enough smaller than the rows they stand for."""
    return _gain(split.whole, held)


def freshness_of(labels: Mapping[date, str], held: Mapping[date, RolledDay]) -> dict[date, bool]:
    """For each day of either: True when it was made from exactly what there is now, which `labels` tell."""
    now = {day: frozenset({label}) for day, label in labels.items()}
    return {day: day in held and held[day].fingerprints == now.get(day) for day in now.keys() | held.keys()}


def _gain(whole: Sequence[Window], held: Mapping[date, RolledDay]) -> bool:
    days = [held[day] for day in held if any(_is_within(day, window) for window in whole)]
    return sum(day.summed for day in days) >= LEAST_GAIN * sum(day.rows for day in days)


def _merges(query: Question) -> bool:
    """True when a rollup can answer all measures, or so many that reading the rows for the others is worth it."""
    parts = parts_of(query)
    merging, others = ([part for part in parts if bool(part.merge) is merges] for merges in (True, False))
    if not others:
        return True
    saved = _columns_read(merging) - _columns_read(others)
    return isinstance(query, GroupedQuery) and len(saved) >= LEAST_COLUMNS


def _columns_read(parts: Iterable[Measure]) -> set[str]:
    return {node.name for part in parts for node in part.expression.find_all(exp.Column)}


def _columns_asked(query: Question) -> set[str] | None:
    """The columns that scope, groups and conditions read, beside `metadata_keys`; None when only the rows will do."""
    looks_elsewhere = any(registry.filter_(query.dataset, each.filter).through for each in query.conditions)
    return None if looks_elsewhere or query.trace_conditions else _columns_picked_by(query)


def _columns_picked_by(query: Question) -> set[str]:
    """The row's columns by which rows are picked and grouped, beside `metadata_keys`."""
    asked = {"organisation_id", "workspace_slug"}
    if query.scope.own is not None:
        asked |= {"user_id", "api_key_id"}
    for name in (*query.by, *(query.outside.by if query.outside else ())):
        dimension = dimension_of(query.dataset, name)
        if not isinstance(dimension, MetadataDimension):
            asked.add(dimension.column)
    for condition in query.conditions:
        filter_ = registry.filter_(query.dataset, condition.filter)
        if filter_.operator is not Operator.ALL_PAIRS:
            asked.update(filter_.columns if filter_.through is None else ("trace_id",))
    return asked


def _divided(
    query: Question, step: timedelta, fresh: Mapping[date, bool]
) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    """The question's time: whole steps of fresh days, and what is left."""
    since, until = conditions.to_millisecond(query.since), conditions.to_millisecond(query.until)
    low, high = _whole(since, until, step)
    if low > high:
        return (), (Window(since, until),)
    stretches = _stretches(low.date(), high.date(), fresh)
    ends = [(max(low, _start(a)), min(high, _start(b) + DAY - conditions.MILLISECOND)) for a, b in stretches]
    whole = tuple(Window(first, last) for first, last in ends)
    return whole, tuple(_between(since, until, whole))


def _whole(since: datetime, until: datetime, step: timedelta) -> tuple[datetime, datetime]:
    """The time of all whole steps within both instants; the first is after the last when there is none."""
    low = since + (_EPOCH - since) % step
    after = until + conditions.MILLISECOND
    return low, after - (after - _EPOCH) % step - conditions.MILLISECOND


def _is_within(day: date, window: Window) -> bool:
    return bool(window.since and window.until and window.since.date() <= day <= window.until.date())


def _stretches(first: date, last: date, fresh: Mapping[date, bool]) -> Iterable[tuple[date, date]]:
    """The longest runs of days without a stale one that hold at least one fresh day."""
    start, end = None, None
    for day in sorted(day for day in fresh if first <= day <= last):
        if fresh[day]:
            start, end = start or day, day
        elif start and end:
            yield start, end
            start, end = None, None
    if start and end:
        yield start, end


def _between(since: datetime, until: datetime, days: Iterable[Window]) -> Iterable[Window]:
    """What is left of the time from `since` to `until` without these days."""
    at = since
    for window in days:
        if window.since and window.until:
            if at < window.since:
                yield Window(at, window.since - conditions.MILLISECOND)
            at = window.until + conditions.MILLISECOND
    if at <= until:
        yield Window(at, until)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def datasets_of(query: Question) -> tuple[Dataset, ...]:
    """The datasets whose rows decide the answer."""
    filters = [registry.filter_(query.dataset, condition.filter) for condition in query.conditions]
    filters += [registry.filter_(GENERATIONS, condition.filter) for condition in query.trace_conditions]
    through = [of.through for of in (*filters, *parts_of(query)) if of.through]
    through += [GENERATIONS.name] if query.trace_conditions else []
    past = (CORRECTIONS,) if query.as_known_at is not None else ()
    return (query.dataset, *past, *(registry.dataset(name) for name in dict.fromkeys(through)))

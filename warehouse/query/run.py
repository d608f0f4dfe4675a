"""A question → its answer: from the cache, from a rollup and the rows it lacks, or from the rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from threading import Lock
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import pyarrow as pa
from cachetools import LRUCache
from sqlglot import exp

from warehouse.catalog import registry
from warehouse.catalog.model import Kind
from warehouse.catalog.rated import RATED, Derived
from warehouse.engines.base import Engine, Limits, Window
from warehouse.query import plan
from warehouse.query.compile import RANK, TOTAL, compile_grouped, compile_series, measures_of
from warehouse.query.parts import RatedSplit, Split
from warehouse.query.plan import RolledDay
from warehouse.query.spec import GroupedQuery, MetadataDimension, Question, SeriesQuery, dimension_of

_Known = TypeVar("_Known")
BUCKET = "bucket"
"""Column of a series' points that holds the number of a bucket, from 0."""

CACHE_BYTES = 32 * 2**20
_ENTRY_BYTES = 4096
"""What an answer costs in the cache besides its columns."""

ANSWER_TYPES: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.MONEY: pa.decimal128(38, 12),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class GroupedAnswer:
    """The page of groups that a question asked for.

    Shape: `rows` has the dimensions' keys, then the measures, by their public names (see `measures_of`: with a sum of
    money comes the number of unpriced requests). `total` is the number of groups before paging; None when not asked.
    """

    rows: pa.Table
    total: int | None


@dataclass(frozen=True, slots=True)
class SeriesAnswer:
    """What lies in each bucket of a series, and over the whole time.

    Shape: `starts` are the instants at which the buckets start, in UTC. `points` has the column `BUCKET` (the place in
    `starts`), then keys and measures as a grouped answer; buckets without a row have no line. `whole` is one line of
    measures, or none where nothing is found.
    """

    starts: tuple[datetime, ...]
    points: pa.Table
    whole: pa.Table


_Answer = GroupedAnswer | SeriesAnswer
_Asked = TypeVar("_Asked", bound=Question)
_Given = TypeVar("_Given", bound=_Answer)


class _Answers:
    """What one engine answered lately and which days its rollups are fresh for. Safe between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: LRUCache[tuple[object, ...], _Answer] = LRUCache(CACHE_BYTES, getsizeof=_bytes_of)
        self._days: LRUCache[tuple[object, ...], dict[date, Any]] = LRUCache(256)

    def answer(
        self,
        engine: Engine,
        query: _Asked,
        limits: Limits,
        compile_: Callable[[_Asked, Split | None, RatedSplit | None], exp.Select],
        read: Callable[[_Asked, pa.Table], _Given],
    ) -> _Given:
        # The versions are read before the rows: an answer can only be newer than its key says, never older.
        versions = {dataset.name: engine.version(dataset.name) for dataset in plan.datasets_of(query)}
        key = (tuple(versions.values()), query)
        with self._lock:
            known = self._answers.get(key)
        if known is not None:
            return cast("_Given", known)
        split = self._split(engine, query, versions[query.dataset.name])
        tree = compile_(query, split, self._rated_split(engine, query, versions))
        found = read(query, engine.query(tree, Window(query.since, query.until), limits))
        if _bytes_of(found) <= CACHE_BYTES // 8:
            with self._lock:
                self._answers[key] = found
        return found

    def _split(self, engine: Engine, query: Question, version: str) -> Split | None:
        window = plan.days_window(query)
        for rollup in plan.candidates(query):
            made = (rollup.name, engine.version(rollup.name))
            held = self._remembered(made, partial(plan.rolled_days, engine, rollup))
            if not held:
                continue
            labels = plan.labelled(rollup, self._fingerprints(engine, rollup, window, version))
            fresh = plan.freshness_of(labels, held)
            if rollup.by_metadata:
                held = self._kept_days(engine, rollup, query, made)
                fresh = {day: is_fresh and day in held for day, is_fresh in fresh.items()}
            split = plan.split_by(query, rollup, fresh)
            if split is not None and plan.pays(split, held):
                return split
        return None

    def _rated_split(self, engine: Engine, query: Question, versions: Mapping[str, str]) -> RatedSplit | None:
        if not plan.looks_up_rated(query):
            return None
        made = (RATED.name, engine.version(RATED.name))
        held = self._remembered(made, partial(plan.rolled_days, engine, RATED))
        if not held:
            return None
        fingerprints = self._fingerprints(engine, RATED, plan.days_window(query), versions[RATED.of.name])
        fresh = plan.freshness_of(plan.labelled(RATED, fingerprints, versions[RATED.through.name]), held)
        if not any(fresh.values()):
            return None
        return plan.split_by_rated(query, fresh, self._kept_days(engine, RATED, query, made))

    def _fingerprints(self, engine: Engine, derived: Derived, window: Window, version: str) -> dict[date, str]:
        key = (derived.of.name, version, window)
        return self._remembered(key, partial(engine.day_fingerprints, derived.of, window))

    def _kept_days(
        self, engine: Engine, derived: Derived, query: Question, made: tuple[str, str]
    ) -> dict[date, RolledDay]:
        key = (*made, plan.days_window(query), query.scope.organisation_id, plan.metadata_keys(query))
        return self._remembered(key, partial(plan.kept_days, engine, derived, query))

    def _remembered(self, key: tuple[object, ...], make: Callable[[], dict[date, _Known]]) -> dict[date, _Known]:
        with self._lock:
            known = self._days.get(key)
        if known is None:
            known = make()
            with self._lock:
                self._days[key] = known
        return known


_answers_of: WeakKeyDictionary[Engine, _Answers] = WeakKeyDictionary()
_answers_lock = Lock()


def run_grouped(engine: Engine, query: GroupedQuery, limits: Limits = Limits()) -> GroupedAnswer:
    """The answer to a question; the same to the last digit whether rollups exist or not.

    Raises: QueryTooLarge, WarehouseBusy, WarehouseError.
    """
    return _answers_from(engine).answer(engine, query, limits, compile_grouped, _grouped)


def run_series(engine: Engine, query: SeriesQuery, limits: Limits = Limits()) -> SeriesAnswer:
    """The answer to a series; sums are the same to the last digit whether rollups exist or not.

    Raises: QueryTooLarge, WarehouseBusy, WarehouseError.
    """
    return _answers_from(engine).answer(engine, query, limits, compile_series, _series)


def answer_schema(query: Question) -> pa.Schema:
    """Names and types of an answer's columns, the same from every engine."""
    fields = [pa.field(dimension_of(query.dataset, name).key, _key_type(query, name)) for name in query.by]
    measures = [registry.measure(query.dataset, name) for name in measures_of(query)]
    return pa.schema([*fields, *(pa.field(measure.name, ANSWER_TYPES[measure.kind]) for measure in measures)])


def _answers_from(engine: Engine) -> _Answers:
    with _answers_lock:
        return _answers_of.setdefault(engine, _Answers())


def _key_type(query: Question, name: str) -> pa.DataType:
    dimension = dimension_of(query.dataset, name)
    return pa.string() if isinstance(dimension, MetadataDimension) else ANSWER_TYPES[dimension.kind]


def _grouped(query: GroupedQuery, found: pa.Table) -> GroupedAnswer:
    total = None
    if query.include_total:
        total = int(found[TOTAL][0].as_py()) if found.num_rows else 0
    page = found
    if RANK in found.column_names:
        # The first group came for the total's sake: a page with ranks starts after it.
        page = found.slice(1)
    elif query.limit is not None:
        page = found.slice(0, query.limit)
    return GroupedAnswer(_table(answer_schema(query), page, 0), total)


def _series(query: SeriesQuery, found: pa.Table) -> SeriesAnswer:
    numbers: list[int | None] = found["c0"].to_pylist()
    # Every number counts from 1 but the one of the whole time, which is the line at either end.
    in_buckets = [number for number in numbers if number]
    # Where only traces are looked into, no trace means no line at all.
    at = next((place for place, number in enumerate(numbers) if not number), len(numbers))
    schema = answer_schema(query)
    points = _table(schema, found.slice(0, at) if at else found.slice(1), 1)
    places = pa.array([number - 1 for number in in_buckets], pa.int64())
    whole = _table(schema, found.slice(at, 1), 1).drop_columns(query.key_names())
    return SeriesAnswer(query.starts, points.add_column(0, BUCKET, places), whole)


def _table(schema: pa.Schema, found: pa.Table, first: int) -> pa.Table:
    """The columns `c<first>…` by their public names."""
    columns = [found[f"c{index}"].cast(field.type) for index, field in enumerate(schema, start=first)]
    return pa.table(columns, schema=schema)


def _bytes_of(answer: _Answer) -> int:
    if isinstance(answer, GroupedAnswer):
        return answer.rows.nbytes + _ENTRY_BYTES
    return answer.points.nbytes + answer.whole.nbytes + _ENTRY_BYTES

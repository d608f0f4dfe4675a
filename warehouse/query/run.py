"""A question → its answer: from the cache, from a rollup and the rows it lacks, or from the rows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import pyarrow as pa
from cachetools import LRUCache

from warehouse.catalog import registry
from warehouse.catalog.model import Kind
from warehouse.engines.base import Engine, Limits, Window
from warehouse.query import plan
from warehouse.query.compile import RANK, TOTAL, Split, compile_grouped, measures_of
from warehouse.query.spec import GroupedQuery, MetadataDimension, dimension_of

_Known = TypeVar("_Known")

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


class _Answers:
    """What one engine answered lately and which days its rollups are fresh for. Safe between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: LRUCache[tuple[object, ...], GroupedAnswer] = LRUCache(CACHE_BYTES, getsizeof=_bytes_of)
        self._days: LRUCache[tuple[object, ...], dict[date, Any]] = LRUCache(256)

    def answer(self, engine: Engine, query: GroupedQuery, limits: Limits) -> GroupedAnswer:
        # The versions are read before the rows: an answer can only be newer than its key says, never older.
        versions = tuple(engine.version(dataset.name) for dataset in plan.datasets_of(query))
        key = (versions, query)
        with self._lock:
            known = self._answers.get(key)
        if known is not None:
            return known
        tree = compile_grouped(query, self._split(engine, query, versions[0]))
        found = _answer(query, engine.query(tree, Window(query.since, query.until), limits))
        if _bytes_of(found) <= CACHE_BYTES // 8:
            with self._lock:
                self._answers[key] = found
        return found

    def _split(self, engine: Engine, query: GroupedQuery, version: str) -> Split | None:
        window = plan.days_window(query)
        for rollup in plan.candidates(query):
            made = (rollup.name, engine.version(rollup.name))
            held = self._remembered(made, partial(plan.rolled_days, engine, rollup))
            if not held:
                continue
            rows = (rollup.of.name, version, window)
            fingerprints = self._remembered(rows, partial(engine.day_fingerprints, rollup.of, window))
            split = plan.split_by(query, rollup, plan.freshness_of(fingerprints, held))
            if split is not None and plan.pays(split, held):
                return split
        return None

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
    with _answers_lock:
        answers = _answers_of.setdefault(engine, _Answers())
    return answers.answer(engine, query, limits)


def answer_schema(query: GroupedQuery) -> pa.Schema:
    """Names and types of an answer's columns, the same from every engine."""
    fields = [pa.field(dimension_of(query.dataset, name).key, _key_type(query, name)) for name in query.by]
    measures = [registry.measure(query.dataset, name) for name in measures_of(query)]
    return pa.schema([*fields, *(pa.field(measure.name, ANSWER_TYPES[measure.kind]) for measure in measures)])


def _key_type(query: GroupedQuery, name: str) -> pa.DataType:
    dimension = dimension_of(query.dataset, name)
    return pa.string() if isinstance(dimension, MetadataDimension) else ANSWER_TYPES[dimension.kind]


def _answer(query: GroupedQuery, found: pa.Table) -> GroupedAnswer:
    schema = answer_schema(query)
    total = None
    if query.include_total:
        total = int(found[TOTAL][0].as_py()) if found.num_rows else 0
    page = found
    if RANK in found.column_names:
        # The first group came for the total's sake: a page with ranks starts after it.
        page = found.slice(1)
    elif query.limit is not None:
        page = found.slice(0, query.limit)
    columns = [page[f"c{index}"].cast(field.type) for index, field in enumerate(schema)]
    return GroupedAnswer(pa.table(columns, schema=schema), total)


def _bytes_of(answer: GroupedAnswer) -> int:
    return answer.rows.nbytes + _ENTRY_BYTES

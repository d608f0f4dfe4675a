"""All rows that a question chooses, page after page in the order of (created_at, id), in constant memory.

Time is cut into stretches that hold at most a page: few rows are sorted at once, and a position says exactly where to
go on, also in another process. Rows that were stored after `known_until` are left out, so that what is counted first
is what comes out, whatever arrives meanwhile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine, Limits, Window, scan
from warehouse.query.conditions import MILLISECOND, instant, is_one_of, within_windows
from warehouse.query.keyset import SortKey, after, ordered
from warehouse.query.parts import restrictions
from warehouse.query.spec import Question

PAGE_ROWS = 20_000
_KEYS = (SortKey("created_at", "asc"), SortKey("id", "asc"))
_DAY_S, _MINUTE_S = 86_400, 60


@dataclass(frozen=True, slots=True)
class Position:
    """A row, by what rows are ordered by."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class RowsQuestion:
    """Columns of the requests that `rows` chooses, of some models where they are named."""

    rows: Question
    columns: tuple[str, ...]
    """Of the dataset; `created_at` and `id` come too."""
    known_until: datetime
    models: tuple[str, ...] = ()

    @property
    def window(self) -> Window:
        return Window(self.rows.since, self.rows.until)


@dataclass(frozen=True, slots=True)
class _Stretch:
    window: Window
    rows: int


def count_rows(engine: Engine, question: RowsQuestion, limits: Limits = Limits()) -> int:
    """How many rows the question chooses. Raises: QueryTooLarge, WarehouseBusy, WarehouseError."""
    tree = exp.select(exp.alias_(call("GL_COUNT"), "rows")).from_(scan(GENERATIONS.name))
    found = engine.query(tree.where(*_chosen(question, question.window, None)), question.window, limits)
    return int(found["rows"][0].as_py())


def pages(
    engine: Engine,
    question: RowsQuestion,
    start: Position | None = None,
    limits: Limits = Limits(),
    page_rows: int = PAGE_ROWS,
) -> Iterator[pa.Table]:
    """The rows after `start`, at most `page_rows` at once. Raises: QueryTooLarge, WarehouseBusy, WarehouseError."""
    for stretch in _stretches(engine, question, start, limits, page_rows):
        at = start
        while True:
            page = _page(engine, question, stretch.window, at, limits, page_rows)
            if page.num_rows:
                yield page
            if page.num_rows < page_rows:
                break
            at = position_after(page)


def position_after(page: pa.Table) -> Position:
    """Where to go on after a page that holds a row."""
    last = page.slice(page.num_rows - 1).to_pylist()[0]
    return Position(last["created_at"].astimezone(UTC), last["id"])


def _page(
    engine: Engine, question: RowsQuestion, window: Window, at: Position | None, limits: Limits, page_rows: int
) -> pa.Table:
    names = dict.fromkeys(("created_at", "id", *question.columns))
    columns = [exp.alias_(column(name), name, quoted=True) for name in names]
    tree = exp.select(*columns, copy=False).from_(scan(GENERATIONS.name, window), copy=False)
    tree = tree.where(*_chosen(question, window, at), copy=False).order_by(*ordered(_KEYS), copy=False)
    return engine.query(tree.limit(page_rows), window, limits)


def _stretches(
    engine: Engine, question: RowsQuestion, start: Position | None, limits: Limits, page_rows: int
) -> Iterator[_Stretch]:
    """Stretches of whole days, and of whole minutes within a day that has too many rows."""
    whole = question.window if start is None else Window(start.created_at, question.rows.until)
    for days in _packed(_counted(engine, question, whole, start, limits, _DAY_S), whole, page_rows):
        if days.rows <= page_rows:
            yield days
            continue
        minutes = _counted(engine, question, days.window, start, limits, _MINUTE_S)
        yield from _packed(minutes, days.window, page_rows)


def _counted(
    engine: Engine, question: RowsQuestion, window: Window, at: Position | None, limits: Limits, width_s: int
) -> list[tuple[datetime, int]]:
    """How many rows begin in each bucket that has some, in order of time."""
    bucket = call("GL_BUCKET", "created_at", width_s)
    tree = exp.select(exp.alias_(bucket, "start"), exp.alias_(call("GL_COUNT"), "rows"))
    tree = tree.from_(scan(GENERATIONS.name, window)).where(*_chosen(question, window, at))
    found = engine.query(tree.group_by(exp.column("start")), window, limits).sort_by("start").to_pylist()
    return [(line["start"].astimezone(UTC), line["rows"]) for line in found]


def _packed(counts: Sequence[tuple[datetime, int]], whole: Window, most: int) -> Iterator[_Stretch]:
    """Buckets put together as long as they hold at most `most` rows; they cover the whole window."""
    since, until = whole.since, whole.until
    held = 0
    for start, rows in counts:
        if held and held + rows > most:
            yield _Stretch(Window(since, start - MILLISECOND), held)
            since, held = start, 0
        held += rows
    if held:
        yield _Stretch(Window(since, until), held)


def _chosen(question: RowsQuestion, window: Window, at: Position | None) -> list[exp.Expr]:
    known = exp.LT(this=column("ingested_at"), expression=instant(question.known_until + timedelta(milliseconds=1)))
    unsaid = exp.Is(this=column("ingested_at"), expression=exp.Null())
    parts = [
        *restrictions(question.rows),
        within_windows(GENERATIONS.time_column, (window,)),
        exp.paren(exp.or_(unsaid, known, copy=False), copy=False),
    ]
    if question.models:
        parts.append(is_one_of("ai_model", question.models))
    if at is not None:
        parts.append(exp.paren(after(_KEYS, (at.created_at, at.id)), copy=False))
    return parts

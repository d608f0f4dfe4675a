"""What the rows of an organisation sum to, by everything that its policies look at and by when.

Rows are read a span of whole days at a time, and the sums of a span are kept as long as the engine says that its days
are the same: to count again after a commit reads the days that the commit touched. The last days are kept one by one,
since they tell what is used a day; older ones are added up by month. What is kept is only ever an answer of the
warehouse: without it the numbers are the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count, pairwise
from threading import Lock
from typing import Any, cast
from weakref import WeakKeyDictionary

import polars as pl
from sqlglot import exp

from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine, Limits, Window, scan
from warehouse.query import conditions
from warehouse.query.policy_rows import matches, metadata_value, or_blank
from warehouse.query.policy_terms import METADATA, Selection
from warehouse.query.scope import TenantScope

TIME, COST, BOUND, TOKENS, REQUESTS = "time", "cost", "bound", "tokens", "requests"
MEASURES = (COST, BOUND, TOKENS, REQUESTS)
DAY, DAY_MS, HOUR_MS = timedelta(days=1), 86_400_000, 3_600_000
LATELY_DAYS = 7
"""Whole days before today that tell how much is used a day."""
MOST_KEPT = 4_000_000
"""An organisation with more cells than these is read anew each time, so that they do not fill the memory."""
_MOST_COMPARED = 64
"""So many boundaries or fewer are found by comparing; more by the day, and the millisecond in hours that have one."""
_MONEY = pl.Decimal(38, 12)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_serials = count()


@dataclass(frozen=True, slots=True)
class Look:
    """What is read of the rows: whose, and the columns that tell them apart.

    `about` are the conditions of a few policies, to skip the rows that none of them is about; none: all are read.
    """

    scope: TenantScope
    columns: tuple[str, ...]
    has_bounds: bool
    about: frozenset[Selection] = frozenset()
    workspaces: frozenset[tuple[str, str]] = frozenset()
    """Slug and id of those that conditions may name, where `about` says any."""

    @property
    def schema(self) -> dict[str, Any]:
        """Of the cells."""
        sums = {COST: _MONEY, BOUND: _MONEY, TOKENS: pl.Int64, REQUESTS: pl.Int64}
        return {**dict.fromkeys(self.columns, pl.String), TIME: pl.Int64, **sums}


@dataclass(frozen=True, slots=True)
class Span:
    """The whole days from `first` up to, but not, `end`. `starts` divide its one day. Units: ms since 1970."""

    first: date
    end: date
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cells:
    """Sums of rows by columns and by the moment (ms since 1970) from which on they are; the same version, the same."""

    cells: pl.DataFrame
    today: date
    version: tuple[int, ...]


def read_cells(engine: Engine, look: Look, starts: Iterable[datetime], until: datetime, limits: Limits) -> Cells:
    """The cells of all rows since the earliest start, or a week ago, up to but not at `until`.

    No cell holds rows of both before and after any of the starts, or of two of the last days.
    Raises: QueryTooLarge, WarehouseBusy, WarehouseError.
    """
    with _keepers_lock:
        keeper = _keepers.setdefault(engine, {}).setdefault(look.scope.organisation_id, _Keeper())
    with keeper.lock:
        return keeper.read(engine, _Question(look, list(starts), _whole_millisecond(until), limits))


@dataclass(frozen=True, slots=True)
class _Question:
    look: Look
    starts: Sequence[datetime]
    until: datetime
    limits: Limits


@dataclass(frozen=True, slots=True)
class _Kept:
    """The cells of a span, and what its days were like before they were read; None: it is to be read again.

    They are of all its rows: none of them was dated at or after `until`.
    """

    fingerprints: Mapping[date, str] | None
    until: datetime
    cells: pl.DataFrame
    serial: int = field(default_factory=lambda: next(_serials))


class _Keeper:
    """The spans of one organisation that were read. Used by one thread at a time."""

    def __init__(self) -> None:
        self.lock = Lock()
        self._look: Look | None = None
        self._kept: dict[Span, _Kept] = {}

    def read(self, engine: Engine, asked: _Question) -> Cells:
        """See `read_cells`."""
        if asked.look != self._look:
            self._look, self._kept = asked.look, {}
        today = asked.until.date()
        spans = spans_of(asked.starts, today)
        window = Window(midnight(spans[0].first), midnight(today + DAY) - conditions.MILLISECOND)
        known = engine.day_fingerprints(GENERATIONS, window)
        found = {span: one for span in spans if (one := self._fresh(span, known, asked.until)) is not None}
        stale = [span for span in spans if span not in found]
        if stale:
            found |= _read(engine, asked, stale, known)
        used = [found[span] for span in spans]
        cells = pl.concat([one.cells for one in used])
        self._kept = found if cells.height <= MOST_KEPT else {}
        return Cells(cells, today, tuple(one.serial for one in used))

    def _fresh(self, span: Span, known: Mapping[date, str], until: datetime) -> _Kept | None:
        """The cells of a span whose days are as they were, put together of shorter spans where need be."""
        one = self._kept.get(span)
        if one is not None:
            return one if _is_fresh(span, one, known, until) else None
        within = [part for part in self._kept if span.first <= part.first and part.end <= span.end]
        parts = sorted(within, key=lambda part: part.first)
        ends = [span.first, *(part.end for part in parts)]
        if span.starts or ends != [*(part.first for part in parts), span.end]:
            return None
        if not all(_is_fresh(part, self._kept[part], known, until) for part in parts):
            return None
        cells = placed(pl.concat([self._kept[part].cells for part in parts]), [span])
        return _Kept(_of_days(span, known), min(self._kept[part].until for part in parts), cells)


_keepers: WeakKeyDictionary[Engine, dict[str, _Keeper]] = WeakKeyDictionary()
_keepers_lock = Lock()


def spans_of(starts: Iterable[datetime], today: date) -> list[Span]:
    """The spans, side by side, from the earliest start or a week ago to the end of today."""
    recent = [today - number * DAY for number in range(-1, LATELY_DAYS + 1)]
    cuts, within = set(recent), defaultdict[date, set[int]](set)
    for start in starts:
        day = start.astimezone(UTC).date()
        cuts.add(day)
        if start != midnight(day):
            cuts.add(day + DAY)
            within[day].add(ms_of(start))
    first = min(cuts)
    months = (first.year * 12 + first.month - 1 + number for number in range(1, 12 * (today.year - first.year + 1) + 1))
    cuts |= {date(month // 12, month % 12 + 1, 1) for month in months}
    days = sorted(cut for cut in cuts if cut <= today + DAY)
    return [Span(day, end, tuple(sorted(within[day]))) for day, end in pairwise(days)]


def compile_cells(look: Look, spans: Sequence[Span], windows: Sequence[Window]) -> exp.Select:
    """The neutral tree of one scan. Shape: `c0`… for the columns, then time, cost, bound, tokens, requests."""
    where = [conditions.within_scope(look.scope), conditions.within_windows(GENERATIONS.time_column, windows)]
    if look.about:
        workspaces = dict(look.workspaces)
        about = [matches(one, workspaces) for one in sorted(look.about, key=repr)]
        where.append(exp.paren(exp.or_(*about, copy=False), copy=False))
    keys = [metadata_value(name) if name.startswith(METADATA) else or_blank(name) for name in look.columns]
    keys.append(_time(sorted(boundaries_of(spans))))
    values = [
        call("GL_SUM_MONEY", "cost"),
        call("GL_SUM_MONEY", _bound()) if look.has_bounds else exp.cast(exp.Null(), "DECIMAL(38, 12)"),
        call("GL_SUM_INT", "total_units"),
        call("GL_COUNT"),
    ]
    named = [exp.alias_(key, f"k{index}", copy=False) for index, key in enumerate(keys)]
    sums = [exp.alias_(value, f"m{index}", copy=False) for index, value in enumerate(values)]
    groups = exp.select(*named, *sums, copy=False).from_(scan(GENERATIONS.name, *windows), copy=False)
    groups = groups.where(*where, copy=False)
    groups = groups.group_by(*(exp.column(f"k{index}") for index in range(len(keys))), copy=False)
    names = [*(f"k{index}" for index in range(len(keys))), *(f"m{index}" for index in range(len(values)))]
    shown = [exp.alias_(exp.column(name), f"c{index}", copy=False) for index, name in enumerate(names)]
    return exp.select(*shown, copy=False).from_(groups.subquery("cells", copy=False), copy=False)


def placed(cells: pl.DataFrame, spans: Sequence[Span]) -> pl.DataFrame:
    """The cells with the last boundary of the spans that they are not before, those of one boundary added up."""
    boundaries = pl.Series(TIME, sorted(boundaries_of(spans)), pl.Int64)
    last = boundaries.gather(boundaries.search_sorted(cells[TIME], side="right") - 1)
    if last.equals(cells[TIME]):
        return cells
    keys = [name for name in cells.columns if name not in MEASURES]
    return cells.with_columns(last).group_by(keys).agg(pl.col(*MEASURES).sum())


def boundaries_of(spans: Iterable[Span]) -> set[int]:
    """Where cells of the spans begin. Units: ms since 1970."""
    return {moment for span in spans for moment in (ms_of(midnight(span.first)), *span.starts)}


def midnight(day: date) -> datetime:
    """When a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def ms_of(moment: datetime) -> int:
    """Whole milliseconds since 1970 began."""
    return (moment - _EPOCH) // conditions.MILLISECOND


def _read(engine: Engine, asked: _Question, spans: Sequence[Span], known: Mapping[date, str]) -> dict[Span, _Kept]:
    """The spans, read in one scan; rows that come meanwhile are in the days that change by it."""
    windows = _windows(spans, asked.until)
    cells = pl.DataFrame(schema=asked.look.schema)
    if windows:
        tree = compile_cells(asked.look, spans, windows)
        answer = engine.query(tree, Window(windows[0].since, windows[-1].until), asked.limits)
        cells = cast("pl.DataFrame", pl.from_arrow(answer.rename_columns(list(asked.look.schema))))
        cells = cells.cast(cast("Any", asked.look.schema)).with_columns(pl.col(COST, BOUND, TOKENS).fill_null(0))
        cells = placed(cells, spans)
    parts = _by_span(cells, spans)
    found: dict[Span, _Kept] = {}
    for span in spans:
        # Rows of the future count when their time has come, so a day that has any is read again next time.
        is_open = asked.until < midnight(span.end) and _has_rows_after(engine, asked, span)
        fingerprints = None if is_open else _of_days(span, known)
        found[span] = _Kept(fingerprints, min(asked.until, midnight(span.end)), parts.get(span, cells.clear()))
    return found


def _by_span(cells: pl.DataFrame, spans: Sequence[Span]) -> dict[Span, pl.DataFrame]:
    firsts = pl.Series([ms_of(midnight(span.first)) for span in spans], dtype=pl.Int64)
    place = (firsts.search_sorted(cells[TIME], side="right") - 1).alias("span")
    parts = cells.with_columns(place).partition_by("span", as_dict=True, include_key=False)
    return {spans[cast("int", key[0])]: part for key, part in parts.items()}


def _has_rows_after(engine: Engine, asked: _Question, span: Span) -> bool:
    """Whether the span has rows of this moment or later."""
    window = Window(asked.until, midnight(span.end) - conditions.MILLISECOND)
    tree = exp.select(exp.alias_(call("GL_COUNT"), "rows"), copy=False).from_(scan(GENERATIONS.name, window))
    tree = tree.where(
        conditions.within_scope(asked.look.scope), conditions.within_windows(GENERATIONS.time_column, [window])
    )
    return engine.query(tree, window, asked.limits)["rows"][0].as_py() > 0


def _is_fresh(span: Span, one: _Kept, known: Mapping[date, str], until: datetime) -> bool:
    return one.fingerprints == _of_days(span, known) and one.until <= until


def _of_days(span: Span, known: Mapping[date, str]) -> dict[date, str]:
    return {day: text for day, text in known.items() if span.first <= day < span.end}


def _windows(spans: Sequence[Span], until: datetime) -> list[Window]:
    """The spans as windows that end before `until`, spans side by side in one."""
    joined: list[tuple[datetime, datetime]] = []
    for span in spans:
        start, end = midnight(span.first), midnight(span.end)
        if joined and joined[-1][1] == start:
            start, _ = joined.pop()
        joined.append((start, end))
    return [Window(start, min(end, until) - conditions.MILLISECOND) for start, end in joined if start < until]


def _time(boundaries: Sequence[int]) -> exp.Expr:
    """The boundary that a row's cell begins at; of many boundaries a moment between it and the row, which tells it."""
    if len(boundaries) <= _MOST_COMPARED:
        return _last_of(boundaries)
    within = [moment for moment in boundaries if moment % DAY_MS]
    days, hours = sorted({one // DAY_MS for one in within}), sorted({one // HOUR_MS for one in within})
    day, hour = _steps(DAY_MS), _steps(HOUR_MS)
    exact = exp.Case(ifs=[exp.If(this=_is_in(hour, hours), true=_steps(1))], default=_times(hour.copy(), HOUR_MS))
    if not within:
        return _times(day, DAY_MS)
    return exp.Case(ifs=[exp.If(this=_is_in(day.copy(), days), true=exact)], default=_times(day, DAY_MS))


def _last_of(boundaries: Sequence[int]) -> exp.Expr:
    """The last boundary that a row is not before, found by halving."""
    if len(boundaries) == 1:
        return exp.cast(exp.Literal.number(boundaries[0]), "BIGINT")
    half = len(boundaries) // 2
    moment = conditions.instant(_EPOCH + boundaries[half] * conditions.MILLISECOND)
    before = exp.LT(this=column(GENERATIONS.time_column), expression=moment)
    return exp.Case(ifs=[exp.If(this=before, true=_last_of(boundaries[:half]))], default=_last_of(boundaries[half:]))


def _steps(width_ms: int) -> exp.Expr:
    return call("GL_STEPS", GENERATIONS.time_column, conditions.instant(_EPOCH), width_ms)


def _is_in(value: exp.Expr, numbers: Sequence[int]) -> exp.Expr:
    return exp.In(this=value, expressions=[exp.Literal.number(number) for number in numbers])


def _times(value: exp.Expr, width_ms: int) -> exp.Expr:
    return exp.Mul(this=value, expression=exp.Literal.number(width_ms))


def _bound() -> exp.Expr:
    """What a row can have cost at most, where it has no price."""
    missing = exp.Is(this=column("cost"), expression=exp.Null())
    return exp.Case(ifs=[exp.If(this=missing, true=column("cost_high"))])


def _whole_millisecond(moment: datetime) -> datetime:
    """The first whole millisecond that is not before: rows are stored to the millisecond."""
    utc = moment.astimezone(UTC)
    whole = conditions.to_millisecond(utc)
    return whole if whole == utc else whole + conditions.MILLISECOND

"""What is used of every counter of every policy: one scan for all of them.

The scan groups the rows of an organisation by all columns that any of its policies looks at, and by time as coarsely
as the starts of their periods allow. Policies that look at the same columns share a smaller cube, cut out of that
one; each then picks its cells. Nothing is ever rounded: money is added as decimals all the way.
Source: dataplane contract 7.1, DECISIONS "usage window".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Literal

import polars as pl
from sqlglot import exp

from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine, Limits, Window, scan
from warehouse.query import conditions
from warehouse.query.policy_rows import (
    COLUMNS,
    MODEL,
    PROVIDER,
    VIRTUAL_KEY,
    WORKSPACE,
    Workspaces,
    known_workspaces,
    matches,
    metadata_value,
    or_blank,
)
from warehouse.query.policy_terms import ANYTHING, METADATA, Selection, Term
from warehouse.query.scope import TenantScope

Measure = Literal["cost", "tokens", "requests"]
TIME, COST, BOUND, TOKENS, REQUESTS = "time", "cost", "bound", "tokens", "requests"
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
_MILLISECOND = timedelta(milliseconds=1)
_MOST_SEGMENTS = 32
"""Periods that begin at so many midnights or fewer are told apart by comparing; more are told apart by day."""
_FEW = 20
"""So many policies or fewer have the scan skip the rows that none of them is about."""
_MONEY = pl.Decimal(38, 12)
CENTS_PER_USD_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Counting:
    """One policy to count: what it is about, of which workspace (None: of all), what it counts, and since when."""

    id: str
    selection: Selection
    workspace_slug: str | None
    measure: Measure
    starts_at: datetime
    counts_upper_bound: bool = False


Counted = Mapping[str, Mapping[tuple[str, ...], Decimal]]
"""Policy → values of a counter → what is used of it. Units: USD, tokens, requests."""


def usage_of(
    engine: Engine,
    organisation_id: str,
    countings: Sequence[Counting],
    until: datetime,
    workspaces: Workspaces,
    limits: Limits = Limits(timeout_s=300.0),
) -> Counted:
    """What is used of each counter that has any row, from each policy's start up to, but not at, `until`.

    Raises: QueryTooLarge, WarehouseBusy, WarehouseError.
    """
    last = _last_before(until)
    ahead = [one for one in countings if one.starts_at <= last]
    if not ahead:
        return {}
    times = Times.of([one.starts_at for one in ahead])
    columns = sorted(reduce(or_, (columns_of(one) for one in ahead)))
    tree = compile_cube(organisation_id, ahead, times, last, workspaces)
    window = Window(times.origin, last)
    cells = pl.DataFrame(engine.query(tree, window, limits))
    cells = cells.rename({f"c{index}": name for index, name in enumerate([*columns, *_MEASURES])})
    return _Cube(cells, times, workspaces).counted(ahead)


_MEASURES = (TIME, COST, BOUND, TOKENS, REQUESTS)


def columns_of(counting: Counting) -> frozenset[str]:
    """The columns of rows, and keys of metadata, that tell whether and for which counter a row counts."""
    found = {WORKSPACE} if counting.workspace_slug is not None else set[str]()
    for key in counting.selection.looks_at():
        if key == "model":
            found |= {PROVIDER, MODEL}
        elif key == "workspace_id":
            found.add(WORKSPACE)
        else:
            found.add(key if key.startswith(METADATA) else COLUMNS[key])
    if any(term.key == "model" for term in counting.selection.terms):
        found.add(VIRTUAL_KEY)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Times:
    """How coarsely rows may be grouped by time so that each period still begins where it does.

    A cell's time is the milliseconds from `origin` to a moment that no period begins after within the cell. Hours in
    which a period begins are told apart by the millisecond, the other hours of such days by the hour.
    """

    origin: datetime
    segments: tuple[int, ...] = ()
    """Moments in ms at which cells of whole days begin; none: each day is one."""
    days: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()

    @staticmethod
    def of(starts: Iterable[datetime]) -> "Times":
        """The coarsest grouping for these starts."""
        moments = sorted({conditions.to_millisecond(start) for start in starts})
        origin = moments[0].replace(hour=0, minute=0, second=0, microsecond=0)
        offsets = [(moment - origin) // _MILLISECOND for moment in moments]
        within = [offset for offset in offsets if offset % DAY_MS]
        days = sorted({offset // DAY_MS for offset in within})
        begins = {offset for offset in offsets if offset % DAY_MS == 0} | {(day + 1) * DAY_MS for day in days}
        segments = sorted({0, *begins})
        return Times(
            origin,
            tuple(segments) if len(segments) <= _MOST_SEGMENTS else (),
            tuple(days),
            tuple(sorted({offset // HOUR_MS for offset in within})),
        )

    def cell(self, start: datetime) -> int:
        """The first cell that counts for a period that begins then."""
        return (conditions.to_millisecond(start) - self.origin) // _MILLISECOND

    def tree(self, time_column: str) -> exp.Expr:
        """A row's cell."""
        day = self._steps(time_column, DAY_MS)
        segment = self._segment(time_column, self.segments) if self.segments else _times(day, DAY_MS)
        if not self.days:
            return segment
        hour = self._steps(time_column, HOUR_MS)
        exact = exp.Case(
            ifs=[exp.If(this=_is_in(hour, self.hours), true=self._steps(time_column, 1))],
            default=_times(hour.copy(), HOUR_MS),
        )
        return exp.Case(ifs=[exp.If(this=_is_in(day.copy(), self.days), true=exact)], default=segment)

    def _segment(self, time_column: str, segments: Sequence[int]) -> exp.Expr:
        if len(segments) == 1:
            return exp.cast(exp.Literal.number(segments[0]), "BIGINT")
        half = len(segments) // 2
        moment = conditions.instant(self.origin + segments[half] * _MILLISECOND)
        before = exp.LT(this=column(time_column), expression=moment)
        left, right = self._segment(time_column, segments[:half]), self._segment(time_column, segments[half:])
        return exp.Case(ifs=[exp.If(this=before, true=left)], default=right)

    def _steps(self, time_column: str, width_ms: int) -> exp.Expr:
        return call("GL_STEPS", time_column, conditions.instant(self.origin), width_ms)


def compile_cube(
    organisation_id: str, countings: Sequence[Counting], times: Times, last: datetime, workspaces: Workspaces
) -> exp.Select:
    """The neutral tree of the scan: every column that a policy looks at, the time, and the sums of each cell.

    Shape: `c0`… in the order of the columns' names, then time, cost, bound, tokens, requests.
    """
    columns = sorted(reduce(or_, (columns_of(one) for one in countings)))
    time_column = GENERATIONS.time_column
    first = min(one.starts_at for one in countings)
    where = [
        conditions.within_scope(_scope(organisation_id, countings)),
        conditions.within_windows(time_column, [Window(first, last)]),
    ]
    if len(countings) <= _FEW:
        about = [matches(one.selection, workspaces) for one in countings]
        where.append(exp.paren(exp.or_(*about, copy=False), copy=False))
    keys = [metadata_value(name) if name.startswith(METADATA) else or_blank(name) for name in columns]
    keys.append(times.tree(time_column))
    is_bounded = any(one.counts_upper_bound for one in countings)
    values = [
        call("GL_SUM_MONEY", "cost"),
        call("GL_SUM_MONEY", _bound()) if is_bounded else _no_money(),
        call("GL_SUM_INT", "total_units"),
        call("GL_COUNT"),
    ]
    named = [exp.alias_(key, f"k{index}", copy=False) for index, key in enumerate(keys)]
    sums = [exp.alias_(value, f"m{index}", copy=False) for index, value in enumerate(values)]
    groups = exp.select(*named, *sums, copy=False).from_(scan(GENERATIONS.name), copy=False)
    groups = groups.where(*where, copy=False)
    groups = groups.group_by(*(exp.column(f"k{index}") for index in range(len(keys))), copy=False)
    names = [*(f"k{index}" for index in range(len(keys))), *(f"m{index}" for index in range(len(values)))]
    shown = [exp.alias_(exp.column(name), f"c{index}", copy=False) for index, name in enumerate(names)]
    return exp.select(*shown, copy=False).from_(groups.subquery("cells", copy=False), copy=False)


@dataclass(slots=True)
class _Cube:
    """The cells of the scan, and smaller cubes cut out of them."""

    cells: pl.DataFrame
    times: Times
    workspaces: Workspaces
    _smaller: dict[frozenset[str], pl.DataFrame] = field(default_factory=dict[frozenset[str], pl.DataFrame])
    _parts: dict[tuple[frozenset[str], str], dict[str, pl.DataFrame]] = field(
        default_factory=dict[tuple[frozenset[str], str], dict[str, pl.DataFrame]]
    )

    def counted(self, countings: Sequence[Counting]) -> dict[str, dict[tuple[str, ...], Decimal]]:
        found: dict[str, dict[tuple[str, ...], Decimal]] = {}
        for counting in countings:
            used = self._used(counting)
            if used:
                found[counting.id] = used
        return found

    def _used(self, counting: Counting) -> dict[tuple[str, ...], Decimal]:
        cells = self._cells(counting)
        if cells.is_empty():
            return {}
        passing = [pl.col(TIME) >= self.times.cell(counting.starts_at)]
        passing += [_term(term, self.workspaces) for term in counting.selection.terms]
        group_by = counting.selection.group_by
        keys = [_key(key, self.workspaces).alias(f"g{index}") for index, key in enumerate(group_by)]
        sums = cells.lazy().filter(*passing).group_by(keys).agg(_value(counting).alias("used")).collect()
        values = zip(*(sums[f"g{index}"].to_list() for index in range(len(group_by))), strict=True)
        return dict(zip(values, _exact(counting.measure, sums["used"]), strict=True))

    def _cells(self, counting: Counting) -> pl.DataFrame:
        """The cells that may count: of the workspace, or of the values that a condition lists, whichever is there."""
        columns = columns_of(counting)
        if counting.workspace_slug is not None:
            return self._part(columns, WORKSPACE, [counting.workspace_slug])
        for term in counting.selection.terms:
            name = term.key if term.key.startswith(METADATA) else COLUMNS.get(term.key, "")
            if name in columns and not any(value.endswith(ANYTHING) for value in term.values):
                return self._part(columns, name, term.values)
        return self._cut(columns)

    def _cut(self, columns: frozenset[str]) -> pl.DataFrame:
        if columns not in self._smaller:
            if len(columns) == self.cells.width - len(_MEASURES):
                self._smaller[columns] = self.cells
            else:
                sums = [pl.col(name).sum() for name in (COST, BOUND, TOKENS, REQUESTS)]
                self._smaller[columns] = self.cells.group_by([*sorted(columns), TIME]).agg(sums)
        return self._smaller[columns]

    def _part(self, columns: frozenset[str], name: str, values: Sequence[str]) -> pl.DataFrame:
        place = (columns, name)
        if place not in self._parts:
            parts = self._cut(columns).partition_by(name, as_dict=True)
            self._parts[place] = {str(key[0]): part for key, part in parts.items()}
        parts = self._parts[place]
        found = [parts[value] for value in dict.fromkeys(values) if value in parts]
        return pl.concat(found) if found else self.cells.clear()


def _value(counting: Counting) -> pl.Expr:
    if counting.measure != "cost":
        return pl.col(TOKENS if counting.measure == "tokens" else REQUESTS).sum()
    cost = pl.col(COST).sum()
    return cost + pl.col(BOUND).sum() if counting.counts_upper_bound else cost


def _exact(measure: Measure, sums: pl.Series) -> list[Decimal]:
    """The sums as exact numbers; money in USD."""
    values = [Decimal(0) if value is None else Decimal(value) for value in sums.to_list()]
    return [value.scaleb(-CENTS_PER_USD_DIGITS) for value in values] if measure == "cost" else values


def _term(term: Term, workspaces: Workspaces) -> pl.Expr:
    passing = _any_fits(term.key, term.values, workspaces)
    return passing & ~_any_fits(term.key, term.excludes, workspaces) if term.excludes else passing


def _any_fits(key: str, wanted: Sequence[str], workspaces: Workspaces) -> pl.Expr:
    if key == "model":
        names = [_fits(pl.col(MODEL), wanted)]
        names += [(pl.col(owner) != "") & _fits(_owned(owner), wanted) for owner in (PROVIDER, VIRTUAL_KEY)]
        return (pl.col(MODEL) != "") & reduce(or_, names)
    if key == "workspace_id":
        return _fits(pl.col(WORKSPACE), [*wanted, *known_workspaces(wanted, workspaces)])
    return _fits(pl.col(key if key.startswith(METADATA) else COLUMNS[key]), wanted)


def _fits(value: pl.Expr, wanted: Sequence[str]) -> pl.Expr:
    literals = [one for one in wanted if not one.endswith(ANYTHING)]
    beginnings = [one[:-1] for one in wanted if one.endswith(ANYTHING)]
    parts = [value.is_in(literals)] if literals else []
    parts += [value.str.starts_with(beginning) if beginning else value != "" for beginning in beginnings]
    return reduce(or_, parts)


def _key(key: str, workspaces: Workspaces) -> pl.Expr:
    if key == "model":
        both = (pl.col(PROVIDER) != "") & (pl.col(MODEL) != "")
        return pl.when(both).then(_owned(PROVIDER)).otherwise(pl.col(MODEL))
    if key == "workspace_id":
        return pl.col(WORKSPACE).replace(dict(workspaces)) if workspaces else pl.col(WORKSPACE)
    return pl.col(key if key.startswith(METADATA) else COLUMNS[key])


def _owned(owner: str) -> pl.Expr:
    return pl.concat_str([pl.lit("@"), pl.col(owner), pl.lit("/"), pl.col(MODEL)])


def _scope(organisation_id: str, countings: Sequence[Counting]) -> TenantScope:
    slugs = {one.workspace_slug for one in countings}
    named = frozenset(slug for slug in slugs if slug is not None)
    return TenantScope(organisation_id, None if None in slugs else named)


def _bound() -> exp.Expr:
    """What a row can have cost at most, where it has no price."""
    missing = exp.Is(this=column("cost"), expression=exp.Null())
    return exp.Case(ifs=[exp.If(this=missing, true=column("cost_high"))])


def _no_money() -> exp.Expr:
    return exp.cast(exp.Null(), "DECIMAL(38, 12)")


def _is_in(value: exp.Expr, numbers: Sequence[int]) -> exp.Expr:
    return exp.In(this=value, expressions=[exp.Literal.number(number) for number in numbers])


def _times(value: exp.Expr, width_ms: int) -> exp.Expr:
    return exp.Mul(this=value, expression=exp.Literal.number(width_ms))


def _last_before(moment: datetime) -> datetime:
    """The last millisecond before a moment: rows are stored to the millisecond."""
    utc = moment.astimezone(UTC)
    last = conditions.to_millisecond(utc)
    return last - _MILLISECOND if last == utc else last

"""What a policy would have stopped, had it been there: a question about rows that were let through.

A row would have been stopped when the rows before it, of its counter and its period, had used up all that is allowed;
what is stopped uses nothing, so that everything after the one that reaches the limit is stopped, up to the reset.
Rows count in the order of their time, each as soon as it is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import call, column
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine, Limits, Window, scan
from warehouse.query import conditions
from warehouse.query.policy_rows import Workspaces, counter_keys, matches
from warehouse.query.policy_terms import Selection
from warehouse.query.policy_usage import Measure
from warehouse.query.scope import TenantScope

_MILLISECOND = timedelta(milliseconds=1)
_MONEY = exp.DataType.build("DECIMAL(38, 12)")
COLUMNS = (
    "requests",
    "tokens",
    "cost_cents",
    "unpriced_requests",
    "blocked_requests",
    "blocked_tokens",
    "blocked_cost_cents",
    "first_blocked_at",
    "last_blocked_at",
    "blocked_periods",
    "total",
)


@dataclass(frozen=True, slots=True)
class Backtest:
    """A policy and the time to try it on, both ends included. Units of `limit`: cents, tokens or requests."""

    scope: TenantScope
    selection: Selection
    measure: Measure
    limit: Decimal
    since: datetime
    until: datetime
    resets: Sequence[datetime] = ()
    """Instants within the time at which usage starts at 0, in order."""
    window_ms: int = 0
    """Of a rate: how long a window is, counted from `origin`; 0 for a usage policy."""
    origin: datetime | None = None
    counts_upper_bound: bool = False


def backtest(
    engine: Engine, asked: Backtest, workspaces: Workspaces, most: int, limits: Limits = Limits(timeout_s=120.0)
) -> pa.Table:
    """The counters with what would have been stopped of each, those with most of it first.

    Shape: `g0`… for the counter's values, then `COLUMNS`; `total` is the number of counters in all.
    Raises: QueryTooLarge, WarehouseBusy, WarehouseError.
    """
    found = engine.query(compile_backtest(asked, workspaces, most), Window(asked.since, asked.until), limits)
    keys = [f"g{index}" for index in range(len(asked.selection.group_by))]
    return found.rename_columns([*keys, *COLUMNS])


def compile_backtest(asked: Backtest, workspaces: Workspaces, most: int) -> exp.Select:
    """The neutral tree: rows, what was used before each, and what that means for each counter."""
    keys = [f"g{index}" for index in range(len(asked.selection.group_by))]
    judged = _judged(_rows(asked, workspaces, keys), keys)
    blocked = exp.GTE(this=exp.column("used_before"), expression=_limit(asked))

    def of_blocked(name: str) -> exp.Expr:
        return exp.Case(ifs=[exp.If(this=blocked.copy(), true=exp.column(name))])

    values = [
        call("GL_COUNT"),
        call("GL_SUM_INT", exp.column("tokens")),
        call("GL_SUM_MONEY", exp.column("cost_cents")),
        call("GL_COUNT_IF", exp.Is(this=exp.column("cost_cents"), expression=exp.Null())),
        call("GL_COUNT_IF", blocked.copy()),
        call("GL_SUM_INT", of_blocked("tokens")),
        call("GL_SUM_MONEY", of_blocked("cost_cents")),
        call("GL_MIN", of_blocked("made_at")),
        call("GL_MAX", of_blocked("made_at")),
        call("GL_COUNT_DISTINCT", of_blocked("period")),
    ]
    named = [exp.alias_(value, name, copy=False) for value, name in zip(values, COLUMNS, strict=False)]
    groups = exp.select(*map(exp.column, keys), *named, copy=False).from_(judged.subquery("judged"), copy=False)
    groups = groups.group_by(*map(exp.column, keys), copy=False)
    total = exp.alias_(exp.Window(this=exp.Count(this=exp.Star())), "total")
    page = exp.select(*map(exp.column, [*keys, *COLUMNS[:-1]]), total, copy=False)
    page = page.from_(groups.subquery("counters"), copy=False)
    order = [exp.Ordered(this=exp.column("blocked_requests"), desc=True, nulls_first=False)]
    order += [exp.Ordered(this=exp.column(key), desc=False, nulls_first=False) for key in keys]
    page.set("order", exp.Order(expressions=order))
    page.set("limit", exp.Limit(expression=exp.Literal.number(most)))
    return page


def _rows(asked: Backtest, workspaces: Workspaces, keys: Sequence[str]) -> exp.Select:
    time_column = GENERATIONS.time_column
    named = [
        *(
            exp.alias_(value, key, copy=False)
            for value, key in zip(counter_keys(asked.selection, workspaces), keys, strict=True)
        ),
        exp.alias_(column(time_column), "made_at", copy=False),
        exp.alias_(column("id"), "row_id", copy=False),
        exp.alias_(column("cost"), "cost_cents", copy=False),
        exp.alias_(exp.Coalesce(this=column("total_units"), expressions=[exp.Literal.number(0)]), "tokens"),
        exp.alias_(_used(asked), "used", copy=False),
        exp.alias_(_period(asked), "period", copy=False),
    ]
    where = [
        conditions.within_scope(asked.scope),
        conditions.within_windows(time_column, [Window(asked.since, asked.until)]),
        matches(asked.selection, workspaces),
    ]
    return exp.select(*named, copy=False).from_(scan(GENERATIONS.name), copy=False).where(*where, copy=False)


def _judged(rows: exp.Select, keys: Sequence[str]) -> exp.Select:
    """Rows with what was used of their counter before them in their period."""
    order = exp.Order(
        expressions=[
            exp.Ordered(this=exp.column("made_at"), desc=False, nulls_first=False),
            exp.Ordered(this=exp.column("row_id"), desc=False, nulls_first=False),
        ]
    )
    spec = exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW")
    running = exp.Window(
        this=exp.Sum(this=exp.column("used")),
        partition_by=[*map(exp.column, keys), exp.column("period")],
        order=order,
        spec=spec,
    )
    before = exp.Sub(this=running, expression=exp.column("used"))
    names = [*keys, "made_at", "cost_cents", "tokens", "period"]
    judged = exp.select(*map(exp.column, names), exp.alias_(before, "used_before"), copy=False)
    return judged.from_(rows.subquery("matching"), copy=False)


def _used(asked: Backtest) -> exp.Expr:
    zero = exp.Literal.number(0)
    if asked.measure == "requests":
        return exp.cast(exp.Literal.number(1), "BIGINT")
    if asked.measure == "tokens":
        return exp.Coalesce(this=column("total_units"), expressions=[zero])
    known: list[exp.Expr] = [column("cost_high"), zero] if asked.counts_upper_bound else [zero]
    return exp.Cast(this=exp.Coalesce(this=column("cost"), expressions=known), to=_MONEY.copy())


def _period(asked: Backtest) -> exp.Expr:
    time_column = GENERATIONS.time_column
    if asked.window_ms:
        origin = asked.origin or asked.since
        return call("GL_STEPS", time_column, conditions.instant(origin), asked.window_ms)
    return _numbered(asked.resets, 0, time_column)


def _numbered(resets: Sequence[datetime], first: int, time_column: str) -> exp.Expr:
    """How many resets came before a row, found by halving."""
    if not resets:
        return exp.cast(exp.Literal.number(first), "BIGINT")
    half = len(resets) // 2
    before = exp.LT(this=column(time_column), expression=conditions.instant(resets[half]))
    left = _numbered(resets[:half], first, time_column)
    right = _numbered(resets[half + 1 :], first + half + 1, time_column)
    return exp.Case(ifs=[exp.If(this=before, true=left)], default=right)


def _limit(asked: Backtest) -> exp.Expr:
    if asked.measure != "cost":
        return exp.Literal.number(int(asked.limit))
    return exp.Cast(this=exp.Literal.string(format(asked.limit, "f")), to=_MONEY.copy())

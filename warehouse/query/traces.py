"""Traces: requests that belong together by their trace id. A list of them, and the requests of one.

A trace is listed when one of its requests within the time passes the filters; its numbers are of all its requests
within the time that the scope holds. Source: dataplane contract 3.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from warehouse.catalog.functions import call, column, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Kind
from warehouse.engines.base import Engine, Limits, Window, scan
from warehouse.errors import InvalidInput
from warehouse.query.conditions import instant, is_one_of, within_scope, within_windows
from warehouse.query.keyset import Direction, SortKey, Value, after, check_position, ordered
from warehouse.query.logs import COLUMNS, LogQuestion, Row, chosen, feedback_of, with_feedback
from warehouse.query.scope import TenantScope

TRACE = "trace_id"
MOST_SPANS = 10_000
"""Requests of one trace that are answered."""
SORTS: Mapping[str, Kind] = {
    "first_seen": Kind.INSTANT,
    "last_seen": Kind.INSTANT,
    "requests": Kind.INTEGER,
    "total_cost": Kind.MONEY,
    "total_tokens": Kind.INTEGER,
    "duration_ms": Kind.INTEGER,
    "error_count": Kind.INTEGER,
}
"""What traces can be ordered by. The start of a trace is first: nothing that arrives later moves it."""
_ROOT = (
    "id", "span_id", "span_name", "parent_span_id", "workspace_slug", "ai_org", "ai_model", "_user", "metadata.key",
    "metadata.value",
)  # fmt: skip
"""What a trace shows of its first request."""
_HAS_TRACE = column(TRACE).neq(text(""))


@dataclass(frozen=True, slots=True)
class TraceQuestion:
    """A page of the traces that `requests` chooses by their requests. Raises: InvalidInput."""

    requests: LogQuestion
    order_by: str = "first_seen"
    direction: Direction = "desc"
    limit: int = 50
    offset: int = 0
    position: tuple[Value, ...] | None = None

    def __post_init__(self) -> None:
        if self.order_by not in SORTS:
            raise InvalidInput(f"cannot order by '{self.order_by}'; allowed: {', '.join(SORTS)}")
        if self.position is not None:
            check_position((SORTS[self.order_by], Kind.TEXT), self.position)

    @property
    def keys(self) -> tuple[SortKey, SortKey]:
        return SortKey(self.order_by, self.direction), SortKey(TRACE, self.direction)


@dataclass(frozen=True, slots=True)
class TracePage:
    """Traces with their numbers, feedback and first request (`root`); `position` is where the next page starts."""

    traces: list[Row]
    position: tuple[Value, ...] | None


def find_traces(engine: Engine, question: TraceQuestion, limits: Limits = Limits()) -> TracePage:
    """The traces asked for. Raises: QueryTooLarge, WarehouseBusy, WarehouseError."""
    tree = exp.select("*").from_(_traces(question).subquery("traces"))
    if question.position is not None:
        tree = tree.where(after(question.keys, question.position))
    tree = tree.order_by(*ordered(question.keys)).limit(question.limit + 1)
    if question.position is None and question.offset:
        tree = tree.offset(question.offset)
    found = engine.query(tree, question.requests.window, limits).to_pylist()
    page = found[: question.limit]
    scope = question.requests.rows.scope
    roots = _roots(engine, scope, page, limits)
    ratings = feedback_of(engine, scope, (line[TRACE] for line in page), limits)
    for line in page:
        line["root"] = roots.get(line[TRACE])
        line["feedback_count"], line["avg_weighted_feedback"] = ratings.get(line[TRACE], (0, None))
    has_more = len(found) > len(page) > 0
    return TracePage(page, tuple(page[-1][key.name] for key in question.keys) if has_more else None)


def count_traces(engine: Engine, question: TraceQuestion, limits: Limits = Limits()) -> int:
    """How many traces there are on all pages."""
    tree = exp.select(call("GL_COUNT_DISTINCT", TRACE).as_("traces")).from_(scan(GENERATIONS.name))
    tree = tree.where(chosen(question.requests), _HAS_TRACE.copy())
    return int(engine.query(tree, question.requests.window, limits).to_pylist()[0]["traces"])


def find_trace(engine: Engine, scope: TenantScope, trace_id: str, limits: Limits = Limits()) -> list[Row]:
    """The first `MOST_SPANS` requests of a trace and one more where it has more, by time; none where it is absent."""
    tree = (
        exp.select(*map(column, COLUMNS))
        .from_(scan(GENERATIONS.name))
        .where(within_scope(scope), is_one_of(TRACE, [trace_id]))
        .order_by(*ordered((SortKey("created_at", "asc"), SortKey("id", "asc"))))
        .limit(MOST_SPANS + 1)
    )
    return with_feedback(engine, scope, engine.query(tree, limits=limits).to_pylist(), limits)


def _traces(question: TraceQuestion) -> exp.Select:
    """Every trace that is chosen, with its numbers."""
    rows = question.requests.rows
    start_ms = call("GL_STEPS", column("created_at"), instant(rows.since), 1)
    took_ms = exp.Coalesce(this=column("response_time"), expressions=[exp.Literal.number(0)])
    ends_ms = exp.Add(this=start_ms.copy(), expression=took_ms)
    duration = exp.Sub(this=call("GL_MAX", ends_ms), expression=call("GL_MIN", start_ms))
    numbers: dict[str, exp.Expr] = {
        "requests": call("GL_COUNT"),
        "total_cost": call("GL_SUM_MONEY", "cost"),
        "unpriced_requests": call("GL_COUNT_IF", exp.Is(this=column("cost"), expression=exp.Null())),
        "total_tokens": call("GL_SUM_INT", "total_units"),
        "input_tokens": call("GL_SUM_INT", "req_units"),
        "output_tokens": call("GL_SUM_INT", "res_units"),
        "error_count": call("GL_COUNT_IF", exp.Not(this=column("is_success"))),
        "models": call("GL_COUNT_DISTINCT", "ai_model"),
        "first_seen": call("GL_MIN", "created_at"),
        "last_seen": call("GL_MAX", "created_at"),
        "duration_ms": duration,
    }
    named = [exp.alias_(value, name, quoted=True) for name, value in numbers.items()]
    window = question.requests.window
    within = [within_scope(rows.scope), within_windows(GENERATIONS.time_column, (window,)), _HAS_TRACE.copy()]
    tree = exp.select(column(TRACE), *named).from_(scan(GENERATIONS.name)).where(*within)
    if rows.conditions or question.requests.search:
        passing = exp.select(column(TRACE)).from_(scan(GENERATIONS.name)).where(chosen(question.requests))
        tree = tree.where(exp.In(this=column(TRACE), query=exp.Subquery(this=passing)))
    return tree.group_by(column(TRACE))


def _roots(engine: Engine, scope: TenantScope, page: Sequence[Row], limits: Limits) -> dict[str, dict[str, Any]]:
    """Trace → its first request."""
    if not page:
        return {}
    starts = [line["first_seen"] for line in page]
    firsts = [
        exp.and_(is_one_of(TRACE, [line[TRACE]]), exp.EQ(this=column("created_at"), expression=instant(start)))
        for line, start in zip(page, starts, strict=True)
    ]
    window = Window(min(starts), max(starts))
    tree = (
        exp.select(column(TRACE), *map(column, _ROOT))
        .from_(scan(GENERATIONS.name))
        .where(within_scope(scope), within_windows(GENERATIONS.time_column, (window,)), exp.or_(*firsts))
        .order_by(*ordered([SortKey("id", "desc")]))
    )
    # Of several at the same instant the last one stays: the smallest id, whichever engine answers.
    return {line[TRACE]: line for line in engine.query(tree, window, limits).to_pylist()}

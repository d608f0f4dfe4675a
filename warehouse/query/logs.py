"""Single requests: a page of those that a question chooses, and one by its id."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlglot import exp

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import call, column, text
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Engine, Limits, Window, scan
from warehouse.errors import InvalidInput
from warehouse.query.conditions import is_one_of, matches, within_scope, within_windows
from warehouse.query.keyset import Direction, SortKey, Value, after, check_position, ordered
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Question

SORTABLE = (
    "created_at", "cost", "total_units", "req_units", "res_units", "response_time", "response_status_code",
    "ai_org", "ai_model",
)  # fmt: skip
SEARCHED = (
    "id", "trace_id", "span_id", "span_name", "ai_org", "ai_model", "_user", "user_id", "api_key_id", "virtual_key",
    "config", "prompt_slug",
)  # fmt: skip
SEARCHED_LISTS = ("metadata.key", "metadata.value")
LONGEST_SEARCH = 200
_OURS_ALONE = frozenset({"ingest_source", "batch_id"})
COLUMNS = tuple(each.name for each in GENERATIONS.columns if each.name not in _OURS_ALONE)
"""What a log shows of its row."""
_NEAR = timedelta(days=2)

TOTALS: Mapping[str, exp.Expr] = {
    "requests": call("GL_COUNT"),
    "cost": call("GL_SUM_MONEY", "cost"),
    "unpriced_requests": call("GL_COUNT_IF", exp.Is(this=column("cost"), expression=exp.Null())),
    "total_tokens": call("GL_SUM_INT", "total_units"),
    "input_tokens": call("GL_SUM_INT", "req_units"),
    "output_tokens": call("GL_SUM_INT", "res_units"),
    "error_count": call("GL_COUNT_IF", exp.Not(this=column("is_success"))),
    "latency_sum": call("GL_SUM_INT", "response_time"),
    "latency_count": call("GL_COUNT_IF", exp.Not(this=exp.Is(this=column("response_time"), expression=exp.Null()))),
}
"""What all chosen rows amount to."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogQuestion:
    """A page of the rows that `rows` chooses and that hold `search` somewhere. Raises: InvalidInput."""

    rows: Question
    search: str = ""
    order_by: str = "created_at"
    direction: Direction = "desc"
    limit: int = 50
    offset: int = 0
    position: tuple[Value, ...] | None = None
    """The sort keys' values of the last row of the page before; then `offset` does not count."""

    def __post_init__(self) -> None:
        if self.order_by not in SORTABLE:
            raise InvalidInput(f"cannot order by '{self.order_by}'; allowed: {', '.join(SORTABLE)}")
        if len(self.search) > LONGEST_SEARCH:
            raise InvalidInput(f"search: at most {LONGEST_SEARCH} characters, not {len(self.search)}")
        if self.position is not None:
            check_position([GENERATIONS.column(key.name).kind for key in self.keys], self.position)

    @property
    def keys(self) -> tuple[SortKey, ...]:
        """What pages are ordered by: no two rows have the same values."""
        names = dict.fromkeys((self.order_by, GENERATIONS.time_column, "id"))
        return tuple(SortKey(name, self.direction) for name in names)

    @property
    def window(self) -> Window:
        return Window(self.rows.since, self.rows.until)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Rows by column, each with `feedback_count` and `weighted_feedback`; `position` is where the next page starts."""

    rows: list[Row]
    position: tuple[Value, ...] | None


def find_logs(engine: Engine, question: LogQuestion, limits: Limits = Limits()) -> LogPage:
    """The rows asked for. Raises: QueryTooLarge, WarehouseBusy, WarehouseError."""
    names = [key.name for key in question.keys]
    tree = exp.select(*map(column, names)).from_(scan(GENERATIONS.name)).where(chosen(question), copy=False)
    if question.position is not None:
        tree = tree.where(after(question.keys, question.position), copy=False)
    tree = tree.order_by(*ordered(question.keys), copy=False).limit(question.limit + 1)
    if question.position is None and question.offset:
        tree = tree.offset(question.offset)
    # First which rows, by few columns; then these rows whole: sorting whole rows would read all columns of all rows.
    found = engine.query(tree, question.window, limits).to_pylist()
    page = found[: question.limit]
    rows = _whole(engine, question.rows.scope, page, limits)
    has_more = len(found) > len(page) > 0
    return LogPage(rows, tuple(page[-1][name] for name in names) if has_more else None)


def sum_logs(engine: Engine, question: LogQuestion, limits: Limits = Limits()) -> Row:
    """What all rows that the question chooses amount to, on whichever page (see `TOTALS`)."""
    sums = [exp.alias_(value.copy(), name, quoted=True) for name, value in TOTALS.items()]
    tree = exp.select(*sums).from_(scan(GENERATIONS.name)).where(chosen(question), copy=False)
    [line] = engine.query(tree, question.window, limits).to_pylist()
    return line


def find_log(engine: Engine, scope: TenantScope, log_id: str, near: datetime, limits: Limits = Limits()) -> Row | None:
    """The row with this id, or None where the scope holds none. It is looked for around `near` first."""
    for window in (Window(near - _NEAR, near + _NEAR), Window()):
        tree = exp.select(*map(column, COLUMNS)).from_(scan(GENERATIONS.name)).where(_is_log(scope, log_id, window))
        found = engine.query(tree.limit(1), window, limits).to_pylist()
        if found:
            return with_feedback(engine, scope, found, limits)[0]
    return None


def has_log(engine: Engine, scope: TenantScope, log_id: str, limits: Limits = Limits()) -> bool:
    """Whether the scope holds a row with this id."""
    tree = exp.select(column("id")).from_(scan(GENERATIONS.name)).where(_is_log(scope, log_id, Window())).limit(1)
    return engine.query(tree, limits=limits).num_rows > 0


def _is_log(scope: TenantScope, log_id: str, window: Window) -> exp.Expr:
    within = within_windows(GENERATIONS.time_column, (window,))
    return exp.and_(within_scope(scope), within, is_one_of("id", [log_id]))


def chosen(question: LogQuestion) -> exp.Expr:
    """True for the rows that a question chooses; the tenant always comes first."""
    rows = question.rows
    parts = [
        within_scope(rows.scope),
        within_windows(GENERATIONS.time_column, (question.window,)),
        *(matches(GENERATIONS, condition, rows.scope) for condition in rows.conditions),
    ]
    if question.search:
        parts.append(holds(question.search))
    return exp.and_(*parts, copy=False)


def holds(part: str) -> exp.Expr:
    """True for rows that hold a text somewhere, in any case."""
    texts = [column(name) for name in SEARCHED] + [call("GL_JOINED", name) for name in SEARCHED_LISTS]
    found = [
        exp.GT(
            this=exp.StrPosition(this=call("GL_LOWER", each), substr=call("GL_LOWER", text(part))),
            expression=exp.Literal.number(0),
        )
        for each in texts
    ]
    return exp.paren(exp.or_(*found, copy=False), copy=False)


def _whole(engine: Engine, scope: TenantScope, page: Sequence[Row], limits: Limits) -> list[Row]:
    """The rows of a page with all their columns, in its order."""
    if not page:
        return []
    times = [line[GENERATIONS.time_column] for line in page]
    window = Window(min(times), max(times))
    wanted = [
        within_scope(scope),
        within_windows(GENERATIONS.time_column, (window,)),
        is_one_of("id", [line["id"] for line in page]),
    ]
    tree = exp.select(*map(column, COLUMNS)).from_(scan(GENERATIONS.name)).where(*wanted)
    by_id = {row["id"]: row for row in engine.query(tree, window, limits).to_pylist()}
    rows = [by_id[line["id"]] for line in page if line["id"] in by_id]
    return with_feedback(engine, scope, rows, limits)


def with_feedback(engine: Engine, scope: TenantScope, rows: list[Row], limits: Limits = Limits()) -> list[Row]:
    """The rows, each with what was said of its trace."""
    ratings = feedback_of(engine, scope, (row["trace_id"] for row in rows), limits)
    for row in rows:
        row["feedback_count"], row["weighted_feedback"] = ratings.get(row["trace_id"], (0, None))
    return rows


def feedback_of(
    engine: Engine, scope: TenantScope, trace_ids: Iterable[str | None], limits: Limits = Limits()
) -> dict[str, tuple[int, float | None]]:
    """Trace → how many feedbacks it has and the mean of their weighted values; everybody's count, whenever given."""
    wanted = sorted({trace for trace in trace_ids if trace})
    if not wanted:
        return {}
    known = exp.Not(this=exp.Is(this=column("weighted"), expression=exp.Null()))
    mean = call("GL_RATIO", call("GL_SUM_FLOAT", "weighted"), call("GL_COUNT_IF", known))
    tree = (
        exp.select(column("trace_id"), call("GL_COUNT").as_("given"), mean.as_("mean"))
        .from_(scan(FEEDBACKS.name))
        .where(within_scope(scope.of_everybody()), is_one_of("trace_id", wanted))
        .group_by(column("trace_id"))
    )
    return {line["trace_id"]: (line["given"], line["mean"]) for line in engine.query(tree, limits=limits).to_pylist()}

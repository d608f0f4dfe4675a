"""The SQL of logs, traces, spans and exports, as text, on both engines; `UPDATE_GOLDENS=1` writes it anew.

The questions are asked of a lake that holds a few rows, so that also what is asked for the rows of a page is there.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from sqlglot import exp

from tests.contract.test_sql_goldens import check, pretty
from tests.factories import rows
from tests.factories.loaded import loaded
from warehouse.engines.base import Engine, Limits, Window
from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.query.logs import LogQuestion, find_log, find_logs, sum_logs
from warehouse.query.scope import OwnRows, TenantScope
from warehouse.query.spec import Condition, Question
from warehouse.query.stream import Position, RowsQuestion, count_rows, pages
from warehouse.query.traces import TraceQuestion, count_traces, find_trace, find_traces

SINCE, UNTIL = rows.FIRST_DAY, rows.FIRST_DAY + timedelta(days=60)
AT = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
SCOPE = TenantScope(rows.ORGANISATIONS[0], frozenset({"default", "o'brien"}))
OWN = TenantScope(rows.ORGANISATIONS[0], None, OwnRows("user-1", frozenset({"key-1"})))
FILTERED = Question(SCOPE, SINCE, UNTIL, conditions=(Condition("cost_min", Decimal("0.1")),))
PLAIN = Question(SCOPE, SINCE, UNTIL)


class Asked:
    """An engine that writes down what it is asked; it answers from the lake."""

    def __init__(self, lake: Engine) -> None:
        self.lake, self.trees = lake, list[exp.Query]()

    def query(self, tree: exp.Query, window: Window = Window(), limits: Limits = Limits()) -> pa.Table:
        self.trees.append(tree.copy())
        return self.lake.query(tree, window, limits)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    table = rows.generations(61, 200)
    with loaded("lake", tmp_path_factory.mktemp("goldens"), table, rows.feedbacks(62, table, 60)) as engine:
        yield engine


QUESTIONS: dict[str, Callable[[Any], object]] = {
    "logs_newest_first": lambda engine: find_logs(engine, LogQuestion(PLAIN, limit=1)),
    "logs_searched_by_cost_after_a_row": lambda engine: find_logs(
        engine,
        LogQuestion(FILTERED, "100%_o'x\\", "cost", "asc", limit=1, position=(Decimal("0.5"), AT, "id-1")),
    ),
    "logs_after_a_row_without_a_value": lambda engine: find_logs(
        engine, LogQuestion(Question(OWN, SINCE, UNTIL), "", "response_time", "desc", 1, position=(None, AT, "id-1"))
    ),
    "logs_in_sum": lambda engine: sum_logs(engine, LogQuestion(FILTERED, "gpt")),
    "one_log": lambda engine: find_log(engine, SCOPE, "o'none", AT),
    "traces_by_cost": lambda engine: find_traces(
        engine, TraceQuestion(LogQuestion(FILTERED), "total_cost", "desc", 1, position=(Decimal(2), "trace-1"))
    ),
    "traces_counted": lambda engine: count_traces(engine, TraceQuestion(LogQuestion(PLAIN, "x"))),
    "one_trace": lambda engine: find_trace(engine, OWN, "o'none"),
    "exported_rows": lambda engine: [
        count_rows(engine, RowsQuestion(FILTERED, ("id", "cost"), AT, ("gpt-4o",))),
        *pages(engine, RowsQuestion(PLAIN, ("id", "metadata.key"), UNTIL), Position(AT, "id-1"), page_rows=1000),
    ],
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_asked(lake: Engine, name: str) -> None:
    clickhouse = ClickHouseEngine.connect("clickhouse://default@127.0.0.1:1/default")
    asked = Asked(lake)
    QUESTIONS[name](asked)
    assert asked.trees
    texts = {one.name: ";\n\n".join(pretty(one, tree) for tree in asked.trees) for one in (lake, clickhouse)}
    check(name, texts)

"""The SQL of questions, as text, on both engines; with `UPDATE_GOLDENS=1` this test writes it anew."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlglot import exp

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.registry import public_measures
from warehouse.catalog.rollups import ROLLUP_OF
from warehouse.engines.base import Engine, Window
from warehouse.engines.clickhouse import ClickHouseEngine
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.query import plan
from warehouse.query.calendar import edges_of, granularity_named
from warehouse.query.compile import compile_grouped, compile_series
from warehouse.query.reference import expression_of, spelled
from warehouse.query.scope import OwnRows, TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Groups, Having, Order, SeriesQuery

GOLDENS = Path(__file__).with_name("goldens")
EVERYTHING = tuple(measure.name for measure in public_measures(GENERATIONS))
SINCE, UNTIL = datetime(2026, 2, 1, 10, tzinfo=UTC), datetime(2026, 2, 28, 23, 59, 59, 999000, tzinfo=UTC)


def question(by: tuple[str, ...], *measures: str, **more: object) -> GroupedQuery:
    asked = {"scope": TenantScope("org-1"), "since": SINCE, "until": UNTIL, "by": by, "measures": measures} | more
    return GroupedQuery(**asked)  # type: ignore[arg-type]


QUESTIONS: dict[str, GroupedQuery] = {
    "requests_by_model": question(("model",), "requests"),
    "everything_by_model": question(("model",), *EVERYTHING),
    "two_keys_ordered_later_page": question(
        ("status_code", "metadata.team"),
        "cost",
        "success_rate",
        order=(Order("success_rate", "asc"), Order("metadata.team")),
        limit=20,
        offset=40,
    ),
    "all_without_total": question(("workspace",), "cost", include_total=False, limit=None),
    "no_workspace_no_row": question(("prompt",), "requests", scope=TenantScope("org-1", frozenset())),
    "rows_of_one_person": question(
        ("model",),
        "requests",
        scope=TenantScope("org-1", frozenset({"prod"}), OwnRows("user-1", frozenset({"key-1", "o'key"}))),
        conditions=(Condition("api_key_ids", ("key-9",)), Condition("weighted_feedback_min", 1)),
    ),
    "sifted_groups": question(
        ("model",),
        "cost",
        "error_rate",
        having=(Having("cost", ">=", Decimal("0.5")), Having("requests", ">", 10.5), Having("error_rate", "<", 5)),
    ),
    "rows_outside_of_groups": question(
        (), "cost", "users", outside=Groups(("model", "status_code"), (("gpt-4o", 200), ("o'brien", None)))
    ),
    "feedback_of_groups": question(("metadata.team",), "cost", "p95_latency", "avg_weighted_feedback"),
    "feedback_beside_sums": question(("metadata.team",), "cost", "requests_with_feedback", "last_seen"),
    "every_filter": question(
        ("api_key",),
        "requests",
        scope=TenantScope("org-1", frozenset({"prod", "o'brien"})),
        conditions=(
            Condition("total_units_min", 10),
            Condition("cost_min", Decimal("0.1")),
            Condition("cost_max", 5.5),
            Condition("completion_token_max", 99.5),
            Condition("status_code", (200, 429)),
            Condition("weighted_feedback_min", -1.5),
            Condition("configs", ("pc-1", "")),
            Condition("api_key_ids", ()),
            Condition("metadata", (("team", "search"), ("a'b\\", "x"))),
            Condition("ai_org_model", (("openai", "gpt-4o"), ("bedrock", ""))),
            Condition("cache_status", ("HIT", "miss")),
        ),
    ),
}


def series(granularity: str, zone: str, *measures: str, **more: object) -> SeriesQuery:
    since, until = datetime(2026, 3, 20, 10, tzinfo=UTC), datetime(2026, 4, 2, 12, tzinfo=UTC)
    asked = {"scope": TenantScope("org-1"), "since": since, "until": until, "measures": measures} | more
    edges = edges_of(since, until, granularity_named(granularity), ZoneInfo(zone)) if granularity else ()
    return SeriesQuery(**asked, edges=edges)  # type: ignore[arg-type]


SERIES: dict[str, SeriesQuery] = {
    "series_of_sums_by_hour": series("hour", "Asia/Kolkata", "requests", "cost"),
    "series_by_day_where_clocks_change": series("day", "Europe/Berlin", "p50_latency", "users", "avg_latency"),
    "series_by_status": series("day", "UTC", "error_count", by=("status_code",)),
    "series_of_feedback": series(
        "week", "UTC", "avg_weighted_feedback", dataset=FEEDBACKS, trace_conditions=(Condition("cost_min", 1),)
    ),
    "feedback_by_model": series("", "UTC", "feedbacks", "avg_weighted_feedback", by=("model",)),
}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Engine]]:
    """Both engines, to spell with; neither is asked anything."""
    lake = DuckDBEngine(str(tmp_path_factory.mktemp("lake")))
    yield [lake, ClickHouseEngine.connect("clickhouse://default@127.0.0.1:1/default")]
    lake.close()


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(engines: list[Engine], name: str) -> None:
    check(name, {engine.name: pretty(engine, compile_grouped(QUESTIONS[name])) for engine in engines})


@pytest.mark.parametrize("name", SERIES)
def test_series(engines: list[Engine], name: str) -> None:
    check(name, {engine.name: pretty(engine, compile_series(SERIES[name])) for engine in engines})


def test_a_series_split_over_a_rollup_and_rows(engines: list[Engine]) -> None:
    query = series("day", "Europe/Berlin", "cost", "cache_hit_rate")
    fresh = {datetime(2026, 3, day, tzinfo=UTC).date(): True for day in range(18, 32)}
    split = plan.split_by(query, ROLLUP_OF["rollup_hour_workspace"], fresh)
    assert split is not None
    check("split_series", {engine.name: pretty(engine, compile_series(query, split)) for engine in engines})


def test_a_question_split_over_a_rollup_and_rows(engines: list[Engine]) -> None:
    query = question(("model",), "cost", "avg_latency", "last_seen")
    fresh = {datetime(2026, 2, day, tzinfo=UTC).date(): day != 10 for day in range(1, 29)}
    split = plan.split_by(query, ROLLUP_OF["rollup_day_model"], fresh)
    assert split is not None
    assert split.rest[0] == Window(SINCE, datetime(2026, 2, 1, 23, 59, 59, 999000, tzinfo=UTC))
    check("split", {engine.name: pretty(engine, compile_grouped(query, split)) for engine in engines})


def test_a_question_of_which_a_rollup_answers_a_part(engines: list[Engine]) -> None:
    query = question((), "cost", "error_rate", "cache_hits", "avg_tokens", "p95_latency", "users", "feedbacks")
    fresh = {datetime(2026, 2, day, tzinfo=UTC).date(): True for day in range(1, 28)}
    assert plan.candidates(query)[0].name == "rollup_hour_workspace"
    split = plan.split_by(query, ROLLUP_OF["rollup_hour_workspace"], fresh)
    assert split is not None
    check("split_parts", {engine.name: pretty(engine, compile_grouped(query, split)) for engine in engines})


def test_a_question_of_a_key_of_the_metadata_split_over_its_rollup_and_rows(engines: list[Engine]) -> None:
    conditions = (Condition("metadata", (("te'am", "search"),)),)
    query = question(("workspace", "metadata.te'am"), "cost", "feedbacks", conditions=conditions)
    fresh = {datetime(2026, 2, day, tzinfo=UTC).date(): True for day in range(1, 28)}
    split = plan.split_by(query, ROLLUP_OF["rollup_day_metadata"], fresh)
    assert split is not None
    check("split_metadata", {engine.name: pretty(engine, compile_grouped(query, split)) for engine in engines})


def test_a_question_that_looks_rated_requests_up(engines: list[Engine]) -> None:
    query = question(("metadata.te'am",), "cost", "feedbacks", conditions=(Condition("cost_min", 1),))
    assert plan.looks_up_rated(query)
    fresh = {datetime(2026, 2, day, tzinfo=UTC).date(): day != 10 for day in range(1, 29)}
    rated = plan.split_by_rated(query, fresh, {})
    assert rated is not None
    assert rated.whole[0].since == SINCE
    check("split_rated", {engine.name: pretty(engine, compile_grouped(query, None, rated)) for engine in engines})


def test_a_question_as_known_at_an_instant(engines: list[Engine]) -> None:
    asked = question(("model",), "cost", "p95_latency", conditions=(Condition("cost_min", 1),))
    query = replace(asked, as_known_at=datetime(2026, 3, 5, 10, 0, 0, 123_999, tzinfo=UTC))
    assert not plan.candidates(query)
    check("as_known_at", {engine.name: pretty(engine, compile_grouped(query)) for engine in engines})


def test_every_measure(engines: list[Engine]) -> None:
    """One line per measure: a new one adds its line here."""
    check(
        "measures",
        {
            engine.name: "\n".join(
                f"{measure.name}: {spelled(engine, expression_of(GENERATIONS, measure))}"
                for measure in (*GENERATIONS.measures, *GENERATIONS.ratios)
            )
            for engine in engines
        },
    )


def pretty(engine: Engine, tree: exp.Select) -> str:
    return engine.lower(tree).sql(dialect=engine.dialect, pretty=True)


def check(name: str, texts: dict[str, str]) -> None:
    for engine, text in texts.items():
        golden = GOLDENS / f"{name}.{engine}.sql"
        if os.environ.get("UPDATE_GOLDENS"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text + "\n", encoding="utf-8")
        assert golden.read_text(encoding="utf-8") == text + "\n", f"{golden.name} differs; see the head of this test"

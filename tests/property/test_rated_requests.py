"""Rated requests give the rows' own answer to the last digit, or are not used."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from sqlglot import exp

from tests.factories import questions, rows
from tests.factories.loaded import loaded
from tests.factories.rollups import taken_although_small
from warehouse.catalog import rated
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import column
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.rated import RATED
from warehouse.engines.base import EXPECTED, Batch, Engine, Limits, Window, scan
from warehouse.query import plan
from warehouse.query import run as runner
from warehouse.query.compile import compile_grouped, compile_series
from warehouse.query.parts import RatedSplit
from warehouse.query.scope import OwnRows, TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Groups, Question, SeriesQuery
from warehouse.rollups import build_rollups, check_rollups, stale_days
from warehouse.storage.tables import arrow_schema

pytestmark = pytest.mark.usefixtures("_taken")
DAYS = [date(2026, 3, 27) + timedelta(days=number) for number in range(rows.DAYS)]
SPAN = (rows.FIRST_DAY, rows.FIRST_DAY + timedelta(days=rows.DAYS, milliseconds=-1))
THROUGH = ("feedbacks", "requests_with_feedback", "avg_weighted_feedback")
ALL = GroupedQuery(TenantScope("org-a"), *SPAN, ("model",), ("cost", *THROUGH), limit=None)


@pytest.fixture
def _taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_although_small(monkeypatch)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Engine]:
    generations = rows.generations(51, 300)
    with loaded("lake", tmp_path, generations, rows.feedbacks(52, generations, 60)) as engine:
        yield engine


def split_of(engine: Engine, query: Question) -> RatedSplit | None:
    """How the planner divides the time over the rated requests."""
    versions = {each.name: engine.version(each.name) for each in plan.datasets_of(query)}
    return runner._answers_from(engine)._rated_split(engine, query, versions)


def assert_same(engine: Engine, query: GroupedQuery) -> None:
    """Weights are halves of halves, so even the sums of floats are exact in any order."""
    from_rows = runner._grouped(query, engine.query(compile_grouped(query)))
    answer = runner.run_grouped(engine, query)
    assert answer.rows.equals(from_rows.rows), query
    assert answer.total == from_rows.total


def some_question(random: Random) -> GroupedQuery:
    """Groups with feedback of any rows and time, some beside sums, some of only one's own rows."""
    further = random.sample(
        ("cost", "requests", "last_seen", "p95_latency", "users", "error_rate"), random.randrange(3)
    )
    asked = questions.some_question(
        random, measures=(*random.sample(THROUGH, random.randrange(1, 4)), *further), order=()
    )
    scope = TenantScope(random.choice(rows.ORGANISATIONS))
    if random.random() < 0.3:
        scope = replace(scope, own=OwnRows("somebody", frozenset(random.sample(("key-1", "key-2", "key-3"), 2))))
    outside = Groups(asked.by, ((*(None for _ in asked.by),),)) if random.random() < 0.1 else None
    since, until = (asked.since, asked.until) if random.random() < 0.4 else SPAN
    return replace(asked, scope=scope, since=since, until=until, outside=outside, limit=None, offset=0)


def give(engine: Engine, name: str, *traces: str, organisation: str = "org-a", value: int = 4) -> None:
    """Stores a feedback on each of the traces."""
    given = [
        {"organisation_id": organisation, "created_at": SPAN[1], "id": f"{name}-{number}", "trace_id": trace}
        | {"value": value, "weight": 0.5, "weighted": value * 0.5}
        for number, trace in enumerate(traces)
    ]
    assert engine.append(FEEDBACKS, rows.as_feedbacks(given), Batch(name)).stored == len(traces)


def change(engine: Engine, id_: str, weighted: float) -> None:
    revision = pa.array([datetime(2026, 5, 1)], pa.timestamp("us"))  # noqa: DTZ001 - as rows are stored
    changes = {"id": [id_], "created_at": pa.array([SPAN[1].replace(tzinfo=None)], pa.timestamp("us"))}
    changes |= {"last_updated_at": revision, EXPECTED: pa.nulls(1, pa.timestamp("us")), "weighted": [weighted]}
    assert engine.rewrite(FEEDBACKS, pa.table(changes), Batch(f"change-{id_}")) == 1


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_no_answer_changes_while_feedback_and_rows_come_change_and_go(kind: str, tmp_path: Path) -> None:
    generations = rows.generations(53, 400)
    with loaded(kind, tmp_path, generations, rows.feedbacks(54, generations, 60)) as engine:
        taken = 0
        for step in range(7):
            match step:
                case 1 | 3:
                    build_rollups(engine, which=[RATED])
                case 2:
                    give(engine, "later", "trace-1", "trace-2", "trace-2", "")
                case 4:
                    change(engine, "later-0", -2.5)
                    build_rollups(engine, which=[RATED])
                case 5:
                    late = rows.generations(55, 60, prefix="late").filter(pa.array([True, False] * 30))
                    engine.append(GENERATIONS, late, Batch("late"))
                    build_rollups(engine, Window(rows.FIRST_DAY, rows.FIRST_DAY + timedelta(days=2)), [RATED])
                case 6:
                    engine.forget(GENERATIONS, DAYS[1])
            if step in (1, 5):
                assert check_rollups(engine) == []
            for number in range(4 if kind == "lake" else 1):
                query = some_question(Random(f"{step}/{number}"))
                taken += split_of(engine, query) is not None
                assert_same(engine, query)
            assert (split_of(engine, ALL) is not None) == (step not in (0, 2))
        assert taken >= (8 if kind == "lake" else 2)
        build_rollups(engine, which=[RATED])
        assert min(plan.rolled_days(engine, RATED)) == DAYS[1]


def test_series_are_the_same(lake: Engine) -> None:
    build_rollups(lake, which=[RATED])
    for number, measures in enumerate((THROUGH[:1], ("cost", *THROUGH), ("users", "avg_weighted_feedback"))):
        edges = tuple(rows.FIRST_DAY + timedelta(hours=7 * hours - 5) for hours in range(19))
        by = ((), ("workspace",), ("metadata.team",))[number]
        query = SeriesQuery(TenantScope("org-a"), *SPAN, by, measures, edges=edges)
        assert split_of(lake, query) is not None
        from_rows = runner._series(query, lake.query(compile_series(query)))
        answer = runner.run_series(lake, query)
        assert answer.points.equals(from_rows.points)
        assert answer.whole.equals(from_rows.whole)


def a_request(number: int, trace: str | None, hour: int, **further: Any) -> dict[str, Any]:
    return {
        "organisation_id": "org-a",
        "workspace_slug": "w",
        "created_at": rows.FIRST_DAY + timedelta(hours=hour),
        "id": f"request-{number}",
        "trace_id": trace,
        "ai_model": "m",
    } | further


TOLD = [
    a_request(0, "twice", 1),
    a_request(1, "twice", 1),
    a_request(2, "twice", 30, workspace_slug="other"),
    a_request(3, "twice", 2, organisation_id="org-b"),
    a_request(4, "", 2),
    a_request(5, None, 2),
    a_request(6, "unrated", 3),
    a_request(7, "before", 40, ai_model="n"),
    a_request(8, "theirs", 60),
]


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_what_is_kept_and_that_a_trace_counts_once(kind: str, tmp_path: Path) -> None:
    with loaded(kind, tmp_path, rows.as_generations(TOLD)) as engine:
        give(engine, "ours", "twice", "twice", "before", "", "never made")
        give(engine, "theirs", "theirs", organisation="org-b", value=-10)
        assert build_rollups(engine, which=[RATED]) == {RATED.name: 3}
        names = ("day", "organisation_id", "workspace_slug", "trace_id", "requests")
        tree = exp.select(*map(column, names)).from_(scan(RATED.name))
        assert sorted(map(str, (tuple(line.values()) for line in engine.query(tree).to_pylist()))) == sorted(
            map(
                str,
                [
                    (DAYS[0], "org-a", None, None, 5),
                    (DAYS[0], "org-b", None, None, 1),
                    (DAYS[1], "org-a", None, None, 2),
                    (DAYS[2], "org-a", None, None, 1),
                    (DAYS[0], "org-a", "w", "twice", None),
                    (DAYS[0], "org-a", "w", "twice", None),
                    (DAYS[1], "org-a", "other", "twice", None),
                    (DAYS[1], "org-a", "w", "before", None),
                ],
            )
        )
        assert check_rollups(engine) == []
        of_model = replace(ALL, measures=("feedbacks", "requests_with_feedback"))
        for query, found in (
            (of_model, [("m", 2, 3, 7), ("n", 1, 1, 1)]),
            (replace(of_model, by=("workspace",)), [("w", 3, 3, 7), ("other", 2, 1, 1)]),
            (
                replace(of_model, since=rows.FIRST_DAY + timedelta(hours=1, milliseconds=1)),
                [("m", 2, 1, 5), ("n", 1, 1, 1)],
            ),
            (replace(of_model, scope=TenantScope("org-b")), [("m", 0, 0, 1)]),
        ):
            assert split_of(engine, query) is not None
            assert_same(engine, query)
            asked = replace(query, measures=(*query.measures, "requests"))
            assert [tuple(line.values()) for line in runner.run_grouped(engine, asked).rows.to_pylist()] == found


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_where_most_requests_are_rated_the_rows_are_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rated, "LEAST_REQUESTS", 4)
    many = [a_request(number, f"trace-{number}", 25) for number in range(8)]
    other = [a_request(20 + number, f"other-{number}", number) for number in range(8)]
    theirs = [a_request(40 + number, f"trace-{number}", 25, organisation_id="org-b") for number in range(8)]
    with loaded(kind, tmp_path, rows.as_generations([*many, *other, *theirs])) as engine:
        give(engine, "many", "trace-0", "trace-1", "trace-2", "other-0", "other-1")
        give(engine, "theirs", "trace-7", organisation="org-b")
        build_rollups(engine, which=[RATED])
        assert check_rollups(engine) == []
        names = ("day", "organisation_id", "requests")
        tree = exp.select(*map(column, names)).from_(scan(RATED.name)).order_by(*map(column, names))
        tree = tree.where(exp.Is(this=column("trace_id"), expression=exp.Null()))
        kept = [(DAYS[0], "org-a", 8), (DAYS[1], "org-a", 0), (DAYS[1], "org-b", 8)]
        assert [tuple(line.values()) for line in engine.query(tree).to_pylist()] == kept
        split = split_of(engine, ALL)
        assert split is not None
        assert split.whole == (Window(SPAN[0], SPAN[0] + timedelta(days=1, milliseconds=-1)),)
        assert split.rest == (Window(SPAN[0] + timedelta(days=1), SPAN[1]),)
        theirs_split = split_of(engine, replace(ALL, scope=TenantScope("org-b")))
        assert theirs_split is not None
        assert theirs_split.whole == (Window(SPAN[0], SPAN[0] + timedelta(days=2, milliseconds=-1)),)
        for organisation in ("org-a", "org-b"):
            assert_same(engine, replace(ALL, scope=TenantScope(organisation)))
        monkeypatch.setattr(plan, "LEAST_SHARE", 0.5)
        years = replace(ALL, since=SPAN[0] - timedelta(days=700))
        assert split_of(engine, years) is not None
        monkeypatch.setattr(plan, "LEAST_SHARE", 0.6)
        assert split_of(engine, ALL) is None
        monkeypatch.setattr(plan, "LEAST_SHARE", 0)
        monkeypatch.setattr(plan, "LEAST_GAIN", 4)
        assert split_of(engine, ALL) is None


def test_feedback_makes_all_days_stale_and_rows_their_own(lake: Engine) -> None:
    build_rollups(lake, which=[RATED])
    assert stale_days(lake, RATED) == []
    late = rows.generations(56, 50, prefix="late")
    late = late.filter(pa.array([each.date() == DAYS[2] for each in late["created_at"].to_pylist()]))
    lake.append(GENERATIONS, late, Batch("late"))
    assert stale_days(lake, RATED) == [DAYS[2]]
    split = split_of(lake, ALL)
    assert split is not None
    assert [(window.since, window.until) for window in split.rest] == [
        (SPAN[0] + timedelta(days=2), SPAN[0] + timedelta(days=3, milliseconds=-1))
    ]
    give(lake, "new", "trace-3")
    assert stale_days(lake, RATED) == DAYS
    assert build_rollups(lake, which=[RATED]) == {RATED.name: rows.DAYS}


def test_feedback_that_comes_while_days_are_made_leaves_them_stale(lake: Engine) -> None:
    class Interrupted(type(lake)):
        """The same engine; the first time it looks for rated requests, feedback has just come."""

        def query(self, tree: Any, window: Window = Window(), limits: Limits = Limits()) -> pa.Table:
            if not came and "rated_owner" in tree.sql():
                came.append(True)
                give(lake, "meanwhile", *(f"trace-{number}" for number in range(25)))
            return super().query(tree, window, limits)

    came: list[bool] = []
    lake.__class__ = Interrupted
    build_rollups(lake, which=[RATED])
    assert came
    assert stale_days(lake, RATED) == DAYS
    assert check_rollups(lake) == []
    assert_same(lake, ALL)


def test_lines_that_differ_from_the_rows_are_found(lake: Engine) -> None:
    build_rollups(lake, which=[RATED])
    schema = arrow_schema(RATED.dataset)
    tree = exp.select(*map(column, schema.names)).from_(scan(RATED.name))
    stored = lake.query(tree).cast(schema)
    of_day = stored.filter(pa.array([day == DAYS[1] for day in stored["day"].to_pylist()]))
    lake.replace_days(RATED.dataset, [DAYS[1]], of_day.slice(0, of_day.num_rows - 1))
    assert [(each.rollup, each.day, each.groups) for each in check_rollups(lake)] == [(RATED.name, DAYS[1], 1)]


def test_a_question_costs_no_more_queries_than_before(lake: Engine) -> None:
    build_rollups(lake, which=[RATED])
    runner.run_grouped(lake, ALL)
    asked: list[float] = []
    lake.on_query = asked.append
    runner.run_grouped(lake, replace(ALL, until=ALL.until - timedelta(milliseconds=1)))
    assert len(asked) == 1


def test_questions_that_need_all_rows_take_none() -> None:
    of_trace = (Condition("cost_min", 1),)
    none = [
        replace(ALL, measures=("cost",)),
        replace(ALL, trace_conditions=of_trace),
        replace(ALL, measures=("cost",), as_known_at=SPAN[1]),
        replace(ALL, conditions=(Condition("span_id", ("x",)),)),
        GroupedQuery(TenantScope("org-a"), *SPAN, ("score",), ("feedbacks",), dataset=FEEDBACKS),
    ]
    assert [plan.looks_up_rated(query) for query in none] == [False] * len(none)
    for conditions in ((), (Condition("weighted_feedback_min", 1),), (Condition("metadata", (("team", "x"),)),)):
        assert plan.looks_up_rated(replace(ALL, by=("metadata.team", "retries"), conditions=conditions))


def test_all_that_groups_and_filters_read_is_copied() -> None:
    read = {dimension.column for dimension in GENERATIONS.dimensions}
    read |= {name for each in GENERATIONS.filters if each.through is None for name in each.columns}
    assert read - set(RATED.copied) == {"span_id"}
    assert all(RATED.dataset.has_column(name) for name in RATED.copied)

"""A rollup gives the rows' own answer to the last digit, or is not used."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from tests.factories import questions, rows
from tests.factories.loaded import loaded
from tests.factories.rollups import taken_although_small
from warehouse import rollups
from warehouse.catalog.functions import column
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.rated import DERIVED
from warehouse.catalog.rollups import ROLLED_UP, ROLLUP_OF, Rollup
from warehouse.engines.base import Batch, Engine, Limits, Window, scan
from warehouse.query import plan
from warehouse.query import run as runner
from warehouse.query.compile import compile_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery
from warehouse.rollups import Difference, build_rollups, check_rollups, stale_days
from warehouse.storage.tables import arrow_schema

pytestmark = pytest.mark.usefixtures("_every_rollup_pays")
MODEL_DAY = ROLLUP_OF["rollup_day_model"]
METADATA_DAY = ROLLUP_OF["rollup_day_metadata"]
DAYS = [date(2026, 3, 27) + timedelta(days=number) for number in range(rows.DAYS)]


@pytest.fixture
def _every_rollup_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_although_small(monkeypatch)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Engine]:
    with loaded("lake", tmp_path, rows.generations(21, 500)) as engine:
        yield engine


def append(engine: Engine, seed: int, day: date, prefix: str = "more") -> pa.Table:
    """Stores some rows of one day."""
    made = rows.generations(seed, 100, prefix=prefix)
    of_day = made.filter(pc.equal(pc.cast(made["created_at"], pa.date32()), pa.scalar(day)))
    assert engine.append(GENERATIONS, of_day, Batch(f"{prefix}-{seed}")).stored == of_day.num_rows > 0
    return of_day


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_rollups_change_no_answer_while_rows_come_and_rollups_are_remade(kind: str, tmp_path: Path) -> None:
    with loaded(kind, tmp_path, rows.generations(22, 500)) as engine:
        used: set[str] = set()
        for step in range(4):
            if step == 1:
                build_rollups(engine)
            elif step > 1:
                append(engine, step, DAYS[step])
            if step == 3:
                build_rollups(engine, Window(_start(DAYS[0]), _start(DAYS[2])))
            for number in range(6 if kind == "lake" else 3):
                query = questions.some_rollup_question(Random(f"{step}/{number}"))
                used |= rollups_used(engine, query)
                from_rows = runner._grouped(query, engine.query(compile_grouped(query)))
                answer = runner.run_grouped(engine, query)
                assert answer.rows.equals(from_rows.rows), query
                assert answer.total == from_rows.total
        assert len(used) >= 2


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_what_a_rollup_answers_of_a_question_goes_with_what_the_rows_answer(kind: str, tmp_path: Path) -> None:
    """Sums from the rollup, quantiles, distinct users and feedback from the rows, whole hours at either end."""
    generations = rows.generations(23, 500)
    sums = ("cost", "error_rate", "avg_tokens", "cache_hit_rate", "last_seen")
    with loaded(kind, tmp_path, generations, rows.feedbacks(24, generations, 150)) as engine:
        build_rollups(engine)
        used: set[str] = set()
        for number in range(25 if kind == "lake" else 10):
            random = Random(number)
            others = random.sample(
                ("p95_latency", "users", "feedbacks", "avg_weighted_feedback"), random.randrange(1, 4)
            )
            by = ((), ("workspace",), ("model",), ("api_key", "workspace"), ("metadata.team",))[number % 5]
            asked = questions.some_rollup_question(random)
            query = replace(asked, by=by, measures=(*sums, *others), conditions=(), order=(), offset=0)
            used |= rollups_used(engine, query)
            from_rows = runner._grouped(query, engine.query(compile_grouped(query)))
            answer = runner.run_grouped(engine, query)
            assert answer.total == from_rows.total
            assert questions.differences(from_rows.rows.to_pylist(), answer.rows) == [], query
            exact = [name for name in answer.rows.column_names if name != "avg_weighted_feedback"]
            assert answer.rows.select(exact).equals(from_rows.rows.select(exact)), query
        assert used == {"rollup_hour_workspace", "rollup_day_model", "rollup_day_api_key", METADATA_DAY.name}


def rollups_used(engine: Engine, query: GroupedQuery) -> set[str]:
    """The rollup that the planner takes, by its own look at what is fresh."""
    for rollup in plan.candidates(query):
        held = plan.rolled_days(engine, rollup)
        fresh = plan.freshness_of(plan.labels_of(engine, rollup), held)
        if rollup.by_metadata:
            held = plan.kept_days(engine, rollup, query)
            fresh = {day: is_fresh and day in held for day, is_fresh in fresh.items()}
        split = plan.split_by(query, rollup, fresh)
        if split and plan.pays(split, held):
            return {rollup.name}
    return set()


def test_building_twice_builds_nothing(lake: Engine) -> None:
    assert build_rollups(lake) == dict.fromkeys(DERIVED, rows.DAYS)
    assert build_rollups(lake) == dict.fromkeys(DERIVED, 0)
    assert check_rollups(lake) == []


def test_only_the_days_whose_rows_changed_are_stale(lake: Engine) -> None:
    build_rollups(lake)
    append(lake, 5, DAYS[1])
    assert all(stale_days(lake, rollup) == [DAYS[1]] for rollup in DERIVED.values())
    assert stale_days(lake, MODEL_DAY, Window(_start(DAYS[2]), _start(DAYS[4]))) == []
    assert build_rollups(lake, Window(_start(DAYS[2]), _start(DAYS[4]))) == dict.fromkeys(DERIVED, 0)
    assert build_rollups(lake, Window(_start(DAYS[1]), None)) == dict.fromkeys(DERIVED, 1)
    assert stale_days(lake, MODEL_DAY) == []


def test_a_window_within_a_day_builds_the_whole_day(lake: Engine) -> None:
    noon = _start(DAYS[3]) + timedelta(hours=12)
    assert build_rollups(lake, Window(noon, noon)) == dict.fromkeys(DERIVED, 1)
    assert check_rollups(lake) == []
    assert stale_days(lake, MODEL_DAY) == [day for day in DAYS if day != DAYS[3]]


def test_a_rollup_that_differs_from_its_rows_is_found(lake: Engine) -> None:
    build_rollups(lake)
    day = DAYS[2]
    schema = arrow_schema(MODEL_DAY.dataset)
    tree = exp.select(*(column(name) for name in schema.names)).from_(scan(MODEL_DAY.name))
    stored = lake.query(tree).cast(schema).filter(pc.field("day") == pa.scalar(day))
    wrong = stored.set_column(
        stored.schema.get_field_index("requests"), "requests", pc.add(stored["requests"], pa.scalar(1, pa.int64()))
    )
    lake.replace_days(MODEL_DAY.dataset, [day], wrong.slice(0, 2))
    groups = stored.num_rows
    # Two groups differ, so both sides of each are counted; the others are missing on one side.
    assert check_rollups(lake) == [Difference(MODEL_DAY.name, day, groups + 2)]


def test_rows_that_come_while_a_rollup_is_made_leave_the_day_stale(lake: Engine) -> None:
    day = DAYS[3]

    class Interrupted(type(lake)):
        """The same engine; the first time it sums rows, more rows have just come."""

        def query(self, tree: Any, window: Window = Window(), limits: Limits = Limits()) -> pa.Table:
            if not came and f"{GENERATIONS.name}.cost" in tree.sql():
                came.append(append(lake, 9, day))
            return super().query(tree, window, limits)

    came: list[pa.Table] = []
    lake.__class__ = Interrupted
    build_rollups(lake)
    assert came
    assert day in stale_days(lake, ROLLUP_OF["rollup_hour_workspace"])
    assert check_rollups(lake) == []
    build_rollups(lake)
    assert stale_days(lake, ROLLUP_OF["rollup_hour_workspace"]) == []
    assert check_rollups(lake) == []


def test_a_days_cost_may_pass_what_a_row_can_hold(tmp_path: Path) -> None:
    most = Decimal("999999.999999999999")
    row = {"organisation_id": "org-a", "created_at": rows.FIRST_DAY, "ai_model": "m", "cost": most}
    table = rows.as_generations([row | {"id": str(number)} for number in range(5)])
    with loaded("lake", tmp_path, table) as engine:
        build_rollups(engine)
        query = a_query(("model",), ("cost",))
        assert rollups_used(engine, query)
        assert runner.run_grouped(engine, query).rows["cost"].to_pylist() == [5 * most]


instants = st.integers(0, rows.DAYS * 86_400_000 - 1).map(lambda ms: rows.FIRST_DAY + timedelta(milliseconds=ms))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    instants,
    instants,
    st.dictionaries(st.sampled_from(DAYS), st.booleans()),
    st.sampled_from([MODEL_DAY, ROLLUP_OF["rollup_hour_workspace"]]),
)
def test_the_parts_of_a_split_cover_every_instant_once(
    one: datetime, other: datetime, fresh: dict[date, bool], rollup: Rollup
) -> None:
    since, until = min(one, other), max(one, other)
    split = plan.split_by(a_query(("workspace",), ("cost",), since, until), rollup, fresh)
    if split is None:
        return
    parts = sorted([*split.whole, *split.rest], key=lambda window: window.since or since)
    assert parts[0].since == since
    assert parts[-1].until == until
    for before, after in pairwise(parts):
        assert before.until is not None
        assert after.since == before.until + timedelta(milliseconds=1)
    step_s = 3600 if rollup.hourly else 86_400
    for window in split.whole:
        assert window.since is not None
        assert window.until is not None
        assert window.since.timestamp() % step_s == (window.until.timestamp() + 0.001) % step_s == 0
    covered = {day for window in split.whole for day in days_of(window)}
    assert all(fresh.get(day, True) for day in covered)
    assert {day for day, is_fresh in fresh.items() if is_fresh and wholly_within(day, since, until)} <= covered


def test_questions_that_a_rollup_cannot_answer_take_none() -> None:
    none = [
        a_query(("model",), ("p95_latency",)),
        a_query(("status_code",), ("requests",)),
        a_query(("metadata.team", "model"), ("requests",)),
        a_query(("metadata.team", "metadata.Team"), ("requests",)),
        a_query(("workspace",), ("requests",), conditions=(Condition("metadata", (("", "x"),)),)),
        a_query(("model", "api_key"), ("requests",)),
        a_query(("model",), ("requests",), conditions=(Condition("cost_min", 1),)),
        a_query(("model",), ("requests",), conditions=(Condition("weighted_feedback_min", 1),)),
        a_query(("model",), ("requests",), conditions=(Condition("configs", ("pc-cache",)),)),
    ]
    assert [plan.candidates(query) for query in none] == [[]] * len(none)
    assert [rollup.name for rollup in plan.candidates(a_query(("model", "workspace"), ("cost",)))] == [MODEL_DAY.name]
    assert plan.candidates(a_query(("workspace",), ("cost",)))[0].name == "rollup_hour_workspace"
    of_team = (Condition("metadata", (("team", "search"), ("team", ""))),)
    for query in (a_query(("metadata.team",), ("cost",)), a_query(("workspace",), ("cost",), conditions=of_team)):
        assert [rollup.name for rollup in plan.candidates(query)] == [METADATA_DAY.name]


def test_a_rollup_that_is_not_smaller_than_its_rows_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "LEAST_GAIN", 4)
    same = {"organisation_id": "org-a", "workspace_slug": "w", "created_at": rows.FIRST_DAY}
    table = rows.as_generations([same | {"id": str(n), "ai_model": "m", "config": f"config-{n}"} for n in range(8)])
    with loaded("lake", tmp_path, table) as engine:
        build_rollups(engine)
        assert rollups_used(engine, a_query(("model",), ("cost",))) == {MODEL_DAY.name}
        assert rollups_used(engine, a_query(("config",), ("cost",))) == set()


def with_metadata(organisation: str, values: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Eight requests of an hour each to two workspaces; the values of a key for each in turn, `-` where it lacks it."""
    return [
        {
            "organisation_id": organisation,
            "workspace_slug": ("a", "b")[number % 2],
            "created_at": rows.FIRST_DAY + timedelta(hours=number),
            "id": f"{organisation}-{number}",
            "metadata.key": [key for key, each in values.items() if each[number] != "-"],
            "metadata.value": [each[number] for each in values.values() if each[number] != "-"],
        }
        for number in range(8)
    ]


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_a_key_of_the_metadata_is_kept_where_it_repeats(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "LEAST_ROWS", 2)
    monkeypatch.setattr(rollups, "MOST_KEYS", 2)
    monkeypatch.setattr(rollups, "DERIVED", {METADATA_DAY.name: METADATA_DAY})
    ids = [str(number) for number in range(8)]
    same, rare = ["x"] * 8, ["x", "x", *"------"]
    records = [
        *with_metadata("org-a", {"team": same, "request": ids, "env": [*same[:6], "y", "y"]}),
        *with_metadata("org-b", {"rare": rare, "c": same, "b": same, "a": same}),
        *with_metadata("org-c", {"request": ids, "": same}),
    ]
    records[0] |= {"metadata.key": ["team", "env", "team"], "metadata.value": ["first", "x", "second"]}
    with loaded(kind, tmp_path, rows.as_generations(records)) as engine:
        build_rollups(engine)
        assert check_rollups(engine) == []
        names = ("organisation_id", "metadata_key", "workspace_slug", "metadata_value", "requests")
        tree = exp.select(*map(column, names)).from_(scan(METADATA_DAY.name)).order_by(*map(column, names))
        assert [tuple(line.values()) for line in engine.query(tree).to_pylist()] == [
            ("org-a", "env", "a", "x", 3),
            ("org-a", "env", "a", "y", 1),
            ("org-a", "env", "b", "x", 3),
            ("org-a", "env", "b", "y", 1),
            ("org-a", "team", "a", "first", 1),
            ("org-a", "team", "a", "x", 3),
            ("org-a", "team", "b", "x", 4),
            ("org-b", "a", "a", "x", 4),
            ("org-b", "a", "b", "x", 4),
            ("org-b", "b", "a", "x", 4),
            ("org-b", "b", "b", "x", 4),
            ("org-c", "", "a", "", 4),
            ("org-c", "", "b", "", 4),
        ]
        for key, taken in {"team": True, "env": True, "request": False, "nobodys": False}.items():
            query = a_query((f"metadata.{key}", "workspace"), ("cost", "last_seen"))
            assert rollups_used(engine, query) == ({METADATA_DAY.name} if taken else set())
            from_rows = runner._grouped(query, engine.query(compile_grouped(query)))
            assert runner.run_grouped(engine, query).rows.equals(from_rows.rows)


def test_every_measure_that_merges_is_kept() -> None:
    assert {measure.name for measure in ROLLED_UP} == {part.name for part in GENERATIONS.measures if part.merge}


def a_query(
    by: tuple[str, ...],
    measures: tuple[str, ...],
    since: datetime = rows.FIRST_DAY,
    until: datetime = rows.FIRST_DAY + timedelta(days=rows.DAYS),
    conditions: tuple[Condition, ...] = (),
) -> GroupedQuery:
    return GroupedQuery(TenantScope("org-a"), since, until, by, measures, conditions)


def days_of(window: Window) -> list[date]:
    assert window.since is not None
    assert window.until is not None
    count = (window.until.date() - window.since.date()).days + 1
    return [window.since.date() + timedelta(days=number) for number in range(count)]


def wholly_within(day: date, since: datetime, until: datetime) -> bool:
    return since <= _start(day) and _start(day) + timedelta(days=1, milliseconds=-1) <= until


def _start(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), rows.FIRST_DAY.tzinfo)

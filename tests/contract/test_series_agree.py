"""Series, sifted groups and feedback give on every engine what plain Python gives, with rollups and without."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.factories import questions, rows, series_oracle
from tests.factories.loaded import loaded
from tests.factories.oracle import FEEDBACK_MEASURES, GIVEN_MEASURES, MEASURES, Oracle, beside
from tests.factories.rollups import taken_although_small
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.engines.base import Engine
from warehouse.query import plan
from warehouse.query.calendar import edges_of, granularity_named
from warehouse.query.run import answer_schema, run_grouped, run_series
from warehouse.query.scope import OwnRows, TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Groups, Having, SeriesQuery
from warehouse.rollups import build_rollups

KINDS = ("lake", "clickhouse")
EACH = {"lake": 20, "clickhouse": 10}
ZONES = (
    *(ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Auckland")),
    timezone(timedelta(hours=5, minutes=30)),
)
UNTIL = rows.FIRST_DAY + timedelta(days=rows.DAYS, milliseconds=-1)
WHOLE = GroupedQuery(TenantScope("org-a"), rows.FIRST_DAY, UNTIL, ("model",), limit=None)


@cache
def truth() -> Oracle:
    generations = rows.generations(41, 900)
    return Oracle(generations, rows.feedbacks(42, generations, 150))


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    with ExitStack() as stack:
        yield _Engines(stack, tmp_path_factory.mktemp("series"))


class _Engines(dict[str, Engine]):
    """By kind, opened when first asked for, with rollups."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        super().__init__()
        self._stack, self._folder = stack, folder

    def __missing__(self, kind: str) -> Engine:
        folder = self._folder / kind
        folder.mkdir()
        engine = self._stack.enter_context(loaded(kind, folder, truth().generations, truth().feedbacks))
        with pytest.MonkeyPatch.context() as patch:
            taken_although_small(patch)
            build_rollups(engine)
        self[kind] = engine
        return engine


def check_series(engine: Engine, query: SeriesQuery, granularity: str, zone: Any) -> None:
    answer = run_series(engine, query)
    lines, whole = series_oracle.series(truth(), query, beside(query.measures), granularity, zone)
    assert list(answer.starts) == series_oracle.buckets_of(query.since, query.until, granularity, zone)
    assert questions.differences(lines, answer.points) == [], query
    assert questions.differences([whole], answer.whole) == [], query
    assert answer.points.schema.names == ["bucket", *answer_schema(query).names]


def some_series(random: Random, *, summed: bool) -> tuple[SeriesQuery, str, Any]:
    zone, granularity = random.choice(ZONES), random.choice(("15m", "hour", "day", "day", "week", "month"))
    asked = questions.some_question(random)
    since, until = (asked.since, asked.until) if random.random() < 0.5 else (rows.FIRST_DAY, UNTIL)
    able = [name for name in MEASURES if not (summed and name in questions.UNMERGED)]
    query = SeriesQuery(
        asked.scope,
        since,
        until,
        measures=tuple(random.sample(able, random.randrange(1, 6))),
        conditions=() if summed else asked.conditions,
        edges=edges_of(since, until, granularity_named(granularity), zone),
    )
    return query, granularity, zone


@pytest.mark.parametrize("summed", [True, False], ids=["sums", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_random_series(engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch, kind: str, *, summed: bool) -> None:
    taken_although_small(monkeypatch)
    used = 0
    for number in range(EACH[kind]):
        query, granularity, zone = some_series(Random(f"{number}/{summed}"), summed=summed)
        used += bool(plan.candidates(query))
        check_series(engines[kind], query, granularity, zone)
    assert not summed or used


@pytest.mark.parametrize("kind", KINDS)
def test_feedback_by_when_it_was_given_on_what_requests(engines: dict[str, Engine], kind: str) -> None:
    conditions: tuple[tuple[Condition, ...], ...] = (
        (),
        (Condition("cost_min", 3), Condition("status_code", (200,))),
        (Condition("weighted_feedback_min", 1),),
        (Condition("metadata", (("team", "x'; DROP TABLE generations; --"),)),),
    )
    for number, chosen in enumerate(conditions):
        zone = ZONES[number]
        until = UNTIL + timedelta(days=40)
        query = SeriesQuery(
            TenantScope("org-b", frozenset({"prod", "default"}) if number % 2 else None),
            rows.FIRST_DAY,
            until,
            measures=tuple(GIVEN_MEASURES),
            trace_conditions=chosen,
            edges=edges_of(rows.FIRST_DAY, until, granularity_named("day"), zone),
            dataset=FEEDBACKS,
        )
        check_series(engines[kind], query, "day", zone)


@pytest.mark.parametrize("kind", KINDS)
def test_feedback_of_a_group_counts_each_trace_once(engines: dict[str, Engine], kind: str) -> None:
    for by in (("model",), ("metadata.team", "status_code"), ()):
        check(engines[kind], replace(WHOLE, by=by, measures=("requests", "p95_latency", *FEEDBACK_MEASURES)))
    check(engines[kind], replace(WHOLE, measures=FEEDBACK_MEASURES, conditions=(Condition("cost_min", 2),)))
    nobody = SeriesQuery(TenantScope("nobody"), rows.FIRST_DAY, UNTIL, ("model",), FEEDBACK_MEASURES)
    assert run_series(engines[kind], nobody).points.num_rows == 0


def test_a_series_of_feedback_counts_a_trace_once_over_the_whole_time(engines: dict[str, Engine]) -> None:
    edges = edges_of(rows.FIRST_DAY, UNTIL, granularity_named("day"), ZONES[1])
    query = SeriesQuery(TenantScope("org-a"), rows.FIRST_DAY, UNTIL, (), FEEDBACK_MEASURES, edges=edges)
    wanted = {name: truth().number(name, query.scope, truth().rows_of(query)) for name in FEEDBACK_MEASURES}
    for kind in KINDS:
        answer = run_series(engines[kind], query)
        assert questions.differences([wanted], answer.whole) == []
        assert sum(answer.points["feedbacks"].to_pylist()) > wanted["feedbacks"]


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_sifted_by_their_numbers(engines: dict[str, Engine], kind: str) -> None:
    sifts = (
        (Having("requests", ">", 10), Having("requests", "<=", Decimal("40.5"))),
        (Having("cost", ">=", Decimal("20.5")),),
        (Having("cost", "<", Decimal("5.0000000000001")), Having("error_rate", "!=", 0)),
        (Having("p95_latency", ">", 80_000.5),),
        (Having("requests", "=", Decimal("1.5")),),
        (Having("requests", "!=", Decimal("1.5")), Having("avg_weighted_feedback", ">=", -1)),
        (Having("users", "=", 1),),
    )
    for number, having in enumerate(sifts):
        by = (("model", "status_code"), ("metadata.team",))[number % 2]
        check(
            engines[kind],
            replace(WHOLE, by=by, having=having, measures=("cost", "error_rate"), limit=7, offset=number % 3),
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_outside_of_groups_and_all_rows(engines: dict[str, Engine], kind: str) -> None:
    measures = ("requests", "cost", "users", "p50_latency", "last_seen")
    some = run_grouped(engines[kind], replace(WHOLE, by=("model", "status_code"), limit=9)).rows.to_pylist()
    keys = tuple((line["model"], line["status_code"]) for line in some)
    assert None in {status for _, status in keys} or ("", None) not in keys
    for outside in (None, Groups(("model", "status_code"), (*keys, ("", None))), Groups(("model",), ())):
        check(engines[kind], replace(WHOLE, by=(), measures=measures, outside=outside))
    hostile = Groups(("metadata.te'am",), tuple((text,) for text in (*rows.HOSTILE, "ads", "")))
    check(engines[kind], replace(WHOLE, by=("api_key",), outside=hostile))
    check(engines[kind], replace(WHOLE, by=(), scope=TenantScope("nobody"), measures=measures))


@pytest.mark.parametrize("kind", KINDS)
def test_somebodys_own_rows_are_drawn_alone(engines: dict[str, Engine], kind: str) -> None:
    own = TenantScope("org-a", own=OwnRows("user-1", frozenset({"key-1"})))
    edges = edges_of(rows.FIRST_DAY, UNTIL, granularity_named("day"), ZONES[0])
    query = SeriesQuery(own, rows.FIRST_DAY, UNTIL, measures=("requests", "users"), edges=edges)
    mine = [row for row in truth().rows if row["organisation_id"] == "org-a" and row["api_key_id"] == "key-1"]
    whole = run_series(engines[kind], query).whole.to_pylist()[0]
    assert whole == {"requests": len(mine), "users": len({row["_user"] for row in mine if row["_user"]})}
    assert plan.candidates(replace(query, measures=("requests",))) == []


def check(engine: Engine, query: GroupedQuery) -> None:
    answer = run_grouped(engine, query)
    expected, total = truth().answer(query)
    assert questions.differences(expected, answer.rows) == [], query
    assert answer.total == total, query


def test_a_rollup_is_only_taken_where_its_hours_meet_the_buckets() -> None:
    def candidates(zone: str, granularity: str, **more: Any) -> list[str]:
        since, until = datetime(2026, 3, 27, tzinfo=ZoneInfo(zone)), datetime(2026, 3, 30, tzinfo=ZoneInfo(zone))
        edges = edges_of(since, until, granularity_named(granularity), ZoneInfo(zone))
        query = SeriesQuery(TenantScope("org"), since, until, edges=edges, **{"measures": ("cost",), **more})
        return [rollup.name for rollup in plan.candidates(query)]

    assert candidates("Europe/Berlin", "hour") == ["rollup_hour_workspace"]
    assert candidates("Europe/Berlin", "day") == ["rollup_hour_workspace"]
    assert candidates("UTC", "15m") == candidates("Asia/Kolkata", "day") == []
    by_model = (Condition("ai_org_model", (("openai", "gpt-4o"),)),)
    assert candidates("UTC", "day", conditions=by_model) == ["rollup_day_model"]
    assert (
        candidates("UTC", "hour", conditions=by_model) == candidates("Europe/Berlin", "day", conditions=by_model) == []
    )
    assert candidates("UTC", "day", measures=("users",)) == []
    assert candidates("UTC", "day", measures=("feedbacks",)) == []
    assert "rollup_day_config" in candidates("UTC", "week")
    of_team = (Condition("metadata", (("team", "search"),)),)
    assert candidates("UTC", "day", conditions=of_team) == ["rollup_day_metadata"]

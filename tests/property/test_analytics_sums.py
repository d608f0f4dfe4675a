"""What holds for every question: groups add up to the whole, a filter never adds rows, buckets add up in every zone."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.analytics.parameters import ungrouped
from tests.factories import questions, rows
from tests.factories.loaded import loaded
from tests.factories.rollups import taken_although_small
from warehouse.engines.base import Engine
from warehouse.query.calendar import GRANULARITIES, edges_of, granularity_named
from warehouse.query.run import run_grouped, run_series
from warehouse.query.spec import GroupedQuery, Groups, SeriesQuery
from warehouse.rollups import build_rollups

SUMS = ("requests", "cost", "total_tokens", "error_count", "simple_cache_savings", "user_requests", "unpriced_requests")
ZONES = tuple(sorted(available_timezones()))
quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**48)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    generations = rows.generations(81, 700)
    folder = tmp_path_factory.mktemp("sums")
    feedbacks = rows.feedbacks(82, generations, 120)
    with pytest.MonkeyPatch.context() as patch, loaded("lake", folder, generations, feedbacks) as lake:
        taken_although_small(patch)
        build_rollups(lake)
        yield lake


def some_question(seed: int) -> GroupedQuery:
    return questions.some_question(Random(seed), measures=SUMS, order=(), limit=None, offset=0, include_total=False)


def added(lines: list[dict], name: str) -> int | Decimal | None:
    """The sum of a column; None when no line has a value."""
    known = [line[name] for line in lines if line[name] is not None]
    return sum(known) if known or (name != "cost" and not name.endswith("savings")) else None


@given(seeds)
@quick
def test_groups_and_the_rest_add_up_to_the_whole(engine: Engine, seed: int) -> None:
    query = some_question(seed)
    whole = run_grouped(engine, ungrouped(query)).rows.to_pylist()[0]
    groups = run_grouped(engine, query).rows
    assert {name: added(groups.to_pylist(), name) for name in SUMS} == {name: whole[name] for name in SUMS}
    top = groups.slice(0, seed % 4)
    keys = tuple(tuple(line.values()) for line in top.select(query.key_names()).to_pylist())
    rest = run_grouped(engine, ungrouped(query, without=Groups(query.by, keys))).rows.to_pylist()
    listed = [*top.to_pylist(), *rest]
    assert {name: added(listed, name) for name in SUMS} == {name: whole[name] for name in SUMS}


@given(seeds)
@quick
def test_a_filter_never_adds_rows(engine: Engine, seed: int) -> None:
    query = some_question(seed)
    more = questions.some_condition(Random(seed + 1))
    narrower = replace(query, conditions=(*query.conditions, more))
    before = {
        tuple(line[key] for key in query.key_names()): line for line in run_grouped(engine, query).rows.to_pylist()
    }
    for line in run_grouped(engine, narrower).rows.to_pylist():
        wider = before[tuple(line[key] for key in query.key_names())]
        for name in ("requests", "total_tokens", "error_count", "unpriced_requests"):
            assert line[name] <= wider[name]
        assert (line["cost"] or 0) <= (wider["cost"] or 0)


@given(seeds, st.sampled_from(ZONES), st.sampled_from([each.name for each in GRANULARITIES if each.name != "minute"]))
@settings(quick, max_examples=120)
def test_buckets_add_up_to_the_summary_in_every_zone(engine: Engine, seed: int, zone: str, granularity: str) -> None:
    asked = some_question(seed)
    edges = edges_of(asked.since, asked.until, granularity_named(granularity), ZoneInfo(zone))
    query = SeriesQuery(
        asked.scope, asked.since, asked.until, (), SUMS, asked.conditions if seed % 2 else (), edges=edges
    )
    answer = run_series(engine, query)
    whole = answer.whole.to_pylist()[0]
    lines = answer.points.to_pylist()
    assert {name: added(lines, name) for name in SUMS} == {name: whole[name] for name in SUMS}
    one = run_grouped(engine, ungrouped(replace(asked, conditions=query.conditions))).rows.to_pylist()[0]
    assert {name: whole[name] for name in SUMS} == {name: one[name] for name in SUMS}
    assert max(line["bucket"] for line in lines) < len(answer.starts) if lines else True


@given(seeds, st.sampled_from(ZONES))
@settings(quick, max_examples=40)
def test_a_bucket_holds_exactly_the_rows_of_its_time(engine: Engine, seed: int, zone: str) -> None:
    asked = some_question(seed)
    edges = edges_of(asked.since, asked.until, granularity_named("day"), ZoneInfo(zone))
    answer = run_series(
        engine, SeriesQuery(asked.scope, asked.since, asked.until, (), ("requests", "users"), edges=edges)
    )
    found = {line["bucket"]: (line["requests"], line["users"]) for line in answer.points.to_pylist()}
    for place, start in enumerate(answer.starts):
        since = max(start, asked.since)
        until = min(edges[place + 1] - timedelta(microseconds=1), asked.until)
        alone = replace(asked, by=(), measures=("requests", "users"), conditions=(), since=since, until=until)
        line = run_grouped(engine, alone).rows.to_pylist()[0]
        assert found.get(place, (0, 0)) == (line["requests"], line["users"])

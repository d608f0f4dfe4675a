"""Who may see only its own rows gets the answers of a warehouse that holds no other rows."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from tests.factories import questions, rows
from tests.factories.loaded import loaded
from tests.factories.rollups import taken_although_small
from warehouse.engines.base import Engine
from warehouse.query import plan
from warehouse.query.calendar import edges_of, granularity_named
from warehouse.query.compile import compile_grouped
from warehouse.query.run import run_grouped, run_series
from warehouse.query.scope import OwnRows, TenantScope
from warehouse.query.spec import GroupedQuery, SeriesQuery
from warehouse.rollups import build_rollups

USERS = ("user-1", "user-2", "o'user", "", None)
PEOPLE = (
    OwnRows("user-1", frozenset({"key-1"})),
    OwnRows("user-2"),
    OwnRows("o'user", frozenset({"key-2", "key-3"})),
    OwnRows("nobody", frozenset({"key-1", "absent"})),
    OwnRows("nobody", frozenset({rows.HOSTILE[0]})),
)
quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
randoms = st.randoms(use_true_random=False)


def owned(table: pa.Table, seed: int, keys: tuple[str | None, ...] | None = None) -> pa.Table:
    """The rows, each with a user of its own choosing, and with a key where they have none."""
    random = Random(seed)
    records = [
        record | {"user_id": random.choice(USERS)} | ({"api_key_id": random.choice(keys)} if keys else {})
        for record in table.to_pylist()
    ]
    return pa.Table.from_pylist(records, schema=table.schema)


def is_own(record: dict[str, Any], own: OwnRows) -> bool:
    """The rule of the contract, written down a second time."""
    return record["user_id"] == own.user_id or record["api_key_id"] in own.api_key_ids


def only(table: pa.Table, own: OwnRows) -> pa.Table:
    return pa.Table.from_pylist([one for one in table.to_pylist() if is_own(one, own)], schema=table.schema)


GENERATIONS = owned(rows.generations(21, 500), 1)
FEEDBACKS = owned(rows.feedbacks(22, GENERATIONS, 200), 2, rows.API_KEYS)


@pytest.fixture(scope="module", params=["lake with rollups", "clickhouse"])
def everybody(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, int]]:
    """A warehouse with the rows of all, and how many questions to try on it; rollups are taken although small."""
    kind, _, rolled_up = str(request.param).partition(" with ")
    folder = tmp_path_factory.mktemp("everybody")
    with pytest.MonkeyPatch.context() as patch, loaded(kind, folder, GENERATIONS, FEEDBACKS) as engine:
        taken_although_small(patch)
        if rolled_up:
            build_rollups(engine)
        yield engine, 20 if kind == "clickhouse" else 50


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[OwnRows, Engine]]:
    """For each person, a lake that holds nothing but its own rows."""
    with ExitStack() as stack:
        yield {
            own: stack.enter_context(
                loaded("lake", tmp_path_factory.mktemp("alone"), only(GENERATIONS, own), only(FEEDBACKS, own))
            )
            for own in PEOPLE
        }


def some_question(random: Random) -> GroupedQuery:
    query = random.choice((questions.some_question, questions.some_rollup_question))(random)
    if random.random() < 0.3 and not any(name.filter.startswith("weighted") for name in query.conditions):
        query = replace(query, as_known_at=rows.FIRST_DAY + timedelta(days=random.choice((1, rows.DAYS, 99))))
    return query


def test_an_answer_is_the_same_without_the_rows_of_others(
    everybody: tuple[Engine, int], alone: dict[OwnRows, Engine]
) -> None:
    engine, examples = everybody

    @settings(quick, max_examples=examples)
    @given(randoms, st.sampled_from(PEOPLE))
    def check(random: Random, own: OwnRows) -> None:
        query = some_question(random)
        restricted = run_grouped(engine, replace(query, scope=replace(query.scope, own=own)))
        separate = run_grouped(alone[own], query)
        assert restricted.total == separate.total, query
        assert questions.differences(separate.rows.to_pylist(), restricted.rows) == [], query

    check()


def test_a_graph_is_the_same_without_the_rows_of_others(
    everybody: tuple[Engine, int], alone: dict[OwnRows, Engine]
) -> None:
    engine, examples = everybody
    zones = ("UTC", "Asia/Kathmandu", "America/St_Johns")

    @settings(quick, max_examples=examples)
    @given(randoms, st.sampled_from(PEOPLE), st.sampled_from(zones), st.sampled_from(("hour", "day", "week")))
    def check(random: Random, own: OwnRows, zone: str, width: str) -> None:
        asked = some_question(random)
        edges = edges_of(asked.since, asked.until, granularity_named(width), ZoneInfo(zone))
        measures = ("requests", "cost", "users", "p95_latency", "cache_hit_rate")
        query = SeriesQuery(asked.scope, asked.since, asked.until, (), measures, asked.conditions, edges=edges)
        restricted = run_series(engine, replace(query, scope=replace(query.scope, own=own)))
        separate = run_series(alone[own], query)
        assert questions.differences(separate.points.to_pylist(), restricted.points) == [], query
        assert questions.differences(separate.whole.to_pylist(), restricted.whole) == [], query

    check()


def test_each_person_counts_exactly_its_own_rows(everybody: tuple[Engine, int]) -> None:
    engine, _ = everybody
    for organisation in rows.ORGANISATIONS:
        for own in PEOPLE:
            query = GroupedQuery(
                TenantScope(organisation, own=own),
                rows.FIRST_DAY,
                rows.FIRST_DAY + timedelta(days=rows.DAYS),
                ("api_key",),
                limit=None,
            )
            counted = {row["api_key"]: row["requests"] for row in run_grouped(engine, query).rows.to_pylist()}
            expected = [
                record["api_key_id"] or ""
                for record in GENERATIONS.to_pylist()
                if record["organisation_id"] == organisation and is_own(record, own)
            ]
            assert counted == {key: expected.count(key) for key in set(expected)}


def test_no_rollup_answers_for_one_person() -> None:
    for number in range(40):
        query = questions.some_rollup_question(Random(number))
        assert plan.candidates(query)
        assert plan.candidates(replace(query, scope=replace(query.scope, own=PEOPLE[0]))) == []


def test_every_dataset_that_says_whose_a_row_is_is_read_within_the_own_rows() -> None:
    for number in range(100):
        query = questions.some_question(Random(number))
        if query.scope.workspaces == frozenset():
            continue
        tree = compile_grouped(replace(query, scope=replace(query.scope, own=PEOPLE[0])))
        assert tree.sql().count("'user-1'") == len(list(tree.find_all(exp.Table)))


def test_own_rows_need_an_owner() -> None:
    for user, keys in (("", frozenset[str]()), ("user-1", frozenset({""}))):
        with pytest.raises(ValueError, match="own rows"):
            OwnRows(user, keys)
    scope = TenantScope("acme", frozenset({"prod"}), PEOPLE[0])
    assert scope.narrowed(frozenset({"prod", "stage"})) == scope
    assert scope.of_everybody() == TenantScope("acme", frozenset({"prod"}))

"""Nobody sees a row that isn't theirs: whatever is asked, an answer is made of the scope's rows alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import questions, rows
from tests.factories.loaded import loaded
from tests.factories.rollups import taken_although_small
from warehouse.engines.base import Engine
from warehouse.query.run import GroupedAnswer, run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery
from warehouse.rollups import build_rollups

ORGANISATIONS = ("acme", "globex", "initech")
WORKSPACES = ("default", "prod", "stage")
OWNERS = tuple((organisation, workspace) for organisation in ORGANISATIONS for workspace in WORKSPACES)
ROWS_EACH = 30
BASE = 100
"""Each row of owner number n counts BASE**n tokens, so a sum of tokens tells how many rows of whom are in it."""

quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
randoms = st.randoms(use_true_random=False)


@cache
def marked_rows() -> pa.Table:
    """Rows whose every text names its owner, with traces that all organisations share."""
    return rows.as_generations([_marked(owner, number) for owner in range(len(OWNERS)) for number in range(ROWS_EACH)])


def _marked(owner: int, number: int) -> dict[str, Any]:
    organisation, workspace = OWNERS[owner]
    texts = ("api_key_id", "ai_org", "ai_model", "virtual_key", "config", "prompt_slug")
    return {
        "organisation_id": organisation,
        "workspace_slug": workspace,
        "id": f"{organisation}-{workspace}-{number}",
        "created_at": rows.FIRST_DAY + timedelta(hours=number * 3, milliseconds=number),
        **dict.fromkeys(texts, f"{organisation}/{workspace}/{number % 3}"),
        "response_status_code": 200 + owner,
        "is_success": True,
        "trace_id": f"trace-{number % 5}",
        "metadata.key": list(rows.METADATA_KEYS),
        "metadata.value": [f"{organisation}/{workspace}/{number % 2}"] * len(rows.METADATA_KEYS),
        "total_units": BASE**owner,
        "req_units": 1,
        "res_units": 1,
        "cost": number,
        "response_time": number,
        "cache_status": rows.CACHE_STATUSES[number % len(rows.CACHE_STATUSES)],
    }


@cache
def shared_feedbacks() -> pa.Table:
    """Feedback on the shared traces, by each organisation, with scores that differ."""
    return rows.as_feedbacks(
        [
            {
                "organisation_id": organisation,
                "workspace_slug": workspace,
                "id": f"{organisation}-{workspace}-{trace}",
                "created_at": rows.FIRST_DAY,
                "trace_id": f"trace-{trace}",
                "value": (owner + trace) % 21 - 10,
                "weight": 1.0,
                "weighted": float((owner + trace) % 21 - 10),
            }
            for owner, (organisation, workspace) in enumerate(OWNERS)
            for trace in range(5)
        ]
    )


@pytest.fixture(scope="module", params=["lake", "lake with rollups", "clickhouse"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, int]]:
    """A warehouse of all tenants, and how many questions to try on it; its rollups are taken although small."""
    kind, _, rolled_up = str(request.param).partition(" with ")
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch, loaded(kind, folder, marked_rows(), shared_feedbacks()) as engine:
        taken_although_small(patch)
        if rolled_up:
            build_rollups(engine)
        yield engine, 25 if kind == "clickhouse" else 80


def a_marked_question(random: Random) -> GroupedQuery:
    slugs = [*WORKSPACES, "elsewhere", random.choice(rows.HOSTILE)]
    workspaces = random.choice((None, frozenset(random.sample(slugs, random.randrange(4)))))
    scope = TenantScope(random.choice((*ORGANISATIONS, *ORGANISATIONS, random.choice(rows.HOSTILE))), workspaces)
    make = random.choice((questions.some_question, questions.some_rollup_question))
    query = replace(make(random), scope=scope, order=())
    measures = tuple(dict.fromkeys((*query.measures, "requests", "total_tokens")))
    return replace(query, measures=measures)


def owners_in(scope: TenantScope) -> set[int]:
    return {
        owner
        for owner, (organisation, workspace) in enumerate(OWNERS)
        if organisation == scope.organisation_id and (scope.workspaces is None or workspace in scope.workspaces)
    }


def owners_counted(answer: GroupedAnswer) -> set[int]:
    tokens, counted = sum(answer.rows["total_tokens"].to_pylist()), set[int]()
    for owner in range(len(OWNERS)):
        tokens, rows_of_owner = divmod(tokens, BASE)
        if rows_of_owner:
            counted.add(owner)
    return counted


def names_in(answer: GroupedAnswer, query: GroupedQuery) -> set[tuple[str, str]]:
    """The owners that the answer's group values name."""
    texts = {
        value
        for key in query.by
        if key not in ("status_code", "workspace")
        for value in answer.rows[key].to_pylist()
        if value
    }
    return {(text.split("/")[0], text.split("/")[1]) for text in texts}


def test_no_answer_counts_or_names_another_tenant(shared: tuple[Engine, int]) -> None:
    engine, examples = shared

    @settings(quick, max_examples=examples)
    @given(randoms)
    def check(random: Random) -> None:
        query = a_marked_question(random)
        allowed = owners_in(query.scope)
        answer = run_grouped(engine, query)
        assert owners_counted(answer) <= allowed, query
        assert names_in(answer, query) <= {OWNERS[owner] for owner in allowed}, query
        assert sum(answer.rows["requests"].to_pylist()) <= ROWS_EACH * len(allowed), query
        if "workspace" in query.by:
            assert set(answer.rows["workspace"].to_pylist()) <= {OWNERS[owner][1] for owner in allowed}, query

    check()


def test_a_page_is_cut_from_the_tenants_own_groups(shared: tuple[Engine, int]) -> None:
    engine, examples = shared

    @settings(quick, max_examples=examples // 3)
    @given(randoms, st.integers(0, 12), st.sampled_from([0, 1, 2, 5]))
    def check(random: Random, offset: int, limit: int) -> None:
        query = replace(a_marked_question(random), limit=None, offset=0, include_total=True)
        whole = run_grouped(engine, query)
        page = run_grouped(engine, replace(query, limit=limit, offset=offset))
        assert page.total == whole.total == whole.rows.num_rows
        assert page.rows.equals(whole.rows.slice(offset, limit)), query

    check()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, dict[str, Engine]]]:
    """A lake of all tenants and, for each, a lake with nothing but its own rows."""
    with ExitStack() as stack:

        def lake(organisation: str | None, number: int) -> Engine:
            tables = [
                table if organisation is None else table.filter(pc.equal(table["organisation_id"], organisation))
                for table in (generations, feedbacks)
            ]
            return stack.enter_context(loaded("lake", tmp_path_factory.mktemp(f"lake-{number}"), *tables))

        generations = rows.generations(11, 600)
        feedbacks = rows.feedbacks(12, generations, 200)
        yield lake(None, 0), {name: lake(name, number) for number, name in enumerate(rows.ORGANISATIONS, start=1)}


def test_an_answer_is_the_same_without_the_other_tenants(alone: tuple[Engine, dict[str, Engine]]) -> None:
    everybody, by_organisation = alone

    @settings(quick, max_examples=80)
    @given(randoms)
    def check(random: Random) -> None:
        query = questions.some_question(random)
        own = by_organisation.get(query.scope.organisation_id)
        if own is None:
            assert run_grouped(everybody, query).rows.num_rows == 0
            return
        shared, separate = run_grouped(everybody, query), run_grouped(own, query)
        assert shared.total == separate.total, query
        assert shared.rows.equals(separate.rows), query

    check()


@pytest.mark.parametrize("name", ["weighted_feedback_min", "weighted_feedback_max"])
def test_feedback_of_others_on_the_same_trace_does_not_count(
    alone: tuple[Engine, dict[str, Engine]], name: str
) -> None:
    everybody, by_organisation = alone
    for organisation, own in by_organisation.items():
        for bound in (-3, -1, 0, 0.5, 2):
            query = GroupedQuery(
                TenantScope(organisation),
                rows.FIRST_DAY,
                rows.FIRST_DAY + timedelta(days=rows.DAYS),
                ("model",),
                conditions=(Condition(name, bound),),
            )
            assert run_grouped(everybody, query).rows.equals(run_grouped(own, query).rows)


def test_a_scope_can_only_be_narrowed() -> None:
    scope = TenantScope("acme", frozenset({"default", "prod"}))
    assert scope.narrowed(frozenset({"prod", "stage"})).workspaces == {"prod"}
    assert TenantScope("acme").narrowed(frozenset({"prod"})).workspaces == {"prod"}
    assert scope.narrowed(frozenset()).workspaces == frozenset()
    with pytest.raises(ValueError, match="organisation"):
        TenantScope("")

"""Every engine gives the answer that plain Python gives: random questions, hostile values, with rollups and without."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from tests.factories import questions, rows
from tests.factories.loaded import loaded
from tests.factories.oracle import Oracle
from tests.factories.rollups import taken_although_small
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.registry import METADATA_PREFIX
from warehouse.engines.base import Batch, Engine
from warehouse.query.run import answer_schema, run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import Condition, GroupedQuery
from warehouse.rollups import build_rollups, check_rollups

KINDS = ("lake", "clickhouse")
QUESTIONS = {"lake": 20, "clickhouse": 10}
"""Questions per block: a few hundred in all."""
END = rows.FIRST_DAY.replace(day=31, hour=23)


@cache
def oracle() -> Oracle:
    generations = rows.generations(1, 1200)
    return Oracle(generations, rows.feedbacks(2, generations, 200))


@cache
def oracle_after_more() -> Oracle:
    """The same rows and some of one day that came after the rollups were made."""
    more = rows.generations(3, 200, prefix="late")
    late = more.filter(pa.array([instant.day == 29 for instant in more["created_at"].to_pylist()]))
    return Oracle(pa.concat_tables([oracle().generations, late]), oracle().feedbacks)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, bool], Engine]]:
    """Engines that are opened when a test first asks for their kind."""
    with ExitStack() as stack:
        yield _Engines(stack, tmp_path_factory.mktemp("engines"))


class _Engines(dict[tuple[str, bool], Engine]):
    """By kind and whether rollups were made (before the last rows came)."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        super().__init__()
        self._stack, self._folder = stack, folder

    def __missing__(self, key: tuple[str, bool]) -> Engine:
        kind, rolled_up = key
        folder = self._folder / f"{kind}-{rolled_up}"
        folder.mkdir()
        engine = self._stack.enter_context(loaded(kind, folder, oracle().generations, oracle().feedbacks))
        if rolled_up:
            with pytest.MonkeyPatch.context() as patch:
                taken_although_small(patch)
                build_rollups(engine)
            assert check_rollups(engine) == []
            known = oracle().generations.num_rows
            late = oracle_after_more().generations.slice(known)
            assert engine.append(GENERATIONS, late, Batch("late")).stored == late.num_rows > 0
        self[key] = engine
        return engine


@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("rolled_up", [False, True], ids=["rows", "rollups"])
@pytest.mark.parametrize("kind", KINDS)
def test_random_questions(
    engines: dict[tuple[str, bool], Engine],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    rolled_up: bool,
    block: int,
) -> None:
    taken_although_small(monkeypatch)
    engine = engines[kind, rolled_up]
    truth = oracle_after_more() if rolled_up else oracle()
    for number in range(QUESTIONS[kind]):
        random = Random(f"{block}/{number}")
        query = questions.some_rollup_question(random) if rolled_up else questions.some_question(random)
        check(engine, truth, query)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_texts_are_only_ever_values(engines: dict[tuple[str, bool], Engine], kind: str) -> None:
    engine = engines[kind, False]
    everything = GroupedQuery(TenantScope("org-a"), rows.FIRST_DAY, END, ("model",), limit=None)
    for number, hostile in enumerate(rows.HOSTILE):
        by = replace(everything, by=(METADATA_PREFIX + hostile, "workspace"))
        check(engine, oracle(), by)
        check(engine, oracle(), replace(everything, scope=TenantScope(hostile)))
        check(engine, oracle(), replace(everything, scope=TenantScope("org-a", frozenset({hostile, "prod"}))))
        texts = [Condition(name, (hostile, "gpt-4o")) for name in ("virtual_keys", "trace_id", "cache_status")]
        conditions = (
            *texts,
            Condition("metadata", ((hostile, hostile),)),
            Condition("metadata", (("team", hostile),)),
            Condition("ai_org_model", ((hostile, hostile), ("openai", hostile), ("", hostile))),
        )
        # Literals are spelled alike in every filter, so each text is tried in two of them.
        for condition in (conditions[number % len(conditions)], conditions[(number + 3) % len(conditions)]):
            check(engine, oracle(), replace(everything, conditions=(condition,)))


@pytest.mark.parametrize("kind", KINDS)
def test_stored_hostile_texts_come_back_as_they_are(engines: dict[tuple[str, bool], Engine], kind: str) -> None:
    models = {model for model in oracle().generations["ai_model"].to_pylist() if model in rows.HOSTILE}
    query = GroupedQuery(TenantScope("org-a"), rows.FIRST_DAY, END, ("model",), limit=None)
    found = {
        model
        for organisation in rows.ORGANISATIONS
        for model in run_grouped(engines[kind, False], replace(query, scope=TenantScope(organisation)))
        .rows["model"]
        .to_pylist()
    }
    assert models
    assert models <= found


def check(engine: Engine, truth: Oracle, query: GroupedQuery) -> None:
    answer = run_grouped(engine, query)
    expected, total = truth.answer(query)
    assert questions.differences(expected, answer.rows) == [], query
    assert answer.total == (total if query.include_total else None), query
    assert answer.rows.schema == answer_schema(query)

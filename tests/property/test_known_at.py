"""A report as known at an instant is what was answered then, to the digit, whatever was loaded or corrected since."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import repricing, rows
from tests.factories.loaded import loaded
from tests.factories.prices import MemoryLevel
from warehouse.engines.base import Engine
from warehouse.pricing.book import PriceBook
from warehouse.query.run import run_grouped
from warehouse.query.scope import OwnRows, TenantScope
from warehouse.query.spec import Condition, GroupedQuery, Order
from warehouse.rollups import build_rollups

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODELS = ("gpt_4o", "gpt_4o_mini", "claude_sonnet_4_5")
SCOPES = (
    TenantScope("org-a"),
    TenantScope("org-b", frozenset({"prod", "default"})),
    TenantScope("org-'c\\", frozenset()),
    TenantScope("org-b", own=OwnRows("nobody", frozenset({"key-1", "key-2"}))),
)

rates = st.dictionaries(st.sampled_from(MODELS), st.sampled_from([0.0001, 0.003, 0.07, 1e-12]), max_size=3)
steps = st.lists(st.one_of(st.tuples(st.just("load"), rates), st.tuples(st.just("reprice"), rates)), max_size=5)


def questions(scope: TenantScope, as_known_at: datetime | None) -> list[GroupedQuery]:
    days = {"since": rows.FIRST_DAY, "until": rows.FIRST_DAY + timedelta(days=rows.DAYS), "scope": scope}
    return [
        GroupedQuery(
            **days,
            by=("model", "workspace"),
            measures=("cost", "total_tokens", "p95_latency", "success_rate", "last_seen"),
            order=(Order("cost"),),
            limit=None,
            as_known_at=as_known_at,
        ),
        GroupedQuery(
            **days,
            by=("ai_service", "metadata.team"),
            measures=("cost", "requests"),
            conditions=(Condition("cost_min", 1), Condition("cost_max", 900)),
            limit=3,
            offset=1,
            as_known_at=as_known_at,
        ),
    ]


def answers(engine: Engine, as_known_at: datetime | None = None) -> list[Any]:
    found = [run_grouped(engine, question) for scope in SCOPES for question in questions(scope, as_known_at)]
    return [(answer.total, answer.rows.to_pylist()) for answer in found]


def play(engine: Engine, story: list[tuple[str, dict[str, float]]], first: datetime) -> dict[datetime, list[Any]]:
    """What was answered after each step; every other step the rollups are made first."""
    told = {first - HOUR: answers(engine)}
    for number, (what, prices) in enumerate(story):
        now = first + number * HOUR
        if what == "load":
            by = repricing.pricer(PriceBook([MemoryLevel(repricing.price_files(**prices))]))
            repricing.load(engine, repricing.priced(number, 40, by, now), f"step-{number}")
        else:
            report = repricing.reprice_by(engine, prices, now)
            assert report.overtaken == 0
            assert repricing.reprice_by(engine, prices, now + HOUR / 4).corrections == 0
        if number % 2:
            build_rollups(engine)
        told[now + HOUR / 2] = answers(engine)
    return told


@pytest.mark.parametrize("at_start", [START.replace(microsecond=999_999), START])
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=steps)
def test_the_lake_answers_as_it_did(
    tmp_path_factory: pytest.TempPathFactory, at_start: datetime, story: list[tuple[str, dict[str, float]]]
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    with loaded("lake", folder, rows.generations(1, 0)) as engine:
        for at, told in play(engine, story, at_start).items():
            assert answers(engine, at) == told


STORY: list[tuple[str, dict[str, float]]] = [
    ("load", {"gpt_4o": 0.003}),
    ("reprice", {"gpt_4o": 0.07, "gpt_4o_mini": 1e-12}),
    ("load", {"gpt_4o": 0.07}),
    ("reprice", {"claude_sonnet_4_5": 0.003, "gpt_4o": 0.0001}),
    ("reprice", {"gpt_4o": 0.07, "gpt_4o_mini": 0.07}),
]


@pytest.mark.parametrize("kind", ["lake", "clickhouse"])
def test_every_engine_answers_as_it_did(kind: str, tmp_path: Path) -> None:
    with loaded(kind, tmp_path, rows.generations(1, 0)) as engine:
        told = play(engine, STORY, START)
        assert len({str(each) for each in told.values()}) == len(told), "every step changes the answers"
        for at, then in told.items():
            assert answers(engine, at) == then
        boundary = START + HOUR
        assert answers(engine, boundary) == told[boundary + HOUR / 2]
        assert answers(engine, boundary - timedelta(milliseconds=1)) == told[START + HOUR / 2]

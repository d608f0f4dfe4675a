"""What policies cost: counting all of them anew, and the question before each request (`-s` to see the numbers).

One uvicorn worker, a client in a process of its own; the lake on two threads. `GATELEDGER_BENCH_POLICY_ROWS` rows.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count as numbers
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sqlalchemy import func, select

from api.permissions import KeyKind, scopes_of
from api.policies import service
from api.policies.refresh import Remembered, refresh_all
from api.policies.rows import PolicyEntity
from api.policies.schemas import NewRatePolicy, NewUsagePolicy
from api.principal import Principal
from tests.factories.app import Installation, installed
from tests.factories.engines import lake_engine
from tests.factories.parts import needed
from tests.factories.private_redis import redis_server
from tests.factories.private_servers import alone
from tests.factories.server import live_server
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch, Engine
from warehouse.storage.tables import arrow_schema

pytestmark = [pytest.mark.bench, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
P99_MS, REFRESH_S = 10.0, 10.0
PER_SECOND, CONNECTIONS = {"memory": 2000, "redis": 1000}, {"memory": 4, "redis": 8}
FACTS = {"provider": "openai", "model": "gpt-4o", "metadata": {"_user": "ann", "team": "team-13"}}
QUESTIONS = {
    "asked": {**FACTS, "estimated_cost": 0.001, "estimated_tokens": 100},
    "reserved": {**FACTS, "estimated_cost": 0.001, "reserve": True, "reserve_s": 2},
}
POLICIES, PEOPLE, TEAMS, DAYS = 1000, 10_000, 100, 30
"""With 100 people in a team and ten policies about each, 1,000 policies have 100,000 counters."""
FIRST = datetime(2026, 4, 1, tzinfo=UTC)
BATCH_ROWS = 500_000


def caller_in(here: Installation) -> Principal:
    kind = KeyKind.ORGANISATION_SERVICE
    return Principal(kind, "bench", here.first.organisation_id, scopes_of(kind))


def many_policies(here: Installation, count: int, group_by: str, now: datetime) -> None:
    """Budgets that differ in the team and the models that they are about."""
    fields = {"type": "cost", "credit_limit": 10**9, "workspace_id": here.first.workspace_slug}
    with here.database.transaction() as session:
        for number in range(count):
            conditions = [
                {"key": "metadata.team", "value": [f"team-{number % TEAMS}", f"guest-{number}"]},
                {"key": "model", "value": "@openai/*"},
            ]
            wanted = NewUsagePolicy.model_validate({"conditions": conditions, "group_by": [group_by], **fields})
            service.create_usage(session, caller_in(here), wanted, now)


def batches(here: Installation, rows: int, prefix: str = "") -> Iterator[pa.Table]:
    """Rows of 10,000 people in 100 teams, a month in order of time."""
    random, schema = np.random.default_rng(1), arrow_schema(GENERATIONS)
    people = pa.array([f"person-{number}" for number in range(PEOPLE)])
    teams = pa.array([["team"]] * TEAMS), pa.array([[f"team-{number}"] for number in range(TEAMS)])
    count = min(rows, BATCH_ROWS)
    for batch in range(rows // count):
        start_ms, width_ms = batch * DAYS * 86_400_000 * count // rows, DAYS * 86_400_000 * count // rows
        at_ms = np.sort(random.integers(start_ms, start_ms + width_ms, count))
        person = random.integers(0, PEOPLE, count)
        team = pa.array(person % TEAMS)
        columns = {
            "organisation_id": pa.repeat(here.first.organisation_id, count),
            "workspace_slug": pa.repeat(here.first.workspace_slug, count),
            "created_at": pa.array(np.datetime64(FIRST.replace(tzinfo=None), "us") + at_ms.astype("timedelta64[ms]")),
            "id": pa.array([f"{prefix}{batch}-{number}" for number in range(count)]),
            "api_key_id": people.take(pa.array(person)),
            "ai_org": pa.repeat("openai", count),
            "ai_model": pa.array(["gpt-4o", "gpt-4o-mini"]).take(pa.array(person % 2)),
            "metadata.key": teams[0].take(team),
            "metadata.value": teams[1].take(team),
            "total_units": pa.array(random.integers(10, 4000, count)),
            "cost": pa.repeat(pa.scalar(Decimal("0.125"), pa.decimal128(18, 12)), count),
        }
        yield pa.table({f.name: columns.get(f.name, pa.nulls(count, f.type)) for f in schema}, schema=schema)


def counters_in(here: Installation) -> int:
    with here.database.transaction(writes=False) as session:
        return session.scalar(select(func.count()).select_from(PolicyEntity)) or 0


def refreshed_s(here: Installation, engine: Engine, policies: int, now: datetime, left: Remembered) -> float:
    began = time.perf_counter()
    assert refresh_all(here.database, engine, now, remembered=left).policies == policies
    return time.perf_counter() - began


def test_counting_every_policy_anew(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    rows = int(os.environ.get("GATELEDGER_BENCH_POLICY_ROWS", "10000000")) if benchmark.enabled else 5000
    policies, now, left = (POLICIES if benchmark.enabled else 20), FIRST + timedelta(days=DAYS), Remembered()
    with installed(tmp_path) as here, lake_engine(tmp_path / "lake", threads=2, memory_mb=2048) as engine:
        for number, batch in enumerate(batches(here, rows)):
            engine.append(GENERATIONS, batch, Batch(f"b{number}"))
        many_policies(here, policies, "api_key", FIRST)
        first_s = refreshed_s(here, engine, policies, now, left)
        [late] = batches(here, min(rows, BATCH_ROWS), "late-")  # of everybody, on every day
        engine.append(GENERATIONS, late, Batch("late"))
        late_s = refreshed_s(here, engine, policies, now + timedelta(seconds=1), left)
        still = numbers(2)
        benchmark.pedantic(
            lambda: refreshed_s(here, engine, policies, now + timedelta(seconds=next(still)), left), rounds=3
        )
        counters = counters_in(here)
    machine = f"{os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GB"
    print(f"\n{policies:,} policies with {counters:,} counters over {rows:,} rows ({machine}): ", end="")
    still_s = benchmark.stats.stats.min if benchmark.enabled else 0.0
    print(f"{first_s:.1f} s with every counter new, {late_s:.1f} s after late rows of all on every day, ", end="")
    print(f"{still_s:.2f} s when nothing changed")
    assert counters >= (PEOPLE if benchmark.enabled else 20)
    assert not benchmark.enabled or max(first_s, late_s) <= REFRESH_S


@contextmanager
def served(here: Installation, place: str) -> Generator[Callable[[dict[str, Any], float], dict[str, float]]]:
    """One worker that keeps reservations there; called with a question it is asked for some seconds."""
    variables: dict[str, Any] = {"GATELEDGER_LOG_LEVEL": "WARNING"}
    key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=here.first.workspace_id)
    with ExitStack() as stack:
        if place == "redis":
            redis = stack.enter_context(needed(alone(redis_server())))
            variables["REDIS_URL"] = f"redis://127.0.0.1:{redis.port}/0"
        server = stack.enter_context(live_server(here.settings.home, **variables))

        def load(question: dict[str, Any], seconds: float) -> dict[str, float]:
            port, connections = str(urlsplit(server.url).port), str(CONNECTIONS[place])
            command = [sys.executable, "-m", "tests.factories.load", port, "/v1/policies/evaluate", key]
            asked = [str(seconds), connections, json.dumps(question)]
            done = subprocess.run([*command, *asked], cwd=ROOT, capture_output=True, check=False, text=True)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        yield load


def test_the_question_before_each_request(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    policies, seconds, rounds = (POLICIES, 4.0, 3) if benchmark.enabled else (20, 0.3, 1)
    best: dict[tuple[str, str], dict[str, float]] = {}
    with installed(tmp_path) as here:
        now = datetime.now(UTC)
        many_policies(here, policies, "metadata._user", now)
        rate = {"type": "requests", "unit": "rpm", "value": 10**9, "workspace_id": here.first.workspace_slug}
        every = {"conditions": [{"key": "api_key", "value": "*"}], "group_by": ["api_key"]}
        with here.database.transaction() as session:
            service.create_rate(session, caller_in(here), NewRatePolicy.model_validate({**rate, **every}), now)
        for place in PER_SECOND if benchmark.enabled else ["memory"]:
            with served(here, place) as load:
                for name, question in QUESTIONS.items():
                    runs = [load(question, seconds) for _ in range(rounds)]
                    best[place, name] = max(runs, key=lambda run: run["requests_per_s"])
                if place == "memory":
                    benchmark.pedantic(lambda ask=load: ask(QUESTIONS["asked"], seconds), rounds=1)
    for (place, name), run in best.items():
        print(f"\nPOST /v1/policies/evaluate, {policies + 1:,} policies, one worker, {place}, {name}: ", end="")
        print(f"{run['requests_per_s']:,.0f}/s, p50 {run['p50_ms']:.2f} ms, p99 {run['p99_ms']:.2f} ms", end="")
    print()
    for place, least in PER_SECOND.items() if benchmark.enabled else ():
        assert best[place, "asked"]["requests_per_s"] >= least
    # Redis works on the same cores as worker and client: what it adds there is no measure of the worker.
    assert not benchmark.enabled or best["memory", "asked"]["p99_ms"] <= P99_MS

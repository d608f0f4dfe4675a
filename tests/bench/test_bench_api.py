"""What HTTP adds to a grouped question, beside the same question asked of the engine in process (`-s` to see it).

Every question differs in its first instant, so neither side answers from a cache. Both sides take turns, so that a
busy machine slows both.
"""

import http.client
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from api.permissions import KeyKind
from tests.factories.app import auth, installed
from tests.factories.server import live_server
from warehouse.catalog import registry
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch
from warehouse.engines.open import open_engine
from warehouse.query.run import run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery
from warehouse.storage.migrate import migrate
from warehouse.storage.tables import arrow_schema

pytestmark = [pytest.mark.bench, pytest.mark.slow]

ROWS, DAYS, ROUNDS = 200_000, 30, 60
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = FIRST + timedelta(days=DAYS)
MEASURES = tuple(measure.name for measure in registry.public_measures(GENERATIONS))
RATIO, EXTRA_MS = 1.15, 1.5


def requests_of(organisation_id: str, workspace: str) -> pa.Table:
    """A month of requests to 40 models."""
    pick = np.random.default_rng(5)
    seconds = np.sort(pick.integers(0, DAYS * 86_400_000, ROWS)) * 1000
    tokens = pick.integers(10, 4000, (2, ROWS))
    models = pa.array([f"model-{number}" for number in range(40)])
    filled = {
        "organisation_id": pa.repeat(organisation_id, ROWS),
        "workspace_slug": pa.repeat(workspace, ROWS),
        "created_at": pa.array(np.datetime64(FIRST.replace(tzinfo=None), "us") + seconds.astype("timedelta64[us]")),
        "id": pa.array([f"r{number}" for number in range(ROWS)]),
        "ai_model": models.take(pa.array(pick.integers(0, 40, ROWS))),
        "ai_org": pa.repeat("openai", ROWS),
        "is_success": pa.array(pick.random(ROWS) > 0.03),
        "response_status_code": pa.repeat(pa.scalar(200, pa.int64()), ROWS),
        "response_time": pa.array(pick.integers(100, 9000, ROWS)),
        "cache_status": pa.repeat("MISS", ROWS),
        "req_units": pa.array(tokens[0]),
        "res_units": pa.array(tokens[1]),
        "total_units": pa.array(tokens.sum(axis=0)),
        "cost": pa.repeat(pa.scalar(Decimal("0.125"), pa.decimal128(18, 12)), ROWS),
    }
    schema = arrow_schema(GENERATIONS)
    return pa.table({field.name: filled.get(field.name, pa.nulls(ROWS, field.type)) for field in schema}, schema=schema)


def took_ms(ask: Callable[[datetime], object], since: datetime) -> float:
    began = time.perf_counter()
    ask(since)
    return (time.perf_counter() - began) * 1000


@pytest.mark.parametrize("measures", [("requests",), MEASURES], ids=["count", "all columns"])
def test_http_adds_little_to_a_question(tmp_path: Path, measures: tuple[str, ...], benchmark: BenchmarkFixture) -> None:
    # Only `make bench` measures; elsewhere one round shows that both sides answer.
    rounds = ROUNDS if benchmark.enabled else 1
    with installed(tmp_path) as here:
        first = here.first
        key = here.key(KeyKind.WORKSPACE_SERVICE, workspace_id=first.workspace_id)
        with closing(open_engine(here.settings.warehouse)) as engine:
            migrate(engine)
            engine.append(GENERATIONS, requests_of(first.organisation_id, first.workspace_slug), Batch("bench"))
            with live_server(tmp_path, GATELEDGER_LOG_LEVEL="INFO") as server:
                connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
                scope = TenantScope(first.organisation_id, frozenset({first.workspace_slug}))

                def direct(since: datetime) -> None:
                    run_grouped(engine, GroupedQuery(scope, since, UNTIL, ("model",), measures))

                def over_http(since: datetime) -> None:
                    query = {
                        "time_of_generation_min": since.isoformat(),
                        "time_of_generation_max": UNTIL.isoformat(),
                        "columns": ",".join(measures),
                    }
                    connection.request("GET", f"/v1/analytics/groups/model?{urlencode(query)}", headers=auth(key))
                    answer = connection.getresponse()
                    body = answer.read()
                    assert answer.status == 200, body

                sides: dict[str, list[float]] = {"direct": [], "http": []}
                for number in range(-5, rounds):
                    for name, ask in (("direct", direct), ("http", over_http)):
                        offset = timedelta(milliseconds=2 * (number + 5) + (name == "http"))
                        took = took_ms(ask, FIRST + offset)
                        if number >= 0:
                            sides[name].append(took)
                fresh = count(rounds + 5)
                benchmark.pedantic(lambda: over_http(FIRST + timedelta(milliseconds=2 * next(fresh))), rounds=rounds)
                connection.close()
    p50 = {name: statistics.median(times) for name, times in sides.items()}
    allowed = RATIO * p50["direct"] + EXTRA_MS
    print(
        f"\n{len(measures)} columns, {ROWS:,} rows on {platform.processor() or platform.machine()}: "
        f"direct p50 {p50['direct']:.2f} ms, HTTP p50 {p50['http']:.2f} ms, ratio {p50['http'] / p50['direct']:.3f}, "
        f"allowed {allowed:.2f} ms"
    )
    assert not benchmark.enabled or p50["http"] <= allowed

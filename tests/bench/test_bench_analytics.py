"""Every graph, listing and summary over the lake, beside the same question by hand to DuckDB's own sorted table.

One organisation's 30 of 90 days, drawn by day in a zone that changes its clocks, with rollups made. The organisation
key names no workspace, which is the widest question there is. `GATELEDGER_BENCH_ROWS` says how many rows (10 million by
default; a few when only the tests run, where the answers are looked at and no time is). Every question ends a
millisecond earlier than the last, as those of a screen that asks up to now, so none is answered from the cache of
answers. Both sides take turns, so that a busy machine slows both. A table of all is printed at the end, with how much
more or less sixteen clients get done at once than four.
"""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from starlette.datastructures import QueryParams

from api.analytics import drawing
from api.analytics.graph_parameters import parse_graph, summary_query
from api.analytics.graphs import GRAPHS, SUMMARIES, Graph
from api.analytics.listings import LISTINGS, METADATA_KEY, Listing
from api.analytics.parameters import parse_listing
from api.analytics.selection import Selection
from tests.bench.test_bench_query import (
    DAYS,
    DAYS_OF_A_TEST,
    KEPT,
    MEMORY_MB,
    ROWS,
    ROWS_OF_A_TEST,
    SINCE,
    THREADS,
    UNTIL,
    Side,
    copy,
    described,
    load,
    took_s,
)
from tests.factories.traffic import FIRST_DAY, ORGANISATIONS, requests_of_day
from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.query.run import run_grouped, run_series
from warehouse.query.scope import TenantScope
from warehouse.rollups import build_rollups
from warehouse.storage.tables import arrow_schema

pytestmark = [pytest.mark.bench, pytest.mark.slow]

ROUNDS, TARGET_MS = 11, 100
FEW, MANY, RUNS, RUN_S = 4, 16, 3, 8.0
"""Clients at once, and how often and how long they ask."""
ZONE = ZoneInfo("Europe/Berlin")
SCOPE = TenantScope(ORGANISATIONS[0])
MORE = (
    ', trace_id, _user, "metadata.key", "metadata.value", retry_success_count, mode, last_used_option_index, '
    "cache_saved_cost"
)
FEEDBACK_EACH = 100
"""One request in so many has feedback."""

HIT = "lower(cache_status) IN ('hit', 'semantic hit')"
ON = "lower(cache_status) NOT IN ('', 'disabled')"
QUANTILES = "quantile_cont(response_time, [0.5, 0.9, 0.99])"
RATED = """(SELECT trace_id, count(*) AS f, sum(weighted) AS w, count(weighted) AS n FROM feedbacks
    WHERE organisation_id = $1 AND trace_id <> '' GROUP BY trace_id)"""
OWN = "organisation_id = $1 AND created_at BETWEEN $2 AND $3"

DRAWN = {
    "requests": "count(*)",
    "cost": "sum(cost), count(*), count(*) FILTER (cost IS NULL)",
    "latency": f"avg(response_time), {QUANTILES}",
    "tokens": "sum(total_units), count(*)",
    "users": "count(DISTINCT nullif(_user, ''))",
    "users/requests": "count(DISTINCT nullif(_user, '')), count(*) FILTER (_user <> '')",
    "errors": "count(*) FILTER (NOT is_success)",
    "errors/rate": "count(*) FILTER (NOT is_success), count(*)",
    "errors/stacks": "count(*) FILTER (NOT is_success)",
    "errors/status-codes": "count(*) FILTER (NOT is_success)",
    "requests/rescued": "count(*) FILTER (is_success AND retry_success_count > 0), "
    "count(*) FILTER (is_success AND mode = 'fallback' AND last_used_option_index > 0)",
    "cache/hit-rate": f"count(*) FILTER (lower(cache_status) = 'hit'), count(*) FILTER ({HIT}), "
    f"count(*) FILTER ({ON}), sum(cache_saved_cost) FILTER ({HIT})",
    "cache/latency": f"avg(response_time) FILTER ({HIT})",
    "feedbacks": "count(*)",
    "feedbacks/scores": "count(*)",
    "feedbacks/weighted": "avg(weighted)",
}
"""What a person would write for each graph; the days are UTC's, which is less work."""

FIRST_WORD = "SELECT {keys} {numbers} FROM {table} WHERE {own} GROUP BY GROUPING SETS ({sets})"
BY_MODEL = f"""
    SELECT ai_model, sum(f), sum(w) / sum(n) FROM
        (SELECT DISTINCT ai_model, trace_id FROM generations WHERE {OWN}) JOIN {RATED} USING (trace_id)
    GROUP BY ai_model
"""
LISTED = {
    "users": "SELECT _user, count(*) AS n, sum(cost) "
    f"FROM generations WHERE {OWN} GROUP BY 1 ORDER BY n DESC, 1 LIMIT 50",
    "ai_models": "SELECT ai_model, count(*) AS n, sum(cost), min(ai_org) = max(ai_org) "
    f"FROM generations WHERE {OWN} GROUP BY 1 ORDER BY n DESC, 1 LIMIT 50",
    "workspaces": "SELECT workspace_slug, count(*) AS n, sum(cost), sum(total_units), max(created_at) "
    f"FROM generations WHERE {OWN} GROUP BY 1 ORDER BY n DESC, 1 LIMIT 50",
    "metadata": f"""
        SELECT g.*, w, f FROM (
            SELECT "metadata.value"[list_position("metadata.key", 'team')] AS k, count(*) AS n, sum(cost),
                sum(total_units), max(created_at) FROM generations WHERE {OWN} GROUP BY 1) AS g
        LEFT JOIN (
            SELECT k, sum(r) AS r, sum(f) AS f, sum(w) / sum(n) AS w FROM (
                SELECT "metadata.value"[list_position("metadata.key", 'team')] AS k, trace_id, count(*) AS r
                FROM generations WHERE {OWN} GROUP BY ALL) JOIN {RATED} USING (trace_id) GROUP BY k) AS t
        ON g.k IS NOT DISTINCT FROM t.k ORDER BY n DESC LIMIT 50""",
}
SUMMED = {
    "cache": f"count(*), count(*) FILTER ({HIT}), avg(response_time) FILTER ({HIT}), "
    f"avg(response_time) FILTER (NOT {HIT})",
    "overview": f"count(*), sum(cost), sum(total_units), sum(req_units), sum(res_units), {QUANTILES}, "
    f"count(*) FILTER (NOT is_success), count(DISTINCT _user), count(*) FILTER ({HIT})",
}

earlier = count(1)


@dataclass
class Ground:
    """The same rows twice: in the lake with rollups, and in sorted tables of DuckDB; and what was measured."""

    engine: DuckDBEngine
    native: duckdb.DuckDBPyConnection
    rows: int
    measured: list[tuple[str, float, float]] = field(default_factory=list)
    done_by: dict[int, list[float]] = field(default_factory=dict)
    """Clients at once → answers per second in each run."""

    def query(self) -> QueryParams:
        """The parameters of a question that nobody asked yet."""
        until = UNTIL - timedelta(milliseconds=next(earlier))
        return QueryParams(
            {
                "time_of_generation_min": SINCE.isoformat(),
                "time_of_generation_max": until.isoformat(),
                "tz": ZONE.key,
                "granularity": "day",
            }
        )

    def ask_native(self, sql: str) -> list[tuple]:
        return self.native.execute(sql, [SCOPE.organisation_id, _naive(SINCE), _naive(UNTIL)]).fetchall()


def _naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


def feedbacks_of(requests: pa.Table) -> pa.Table:
    """A feedback on one request in a hundred, given with it."""
    some = requests.take(pa.array(np.arange(0, requests.num_rows, FEEDBACK_EACH)))
    size = some.num_rows
    scores = pa.array(np.arange(size) % 21 - 10)
    filled = {
        **{name: some[name] for name in ("organisation_id", "workspace_slug", "created_at", "trace_id")},
        "id": some["id"],
        "value": scores,
        "weight": pa.repeat(1.0, size),
        "weighted": scores.cast(pa.float64()),
    }
    schema = arrow_schema(FEEDBACKS)
    return pa.table({each.name: filled.get(each.name, pa.nulls(size, each.type)) for each in schema}, schema=schema)


def load_feedbacks(ground: Ground, days: range) -> None:
    """Feedback of each day on both sides."""
    made = [feedbacks_of(requests_of_day(day, ground.rows // len(days))) for day in days]
    for day, table in zip(days, made, strict=True):
        ground.engine.append(FEEDBACKS, table, Batch(f"feedback-{day}"))
    ground.engine.maintain(FIRST_DAY + timedelta(days=DAYS + 1))
    ground.native.register("given", pa.concat_tables(made))
    ground.native.execute("CREATE TABLE feedbacks AS SELECT * FROM given ORDER BY organisation_id, created_at")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Ground]:
    measured = request.config.getoption("benchmark_enable")
    rows = int(os.environ.get("GATELEDGER_BENCH_ROWS") or (ROWS if measured else ROWS_OF_A_TEST))
    days = range(DAYS) if measured else DAYS_OF_A_TEST
    folder = tmp_path_factory.mktemp("lake", numbered=True)
    engine = DuckDBEngine(str(folder / "lake"), threads=THREADS, memory_mb=MEMORY_MB)
    options = {"threads": THREADS, "memory_limit": f"{MEMORY_MB}MB", "temp_directory": str(folder / "spill")}
    native = duckdb.connect(str(folder / "native.duckdb"), config=options)
    made = Ground(engine, native, rows)
    try:
        took = [
            took_s(lambda: load(engine, rows, days)),
            took_s(lambda: copy(engine, native, days, KEPT + MORE)),
            took_s(lambda: load_feedbacks(made, days)),
            took_s(lambda: build_rollups(engine)),
        ]
        engine.maintain(FIRST_DAY + timedelta(days=DAYS + 1))
        print(f"\n{described(engine, rows)}; loaded, copied, feedback, rollups in {[round(each) for each in took]} s")
        yield made
        if made.measured:
            print("\n" + table_of(made.measured))
        if made.done_by:
            print(throughput_of(made.done_by))
    finally:
        native.close()
        engine.close()
        shutil.rmtree(folder)


def table_of(measured: list[tuple[str, float, float]]) -> str:
    lines = [f"{'question':28} {'ours p50 ms':>12} {'direct p50 ms':>14} {'ratio':>6}"]
    lines += [f"{name:28} {ours:12.1f} {theirs:14.1f} {ours / theirs:6.2f}" for name, ours, theirs in measured]
    over = [name for name, ours, _ in measured if ours > TARGET_MS]
    return "\n".join([*lines, f"over {TARGET_MS} ms: {', '.join(over) or 'none'}"])


def throughput_of(done_by: dict[int, list[float]]) -> str:
    per_s = {clients: statistics.median(runs) for clients, runs in done_by.items()}
    lines = [f"{clients} clients: {each:.1f} answers a second" for clients, each in per_s.items()]
    return "\n".join([*lines, f"{MANY} clients / {FEW} clients: {per_s[MANY] / per_s[FEW]:.2f}"])


def measure(ground: Ground, benchmark: BenchmarkFixture, name: str, ours: Callable[[], object], sql: str) -> None:
    """Both sides in turn; one line of the table."""
    lake, native = Side(ours), Side(lambda: ground.ask_native(sql))
    for side in (native, lake):
        side()
        side.wall_ms.clear()
        side.cpu_ms.clear()
    benchmark.pedantic(lake, setup=native, rounds=ROUNDS if benchmark.enabled else 1)
    if benchmark.enabled:
        ground.measured.append((name, lake.medians()[0], native.medians()[0]))


def sql_of(graph: Graph) -> str:
    if graph.path == "feedbacks/ai-models":
        return BY_MODEL
    further = {"status_code": "response_status_code", "retries": "retry_success_count", "score": "value"}
    keys = [] if graph.key else ["date_trunc('day', created_at)"]
    keys += [further[graph.dimension]] if graph.dimension else []
    names = [f"k{index}" for index in range(len(keys))]
    return FIRST_WORD.format(
        keys=", ".join(f"{key} AS {name}" for key, name in zip(keys, names, strict=True)) + ",",
        numbers=DRAWN[graph.path],
        table=graph.dataset.name,
        own=OWN,
        sets=f"({', '.join(names)}), ()",
    )


def drawn(ground: Ground, graph: Graph) -> dict:
    """The answer to a graph that nobody asked for yet."""
    wanted = parse_graph(graph, ground.query())
    return drawing.graph(graph, run_series(ground.engine, wanted.within(SCOPE, wanted.periods.current)))


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.path)
def test_graph(ground: Ground, benchmark: BenchmarkFixture, graph: Graph) -> None:
    assert drawn(ground, graph)["data_points"]
    measure(ground, benchmark, f"graph {graph.path}", lambda: drawn(ground, graph), sql_of(graph))


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.name)
def test_listing(ground: Ground, benchmark: BenchmarkFixture, listing: Listing) -> None:
    key = "team" if METADATA_KEY in listing.path else ""

    def ask() -> pa.Table:
        return run_grouped(ground.engine, parse_listing(listing, key, ground.query()).within(SCOPE)).rows

    assert ask().num_rows
    measure(ground, benchmark, f"group {listing.name}", ask, LISTED[listing.name])


@pytest.mark.parametrize("summary", SUMMARIES, ids=lambda summary: summary.path)
def test_summary(ground: Ground, benchmark: BenchmarkFixture, summary) -> None:  # type: ignore[no-untyped-def]
    def ask() -> dict:
        until = UNTIL - timedelta(milliseconds=next(earlier))
        selection = Selection(SINCE, until, ZONE, (), ())
        query = summary_query(summary, SCOPE, selection)
        return drawing.summary(summary, GENERATIONS, run_grouped(ground.engine, query))

    assert ask()["summary"]
    sql = FIRST_WORD.format(keys="", numbers=SUMMED[summary.path], table="generations", own=OWN, sets="()")
    measure(ground, benchmark, f"summary {summary.path}", ask, sql)


def test_many_clients(ground: Ground, benchmark: BenchmarkFixture) -> None:
    """Each asks for graph after graph; both numbers of clients take turns."""
    run_s = RUN_S if benchmark.enabled else 0.0

    def answered_until(end_s: float, first: int) -> int:
        """How many answers one client got; one at least."""
        done = 0
        while not done or time.perf_counter() < end_s:
            graph = GRAPHS[(first + done) % len(GRAPHS)]
            assert drawn(ground, graph)["data_points"]
            done += 1
        return done

    def run(clients: int) -> None:
        began_s = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            done = sum(pool.map(answered_until, [began_s + run_s] * clients, range(clients)))
        ground.done_by.setdefault(clients, []).append(done / (time.perf_counter() - began_s))

    def both() -> None:
        run(FEW)
        run(MANY)

    benchmark.pedantic(both, rounds=RUNS if benchmark.enabled else 1)
    if not benchmark.enabled:
        ground.done_by.clear()

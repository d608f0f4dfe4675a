"""The grouped question over the lake, beside the same question to DuckDB's own sorted table (`make bench` to see it).

One organisation's 30 of 90 days, all columns. `GATELEDGER_BENCH_ROWS` says how many rows (10 million by default; a few
when only the tests run, where the answers are compared and no time is). Every question has another limit, so none is
answered from the cache of answers, and both sides take turns, so that a busy machine slows both. Processor time is
printed beside the clock's: it hardly moves when others use the machine.
"""

import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import duckdb
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.factories.traffic import FIRST_DAY, ORGANISATIONS, requests_of_day
from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.registry import DATASETS
from warehouse.engines.base import Batch, Window
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.query.run import run_grouped
from warehouse.query.scope import TenantScope
from warehouse.query.spec import GroupedQuery
from warehouse.rollups import build_rollups

pytestmark = [pytest.mark.bench, pytest.mark.slow]

ROWS, DAYS = 10_000_000, 90
ROWS_OF_A_TEST, DAYS_OF_A_TEST = 2_000, range(43, 47)
THREADS, MEMORY_MB, ROUNDS = 2, 2048, 15
SINCE = FIRST_DAY + timedelta(days=45)
UNTIL = SINCE + timedelta(days=30, milliseconds=-1)
SUMS = (
    "requests", "cost", "total_tokens", "avg_tokens", "avg_input_tokens", "avg_output_tokens", "avg_latency",
    "error_count", "success_rate", "cache_hit_rate", "last_seen", "first_seen",
)  # fmt: skip
QUANTILES = ("p95_latency", "p99_latency")
COLUMNS = {
    "model": "ai_model", "api_key": "api_key_id", "workspace": "workspace_slug", "prompt": "prompt_slug",
    "config": "config", "status_code": "response_status_code",
}  # fmt: skip
KEPT = (
    "organisation_id, workspace_slug, created_at, id, ai_org, ai_model, api_key_id, virtual_key, config, prompt_slug, "
    "is_success, response_status_code, response_time, cache_status, req_units, res_units, total_units, cost"
)
ALLOWED = 2.0
NATIVE = """
    SELECT {keys}, count(*) AS requests, sum(cost) AS cost, count(*) FILTER (cost IS NULL) AS unpriced,
        sum(total_units) AS tokens, avg(total_units), avg(req_units), avg(res_units), avg(response_time),
        count(*) FILTER (NOT is_success) AS errors, 100.0 * count(*) FILTER (is_success) / count(*),
        100.0 * count(*) FILTER (lower(cache_status) IN ('hit', 'semantic hit'))
            / nullif(count(*) FILTER (lower(cache_status) NOT IN ('disabled', '')), 0),
        max(created_at), min(created_at) {quantiles}, count(*) OVER () AS total
    FROM generations WHERE organisation_id = $1 AND created_at BETWEEN $2 AND $3
    GROUP BY {groups} ORDER BY requests DESC, {groups} LIMIT {limit}
"""

limits = count(601)  # more than there are groups, and no more than a page


@dataclass(frozen=True)
class Ground:
    """The same rows twice: in the lake and in a sorted table of DuckDB."""

    engine: DuckDBEngine
    native: duckdb.DuckDBPyConnection
    rows: int

    def question(self, by: tuple[str, ...], measures: tuple[str, ...], organisation: str) -> GroupedQuery:
        return GroupedQuery(TenantScope(organisation), SINCE, UNTIL, by, measures, limit=next(limits))

    def lake_answer(self, by: tuple[str, ...], measures: tuple[str, ...], organisation: str) -> pa.Table:
        return run_grouped(self.engine, self.question(by, measures, organisation)).rows

    def native_answer(self, by: tuple[str, ...], measures: tuple[str, ...], organisation: str) -> list[tuple]:
        columns = [COLUMNS[name] for name in by]
        keys = [f"coalesce({name}, '')" if name != "response_status_code" else name for name in columns]
        sql = NATIVE.format(
            keys=", ".join(f"{key} AS k{index}" for index, key in enumerate(keys)),
            groups=", ".join(f"k{index}" for index in range(len(keys))),
            quantiles=", quantile_cont(response_time, [0.95, 0.99])" if QUANTILES[0] in measures else "",
            limit=1_000,
        )
        ends = [instant.replace(tzinfo=None) for instant in (SINCE, UNTIL)]
        return self.native.execute(sql, [organisation, *ends]).fetchall()


def load(engine: DuckDBEngine, rows: int, days: range) -> None:
    """A batch per day, two for the days that are asked about, so that these are compacted."""
    engine.create(DATASETS.values())
    each = rows // len(days)
    for day in days:
        table = requests_of_day(day, each)
        asked = SINCE <= FIRST_DAY + timedelta(days=day) <= UNTIL
        half = -(-each // 2) if asked else each
        for start in range(0, each, half):
            engine.append(GENERATIONS, table.slice(start, half), Batch(f"{day}-{start}"))
    engine.maintain(FIRST_DAY + timedelta(days=DAYS + 1))


def copy(engine: DuckDBEngine, native: duckdb.DuckDBPyConnection, days: range, kept: str = KEPT) -> None:
    """The needed columns of all rows, day by day, in the order of the lake."""
    into = "CREATE TABLE generations AS"
    for day in days:
        start = FIRST_DAY + timedelta(days=day)
        window = Window(start, start + timedelta(days=1, milliseconds=-1))
        table = engine.lake.table("generations")
        files = table.store.readable("generations", [file.path for file in table.snapshot().files((window,))])
        order = "ORDER BY organisation_id, workspace_slug, created_at"
        native.execute(f"{into} SELECT {kept} FROM read_parquet($1) {order}", [files])
        into = "INSERT INTO generations"
    native.execute("CHECKPOINT")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Ground]:
    measured = request.config.getoption("benchmark_enable")
    rows = int(os.environ.get("GATELEDGER_BENCH_ROWS") or (ROWS if measured else ROWS_OF_A_TEST))
    days = range(DAYS) if measured else DAYS_OF_A_TEST
    folder = tmp_path_factory.mktemp("lake", numbered=True)
    engine = DuckDBEngine(str(folder / "lake"), threads=THREADS, memory_mb=MEMORY_MB)
    options = {"threads": THREADS, "memory_limit": f"{MEMORY_MB}MB", "temp_directory": str(folder / "spill")}
    native = duckdb.connect(str(folder / "native.duckdb"), config=options)
    try:
        took = [took_s(lambda: load(engine, rows, days)), took_s(lambda: copy(engine, native, days))]
        print(f"\n{described(engine, rows)}; loaded and compacted in {took[0]:.0f} s, copied in {took[1]:.0f} s")
        yield Ground(engine, native, rows)
    finally:
        native.close()
        engine.close()
        shutil.rmtree(folder)


def described(engine: DuckDBEngine, rows: int) -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    files = engine.lake.table("generations").live()
    size_mb = sum(file.size_bytes for file in files) / 1e6
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB"
    return (
        f"{rows:,} rows of {len(GENERATIONS.columns)} columns in {len(files)} files, {size_mb:,.0f} MB; "
        f"{machine}, duckdb {duckdb.__version__}, {THREADS} threads"
    )


def took_s(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


class Side:
    """One side of a comparison: calls it and keeps what each call took."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def __call__(self) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        self._ask()
        self.wall_ms.append((time.perf_counter() - wall) * 1000)
        self.cpu_ms.append((time.process_time() - cpu) * 1000)

    def medians(self) -> tuple[float, float]:
        return statistics.median(self.wall_ms), statistics.median(self.cpu_ms)


def compared(
    benchmark: BenchmarkFixture, title: str, lake: Callable[[], object], native: Callable[[], object]
) -> float:
    """How many times the native side's median the lake takes by the clock; prints both."""
    ours, theirs = Side(lake), Side(native)
    theirs()
    ours()
    for side in (ours, theirs):
        side.wall_ms.clear()
        side.cpu_ms.clear()
    benchmark.pedantic(ours, setup=theirs, rounds=ROUNDS)
    (wall, cpu), (native_wall, native_cpu) = ours.medians(), theirs.medians()
    print(
        f"\n{title}: lake {wall:.1f} ms, native {native_wall:.1f} ms, ratio {wall / native_wall:.2f}; "
        f"processor {cpu:.1f} and {native_cpu:.1f} ms, ratio {cpu / native_cpu:.2f}"
    )
    return wall / native_wall


def assert_same(found: pa.Table, expected: list[tuple], keys: int) -> None:
    sums = [tuple(row[name] for name in ("requests", "cost", "total_tokens")) for row in found.to_pylist()]
    assert sums == [(row[keys], row[keys + 1], row[keys + 3]) for row in expected]


@pytest.mark.parametrize(
    "by",
    [("model",), ("workspace",), ("api_key",), ("prompt",), ("status_code",), ("workspace", "model")],
    ids="+".join,
)
def test_all_columns(ground: Ground, benchmark: BenchmarkFixture, by: tuple[str, ...]) -> None:
    asked = (by, (*SUMS, *QUANTILES), ORGANISATIONS[0])
    assert_same(ground.lake_answer(*asked), ground.native_answer(*asked), len(by))
    title = f"all columns by {' and '.join(by)}"
    ratio = compared(benchmark, title, lambda: ground.lake_answer(*asked), lambda: ground.native_answer(*asked))
    if by == ("model",) and ground.rows >= ROWS:
        assert ratio <= ALLOWED


@pytest.mark.parametrize("organisation", [ORGANISATIONS[12], "nobody"], ids=["a small organisation", "no row at all"])
def test_what_does_not_grow_with_the_rows(ground: Ground, benchmark: BenchmarkFixture, organisation: str) -> None:
    asked = (("model",), (*SUMS, *QUANTILES), organisation)
    title = f"all columns by model of {organisation}"
    compared(benchmark, title, lambda: ground.lake_answer(*asked), lambda: ground.native_answer(*asked))


@pytest.mark.parametrize("by", ["model", "api_key", "workspace"])
@pytest.mark.parametrize("rolled_up", [False, True], ids=["rows", "rollup"])
def test_sums(ground: Ground, benchmark: BenchmarkFixture, by: str, *, rolled_up: bool) -> None:
    """Without quantiles, from the rows and then from rollups."""
    asked = ((by,), SUMS, ORGANISATIONS[0])
    if rolled_up:
        made = took_s(lambda: build_rollups(ground.engine))
        ground.engine.maintain(FIRST_DAY + timedelta(days=DAYS + 1))
        print(f"\nrollups made in {made:.1f} s")
    assert_same(ground.lake_answer(*asked), ground.native_answer(*asked), 1)
    title = f"without quantiles by {by} from {'rollups' if rolled_up else 'rows'}"
    compared(benchmark, title, lambda: ground.lake_answer(*asked), lambda: ground.native_answer(*asked))

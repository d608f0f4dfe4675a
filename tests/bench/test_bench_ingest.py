"""How fast NDJSON.gz becomes priced, deduplicated, committed rows, beside DuckDB's `read_json` → Parquet.

`make bench` measures a million rows; both sides run in processes of their own, in turn, on the same ten files, so that
a busy machine slows both.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import duckdb
import orjson
import psutil
import pytest
from isal import igzip

from tests.factories.engines import lake_engine
from warehouse.ingest.load import Loader, LoadOptions
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.source import Source
from warehouse.pricing.sources import open_book
from warehouse.sample.generate import chunks
from warehouse.sample.spec import SampleSpec
from warehouse.sample.world import world_of
from warehouse.settings import CostPolicy

pytestmark = [pytest.mark.bench, pytest.mark.slow]

MEASURED_FROM = 1_000_000
ROWS = int(os.environ.get("GATELEDGER_BENCH_INGEST_ROWS", "4000"))
"""`make bench` asks for a million; fewer only show that both sides load everything."""
FILES = 10
TURNS = 3 if ROWS >= MEASURED_FROM else 1
TARGET = 0.65
MAX_RSS_MB = 1024
UNTIL = datetime(2026, 5, 5, tzinfo=UTC)
WORKSPACES = tuple(f"workspace-{number}" for number in range(10))
SPEC = SampleSpec(ROWS, 4, 7, UNTIL, organisation_id="bench", organisation_name="Bench", workspaces=WORKSPACES)


def write_files(folder: Path) -> list[Path]:
    """Ten files of analytics rows as a gateway writes them."""
    paths = [folder / f"metrics-{number}.ndjson.gz" for number in range(FILES)]
    files = [igzip.open(path, "wb", compresslevel=1) for path in paths]
    written = 0
    for chunk in chunks(SPEC, world_of(SPEC)):
        for part in chunk.metrics.iter_slices(2000):
            files[written * FILES // ROWS].write(part.write_ndjson().encode())
            written += part.height
    for file in files:
        file.close()
    return paths


def columns_of(path: Path) -> dict[str, str]:
    """DuckDB's columns for the fields of the first record."""
    with igzip.open(path) as file:
        record = orjson.loads(file.readline())
    kinds = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", dict: "STRUCT(key VARCHAR[], value VARCHAR[])"}
    named = {"created_at": "TIMESTAMP", "cost": "DECIMAL(18,12)"}
    return {name: named.get(name) or kinds.get(type(value), "VARCHAR") for name, value in record.items()}


def by_duckdb(folder: Path, threads: int) -> None:
    """The yardstick: typed columns, no price, no dedupe, no commit."""
    paths = sorted(folder.glob("*.gz"))
    with duckdb.connect() as connection:
        connection.execute("SET threads = ?", [threads])
        connection.execute("SET enable_progress_bar = false")
        read = "SELECT * FROM read_json(?, format = 'newline_delimited', columns = ?)"
        relation = connection.sql(read, params=[[str(path) for path in paths], columns_of(paths[0])])
        relation.write_parquet(str(folder / "out.parquet"), compression="zstd")


def by_loader(folder: Path, threads: int) -> None:
    """The whole way: rows priced, deduplicated, on disk and committed."""
    sources = [_source(path) for path in sorted(folder.glob("*.gz"))]
    ownership = Ownership("bench", "Bench", WORKSPACES[0], {"bench": frozenset(WORKSPACES)})
    with lake_engine(folder / str(time.time_ns()), threads=threads) as engine:
        loader = Loader(engine, open_book(None), CostPolicy.COMPUTED_ELSE_REPORTED, ownership, folder / "quarantine")
        report = loader.load(sources, LoadOptions(), UNTIL)
    assert (report.stored, report.rejected) == (ROWS, 0), report


def _source(path: Path) -> Source:
    return Source(path.name, path.stat().st_size, lambda: path.open("rb"))


@dataclass(frozen=True)
class Run:
    """One run in a process of its own; imports are not counted."""

    seconds: float
    cpu_seconds: float
    """Processor time, which hardly moves when others use the machine."""
    peak_mb: float


def measured(what: str, folder: Path) -> Run:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.bench.test_bench_ingest", what, str(folder)]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return Run(**json.loads(done.stdout.strip().splitlines()[-1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ingest")
    write_files(path)
    return path


def test_ingest_beside_duckdb(folder: Path, benchmark) -> None:
    theirs, ours = [], []
    for _ in range(TURNS):
        theirs.append(measured("duckdb", folder))
        ours.append(measured("loader", folder))
    rates = [ROWS / median(run.seconds for run in runs) for runs in (theirs, ours)]
    cpus = [median(run.cpu_seconds for run in runs) for runs in (theirs, ours)]
    ratio, peak_mb = rates[1] / rates[0], max(run.peak_mb for run in ours)
    size = sum(path.stat().st_size for path in folder.glob("*.gz"))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GB"
    fields = len(columns_of(folder / "metrics-0.ndjson.gz"))
    print(f"\ningest: {ROWS:,} rows in {FILES} files, {size / 1e6:,.0f} MB, {fields} fields; {machine}")
    print(f"  DuckDB read_json -> Parquet  {rates[0]:>10,.0f} rows/s, {cpus[0]:.1f} s of processor time")
    print(f"  gateledger, committed        {rates[1]:>10,.0f} rows/s, {cpus[1]:.1f} s of processor time")
    print(f"  ratio {ratio:.2f} (target {TARGET}), peak memory {peak_mb:,.0f} MB (target {MAX_RSS_MB})")
    benchmark.extra_info.update(ratio=ratio, rows_per_second=rates[1], cpu_seconds=cpus[1], peak_mb=peak_mb)
    benchmark.pedantic(lambda: measured("loader", folder), rounds=1)
    if ROWS >= MEASURED_FROM:
        assert ratio >= TARGET
        assert peak_mb <= MAX_RSS_MB


if __name__ == "__main__":
    run = {"duckdb": by_duckdb, "loader": by_loader}[sys.argv[1]]
    began, used = time.perf_counter(), time.process_time()
    run(Path(sys.argv[2]), os.cpu_count() or 2)
    took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}
    print(json.dumps(took | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))

"""A sample goes through the whole loader: both formats say the same, and only the unknown model has no price."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from sqlglot import exp

from warehouse.catalog.functions import column
from warehouse.catalog.generations import BUCKETS, GENERATIONS
from warehouse.catalog.registry import DATASETS
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.ingest.discover import new_objects, remember, sources_of
from warehouse.ingest.load import Loader, LoadOptions, LoadReport
from warehouse.ingest.ownership import Ownership
from warehouse.logstore.store import LogStore
from warehouse.pricing.sources import open_book
from warehouse.sample import SampleFormat, SampleSpec, write_sample
from warehouse.sample.models import UNKNOWN
from warehouse.settings import CostPolicy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORGANISATION = "56916995-a761-4d90-bdf4-2c5550347777"
OWNERSHIP = Ownership(ORGANISATION, "Acme", "core", {ORGANISATION: frozenset({"core", "web"})})
SAME = (
    *("created_at", "workspace_slug", "api_key_id", "ai_org", "ai_model", "is_success", "response_status_code"),
    *("cache_status", "stream_mode", "retry_success_count", "mode", "virtual_key", "config", "prompt_slug", "trace_id"),
    *("span_id", "parent_span_id", "_user", "_environment", "cost", "price_id"),
)
UNITS = ("req_units", "res_units", "total_units", *(bucket.name for bucket in BUCKETS))


def spec(format_: SampleFormat) -> SampleSpec:
    return SampleSpec(600, 2, 5, NOW, format_, ORGANISATION, "Acme", ("core", "web"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(str(tmp_path / "lake"), threads=1, memory_mb=512)
    engine.create(DATASETS.values())
    yield engine
    engine.close()


def loader_of(engine: DuckDBEngine, folder: Path) -> Loader:
    return Loader(engine, open_book(None), CostPolicy.COMPUTED_ELSE_REPORTED, OWNERSHIP, folder / "quarantine")


def rows_of(engine: DuckDBEngine) -> pl.DataFrame:
    names = ["id", *SAME, *UNITS]
    tree = exp.select(*(column(name) for name in names)).from_(exp.to_table(GENERATIONS.name))
    found = pl.from_arrow(engine.query(tree))
    assert isinstance(found, pl.DataFrame)
    return found.sort("id")


def load(folder: Path, format_: SampleFormat) -> tuple[LoadReport, pl.DataFrame]:
    write_sample(spec(format_), folder / "logs")
    engine = DuckDBEngine(str(folder / "lake"), threads=1, memory_mb=512)
    try:
        engine.create(DATASETS.values())
        sources = sources_of([str(folder / "logs")], None)  # type: ignore[arg-type]
        report = loader_of(engine, folder).load(sources, LoadOptions(), NOW)
        return report, rows_of(engine)
    finally:
        engine.close()


def test_both_formats_make_the_same_rows(tmp_path: Path) -> None:
    metrics_report, metrics = load(tmp_path / "metrics", SampleFormat.METRICS)
    logs_report, logs = load(tmp_path / "logs", SampleFormat.LOG_OBJECTS)
    for report in (metrics_report, logs_report):
        assert (report.received, report.stored, report.rejected, report.duplicates) == (600, 600, 0, 0)
    for name in SAME:
        assert metrics[name].equals(logs[name]), name
    for name in UNITS:
        # The analytics row of a failed request says 0 tokens, its log object nothing.
        assert metrics[name].fill_null(0).equals(logs[name].fill_null(0)), name
    unpriced = metrics.filter(pl.col("cost").is_null())
    assert set(unpriced["ai_model"]) == {UNKNOWN.name}
    assert metrics_report.unpriced == unpriced.height > 0


def test_a_log_store_is_loaded_once(tmp_path: Path, engine: DuckDBEngine) -> None:
    write_sample(spec(SampleFormat.METRICS), tmp_path / "logs")
    store = LogStore.open(str(tmp_path / "logs"), {})
    loader = loader_of(engine, tmp_path)

    def load_new() -> LoadReport:
        return loader.load(
            new_objects(store, engine),
            LoadOptions(),
            NOW,
            on_committed=lambda sources: remember(engine, store, sources),
        )

    assert load_new().stored == 600
    again = load_new()
    assert (again.received, again.stored) == (0, 0)
    store.put("30/x/late.json", store.read(next(found.path for found in store.list())))
    assert load_new().duplicates > 0
    assert load_new().received == 0

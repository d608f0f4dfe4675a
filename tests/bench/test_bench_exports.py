"""How fast an export is written, and that its memory does not grow with it (`--benchmark-enable -s`).

`GATELEDGER_BENCH_EXPORT_ROWS` says how many rows; the same export of a tenth of them is measured beside it.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from api.cli.local import Local
from api.exports.rows import Export, Status
from api.identifiers import new_id
from tests.factories import traffic
from tests.factories.app import installed
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch
from warehouse.engines.open import open_engine
from warehouse.storage.migrate import migrate

pytestmark = [pytest.mark.bench, pytest.mark.slow]

ROWS = int(os.environ.get("GATELEDGER_BENCH_EXPORT_ROWS", "5000000"))
DAY_ROWS = 250_000
FORMATS = tuple(os.environ.get("GATELEDGER_BENCH_EXPORT_FORMATS", "jsonl,csv,parquet").split(","))
MAX_GROWTH_MB = 256
"""How much more memory ten times as many rows may take."""
ROOT = Path(__file__).parents[2]
FIELDS = [
    "id", "trace_id", "created_at", "is_success", "ai_org", "ai_model", "req_units", "res_units", "total_units",
    "request_url", "cost", "cost_currency", "response_time", "response_status_code", "mode", "config", "prompt_slug",
    "metadata",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One export in a process of its own."""

    seconds: float
    peak_mb: float
    rows: int
    megabytes: float


def write(export_id: str) -> None:
    """Writes the export of this environment, and says what it took."""
    local = Local()
    began = time.perf_counter()
    assert local.exports.run(export_id).value == "success"
    seconds = time.perf_counter() - began
    with local.session() as session:
        done = session.get_one(Export, export_id)
    # The peak of this process alone: what getrusage tells begins with the memory of the process that made this one.
    status = Path("/proc/self/status").read_text()
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    took = {"seconds": seconds, "peak_mb": peak_mb, "rows": done.written_records}
    print(json.dumps({**took, "megabytes": (done.file_bytes or 0) / 1e6}))


def measured(home: Path, organisation_id: str, form: str, rows: int) -> Run:
    now = datetime.now(UTC)
    export = Export(
        id=new_id(), organisation_id=organisation_id, workspace_id=None, filters={"page_size": rows},
        requested_data=FIELDS, format=form, description="", status=Status.IN_PROGRESS.value, created_by="bench",
        total_records=rows, rights={"workspaces": None, "own": None}, known_until=now, parts=[], runs=1,
        created_at=now, last_updated_at=now, started_at=now,
    )  # fmt: skip
    os.environ["GATELEDGER_HOME"] = str(home)
    local = Local()
    with local.session(writes=True) as session:
        session.add(export)
        session.flush()
        export_id = export.id
    local.close()
    command = [sys.executable, "-m", "tests.bench.test_bench_exports", export_id]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Run(**json.loads(done.stdout.strip().splitlines()[-1]))


def test_memory_stays_as_the_export_grows(tmp_path: Path, benchmark) -> None:
    count = ROWS if benchmark.enabled else 2_000
    with installed(tmp_path / "home") as here:
        organisation_id = here.first.organisation_id
        engine = open_engine(here.settings.warehouse)
        migrate(engine)
        for day in range(-(-count // DAY_ROWS)):
            rows = traffic.requests_of_day(day, min(DAY_ROWS, count - day * DAY_ROWS))
            owner = pa.array([organisation_id] * rows.num_rows)
            field = rows.schema.field("organisation_id")
            place = rows.schema.get_field_index("organisation_id")
            engine.append(GENERATIONS, rows.set_column(place, field, owner), Batch(f"day-{day}"))
        engine.close()
        print(f"\nexports of {count:,} rows, {len(FIELDS)} fields")
        for form in FORMATS if benchmark.enabled else FORMATS[:1]:
            small, whole = (measured(here.settings.home, organisation_id, form, rows) for rows in (count // 10, count))
            assert (small.rows, whole.rows) == (count // 10, count)
            rate = whole.rows / whole.seconds
            print(
                f"  {form:<8} {rate:>9,.0f} rows/s, {whole.megabytes:>7,.0f} MB, peak memory {whole.peak_mb:,.0f} MB "
                f"({small.peak_mb:,.0f} MB for a tenth)"
            )
            benchmark.extra_info[form] = {"rows_per_second": rate, "peak_mb": whole.peak_mb}
            assert whole.peak_mb - small.peak_mb <= MAX_GROWTH_MB
        benchmark.pedantic(lambda: measured(here.settings.home, organisation_id, "jsonl", count // 10), rounds=1)


if __name__ == "__main__":
    write(sys.argv[1])

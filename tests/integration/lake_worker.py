"""What the processes of the lake's tests do: load, maintain, query; some of them end by SIGKILL at a named point."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import call
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines.base import Batch
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.storage.lake import LakeTable
from warehouse.storage.lake_delta import DeltaLog
from warehouse.storage.lake_disk import DiskStore
from warehouse.storage.lake_objects import ObjectStore
from warehouse.storage.tables import arrow_schema

SCHEMA = arrow_schema(GENERATIONS)
FIRST_DAY = datetime.fromisoformat("2026-03-01")
DAYS = 3
ROWS_PER_BATCH = 120
DATASETS = {"generations": GENERATIONS}

POINTS: dict[str, tuple[type, str, str]] = {
    "after a file": (DiskStore, "write", "after"),
    "under the lock": (LakeTable, "_learn_rest", "after"),
    "before the commit": (DeltaLog, "commit", "before"),
    "after the commit, before its sync": (DeltaLog, "commit", "after"),
    "after the sync": (DiskStore, "sync_entries", "after"),
    "before the checkpoint": (DeltaLog, "checkpoint", "before"),
    "after the checkpoint, before its sync": (DeltaLog, "checkpoint", "after"),
    "before old entries go": (DeltaLog, "forget_old_entries", "before"),
    "before unreferenced files go": (DiskStore, "delete", "before"),
}

S3_POINTS: dict[str, tuple[type, str, str]] = {
    "after a file in the bucket": (ObjectStore, "write", "after"),
    "before the commit in the bucket": (DeltaLog, "commit", "before"),
    "after the commit in the bucket": (DeltaLog, "commit", "after"),
}
"""Where a loader of a lake in a bucket can die."""

MAINTENANCE = {"checkpoint", "forget_old_entries", "delete"}


def cost_of(number: int) -> Decimal:
    """The cost of a row, which no two rows share often."""
    return Decimal(number * 37 % 9973) / Decimal(10**7) + Decimal(1) / Decimal(10**12)


def rows_of(numbers: Iterable[int]) -> pa.Table:
    """Rows that depend on their number alone."""
    ids = list(numbers)
    values: dict[str, list[Any]] = {
        "organisation_id": [f"org-{n % 5}" for n in ids],
        "workspace_slug": [f"ws-{n % 7}" for n in ids],
        "id": [f"id-{n:07}" for n in ids],
        "created_at": [FIRST_DAY + timedelta(days=n % DAYS, milliseconds=n * 911 % 86_000_000) for n in ids],
        "cost": [cost_of(n) for n in ids],
        "response_time": [n % 3000 for n in ids],
        "metadata.key": [["team"] for _ in ids],
        "metadata.value": [[f"team-{n % 3}"] for n in ids],
    }
    columns = [pa.array(values.get(f.name, [None] * len(ids)), f.type) for f in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


rows_of([0])  # the first array imports pandas, for a second: once here, in the server that processes fork from


def numbers_of(batch: int) -> list[int]:
    """The rows of a batch: new ones, some of the batch before, and some twice."""
    start = batch * ROWS_PER_BATCH
    new = list(range(start, start + ROWS_PER_BATCH))
    old = list(range(max(0, start - 30), start))
    mixed = new + old + new[:10]
    random.Random(batch).shuffle(mixed)
    return mixed


def open_lake(root: str, **options: Any) -> DuckDBEngine:
    return DuckDBEngine(root, datasets=DATASETS, **options)


def totals() -> exp.Select:
    """Rows, distinct ids and the sum of cost."""
    return exp.select(
        exp.alias_(call("GL_COUNT"), "n"),
        exp.alias_(call("GL_COUNT_DISTINCT", "id"), "ids"),
        exp.alias_(call("GL_SUM_MONEY", "cost"), "cost"),
    ).from_("generations")


def expected(batches: int) -> dict[str, Any]:
    count = batches * ROWS_PER_BATCH
    return {"n": count, "ids": count, "cost": sum((cost_of(n) for n in range(count)), Decimal(0))}


def load(
    root: str,
    batches: Iterable[int],
    said: str,
    die_at: str | None = None,
    prefix: str = "batch",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Append batches one by one; each one that is acknowledged is a line in the file `said`."""
    engine = open_lake(root, environment=environment or {})
    if die_at:
        _die(*{**POINTS, **S3_POINTS}[die_at], after=random.randrange(3))
    with Path(said).open("a", encoding="utf-8") as log:
        for batch in batches:
            done = engine.append(GENERATIONS, rows_of(numbers_of(batch)), Batch(f"{prefix}-{batch}"))
            given = done.stored + done.duplicates + len(done.conflicts)
            log.write(json.dumps({"batch": batch, "given": given, "stored": done.stored}) + "\n")
            log.flush()
    engine.close()


def maintain(
    root: str,
    until_file: str,
    die_at: str | None = None,
    grace_s: float = 0.4,
    checkpoint_every: int = 7,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Compact, checkpoint and sweep in a loop until a file is there."""
    engine = open_lake(root, environment=environment or {})
    table = engine.lake.table("generations")
    if die_at:
        _die(*POINTS[die_at], after=0)
    while not Path(until_file).exists():
        now = datetime.now(UTC)
        engine.lake.maintain(now, grace=timedelta(seconds=grace_s))
        table.checkpoint(checkpoint_every)
        time.sleep(0.03)
    engine.close()


def _die(owner: type, name: str, when: str, after: int) -> None:
    """Make this process die of SIGKILL around the call of a method, after some calls that go well."""
    whole: Callable[..., Any] = getattr(owner, name)
    left = [after]

    def deadly(*arguments: Any, **named: Any) -> Any:
        if when == "before" and not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        result = whole(*arguments, **named)
        if when == "after" and not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return result

    setattr(owner, name, deadly)

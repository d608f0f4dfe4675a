"""What the loader processes of the ClickHouse tests do: append batches; some end by SIGKILL at a named point."""

import json
import os
import signal
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Timer
from typing import Any

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import call
from warehouse.catalog.generations import GENERATIONS
from warehouse.engines import clickhouse_append
from warehouse.engines.base import Batch, scan
from warehouse.engines.clickhouse import ClickHouseEngine, Connection
from warehouse.storage.tables import arrow_schema

SCHEMA = arrow_schema(GENERATIONS)
FIRST_DAY = datetime(2026, 1, 20)  # noqa: DTZ001 - rows hold naive UTC
DAYS = 60
"""Over four months, so a batch lies in four partitions."""
ROWS_PER_BATCH, OVERLAP = 150, 40

POINTS = ("before the upload", "after the upload", "before the store", "while the store runs", "after the store")


def cost_of(number: int) -> Decimal:
    return Decimal(number * 37 % 9973) / Decimal(10**7) + Decimal(1) / Decimal(10**12)


def rows_of(numbers: Iterable[int], batch: str = "batch") -> pa.Table:
    """Rows that depend on their number alone, but for the batch they came with."""
    ids = list(numbers)
    values: dict[str, list[Any]] = {
        "organisation_id": [f"org-{n % 5}" for n in ids],
        "workspace_slug": [f"ws-{n % 7}" for n in ids],
        "id": [f"id-{n:07}" for n in ids],
        "created_at": [FIRST_DAY + timedelta(days=n * 7 % DAYS * 1.5, milliseconds=n % 1000) for n in ids],
        "cost": [cost_of(n) for n in ids],
        "ai_model": [f"model-{n % 11}" for n in ids],
        "response_time": [n % 3000 for n in ids],
        "metadata.key": [["team"] for _ in ids],
        "metadata.value": [[f"team-{n % 3}"] for n in ids],
        "batch_id": [batch for _ in ids],
    }
    columns = [pa.array(values.get(f.name, [None] * len(ids)), f.type) for f in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


rows_of([0])  # the first array imports pandas, for a second: once here, in the server that processes fork from


def numbers_of(batch: int) -> list[int]:
    """The rows of a batch: new ones, some of the batch before, and some twice."""
    start = batch * ROWS_PER_BATCH
    return [*range(max(0, start - OVERLAP), start + ROWS_PER_BATCH), *range(start, start + 5)]


def totals() -> exp.Select:
    """Rows, distinct ids and the sum of cost."""
    return exp.select(
        exp.alias_(call("GL_COUNT"), "n"),
        exp.alias_(call("GL_COUNT_DISTINCT", "id"), "ids"),
        exp.alias_(call("GL_SUM_MONEY", "cost"), "cost"),
    ).from_(scan("generations"))


def expected(batches: int) -> dict[str, Any]:
    count = batches * ROWS_PER_BATCH
    return {"n": count, "ids": count, "cost": sum((cost_of(n) for n in range(count)), Decimal(0))}


def load(url: str, batches: Iterable[int], said: str, die_at: str | None = None, delay_s: float = 0) -> None:
    """Append batches one by one; each one that is acknowledged is a line in the file `said`."""
    engine = ClickHouseEngine.connect(url)
    if die_at:
        _arm(die_at, delay_s)
    with Path(said).open("a", encoding="utf-8") as log:
        for batch in batches:
            rows = rows_of(numbers_of(batch), f"batch-{batch}")
            done = engine.append(GENERATIONS, rows, Batch(f"batch-{batch}"))
            line = {"given": rows.num_rows, "stored": done.stored, "duplicates": done.duplicates}
            log.write(json.dumps(line | {"conflicts": len(done.conflicts)}) + "\n")
            log.flush()
    engine.close()


def _arm(point: str, delay_s: float) -> None:
    when, _, step = point.partition(" the ")
    if point == "while the store runs":
        when, step = "while", "store"
    owner, name = {"upload": (Connection, "upload"), "store": (clickhouse_append, "_alone")}[step]
    whole: Callable[..., Any] = getattr(owner, name)

    def deadly(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            _die()
        if when == "while":
            Timer(delay_s, _die).start()
        result = whole(*arguments, **named)
        if when == "after":
            _die()
        return result

    setattr(owner, name, deadly)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

"""A loader in a process of its own that is killed at a named moment, and what must hold whatever was killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlglot import exp

from tests.factories.records import ACME, NOW, lines, metric, small_book
from warehouse.catalog.functions import call, column
from warehouse.engines.base import Batch, Engine
from warehouse.engines.duckdb import DuckDBEngine
from warehouse.ingest import books, feedback_updates, load, quarantine, spool
from warehouse.ingest.load import Loader, LoadOptions, LoadReport
from warehouse.ingest.source import Source, bytes_source
from warehouse.settings import CostPolicy
from warehouse.storage.lake import LakeTable

FILES, PER_FILE, BATCH_ROWS = 6, 40, 60


def sources() -> list[Source]:
    """Files with rows, repeated rows, rows without id and records that cannot be rows."""
    made: list[Source] = []
    for file in range(FILES):
        records = [metric(file * PER_FILE + n) for n in range(PER_FILE)]
        records[3] = metric(file * PER_FILE)
        records[5] = metric(5, id=...)
        content = lines(*records) + b"broken\n" + lines(metric(7, created_at="never"))
        made.append(bytes_source(f"part-{file}.ndjson", content))
    return made


DISTINCT, REPEATED, REJECTED = FILES * (PER_FILE - 1), FILES, FILES * 2


def open_lake(folder: Path) -> DuckDBEngine:
    return DuckDBEngine(str(folder / "lake"), threads=1, concurrency=1, queue=8, memory_mb=512)


def loader_of(engine: Engine, folder: Path) -> Loader:
    return Loader(engine, small_book(), CostPolicy.COMPUTED_ELSE_REPORTED, ACME, folder / "quarantine")


def run(folder: Path) -> LoadReport:
    """Load all sources."""
    engine = open_lake(folder)
    try:
        return loader_of(engine, folder).load(sources(), LoadOptions(batch_rows=BATCH_ROWS), NOW)
    finally:
        engine.close()


def drain(folder: Path) -> None:
    """Drain the spool."""
    engine = open_lake(folder)
    spool.Spool(folder / "spool").drain(loader_of(engine, folder), NOW)
    engine.close()


def drain_updates(folder: Path) -> None:
    """Drain the spool of changes of feedbacks."""
    engine = open_lake(folder)
    updates = spool.Spool(folder / "updates", kinds=(feedback_updates.KIND,))
    updates.drain(feedback_updates.FeedbackUpdater(engine, folder / "quarantine"), NOW)
    engine.close()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _armed(owner: Any, name: str, at: int, *, after: bool, only: Callable[..., bool] | None = None) -> None:
    original = getattr(owner, name)
    calls = 0

    def armed(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        if only is not None and not only(*arguments):
            return original(*arguments, **named)
        calls += 1
        if calls == at and not after:
            _die()
        result = original(*arguments, **named)
        if calls == at and after:
            _die()
        return result

    setattr(owner, name, armed)


def _is_generations(_: Engine, dataset: Any, _rows: Any, _batch: Batch) -> bool:
    return dataset.name == "generations"


def _is_batches(_: Engine, dataset: Any, _rows: Any, _batch: Batch) -> bool:
    return dataset.name == "batches"


POINTS: dict[str, tuple[Any, str, bool, Callable[..., bool] | None]] = {
    "before the quarantine": (quarantine.Quarantine, "put", False, None),
    "after the quarantine": (quarantine.Quarantine, "put", True, None),
    "before the intent": (books.Books, "intend", False, None),
    "after the intent": (books.Books, "intend", True, None),
    "before the rows": (DuckDBEngine, "append", False, _is_generations),
    "after the rows": (DuckDBEngine, "append", True, _is_generations),
    "before the entries": (DuckDBEngine, "append", False, _is_batches),
    "after the entries": (DuckDBEngine, "append", True, _is_batches),
    "before a segment is deleted": (spool.Spool, "_delete", False, None),
    "before the change": (DuckDBEngine, "rewrite", False, None),
    "before the change counts": (LakeTable, "swap", False, None),
    "after the change": (DuckDBEngine, "rewrite", True, None),
}

POINTS_OF_A_LOAD = tuple(point for point in POINTS if not point.endswith("deleted") and "change" not in point)


def killed_at(folder: Path, point: str, at: int, target: Callable[[Path], object]) -> None:
    """Run `target` until the `at`-th time that it comes to `point`, and die there."""
    owner, name, after, only = POINTS[point]
    load._ENTRIES_TOGETHER = 2
    _armed(owner, name, at, after=after, only=only)
    target(folder)


def in_rows(engine: Engine) -> dict[str, int]:
    """What the warehouse holds: rows, different ids."""
    tree = exp.select(
        call("GL_COUNT").as_("rows"),
        call("GL_COUNT_DISTINCT", "id").as_("ids"),
        call("GL_SUM_INT", "req_units").as_("tokens"),
    ).from_("generations")
    [row] = engine.query(tree).to_pylist()
    return row


def in_books(engine: Engine) -> list[dict[str, Any]]:
    """The entries of the books."""
    names = ("batch_id", "received", "stored", "duplicates", "rejected", "unpriced")
    return engine.query(exp.select(*(column(name) for name in names)).from_("batches")).to_pylist()

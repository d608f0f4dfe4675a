"""Writing an export: page by page into parts, the parts into one file, under a lease.

After each part the database says how far the work is, in the same statement that proves that the worker still has the
lease. So a worker can die at any moment: whoever takes the export next goes on after the last part, with the same
rows, and nothing is lost or there twice. A worker that was only taken for dead can no longer change anything.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from api.db import Database
from api.exports.asking import asked_of
from api.exports.payloads import Payloads
from api.exports.rows import Export, Status
from api.exports.service import scope_from
from api.exports.storage import ExportStorage, file_path, folder_of, part_path, part_paths, parts_folder
from api.identifiers import new_id
from api.settings import ApiSettings
from warehouse.engines.base import Engine, Limits
from warehouse.errors import GateledgerError, SourceError
from warehouse.exports.encoding import FileFormat, assemble, encoded, shaped
from warehouse.exports.fields import fields_of
from warehouse.query.stream import PAGE_ROWS, Position, pages, position_after

logger = logging.getLogger("api.exports")

LEASE = timedelta(seconds=60)
HEARTBEAT_S = 2.0
"""How soon a worker notices that its export was cancelled."""
PART_ROWS = 50_000
PART_BYTES = 16 << 20
WITH_BODIES_ROWS = 64
"""Rows whose requests and responses are held at once: each may be a megabyte."""


class Outcome(StrEnum):
    """What became of a worker's work."""

    SUCCESS = "success"
    FAILED = "failed"
    NOT_DUE = "not due"
    """It is not to be written, or another worker is at it."""
    TAKEN_AWAY = "taken away"
    """It was cancelled, or another worker has it now."""


@dataclass(frozen=True, slots=True)
class Due:
    """An export that waits for a worker."""

    id: str
    runs: int
    attempts: int

    @property
    def wait(self) -> str:
        """What tells this wait from earlier and later ones of the same export."""
        return f"{self.runs}.{self.attempts}"


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a run is."""

    parts: tuple[tuple[int, int], ...]
    written: int
    passed: int
    position: Position | None

    @property
    def number(self) -> int:
        """Of the next part."""
        return sum(count for _, count in self.parts)

    def with_part(self, attempt: int) -> tuple[tuple[int, int], ...]:
        if self.parts and self.parts[-1][0] == attempt:
            return (*self.parts[:-1], (attempt, self.parts[-1][1] + 1))
        return (*self.parts, (attempt, 1))


class _TakenAway(Exception):
    """The lease is over."""


class ExportRunner:
    """Writes exports that were started; any number of them may run, on any number of machines."""

    def __init__(
        self,
        settings: ApiSettings,
        database: Database,
        engine: Engine,
        storage: ExportStorage,
        payloads: Payloads,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings, self.engine, self.storage, self.payloads = settings, engine, storage, payloads
        self.clock, self._database = clock, database

    def due(self) -> list[Due]:
        """The exports that nobody is at, the longest waiting first."""
        free = or_(Export.lease_until.is_(None), Export.lease_until < self.clock())
        waiting = select(Export.id, Export.runs, Export.attempts).where(Export.status == Status.IN_PROGRESS.value, free)
        with self._database.transaction(writes=False) as session:
            return [Due(*row) for row in session.execute(waiting.order_by(Export.started_at, Export.id))]

    def run(self, export_id: str, on_progress: Callable[[int, int], object] = lambda *_: None) -> Outcome:
        """Write an export to its end, unless it is not due; `on_progress` hears rows written and rows in all."""
        export = self._claim(export_id)
        if export is None:
            return Outcome.NOT_DUE
        try:
            with self._kept(export) as check:
                _Writing(self, export, check, on_progress).write()
        except _TakenAway:
            return Outcome.TAKEN_AWAY
        except (GateledgerError, OSError) as error:
            logger.exception("an export failed", extra={"export": export.id})
            told = {"status": Status.FAILED.value, "error": str(error)[:2000], "finished_at": self.clock()}
            return Outcome.FAILED if self.set_held(export, lease=None, lease_until=None, **told) else Outcome.TAKEN_AWAY
        except BaseException:
            # Whoever stops us lets another worker go on at once.
            self.set_held(export, lease=None, lease_until=None)
            raise
        return Outcome.SUCCESS

    def _claim(self, export_id: str) -> Export | None:
        now, lease = self.clock(), new_id()
        free = or_(Export.lease_until.is_(None), Export.lease_until < now)
        mine = update(Export).where(Export.id == export_id, Export.status == Status.IN_PROGRESS.value, free)
        taken = mine.values(lease=lease, lease_until=now + LEASE, attempts=Export.attempts + 1)
        with self._database.transaction() as session:
            session.execute(taken.execution_options(synchronize_session=False))
            found = session.get(Export, export_id)
            return found if found is not None and found.lease == lease else None

    def set_held(self, export: Export, **values: Any) -> bool:
        """Whether the worker has the lease still; only then are the values set."""
        held = update(Export).where(
            Export.id == export.id, Export.lease == export.lease, Export.status == Status.IN_PROGRESS.value
        )
        with self._database.transaction() as session:
            done = session.execute(
                held.values(last_updated_at=self.clock(), **values).execution_options(synchronize_session=False)
            )
            return bool(getattr(done, "rowcount", 0))

    @contextmanager
    def _kept(self, export: Export) -> Generator[Callable[[], None]]:
        """Keeps the lease while the block runs; what it gives raises `_TakenAway` once the lease is gone."""
        over, lost = threading.Event(), threading.Event()

        def keep() -> None:
            while not over.wait(HEARTBEAT_S):
                try:
                    if not self.set_held(export, lease_until=self.clock() + LEASE):
                        lost.set()
                        return
                except SQLAlchemyError:
                    logger.warning("the lease of an export could not be renewed; it is tried again", exc_info=True)

        def check() -> None:
            if lost.is_set():
                raise _TakenAway

        thread = threading.Thread(target=keep, name="export-lease", daemon=True)
        thread.start()
        try:
            yield check
        finally:
            over.set()
            thread.join()


class _Writing:
    """One attempt at an export."""

    def __init__(
        self, runner: ExportRunner, export: Export, check: Callable[[], None], tell: Callable[[int, int], object]
    ) -> None:
        self._runner, self._export, self._check, self._tell = runner, export, check, tell
        self._store = runner.storage.opened()
        self._form, self._fields = FileFormat(export.format), fields_of(export.requested_data)
        at = None if export.position_at is None else Position(export.position_at, export.position_id or "")
        parts = tuple((attempt, count) for attempt, count in export.parts)
        self._done = _Progress(parts, export.written_records, export.passed_records, at)

    def write(self) -> None:
        """Raises: _TakenAway, WarehouseError, SourceError, InvalidInput."""
        self._tell(self._done.written, self._export.total_records)
        for tables, reached in self._parts():
            self._keep(tables, reached)
            self._tell(reached.written, max(reached.written, self._export.total_records))
        self._finish()

    def _parts(self) -> Iterator[tuple[Sequence[pa.Table], _Progress]]:
        """What belongs in each part, and how far the work is with it."""
        held: list[pa.Table] = []
        size = 0
        reached = self._done
        for table, reached in self._shaped():
            self._check()
            if table.num_rows:
                held.append(table)
                size += table.nbytes
            if sum(each.num_rows for each in held) >= PART_ROWS or size >= PART_BYTES:
                yield held, reached
                held, size = [], 0
        if held:
            yield held, reached

    def _shaped(self) -> Iterator[tuple[pa.Table, _Progress]]:
        """Rows as the file has them, a piece at a time."""
        export, fields = self._export, self._fields
        known_until = export.known_until or export.last_updated_at
        asked = asked_of(export.filters, known_until, self._runner.settings.export_max_rows)
        question = asked.question(scope_from(export), fields, known_until)
        warehouse = self._runner.settings.warehouse
        limits = Limits(warehouse.query_timeout_s, warehouse.query_memory_mb)
        now = self._done
        for page in pages(self._runner.engine, question, now.position, limits):
            for piece in _pieces(page, WITH_BODIES_ROWS if fields.bodies else PAGE_ROWS):
                start = max(asked.first - now.passed, 0)
                room = None if asked.most is None else asked.most - now.written
                wanted = piece.slice(start, room)
                self._check()
                bodies = self._runner.payloads.of(wanted, fields.bodies)
                now = replace(
                    now,
                    passed=now.passed + piece.num_rows,
                    written=now.written + wanted.num_rows,
                    position=position_after(piece),
                )
                yield shaped(wanted, fields, bodies), now
                if asked.most is not None and now.written >= asked.most:
                    return

    def _keep(self, tables: Sequence[pa.Table], reached: _Progress) -> None:
        """Store a part, then say so. Raises: _TakenAway."""
        export, attempt = self._export, self._export.attempts
        number = self._done.number
        self._store.put(part_path(export, number, attempt), encoded(tables, self._fields, self._form))
        parts = self._done.with_part(attempt)
        at = reached.position
        is_mine = self._runner.set_held(
            export,
            parts=[list(each) for each in parts],
            written_records=reached.written,
            passed_records=reached.passed,
            position_at=at.created_at if at else None,
            position_id=at.id if at else None,
            lease_until=self._runner.clock() + LEASE,
        )
        if not is_mine:
            raise _TakenAway
        self._done = replace(reached, parts=parts)

    def _finish(self) -> None:
        """Put the parts together, say that it is done, and drop what is needed no more."""
        export, runner = self._export, self._runner
        export.parts = [list(each) for each in self._done.parts]
        with _scratch(runner.settings.home, f"{export.id}-{export.attempts}") as whole:
            size = assemble(self._opened_parts(), self._fields, self._form, whole)
            self._check()
            self._store.put_file(file_path(export), whole)
        written = self._done.written
        done = {"status": Status.SUCCESS.value, "finished_at": runner.clock(), "file_bytes": size, "error": None}
        if not runner.set_held(export, lease=None, lease_until=None, total_records=written, **done):
            raise _TakenAway
        self._tell(written, written)
        self._store.forget(parts_folder(export))
        for run in range(1, export.runs):
            self._store.forget(folder_of(export, run))

    def _opened_parts(self) -> Iterator[Callable[[], Any]]:
        for path in part_paths(self._export):
            self._check()
            found = self._store.find(path)
            if found is None:
                raise SourceError(f"A part of the export is gone from where exports are kept: {path}. Start it again.")
            yield lambda found=found: self._store.stream(found)


def _pieces(page: pa.Table, rows: int) -> Iterator[pa.Table]:
    for start in range(0, page.num_rows, rows):
        yield page.slice(start, rows)


@contextmanager
def _scratch(home: Path, name: str) -> Generator[Path]:
    """A local file that is gone afterwards."""
    folder = home / "assembling"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)

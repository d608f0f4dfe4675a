"""The embedded lake: one Delta table of Parquet files per dataset, where every batch lands once or not at all.

Every commit happens under the table's lock, on a handle refreshed under it, and is refused rather than retried by the
library when another came first.
"""

from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from threading import Lock, RLock

import pyarrow as pa

from warehouse.catalog.model import Dataset
from warehouse.engines.base import Appended, Batch
from warehouse.errors import ConfigurationError, InvalidInput, WarehouseError
from warehouse.storage.lake_dedupe import Incoming, Probe, Remembered, probe
from warehouse.storage.lake_delta import Added, CommitConflict, DeltaLog, Live
from warehouse.storage.lake_names import PARTITION, new_file
from warehouse.storage.lake_parquet import days_of, layout, picked, statistics, statistics_columns
from warehouse.storage.lake_snapshot import NO_TABLE, Snapshot
from warehouse.storage.lake_store import LakeStore, Written
from warehouse.storage.tables import arrow_schema, conform

CHECKPOINT_EVERY = 100
_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Durable files of one batch, with the statistics that their commit needs."""

    written: tuple[Written, ...]
    added: tuple[Added, ...]


class LakeTable:
    """One dataset in the lake. Safe for threads and processes at once."""

    def __init__(self, store: LakeStore, dataset: Dataset, look_up: Probe = probe) -> None:
        if dataset.has_column(PARTITION) and dataset.time_column != PARTITION:
            raise ConfigurationError(f"{dataset.name}: a column named {PARTITION} must be its time column")
        self.dataset, self.store, self.name, self._look_up = dataset, store, dataset.name, look_up
        self._reader, self._writer = (
            DeltaLog(store.uri(self.name), store.options),
            DeltaLog(store.uri(self.name), store.options),
        )
        self._reading, self._writing = RLock(), Lock()
        self._snapshot: Snapshot | None = None
        self._recovered = self._shaped = False
        self._synced = NO_TABLE
        self._remembered = Remembered()

    # --- reading -----------------------------------------------------------------------------------------------

    def snapshot(self, *, fresh: bool = False) -> Snapshot:
        """The newest version; `fresh` reads the log even when nothing seems to have moved."""
        with self._reading:
            if (
                not fresh
                and self._snapshot
                and self.store.unmoved(self.name, self._snapshot.version, self._snapshot.mark)
            ):
                return self._snapshot
            self._recover_once()
            mark = self.store.mark(self.name)
            if not (self._reader.open() if fresh else self._reader.refresh()):
                self._snapshot = Snapshot.of(NO_TABLE, mark, ())
            elif self._snapshot is None or fresh or self._snapshot.version != self._reader.version:
                self._snapshot = Snapshot.of(self._reader.version, mark, self._reader.paths())
            else:
                self._snapshot = Snapshot(self._snapshot.version, mark, self._snapshot.days, self._snapshot.content)
            return self._snapshot

    def columns(self) -> list[str]:
        """The columns that the newest version has; none while there is no table."""
        with self._reading:
            return self._reader.schema().names if self.snapshot().version != NO_TABLE else []

    # --- shape -------------------------------------------------------------------------------------------------

    def create(self) -> list[str]:
        """Bring the table to the dataset's columns. Says what was done. Raises: ConfigurationError, WarehouseError."""
        for _ in range(_ATTEMPTS):
            with suppress(CommitConflict), self._locked() as exists:
                return self._add_columns() if exists else self._create()
        raise WarehouseError(f"other writers of {self.name} were faster {_ATTEMPTS} times; try again")

    def _create(self) -> list[str]:
        schema = arrow_schema(self.dataset)
        self._writer.create(schema, statistics_columns(self.dataset), self.dataset.description)
        self.store.sync_created(self.name)
        self._sync_from(0)
        return [f"created {self.name} with {len(schema)} columns"]

    def _add_columns(self) -> list[str]:
        present = {field.name: field.type for field in self._writer.schema()}
        added: list[pa.Field] = []
        for field in arrow_schema(self.dataset):
            if field.name not in present:
                added.append(field)
            elif present[field.name] != field.type:
                raise ConfigurationError(
                    f"column {field.name} of {self.name} is {present[field.name]} in the lake, the catalog says "
                    f"{field.type}; a column's type cannot change, add a new column instead"
                )
        if added:
            before = self._writer.version
            self._writer.add_columns(added)
            self._after_commit(before)
        return [f"added column {field.name} to {self.name}" for field in added]

    # --- writing -----------------------------------------------------------------------------------------------

    def append(self, rows: pa.Table, batch: Batch) -> Appended:
        """Store the rows whose id is new. Nearly all work is done before the lock is taken.

        Raises: InvalidInput, WarehouseError (then nothing of the batch is stored, or all of it is, and the same
        batch may be sent again).
        """
        if self.dataset.id_column is None:
            raise InvalidInput(f"{self.name} is derived: its days are replaced, rows are not appended")
        rows = conform(self.dataset, rows, views=True)
        days = days_of(self.dataset, rows)
        self._shape_once()
        incoming = Incoming(self.dataset, rows, self._look_up)
        touched: list[date] = sorted(day for day in days.unique().to_pylist())
        probed = self._probe(incoming, touched)
        verdict = incoming.verdict()
        prepared = self._prepare(rows, days, verdict.new)
        try:
            for _ in range(_ATTEMPTS):
                with self._locked():
                    if self._writer.committed(batch.id):
                        self._discard(prepared)
                        return Appended(0, rows.num_rows, replayed=True)
                    if self._learn_rest(incoming, touched, probed):
                        verdict = incoming.verdict()
                        self._discard(prepared)
                        prepared = self._prepare(rows, days, verdict.new)
                    elif self.store.missing(self.name, [w.file.path for w in prepared.written]):
                        # Stalled for longer than the sweep's grace.
                        self._discard(prepared)
                        prepared = self._prepare(rows, days, verdict.new)
                    if not prepared.added or self._commit(prepared.added, batch=batch.id):
                        return Appended(len(verdict.new), verdict.duplicates, verdict.conflicts)
        except BaseException:
            self._discard_uncommitted(prepared)
            raise
        self._discard(prepared)
        raise WarehouseError(f"other writers of {self.name} were faster {_ATTEMPTS} times; send the batch again")

    def replace_days(self, days: Iterable[date], rows: pa.Table) -> None:
        """Make `rows` the whole content of those days, in one commit. Raises: InvalidInput, WarehouseError."""
        rows = conform(self.dataset, rows)
        wanted, of_rows = set(days), days_of(self.dataset, rows)
        strangers = sorted(set(of_rows.unique().to_pylist()) - wanted)
        if strangers:
            raise InvalidInput(
                f"rows of {self.name} lie on days that are not replaced: {', '.join(map(str, strangers))}"
            )
        self._shape_once()
        prepared = self._prepare(rows, of_rows, None)
        try:
            for _ in range(_ATTEMPTS):
                with self._locked():
                    if self.store.missing(self.name, [w.file.path for w in prepared.written]):
                        raise WarehouseError(f"writing {self.name} took longer than the sweep's grace; try again")
                    removed = [live for live in self._writer.live() if date.fromisoformat(live.day) in wanted]
                    if not (removed or prepared.added) or self._commit(prepared.added, removed):
                        return
        except BaseException:
            self._discard_uncommitted(prepared)
            raise
        self._discard(prepared)
        raise WarehouseError(f"other writers of {self.name} were faster {_ATTEMPTS} times; try again")

    def forget(self, before: date) -> int:
        """Take all rows of the days before `before` out, in one commit; how many they were. Raises: WarehouseError."""
        for _ in range(_ATTEMPTS):
            with self._locked() as exists:
                old = [live for live in self._writer.live() if date.fromisoformat(live.day) < before] if exists else []
                if not old or self._commit((), old):
                    return sum(live.row_count for live in old)
        raise WarehouseError(f"other writers of {self.name} were faster {_ATTEMPTS} times; try again")

    def rewrite(self, old: Sequence[Live], new: Written, rows: pa.Table) -> bool:
        """Put a file with the same rows in the place of old ones; False (and no trace) when those have changed."""
        return self.swap(old, [self.described(new, rows)])

    def swap(self, old: Sequence[Live], new: Sequence[tuple[Written, Added]], *, batch: str | None = None) -> bool:
        """Put files in the place of old ones, in one commit; False (and no trace) when those have changed.

        `batch` is given where rows differ; without one they are only laid out anew.
        """
        prepared = _Prepared(tuple(written for written, _ in new), tuple(added for _, added in new))
        try:
            with self._locked():
                live = {file.path for file in self._writer.live()}
                gone = self.store.missing(self.name, [w.file.path for w in prepared.written])
                if (
                    all(file.path in live for file in old)
                    and not gone
                    and self._commit(prepared.added, old, batch=batch, new_rows=batch is not None)
                ):
                    return True
        except BaseException:
            self._discard_uncommitted(prepared)
            raise
        self._discard(prepared)
        return False

    def described(self, written: Written, rows: pa.Table) -> tuple[Written, Added]:
        """A durable file with what its commit needs to know of the rows in it."""
        day, stats = written.file.day.isoformat(), statistics(self.dataset, rows)
        return written, Added(written.file.path, day, written.size_bytes, stats, written.written_at_ms)

    def live(self) -> list[Live]:
        """All live files with sizes and row counts, read under the lock."""
        with self._locked() as exists:
            return self._writer.live() if exists else []

    def checkpoint(self, every: int = CHECKPOINT_EVERY) -> bool:
        """Write a checkpoint when `every` entries came since the last one; True when it did."""
        with self._locked() as exists:
            return exists and self._checkpoint_when_due(every)

    @contextmanager
    def locked_live(self) -> Generator[frozenset[str]]:
        """Holds the lock and gives the paths that are live under it."""
        with self._locked() as exists:
            yield frozenset(file.path for file in self._writer.live()) if exists else frozenset()

    # --- within ------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Generator[bool]:
        """Holds the lock on a writer's handle that is up to date, every older entry durable. True when a table is."""
        self._recover_once()
        with self._writing, self.store.lock(self.name):
            exists = self._writer.refresh()
            if exists and self._writer.version > self._synced:
                # An entry of a writer that was killed before its sync.
                first = self._synced + 1 if self._synced != NO_TABLE else self._writer.version
                self._sync_from(first)
            yield exists

    def _recover_once(self) -> None:
        if self._recovered:
            return
        with self._writing:
            if self.store.present(self.name):
                with self.store.lock(self.name):
                    self.store.recover(self.name)
            self._recovered = True

    def _shape_once(self) -> None:
        if not self._shaped or self.snapshot().version == NO_TABLE:
            self.create()
            self._shaped = True

    def _probe(self, incoming: Incoming, days: Sequence[date]) -> set[str]:
        """Look the ids up in the newest snapshot; the paths that were read."""
        for attempt in range(3):
            paths = list(self.snapshot(fresh=attempt > 0).on(days))
            try:
                self._learn(incoming, paths)
            except FileNotFoundError:  # compacted and swept since the snapshot
                continue
            return set(paths)
        return set()

    def _learn_rest(self, incoming: Incoming, days: Sequence[date], probed: set[str]) -> bool:
        """Look the ids up in live files that the first look did not see; True when some are there. Under the lock."""
        live = Snapshot.of(self._writer.version, None, self._writer.paths()).on(days)
        rest = [path for path in live if path not in probed]
        hits = self._learn(incoming, rest)
        probed.update(rest)
        return hits

    def _learn(self, incoming: Incoming, paths: Sequence[str]) -> bool:
        return incoming.learn(self.store.readable(self.name, self._remembered.candidates(paths, incoming.ids)))

    def _prepare(self, rows: pa.Table, days: pa.ChunkedArray, kept: pa.Array | None) -> _Prepared:
        """Write the kept rows (None for all), one durable file per day, several at a time."""
        parts, schema = layout(self.dataset, rows, days, kept), arrow_schema(self.dataset)

        def write(day: date) -> tuple[Written, Added]:
            part, file = picked(rows, parts[day]), new_file(day, schema)
            if self.dataset.id_column is not None:
                self._remembered.add(file.path, part.column(self.dataset.id_column))
            return self.described(self.store.write(self.dataset, file, part), part)

        with ThreadPoolExecutor(max(1, min(len(parts), pa.cpu_count()))) as pool:
            started = [pool.submit(write, day) for day in parts]
        if any(task.exception() for task in started):
            self.store.delete(self.name, [task.result()[0].file.path for task in started if not task.exception()])
        done = [task.result() for task in started]
        return _Prepared(tuple(written for written, _ in done), tuple(added for _, added in done))

    def _commit(
        self, added: Sequence[Added], removed: Sequence[Live] = (), *, batch: str | None = None, new_rows: bool = True
    ) -> bool:
        """One durable commit under the lock; False when another came first."""
        before = self._writer.version
        try:
            self._writer.commit(added, removed, batch=batch, new_rows=new_rows)
        except CommitConflict:
            return False
        except Exception as error:
            # The outcome is unknown: the entry may be there although the call failed.
            self._writer.open()
            live = {file.path for file in self._writer.live()}
            landed = all(a.path in live for a in added) and not any(r.path in live for r in removed)
            if not (landed or (batch is not None and self._writer.committed(batch))):
                raise WarehouseError(f"the commit to {self.name} failed: {error}; nothing of it is stored") from error
        self._after_commit(before)
        # The rows are durable; a checkpoint that fails here (a full disk) is tried again, and reported, by `maintain`.
        with suppress(Exception):
            self._checkpoint_when_due(CHECKPOINT_EVERY)
        return True

    def _after_commit(self, before: int) -> None:
        self._writer.refresh()
        if self._writer.version <= before:
            raise WarehouseError(f"the commit to {self.name} after version {before} is not in its log")
        self._sync_from(before + 1)

    def _sync_from(self, first: int) -> None:
        self.store.sync_entries(self.name, first, self._writer.version)
        self._synced = self._writer.version

    def _checkpoint_when_due(self, every: int) -> bool:
        if self._writer.version - self.store.checkpoint_version(self.name) < every:
            return False
        self._writer.checkpoint()
        self.store.sync_checkpoint(self.name, self._writer.version)
        self._writer.forget_old_entries()
        return True

    def _discard(self, prepared: _Prepared) -> None:
        self.store.delete(self.name, [written.file.path for written in prepared.written])

    def _discard_uncommitted(self, prepared: _Prepared) -> None:
        """Delete the files that the log does not name; when the log cannot be read, the sweep does it."""
        log = DeltaLog(self.store.uri(self.name), self.store.options)
        if log.open():
            live = {file.path for file in log.live()}
            self.store.delete(self.name, [w.file.path for w in prepared.written if w.file.path not in live])

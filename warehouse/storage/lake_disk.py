"""The lake on a local disk: one lock per table, and every file synced before a commit names it."""

import fcntl
import os
import shutil
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from warehouse.catalog.model import Dataset
from warehouse.errors import ConfigurationError, WarehouseError
from warehouse.storage import lake_log
from warehouse.storage.disk import sync_file, sync_folder
from warehouse.storage.lake_names import DataFile
from warehouse.storage.lake_parquet import write_parquet
from warehouse.storage.lake_store import LakeStore, Written

_LEAST_FREE_BYTES = 500_000_000
_MARKS = frozenset("*?[]{}%")
"""DuckDB takes these for patterns, and delta-rs the last one for an escape."""


class DiskStore(LakeStore):
    """Tables as folders under `root`. Not for a network disk: its locks do not hold there."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.options: Mapping[str, str] = {}
        marks = _MARKS & set(str(self._root))
        if marks:
            raise ConfigurationError(
                f"the lake cannot lie in {self._root}: {' '.join(sorted(marks))} in a path is not read as it is; "
                "choose a folder without"
            )

    def uri(self, table: str) -> str:
        return str(self._root / table)

    @contextmanager
    def lock(self, table: str) -> Generator[None]:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            # A new descriptor each time: threads of one process exclude each other too, and a crash releases it.
            descriptor = os.open(self._root / f"{table}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _refused(f"lock table {table} in", self._root, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def present(self, table: str) -> bool:
        return self._log(table).is_dir()

    def recover(self, table: str) -> list[str]:
        removed = lake_log.recover(self._log(table))
        if self._log(table).is_dir():
            # A writer that died between its commit and its sync left at most the newest entry unsynced.
            newest = lake_log.newest_entry(self._log(table))
            if newest >= 0:
                self.sync_entries(table, newest, newest)
        return removed

    def unmoved(self, table: str, version: int, mark: object) -> bool:
        # The next entry may have come and been cleaned away again, but then the last checkpoint is another one.
        return not (self._log(table) / lake_log.entry_name(version + 1)).exists() and self.mark(table) == mark

    def mark(self, table: str) -> object:
        try:
            status = (self._log(table) / lake_log.LAST_CHECKPOINT).stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    def write(self, dataset: Dataset, file: DataFile, rows: pa.Table) -> Written:
        path = self._root / dataset.name / file.path
        try:
            try:
                new_folder = not path.parent.exists()
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as sink:
                    write_parquet(dataset, rows, sink)
                    sink.flush()
                    os.fsync(sink.fileno())
                sync_folder(path.parent)
                if new_folder:
                    sync_folder(path.parent.parent)
                status = path.stat()
            except BaseException:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _refused("write rows to", path.parent, error) from error
        return Written(file, status.st_size, status.st_mtime_ns // 1_000_000)

    def missing(self, table: str, paths: Iterable[str]) -> list[str]:
        return [path for path in paths if not (self._root / table / path).exists()]

    def delete(self, table: str, paths: Iterable[str]) -> None:
        for path in paths:
            (self._root / table / path).unlink(missing_ok=True)

    def readable(self, table: str, paths: Sequence[str]) -> list[str]:
        prefix = f"{self._root}/{table}/"
        return [prefix + path for path in paths]

    @property
    def readable_folder(self) -> str:
        return str(self._root)

    def sync_entries(self, table: str, first: int, last: int) -> None:
        log = self._log(table)
        try:
            for version in range(first, last + 1):
                with suppress(FileNotFoundError):  # cleaned away: a synced checkpoint holds it
                    sync_file(log / lake_log.entry_name(version))
            sync_folder(log)
        except OSError as error:
            raise _refused("sync", log, error) from error

    def sync_created(self, table: str) -> None:
        sync_folder(self._root / table)
        sync_folder(self._root)
        sync_folder(self._root.parent)

    def sync_checkpoint(self, table: str, version: int) -> None:
        log = self._log(table)
        sync_file(log / lake_log.checkpoint_name(version))
        sync_file(log / lake_log.LAST_CHECKPOINT)
        sync_folder(log)

    def checkpoint_version(self, table: str) -> int:
        return lake_log.last_checkpoint(self._log(table))

    def unreferenced(self, table: str, live: Collection[str]) -> list[str]:
        folder = self._root / table
        found = (f"{path.parent.name}/{path.name}" for path in folder.glob("day=*/*.parquet"))
        return sorted(path for path in found if path not in live)

    def read_note(self, name: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return (self._root / name).read_bytes()
        return None

    def write_note(self, name: str, content: bytes) -> None:
        path = self._root / name
        fresh = path.with_name(f"{path.name}.new")
        with fresh.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        fresh.replace(path)

    def check(self) -> list[tuple[str, str]]:
        folder = next((path for path in (self._root, *self._root.parents) if path.exists()), self._root)
        problems: list[tuple[str, str]] = []
        if not os.access(folder, os.W_OK):
            problems.append(
                (f"the lake's folder {folder} cannot be written", "give this user the right to write there")
            )
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < _LEAST_FREE_BYTES:
            problems.append((f"only {free_bytes // 1_000_000} MB are free in {folder}", "make room or move the lake"))
        return problems

    def _log(self, table: str) -> Path:
        return self._root / table / lake_log.LOG_FOLDER


def _refused(what: str, where: Path, error: OSError) -> WarehouseError:
    return WarehouseError(f"cannot {what} {where}: {error.strerror or error}; nothing of this write is kept")

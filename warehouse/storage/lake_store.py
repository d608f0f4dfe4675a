"""What the lake needs of the place it lies in: a local disk or an object store."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from warehouse.catalog.model import Dataset
from warehouse.storage.lake_names import DataFile


@dataclass(frozen=True, slots=True)
class Written:
    """A data file that is durable, but in no commit yet."""

    file: DataFile
    size_bytes: int
    written_at_ms: int


class LakeStore(ABC):
    """Files of all tables of one lake. Paths are relative to a table's folder."""

    options: Mapping[str, str]

    @abstractmethod
    def uri(self, table: str) -> str:
        """Where the table's log lies, as delta-rs wants it."""

    @abstractmethod
    def lock(self, table: str) -> AbstractContextManager[None]:
        """Keeps other writers of the table out, where the store can."""

    @abstractmethod
    def present(self, table: str) -> bool:
        """True when the table has a log, whole or not."""

    @abstractmethod
    def recover(self, table: str) -> list[str]:
        """Take away what a power loss tore off the log; call it under the lock, before the table is opened."""

    @abstractmethod
    def unmoved(self, table: str, version: int, mark: object) -> bool:
        """True when the log certainly has no entry after `version`; `mark` is what `mark` said with that version."""

    @abstractmethod
    def mark(self, table: str) -> object:
        """A cheap token of the log's last checkpoint."""

    @abstractmethod
    def write(self, dataset: Dataset, file: DataFile, rows: pa.Table) -> Written:
        """Write a data file so that it survives a power loss. Raises: WarehouseError; nothing is left then."""

    @abstractmethod
    def missing(self, table: str, paths: Iterable[str]) -> list[str]:
        """Those of the paths that do not exist."""

    @abstractmethod
    def delete(self, table: str, paths: Iterable[str]) -> None:
        """Delete data files; absent ones are fine."""

    @abstractmethod
    def readable(self, table: str, paths: Sequence[str]) -> list[str]:
        """Local paths under which the data files can be read. Raises: FileNotFoundError."""

    @property
    @abstractmethod
    def readable_folder(self) -> str:
        """The local folder below which all paths of `readable` lie."""

    @abstractmethod
    def sync_entries(self, table: str, first: int, last: int) -> None:
        """Make the log entries of these versions survive a power loss."""

    @abstractmethod
    def sync_created(self, table: str) -> None:
        """Make a new table's folders survive a power loss."""

    @abstractmethod
    def sync_checkpoint(self, table: str, version: int) -> None:
        """Make the checkpoint of that version survive a power loss."""

    @abstractmethod
    def checkpoint_version(self, table: str) -> int:
        """The version of the last checkpoint; -1 when there is none."""

    @abstractmethod
    def unreferenced(self, table: str, live: Collection[str]) -> list[str]:
        """Data files that exist and are not among the live ones."""

    @abstractmethod
    def read_note(self, name: str) -> bytes | None:
        """A small file of the lake's own; None when it does not exist."""

    @abstractmethod
    def write_note(self, name: str, content: bytes) -> None:
        """Replace such a file whole."""

    @abstractmethod
    def check(self) -> list[tuple[str, str]]:
        """What keeps the store from working, each with what can be done."""

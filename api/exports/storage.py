"""The store of this installation's exports, opened when it is first needed; and where each file lies in it."""

from collections.abc import Iterator, Mapping
from threading import Lock

from api.exports.rows import Export
from api.settings import ApiSettings
from warehouse.exports.store import ExportStore, export_store


class ExportStorage:
    """Safe between threads."""

    def __init__(self, settings: ApiSettings, environment: Mapping[str, str]) -> None:
        self._settings, self._environment = settings, environment
        self._lock = Lock()
        self._store: ExportStore | None = None

    def opened(self) -> ExportStore:
        """The store. Raises: ConfigurationError, SourceError."""
        with self._lock:
            if self._store is None:
                self._store = export_store(self._settings.exports_location, self._environment)
            return self._store


def folder_of(export: Export, run: int | None = None) -> str:
    """All that belongs to one run of an export."""
    return f"{export.organisation_id}/{export.id}/{export.runs if run is None else run}"


def parts_folder(export: Export) -> str:
    """The parts of the present run."""
    return f"{folder_of(export)}/parts"


def part_path(export: Export, number: int, attempt: int) -> str:
    """A part; attempts that overlap, as when a worker was taken for dead, never write the same one."""
    return f"{parts_folder(export)}/{number:06d}-{attempt}"


def part_paths(export: Export) -> Iterator[str]:
    """The parts that count, in order."""
    number = 0
    for attempt, count in export.parts:
        for _ in range(count):
            yield part_path(export, number, attempt)
            number += 1


def file_path(export: Export) -> str:
    """The whole file."""
    return f"{folder_of(export)}/export-{export.id}.{export.format}"

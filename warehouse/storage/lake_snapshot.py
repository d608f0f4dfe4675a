"""One version of a table: its live files by day. Never changes once made."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from warehouse.engines.base import Window
from warehouse.storage.lake_names import DataFile, fingerprint, parse

NO_TABLE = -1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live files of one version; version -1 and no files while there is no table."""

    version: int
    mark: object
    days: dict[date, tuple[DataFile, ...]]
    content: str
    """A text that changes when rows do, and not when they are only laid out anew."""

    @staticmethod
    def of(version: int, mark: object, paths: Iterable[str]) -> "Snapshot":
        """The snapshot of these live paths, days and files in a stable order."""
        files = sorted((parse(path) for path in paths), key=lambda file: file.path)
        days: dict[date, list[DataFile]] = {}
        for file in files:
            days.setdefault(file.day, []).append(file)
        return Snapshot(version, mark, {day: tuple(of) for day, of in days.items()}, fingerprint(files))

    def within(self, windows: Sequence[Window] = ()) -> dict[date, tuple[DataFile, ...]]:
        """The files of each day that one of the windows touches; of every day when no window is given."""
        spans = [(_day(window.since, date.min), _day(window.until, date.max)) for window in windows or (Window(),)]
        return {day: files for day, files in self.days.items() if any(lo <= day <= hi for lo, hi in spans)}

    def files(self, windows: Sequence[Window] = ()) -> list[DataFile]:
        """The files of the days that one of the windows touches, in a stable order."""
        return [file for files in self.within(windows).values() for file in files]

    def on(self, days: Iterable[date]) -> dict[str, DataFile]:
        """The files of exactly these days, by path."""
        return {file.path: file for day in days for file in self.days.get(day, ())}


def _day(instant: datetime | None, otherwise: date) -> date:
    return otherwise if instant is None else instant.astimezone(UTC).date()

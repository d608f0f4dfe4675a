"""The log store day by day: which objects belong to a UTC day, how many are new, and loading those.

An object belongs to the day in its path (format v2), else to the day it was last modified. Rows land in the day of
their own `created_at` all the same.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from warehouse.engines.base import Engine
from warehouse.ingest.discover import is_loadable, new_objects, remember, unknown
from warehouse.ingest.load import Loader, LoadOptions, LoadReport, Progress
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.source import Source
from warehouse.logstore.paths import PathFormat, window_prefixes
from warehouse.logstore.store import LogStore, StoredObject

_DAY_IN_PATH = re.compile(r"/(\d{4})/(\d{2})/(\d{2})/\d{2}/")


@dataclass(frozen=True, slots=True)
class DayInventory:
    """What a day of the log store holds, and what of it no load has read."""

    objects: int
    size_bytes: int
    new_objects: int
    new_bytes: int
    new_fingerprint: str
    """A text that changes with the set of new objects."""


@dataclass(frozen=True)
class DailyLogs:
    """A log store seen by days.

    With `path_format` v2 only the day's own prefixes of the known workspaces are listed; without it the whole store is,
    because format v1 has no time in its paths.
    """

    store: LogStore
    engine: Engine
    ownership: Ownership
    path_format: PathFormat | None = None

    def inventory(self, day: date) -> DayInventory:
        """What the day holds. Raises: SourceError, WarehouseError."""
        held = [found for prefix in self._prefixes(day) for found in self.store.list(prefix) if _belongs(day)(found)]
        fresh = list(unknown(iter(held), self.store, self.engine))
        names = "\n".join(f"{found.path} {found.etag}" for found in fresh)
        return DayInventory(
            objects=len(held),
            size_bytes=sum(found.size for found in held),
            new_objects=len(fresh),
            new_bytes=sum(found.size for found in fresh),
            new_fingerprint=sha256(names.encode()).hexdigest()[:16],
        )

    def load(
        self, loader: Loader, day: date, now: datetime, on_progress: Callable[[Progress], None] | None = None
    ) -> LoadReport:
        """Load what is new for the day, and note each object once its records are durable."""

        def note(done: Sequence[Source]) -> None:
            remember(self.engine, self.store, done)

        fresh = new_objects(self.store, self.engine, tuple(self._prefixes(day)), wanted=_belongs(day))
        return loader.load(fresh, LoadOptions(), now, on_progress=on_progress, on_committed=note)

    def _prefixes(self, day: date) -> Iterator[str]:
        if self.path_format is not PathFormat.V2:
            yield ""
            return
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for organisation_id, slugs in sorted(self.ownership.known.items()):
            for slug in sorted(slugs):
                yield from window_prefixes(organisation_id, slug, start, start + timedelta(hours=23))


def day_in(path: str) -> date | None:
    """The UTC day that a path of format v2 names, or None."""
    named = _DAY_IN_PATH.search(path)
    if named is None:
        return None
    try:
        return date(*(int(part) for part in named.groups()))
    except ValueError:
        return None


def _belongs(day: date) -> Callable[[StoredObject], bool]:
    def belongs(found: StoredObject) -> bool:
        return is_loadable(found.path) and (day_in(found.path) or found.last_modified.astimezone(UTC).date()) == day

    return belongs

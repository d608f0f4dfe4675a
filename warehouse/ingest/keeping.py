"""Log objects of spooled records go into the log store before their rows go into the warehouse.

So a row that can be seen has its log object. Where the log store fails, the rows are loaded all the same; the segment
stays in the spool, and both are tried again, which changes nothing for what was done already.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain

from warehouse.errors import ConfigurationError, SourceError
from warehouse.ingest.formats.spool import spooled_records
from warehouse.ingest.kept_objects import KINDS, kept_object
from warehouse.ingest.load import LoadOptions, LoadReport, Progress
from warehouse.ingest.source import Source
from warehouse.ingest.spool import SegmentLoader
from warehouse.logstore.paths import PathFormat
from warehouse.logstore.store import LogStore


class KeepingLoader:
    """Loads segments of the spool, and keeps the log objects that are in them."""

    def __init__(self, loader: SegmentLoader, opened: Callable[[], tuple[LogStore, PathFormat]]) -> None:
        self._loader, self._opened = loader, opened

    def load(
        self,
        sources: Iterable[Source],
        options: LoadOptions,
        now: datetime,
        on_progress: Callable[[Progress], None] | None = None,
        on_committed: Callable[[Sequence[Source]], None] | None = None,
    ) -> LoadReport:
        """See `Loader.load`; when the log store failed, it says so after the rows are loaded.

        Raises: SourceError, ConfigurationError too.
        """
        segments = list(sources)
        failed: dict[str, SourceError | ConfigurationError] = {}
        for segment in segments:
            try:
                self._keep(segment)
            except (SourceError, ConfigurationError) as error:
                failed[segment.key] = error

        def committed(done: Sequence[Source]) -> None:
            if on_committed is not None:
                on_committed([segment for segment in done if segment.key not in failed])

        report = self._loader.load(segments, options, now, on_progress, committed)
        if failed:
            raise next(iter(failed.values()))
        return report

    def _keep(self, segment: Source) -> None:
        with segment.open() as stream:
            records = spooled_records(stream, KINDS)
            first = next(records, None)
            if first is None:
                return  # a spool without logs needs no log store
            store, form = self._opened()
            found = (kept_object(record, form) for record in chain((first,), records))
            store.put_new((each.path, each.data) for each in found if each is not None)

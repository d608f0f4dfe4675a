"""The loader: sources in, priced and deduplicated rows in the warehouse, every record accounted for."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path

from warehouse.engines.base import Appended, Batch, Engine
from warehouse.errors import InvalidInput, SourceError, WarehouseError
from warehouse.ingest.batching import (
    Priced,
    Pricing,
    conflict_rejects,
    make_batch,
    reasons_of,
    rehearse,
)
from warehouse.ingest.beside import Beside
from warehouse.ingest.books import Books, Intent, attempted, committed, count_batch, find_entries, recovered, settle
from warehouse.ingest.formats import registry
from warehouse.ingest.formats.base import ReadOptions
from warehouse.ingest.formats.table import check_columns
from warehouse.ingest.normalise import check_constants
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.quarantine import Quarantine
from warehouse.ingest.reading import Background, Job, Read
from warehouse.ingest.source import Source
from warehouse.pricing.book import PriceBook
from warehouse.pricing.negotiated import Overlay
from warehouse.settings import CostPolicy

BATCH_ROWS = 32_768
_BATCH_BYTES = 256 << 20
_ENTRIES_TOGETHER = 16
_JOURNALS = "open"
_SOURCES_AHEAD = 1000


@dataclass(frozen=True)
class LoadOptions:
    """How sources are read: a format's name or `auto`, our column → their field, and values for every record."""

    format: str = registry.AUTO
    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    constants: Mapping[str, str] = field(default_factory=dict[str, str])
    batch_rows: int = BATCH_ROWS


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is."""

    rows: int
    bytes_read: int
    """Stored bytes, that is compressed ones."""
    bytes_total: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of every record: `received = stored + duplicates + rejected`."""

    received: int
    stored: int
    duplicates: int
    rejected: int
    unpriced: int
    """Stored rows without a cost."""
    batches: int
    seconds: float
    reasons: Mapping[str, int]
    quarantine: Path | None

    @property
    def counts(self) -> dict[str, int]:
        """The books of the load by name, to be shown."""
        names = ("received", "stored", "duplicates", "rejected", "unpriced", "batches")
        return {name: getattr(self, name) for name in names}


class Loader:
    """Loads sources into a warehouse. One loader may run many loads, several loaders may run at once."""

    def __init__(
        self,
        engine: Engine,
        book: PriceBook,
        policy: CostPolicy,
        ownership: Ownership,
        quarantine: Path,
        overlay: Overlay | None = None,
    ) -> None:
        self._engine, self._ownership, self._folder = engine, ownership, quarantine
        self._pricing = Pricing(book, policy, overlay)

    def load(
        self,
        sources: Iterable[Source],
        options: LoadOptions,
        now: datetime,
        on_progress: Callable[[Progress], None] | None = None,
        on_committed: Callable[[Sequence[Source]], None] | None = None,
    ) -> LoadReport:
        """Load every record of the sources; returns once all are durable: stored, known before, or in quarantine.

        `on_committed` is told the sources whose every record is durable. Raises: SourceError, UnknownName,
        InvalidInput, WarehouseError; what was committed before stays.
        """
        _check(options)
        settle(self._engine, self._folder / _JOURNALS)
        run = _Run(self._engine, self._pricing, self._ownership, options, now, self._folder)
        try:
            run.load(sources, on_progress, on_committed)
        except BaseException:
            run.save()
            raise
        finally:
            run.close()
        return run.report()


def _check(options: LoadOptions) -> None:
    dataset = registry.FORMATS[0].dataset
    if options.format != registry.AUTO:
        dataset = registry.named(options.format).dataset
    check_constants(dataset, options.constants)
    check_columns(options.mapping)


class _Held:
    """What was read and is not stored yet."""

    def __init__(self) -> None:
        self._reads: list[Read] = []
        self.rows = self.size = 0

    def add(self, read: Read) -> None:
        self._reads.append(read)
        if read.piece is not None:
            self.rows += read.piece.chunk.count
            self.size += read.piece.chunk.size

    def take(self) -> Sequence[Read]:
        """All of it; nothing is held afterwards."""
        reads = self._reads
        self._reads, self.rows, self.size = [], 0, 0
        return reads


class _Run:
    """One load."""

    def __init__(
        self, engine: Engine, pricing: Pricing, owner: Ownership, options: LoadOptions, now: datetime, folder: Path
    ) -> None:
        self._engine, self._pricing, self._owner, self._options = engine, pricing, owner, options
        self._now = now.astimezone(UTC)
        self._load_id = uuid.uuid4().hex
        self._quarantine = Quarantine(folder, self._load_id, self._now)
        self._books = Books(engine, folder / _JOURNALS, self._load_id)
        self._began = time.perf_counter()
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._unbooked = 0
        self._bytes_read = 0

    def load(
        self,
        sources: Iterable[Source],
        on_progress: Callable[[Progress], None] | None,
        on_committed: Callable[[Sequence[Source]], None] | None,
    ) -> None:
        sources, total = _measured(sources)
        options = ReadOptions(self._options.mapping, self._options.constants)
        held = _Held()

        def tell() -> None:
            if on_progress is not None:
                rows = self._counts["received"] + held.rows
                on_progress(Progress(rows, self._bytes_read, total, self._seconds()))

        with Beside() as storing:
            try:
                with Background(Job(sources, self._options.format, options, self._count_bytes)) as background:
                    for read in (read for slab in background.slabs() for read in slab):
                        if self._pricing.is_to_rehearse(read):
                            # While the first batch is read, nothing is to be stored.
                            storing.run(partial(self._rehearse, read))
                        held.add(read)
                        if held.rows >= self._options.batch_rows or held.size >= _BATCH_BYTES:
                            self._commit(held.take(), storing, on_committed)
                        storing.finish_done()
                        tell()
            except (SourceError, InvalidInput):
                # A source that cannot be read is no reason to drop what was read before it.
                self._commit(held.take(), storing, on_committed)
                storing.finish()
                raise
            self._commit(held.take(), storing, on_committed)
            storing.finish()
        self._books.write()
        tell()

    def save(self) -> None:
        """Book what was stored before something went wrong; what cannot be booked now, the next load will."""
        with suppress(WarehouseError):
            self._books.write(is_clean=False)

    def close(self) -> None:
        self._quarantine.close()
        self._books.close()

    def report(self) -> LoadReport:
        """What became of the records so far."""
        names = ("received", "stored", "duplicates", "rejected", "unpriced", "batches")
        counts = {name: self._counts[name] for name in names}
        return LoadReport(
            **counts, seconds=self._seconds(), reasons=dict(self._reasons), quarantine=self._quarantine.path
        )

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _count_bytes(self, size: int) -> None:
        self._bytes_read += size

    def _rehearse(self, read: Read) -> None:
        rehearse(read, self._owner, self._options.constants, self._pricing, self._now)

    def _commit(
        self, reads: Sequence[Read], storing: Beside, on_committed: Callable[[Sequence[Source]], None] | None
    ) -> None:
        """Make the batches of what was read, and have them stored while the caller goes on."""
        done = [read.source for read in reads if read.piece is None and read.is_whole]
        after = partial(on_committed, done) if done and on_committed is not None else None
        by_dataset = _by_dataset(reads)
        del reads
        if not by_dataset:
            storing.run(_nothing, after)
        if not self._counts["batches"]:
            storing.finish()
        while by_dataset:
            # Nothing here may hold what was read: making the batch lets go of it as early as it can.
            batch = make_batch(by_dataset.popitem()[1], self._owner, self._options.constants, self._pricing, self._now)
            storing.run(partial(self._store, batch), None if by_dataset else after)
            del batch

    def _store(self, batch: Priced) -> None:
        self._quarantine.put(batch.rejects)
        intent = self._intent(batch)
        appended = Appended(0, 0)
        if batch.table.num_rows:
            self._books.intend(intent)
            appended = self._engine.append(batch.dataset, batch.table, Batch(batch.id))
        conflicts = conflict_rejects(batch, appended.conflicts) if appended.conflicts else []
        self._quarantine.put(conflicts)
        rejected = len(batch.rejects) + len(conflicts)
        unpriced = self._unpriced(batch, appended, intent)
        self._count(batch, appended.stored, rejected, unpriced)
        self._reasons += reasons_of([*batch.rejects, *conflicts])
        if appended.stored:
            self._books.book(committed(intent, appended.stored, rejected, unpriced, self._now))
        else:
            self._book_unstored(intent, appended, rejected)
        self._unbooked += 1
        if self._unbooked >= _ENTRIES_TOGETHER:
            self._books.write()
            self._unbooked = 0

    def _book_unstored(self, intent: Intent, appended: Appended, rejected: int) -> None:
        self._books.book(attempted(intent, self._counts["batches"], rejected))
        if appended.replayed:
            earlier = recovered(self._engine, _without_rejects(intent))
            if earlier is not None and not find_entries(self._engine, [earlier.id], earlier.at):
                self._books.book(earlier)

    def _count(self, batch: Priced, stored: int, rejected: int, unpriced: int) -> None:
        self._counts["received"] += batch.received
        self._counts["stored"] += stored
        self._counts["duplicates"] += batch.received - stored - rejected
        self._counts["rejected"] += rejected
        self._counts["unpriced"] += unpriced
        self._counts["batches"] += 1

    def _unpriced(self, batch: Priced, appended: Appended, intent: Intent) -> int:
        """Stored rows without a cost; counted in the warehouse where not every row was stored."""
        without = int(batch.places["unpriced"].sum())
        if not without or not appended.stored:
            return 0
        if appended.stored == batch.table.num_rows:
            return without
        return count_batch(self._engine, intent).unpriced

    def _intent(self, batch: Priced) -> Intent:
        table = batch.table
        organisations = batch.organisations
        first, last = (_day(moment or self._now) for moment in batch.span)
        return Intent(
            batch_id=batch.id,
            load_id=self._load_id,
            dataset=batch.dataset.name,
            organisation_id=organisations[0] if len(organisations) == 1 else "",
            ingest_source=batch.source,
            accepted=table.num_rows,
            rejected=len(batch.rejects),
            day_min=first,
            day_max=last,
            at=self._now.replace(tzinfo=None).isoformat(),
        )


def _by_dataset(reads: Sequence[Read]) -> dict[str, list[Read]]:
    found: dict[str, list[Read]] = {}
    for read in reads:
        if read.piece is not None:
            found.setdefault(read.piece.dataset.name, []).append(read)
    return found


def _nothing() -> None:
    """A task that only waits for its turn."""


def _day(moment: datetime) -> str:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None).isoformat()


def _without_rejects(intent: Intent) -> Intent:
    """The intent of an earlier attempt, of whose rejects nothing is known."""
    return replace(intent, rejected=0)


def _measured(sources: Iterable[Source]) -> tuple[Iterable[Source], int | None]:
    """The sources again, and the sum of their sizes where they are few and all known."""
    rest = iter(sources)
    ahead = list(islice(rest, _SOURCES_AHEAD))
    if len(ahead) == _SOURCES_AHEAD or any(source.size is None for source in ahead):
        return chain(ahead, rest), None
    return ahead, sum(source.size or 0 for source in ahead)

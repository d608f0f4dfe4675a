"""Sources are read in a thread of their own, so that reading goes on while rows are priced and stored."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from queue import Full, Queue
from threading import Event, Thread
from typing import Self

from warehouse.ingest.formats import registry
from warehouse.ingest.formats.base import Format, ReadOptions
from warehouse.ingest.opening import Opened, UnfitSource, open_source
from warehouse.ingest.records import BadRecord, Original, Piece, Singles
from warehouse.ingest.source import Source, SourceDamaged

QUEUED = 1
SLAB_ROWS = 4096
_PATIENCE_S = 0.2


@dataclass(frozen=True, slots=True)
class Read:
    """Something that was read: a piece of a source, or the source's end."""

    source: Source
    piece: Piece | None
    format: Format | None = None
    context: Mapping[str, object] = field(default_factory=dict[str, object])
    """How the source was read, for the quarantine to tell."""
    is_whole: bool = True
    """False for the end of a source whose rest could not be read."""

    def without_rows(self) -> "Read":
        """The same, with the records as they came but not the rows made of them."""
        return replace(self, piece=replace(self.piece, frame=None, rows=(), bad=())) if self.piece else self


@dataclass(frozen=True, slots=True)
class Job:
    """What to read and how; `on_read` is told stored bytes as they are read."""

    sources: Iterable[Source]
    format: str
    options: ReadOptions
    on_read: Callable[[int], None]


def read_all(job: Job) -> Iterator[Read]:
    """Everything that can be read, in order. Raises: SourceError, UnknownName, InvalidInput."""
    sources = iter(job.sources)
    ahead = list(islice(sources, 2))
    alone = len(ahead) == 1 and not ahead[0].key
    for source in chain(ahead, sources):
        yield from _read(source, job, alone=alone)


def _read(source: Source, job: Job, *, alone: bool) -> Iterator[Read]:
    """The pieces of a source, then its end.

    A source alone that nothing fits is the caller's error; among many it is one more thing for the quarantine.
    """
    is_whole = True
    try:
        with closing(open_source(source, job.on_read)) as opened:
            chosen = _chosen(opened, job)
            context = chosen.context(opened, job.options)
            for piece in chosen.pieces(opened, job.options):
                yield Read(source, piece, chosen, context)
            if opened.damage is not None:
                raise opened.damage
    except UnfitSource as error:
        if alone:
            raise
        yield _refused(source, "no format fits", str(error), error.head)
    except SourceDamaged as error:
        yield _refused(source, "unreadable", str(error), b"")
        is_whole = False
    yield Read(source, None, is_whole=is_whole)


def _chosen(opened: Opened, job: Job) -> Format:
    if job.format != registry.AUTO:
        return registry.named(job.format)
    return registry.detected(opened, job.options)


def _refused(source: Source, reason: str, detail: str, content: bytes) -> Read:
    fragment = Singles(source.name, source.base_name, (Original(0, None, content),))
    return Read(source, Piece(fragment, None, (), [(0, BadRecord(reason, detail))]))


class Background:
    """Reads in a thread and hands over slabs; at most `QUEUED` wait. Leaving the `with` stops the thread."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._slabs: Queue[list[Read] | BaseException | None] = Queue(QUEUED)
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="ingest-reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def slabs(self) -> Iterator[list[Read]]:
        """What was read, in order. Raises: what the reader raised."""
        while True:
            slab = self._slabs.get()
            if slab is None:
                return
            if isinstance(slab, BaseException):
                raise slab
            yield slab

    def _run(self) -> None:
        held: list[Read] = []
        rows = 0
        try:
            for one in read_all(self._job):
                held.append(one)
                rows += one.piece.chunk.count if one.piece else 0
                if rows >= SLAB_ROWS:
                    if not self._put(held):
                        return
                    held, rows = [], 0
            self._put(held)
            self._put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that loads
            self._put(held)
            self._put(error)

    def _put(self, slab: list[Read] | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._slabs.put(slab, timeout=_PATIENCE_S)
            except Full:
                continue
            return True
        return False

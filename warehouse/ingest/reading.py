"""Sources are read in a thread of their own, so that reading goes on while rows are priced and stored."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from threading import Condition, Thread
from typing import Self

from warehouse.ingest.formats import registry
from warehouse.ingest.formats.base import Format, ReadOptions
from warehouse.ingest.opening import Opened, UnfitSource, open_source
from warehouse.ingest.records import BadRecord, Original, Piece, Singles
from warehouse.ingest.source import Source, SourceDamaged

WAITING_BYTES = 24 << 20
SLAB_ROWS = 4096
_ROWS_WEIGH = 8


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
    """Reads in a thread and hands over slabs; about `WAITING_BYTES` of them wait. Leaving the `with` stops the thread.

    About as much may wait as is read while a batch is made, else both would take turns instead of going on together.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._slabs: deque[list[Read] | BaseException | None] = deque()
        self._waiting_bytes = 0
        self._changed = Condition()
        self._is_stopped = False
        self._thread = Thread(target=self._run, name="ingest-reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join()

    def slabs(self) -> Iterator[list[Read]]:
        """What was read, in order. Raises: what the reader raised."""
        while (slab := self._take()) is not None:
            yield slab

    def _take(self) -> list[Read] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._slabs)
            slab = self._slabs.popleft()
            if isinstance(slab, list):
                self._waiting_bytes -= _weight(slab)
                self._changed.notify_all()
        if isinstance(slab, BaseException):
            raise slab
        return slab

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
        """Hand a slab over once there is room; False when nobody wants it any more."""
        weight = _weight(slab) if isinstance(slab, list) else 0
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopped or not self._slabs or self._waiting_bytes + weight <= WAITING_BYTES
            )
            if self._is_stopped:
                return False
            self._slabs.append(slab)
            self._waiting_bytes += weight
            self._changed.notify_all()
        return True


def _weight(slab: Sequence[Read]) -> int:
    """About how many bytes a slab keeps in memory: records that were read one by one take a multiple of their text."""
    pieces = [read.piece for read in slab if read.piece is not None]
    return sum(piece.chunk.size * (_ROWS_WEIGH if piece.rows else 1) for piece in pieces)

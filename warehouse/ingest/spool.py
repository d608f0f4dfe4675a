"""Records that an API took are on disk before it answers, and in the warehouse a moment later.

Each process writes a segment of its own. A lock on the segment is held for each write, so that whoever drains may take
any segment away between two writes: it renames it, and the writer, finding its segment gone, begins another. A segment
is deleted only when every record of it is in the warehouse or in quarantine; a crash at any point repeats work, and
the ids, which were given here, make the repetition harmless.
"""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Protocol, cast

import orjson

from warehouse.errors import InvalidInput
from warehouse.ingest.credentials import without_credentials
from warehouse.ingest.formats.spool import (
    AUDIT_LOGS,
    FORMAT_OF_KIND,
    ID_FIELDS,
    VERSION,
    VERSION_FIELD,
    owner_content,
    owner_line,
    record_line,
)
from warehouse.ingest.load import LoadOptions, LoadReport, Progress
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.source import Source
from warehouse.storage.disk import lease, sync_folder

_OPEN, _SEALED = ".open", ".sealed"
_SEGMENT_BYTES = 32 << 20
_LEASE = "drain.lock"
_BEGUN = "%Y%m%dT%H%M%S%f"
"""How a segment's name tells when it was begun."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SegmentLoader(Protocol):
    """What moves segments into the warehouse."""

    def load(
        self,
        sources: Iterable[Source],
        options: LoadOptions,
        now: datetime,
        on_progress: Callable[[Progress], None] | None = None,
        on_committed: Callable[[Sequence[Source]], None] | None = None,
    ) -> LoadReport:
        """See `Loader.load`."""
        ...


@dataclass
class _Ticket:
    """Lines of one append, waiting for a write; `error` when it failed."""

    owner: Ownership
    records: Sequence[tuple[str, str, bytes]]
    at: str
    is_done: bool = False
    error: OSError | None = None


@dataclass
class _Segment:
    """The file that this process writes."""

    path: Path
    handle: int
    process: int
    size: int = 0
    owners: dict[bytes, int] = field(default_factory=dict[bytes, int])
    """The owners that the file names already → their numbers."""


class Spool:
    """A durable queue of records in a folder; any number of threads and processes may append."""

    def __init__(
        self, folder: Path, clock: Callable[[], datetime] = _utc_now, kinds: Collection[str] = tuple(FORMAT_OF_KIND)
    ) -> None:
        self._folder, self._clock, self._kinds = folder, clock, kinds
        self._waiting: list[_Ticket] = []
        self._queue, self._writing = Lock(), Lock()
        self._segment: _Segment | None = None

    def append(
        self, kind: str, records: Sequence[bytes], ownership: Ownership, ids: Sequence[str] | None = None
    ) -> list[str]:
        """The ids of the records, once they are on disk. A record without an id gets one.

        `kind` is one of the spool's own; `ids` are the records' where the caller knows them. Raises: InvalidInput for
        another kind, OSError when the disk does not take them (then none of them is kept).
        """
        if kind not in self._kinds:
            raise InvalidInput(f"'{kind}' cannot be spooled; allowed: {', '.join(self._kinds)}.")
        if not records:
            return []
        # Audit records come masked, and in a way that still tells one credential from another.
        clean = _as_it_is if kind == AUDIT_LOGS else without_credentials
        ids = [_id_of(kind, record) for record in records] if ids is None else ids
        named = [(kind, one, clean(record)) for one, record in zip(ids, records, strict=True)]
        ticket = _Ticket(ownership, named, self._clock().astimezone(UTC).isoformat())
        with self._queue:
            self._waiting.append(ticket)
        with self._writing:
            # Whoever comes first writes for all that wait: one fsync for many requests.
            if not ticket.is_done:
                with self._queue:
                    tickets, self._waiting = self._waiting, []
                self._write(tickets)
        if ticket.error is not None:
            raise ticket.error
        return list(ids)

    def drain(self, loader: SegmentLoader, now: datetime) -> LoadReport | None:
        """Load what is in the spool and delete it there; None where nothing is or another process is at it.

        Raises: WarehouseError; then everything that is not in the warehouse stays in the spool.
        """
        if not self._folder.is_dir():
            return None
        with lease(self._folder / _LEASE) as is_mine:
            if not is_mine:
                return None
            self._seal_all()
            paths = sorted(self._folder.glob(f"*{_SEALED}"))
            if not paths:
                return None
            sources = [_source(path) for path in paths]
            options = LoadOptions(format="spool")
            return loader.load(sources, options, now, on_committed=self._delete)

    def segments(self) -> list[Source]:
        """What is not in the warehouse yet, to be looked through; a segment may be gone when it is opened."""
        found: list[Source] = []
        for suffix in (_OPEN, _SEALED):
            for path in sorted(self._folder.glob(f"*{suffix}")):
                with contextlib.suppress(FileNotFoundError):
                    found.append(_source(path))
        return found

    def backlog(self) -> tuple[int, int]:
        """(segments, bytes) that are not in the warehouse yet."""
        sizes: list[int] = []
        for suffix in (_OPEN, _SEALED):
            for path in self._folder.glob(f"*{suffix}"):
                with contextlib.suppress(FileNotFoundError):
                    sizes.append(path.stat().st_size)
        used = [size for size in sizes if size]
        return len(used), sum(used)

    def oldest(self) -> datetime | None:
        """When the oldest segment was begun that holds records; None where nothing waits."""
        begun: list[datetime] = []
        for suffix in (_OPEN, _SEALED):
            for path in self._folder.glob(f"*{suffix}"):
                with contextlib.suppress(FileNotFoundError, ValueError):
                    if path.stat().st_size:
                        begun.append(datetime.strptime(path.name.partition("-")[0], _BEGUN).replace(tzinfo=UTC))
        return min(begun, default=None)

    def close(self) -> None:
        """Let go of the segment; what is in it stays for the next drain."""
        with self._writing:
            self._forget()

    def _write(self, tickets: Sequence[_Ticket]) -> None:
        error: OSError | None = None
        try:
            segment = self._locked_segment()
            try:
                self._append(segment, tickets)
            finally:
                fcntl.flock(segment.handle, fcntl.LOCK_UN)
        except OSError as failure:
            error = failure
            self._forget()
        for ticket in tickets:
            ticket.is_done, ticket.error = True, error

    def _append(self, segment: _Segment, tickets: Sequence[_Ticket]) -> None:
        lines: list[bytes] = []
        for ticket in tickets:
            owner = owner_content(ticket.owner)
            number = segment.owners.get(owner)
            if number is None:
                number = segment.owners[owner] = len(segment.owners)
                lines.append(owner_line(number, owner))
            lines += [record_line(number, ticket.at, *record) for record in ticket.records]
        data = memoryview(b"".join(lines))
        try:
            while data:
                data = data[os.write(segment.handle, data) :]
            os.fsync(segment.handle)
        except OSError:
            # Nothing of a failed write may stay: its caller is told that it was not taken.
            with contextlib.suppress(OSError):
                os.ftruncate(segment.handle, segment.size)
            raise
        segment.size = os.fstat(segment.handle).st_size

    def _locked_segment(self) -> _Segment:
        """A segment of this process, locked, that nobody has taken away."""
        while True:
            segment = self._segment
            if segment is not None and (segment.process != os.getpid() or segment.size >= _SEGMENT_BYTES):
                self._forget()
                segment = None
            if segment is None:
                segment = self._segment = self._new_segment()
            fcntl.flock(segment.handle, fcntl.LOCK_EX)
            if segment.path.exists():
                return segment
            self._forget()

    def _new_segment(self) -> _Segment:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{self._clock().astimezone(UTC).strftime(_BEGUN)}-{os.getpid()}-{uuid.uuid4().hex[:12]}{_OPEN}"
        path = self._folder / name
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        handle = os.open(path, flags, 0o600)
        os.write(handle, orjson.dumps({VERSION_FIELD: VERSION}) + b"\n")
        sync_folder(self._folder)
        return _Segment(path, handle, os.getpid(), os.fstat(handle).st_size)

    def _forget(self) -> None:
        if self._segment is not None:
            os.close(self._segment.handle)
            self._segment = None

    def _seal_all(self) -> None:
        for path in sorted(self._folder.glob(f"*{_OPEN}")):
            try:
                handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if path.exists():
                    path.rename(path.with_suffix(_SEALED))
            finally:
                os.close(handle)
        sync_folder(self._folder)

    def _delete(self, sources: Sequence[Source]) -> None:
        for source in sources:
            (self._folder / source.key).unlink(missing_ok=True)
        sync_folder(self._folder)


def _source(path: Path) -> Source:
    def opened() -> BinaryIO:
        return path.open("rb")

    return Source(f"spool/{path.stem}", path.stat().st_size, opened, key=path.name)


def _as_it_is(record: bytes) -> bytes:
    return record


def _id_of(kind: str, record: bytes) -> str:
    """The record's own id, else a new one."""
    try:
        value: object = orjson.loads(record)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict):
        for name in ID_FIELDS[kind]:
            identifier = cast("Mapping[str, object]", value).get(name)
            if isinstance(identifier, str) and identifier.strip():
                return identifier
    return str(uuid.uuid4())

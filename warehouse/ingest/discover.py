"""Which sources a command line or a log store means: files, folders, globs, URLs, and only what is new."""

import contextlib
import io
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.functions import column, text
from warehouse.catalog.operations import LOG_OBJECTS
from warehouse.engines.base import Batch, Engine, Window
from warehouse.errors import SourceError
from warehouse.ingest.source import Source
from warehouse.logstore.folder import FolderStore, folder_of
from warehouse.logstore.globs import is_pattern, matches, may_hold, split_pattern
from warehouse.logstore.store import READS_AT_ONCE, REMOTE_SCHEMES, LogStore, StoredObject
from warehouse.storage.tables import arrow_schema

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
COMPRESSIONS = (".gz", ".zst", ".zstd")
_TEMPORARY = ("~", ".tmp", ".part", ".crdownload", ".swp")

SMALL_BYTES = 1 << 20
"""Objects up to this size are read ahead."""

_AHEAD = READS_AT_ONCE * 2
_BOOKS_CHUNK = 2000

Notice = Callable[[str], None]


def _log(message: str) -> None:
    logging.getLogger(__name__).info(message)


def is_loadable(name: str) -> bool:
    """True for a name that ends like a file of records, compressed or not, and is neither hidden nor temporary."""
    base = name.rsplit("/", 1)[-1].lower()
    if base.startswith(".") or base.endswith(_TEMPORARY):
        return False
    for compression in COMPRESSIONS:
        base = base.removesuffix(compression)
    return base.endswith(SUFFIXES)


def sources_of(
    arguments: Sequence[str], stdin: BinaryIO, environment: Mapping[str, str] | None = None, notice: Notice = _log
) -> Iterator[Source]:
    """The sources that arguments name, in their order, each folder and glob sorted by path and listed as it is read.

    An argument is a file, a folder (searched to its depth), a glob (`**` too), a `file://`, `s3://`, `gs://` or
    `az://` URL of any of these, or `-` for `stdin`. A file that is named is taken whatever its name; what a search
    passes over because of its name is told by `notice`.
    Raises: SourceError at once for a path that does not exist; at the end when nothing was found; ConfigurationError.
    """
    finders = [_finder(argument, stdin, environment or {}) for argument in arguments]
    missing = [finder.missing for finder in finders if finder.missing]
    if missing:
        raise SourceError("; ".join(missing) + ".")
    return _search(finders, notice)


@dataclass
class _Found:
    """What a search has seen so far."""

    taken: int = 0
    skipped: int = 0
    example: str = ""

    def takes(self, path: str) -> bool:
        if is_loadable(path):
            self.taken += 1
            return True
        self.skipped += 1
        self.example = self.example or path
        return False


@dataclass(frozen=True)
class _Finder:
    """One argument: what it looks for, and how."""

    what: str
    find: Callable[[_Found], Iterator[Source]] = field(default=lambda _: iter(()))
    missing: str = ""


def _search(finders: Sequence[_Finder], notice: Notice) -> Iterator[Source]:
    empty: list[str] = []
    for finder in finders:
        seen = _Found()
        yield from finder.find(seen)
        if seen.skipped:
            notice(f"{finder.what}: {seen.skipped} passed over for their names, such as {seen.example}")
        if not seen.taken:
            empty.append(finder.what + (f" ({seen.skipped} files there have other names)" if seen.skipped else ""))
    if empty or not finders:
        kinds = f"{', '.join(SUFFIXES)}, each also with {' or '.join(COMPRESSIONS)}"
        raise SourceError(
            f"Nothing to load. Looked for: {'; '.join(empty) or 'nothing was named'}. Names that count: {kinds}."
        )


def _finder(argument: str, stdin: BinaryIO, environment: Mapping[str, str]) -> _Finder:
    if argument == "-":
        return _Finder("standard input", lambda seen: _one(seen, Source("-", None, lambda: stdin)))
    scheme = urlsplit(argument).scheme if "://" in argument else ""
    if scheme in REMOTE_SCHEMES:
        return _remote_finder(argument, environment)
    if scheme and scheme != "file":
        return _Finder(
            argument, missing=f"{argument}: '{scheme}://' is not known; allowed are file, s3, gs and az URLs"
        )
    path = folder_of(argument)
    if path.is_dir():
        return _Finder(f"the folder {path}", lambda seen: _inside(FolderStore.at(str(path)), "", (), seen))
    if path.exists():
        return _Finder(f"the file {path}", lambda seen: _one(seen, _file_source(path)))
    if is_pattern(str(path)):
        base, pattern = split_pattern(path.as_posix())
        return _Finder(
            f"the pattern {path}", lambda seen: _glob(Path(base or ("/" if path.is_absolute() else ".")), pattern, seen)
        )
    return _Finder(argument, missing=f"{path} does not exist")


def _remote_finder(argument: str, environment: Mapping[str, str]) -> _Finder:
    head, _, rest = argument.partition("://")
    bucket, _, path = rest.partition("/")
    store = LogStore.open(f"{head}://{bucket}", environment)
    if is_pattern(path):
        base, pattern = split_pattern(path)
        return _Finder(argument, lambda seen: _inside(store, base, pattern, seen))
    if path and not path.endswith("/"):
        return _Finder(argument, lambda seen: _named_or_inside(store, path, seen))
    return _Finder(argument, lambda seen: _inside(store, path, (), seen))


def _one(seen: _Found, source: Source) -> Iterator[Source]:
    seen.taken += 1
    yield source


def _glob(base: Path, pattern: tuple[str, ...], seen: _Found) -> Iterator[Source]:
    if base.is_dir():
        yield from _inside(FolderStore.at(str(base)), "", pattern, seen)


def _named_or_inside(store: LogStore, path: str, seen: _Found) -> Iterator[Source]:
    found = store.find(path)
    if found is None:
        yield from _inside(store, path, (), seen)
    else:
        yield from _one(seen, _source(store, found))


def _inside(store: LogStore, prefix: str, pattern: tuple[str, ...], seen: _Found) -> Iterator[Source]:
    """The loadable objects below a prefix that match a pattern relative to it, small remote ones read ahead."""
    skip = len(prefix) + 1 if prefix else 0

    def enter(folder: str) -> bool:
        return not pattern or may_hold(pattern, folder[skip:].rstrip("/").split("/"))

    listed = store.walk(prefix, enter) if isinstance(store, FolderStore) else store.list(prefix)
    wanted = (found for found in listed if not pattern or matches(pattern, found.path[skip:].split("/")))
    yield from _read_ahead(store, (found for found in wanted if seen.takes(found.path)))


def _read_ahead(store: LogStore, objects: Iterable[StoredObject]) -> Iterator[Source]:
    """A source for each object; of a remote store, the content of the next small ones is fetched meanwhile."""
    if not store.remote:
        yield from (_source(store, found) for found in objects)
        return
    readers = ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="read-ahead")
    waiting: deque[Source] = deque()
    try:
        for found in objects:
            if found.size <= SMALL_BYTES:
                content = readers.submit(store.read, found.path)
                waiting.append(replace(_source(store, found), open=_Fetched(content, store, found)))
            else:
                waiting.append(_source(store, found))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft()
        yield from waiting
    finally:
        readers.shutdown(wait=False, cancel_futures=True)


class _Fetched:
    """Opens content that is being fetched; it is handed out once and not kept."""

    def __init__(self, content: Future[bytes], store: LogStore, found: StoredObject) -> None:
        self._content: Future[bytes] | None = content
        self._store, self._found = store, found

    def __call__(self) -> BinaryIO:
        content, self._content = self._content, None
        if content is not None:
            with contextlib.suppress(CancelledError):
                return io.BytesIO(content.result())
        return self._store.stream(self._found)


def _source(store: LogStore, found: StoredObject) -> Source:
    return Source(
        name=_printable(store.location(found.path)),
        size=found.size,
        open=lambda: store.stream(found),
        last_modified=found.last_modified,
        key=object_id(store, found),
    )


def _file_source(path: Path) -> Source:
    def open_file() -> BinaryIO:
        try:
            return path.open("rb")
        except OSError as error:
            raise SourceError(f"Cannot read {path}: {error.strerror or error}.") from error

    stat = path.stat()
    # A pipe or device has no size that means anything.
    size = stat.st_size if path.is_file() else None
    return Source(_printable(str(path)), size, open_file, datetime.fromtimestamp(stat.st_mtime, UTC))


def object_id(store: LogStore, found: StoredObject) -> str:
    """What names one content of one object in the books: another etag is another id."""
    named = f"{store.url}\n{found.path}\n{found.etag}"
    return sha256(named.encode("utf-8", "surrogateescape")).hexdigest()


def new_objects(
    store: LogStore,
    engine: Engine,
    prefixes: Sequence[str] = ("",),
    wanted: Callable[[StoredObject], bool] = lambda _: True,
) -> Iterator[Source]:
    """The loadable objects of a store that the books do not know, ordered by path; changed ones count as new.

    `prefixes` prunes the listing (`logstore.paths.window_prefixes`), `wanted` chooses among what was listed. Nothing
    is remembered: see `remember`. Raises: SourceError, WarehouseError.
    """
    listed = (found for prefix in prefixes for found in store.list(prefix) if is_loadable(found.path) and wanted(found))
    yield from _read_ahead(store, unknown(listed, store, engine))


def unknown(listed: Iterator[StoredObject], store: LogStore, engine: Engine) -> Iterator[StoredObject]:
    """Those of the listed objects that the books do not know, in their order. Raises: WarehouseError."""
    while chunk := list(islice(listed, _BOOKS_CHUNK)):
        ids = {object_id(store, found): found for found in chunk}
        times = [_to_ms(found.last_modified) for found in chunk]
        is_one = exp.In(this=column("id"), expressions=[text(id_) for id_ in ids])
        same_store = exp.EQ(this=column("store"), expression=text(store.url))
        books = exp.to_table(LOG_OBJECTS.name)
        tree = exp.select(column("id")).from_(books).where(exp.and_(same_store, is_one))
        known = set(engine.query(tree, Window(min(times), max(times))).column("id").to_pylist())
        yield from (found for id_, found in ids.items() if id_ not in known)


def remember(engine: Engine, store: LogStore, sources: Sequence[Source], batch_id: str | None = None) -> None:
    """Write into the books that these sources of `new_objects` are loaded; doing it again changes nothing.

    Call it once their records are durable, for example as the loader's `on_committed`.
    """
    schema = arrow_schema(LOG_OBJECTS)
    for start in range(0, len(sources), _BOOKS_CHUNK):
        part = sorted(sources[start : start + _BOOKS_CHUNK], key=lambda source: source.key)
        rows = [
            {
                "store": store.url,
                "created_at": _to_ms(source.last_modified).replace(tzinfo=None) if source.last_modified else None,
                "id": source.key,
                "path": store.path_of(source.name),
                "size": source.size,
                "batch_id": batch_id,
            }
            for source in part
        ]
        id_ = sha256("\n".join(source.key for source in part).encode()).hexdigest()
        engine.append(LOG_OBJECTS, pa.Table.from_pylist(rows, schema=schema), Batch(id=id_))


def _printable(name: str) -> str:
    """The name as text: a file name can be bytes that are no UTF-8, which no column takes."""
    return name.encode("utf-8", "replace").decode()


def _to_ms(instant: datetime) -> datetime:
    """The instant in UTC, to the millisecond, as both warehouses keep it."""
    utc = instant.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)

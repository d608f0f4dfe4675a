"""A log store in a local folder."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote

from warehouse.errors import ConfigurationError, InvalidInput, SourceError
from warehouse.logstore.store import LogStore, StoredObject

_FILES_AT_ONCE = 2000
_SYNCS_AT_ONCE = 16


class FolderStore(LogStore):
    """Files of a folder, hidden ones left out (an unfinished `put` is hidden)."""

    remote = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url = root.as_uri()

    @classmethod
    def at(cls, url: str) -> "FolderStore":
        """The store of an existing folder, a path or a `file://` URL. Raises: ConfigurationError, SourceError."""
        root = folder_of(url).absolute()
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "does not exist"
            raise SourceError(f"The log store folder {root} {what}.")
        return cls(root)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return self.walk(prefix, lambda _: True)

    def walk(self, prefix: str, enter: Callable[[str], bool]) -> Iterator[StoredObject]:
        """`list`, without the folders whose path (ending in a slash) `enter` refuses. Raises: SourceError."""
        path = prefix.strip("/")
        start = self._file(path) if path else self._root
        if not start.is_dir():
            return
        # Folders that are being listed, from the root down: what is left to visit of each, and which folder it is.
        open_folders = [(iter(_names(start)), f"{start}/", f"{path}/" if path else "", _identity(start))]
        while open_folders:
            names, folder, base, _ = open_folders[-1]
            name = next(names, None)
            if name is None:
                open_folders.pop()
                continue
            if name.endswith("/"):
                entry = Path(folder + name)
                # A link to a folder above would go round for ever.
                loops = entry.is_symlink() and _identity(entry) in {identity for *_, identity in open_folders}
                if not loops and enter(base + name):
                    open_folders.append((iter(_names(entry)), folder + name, base + name, _identity(entry)))
            else:
                # A file may go between the listing and the question; then it is not there.
                with contextlib.suppress(FileNotFoundError):
                    yield _stored(base + name, os.stat(folder + name))  # noqa: PTH116 - a Path for each of millions is slow

    def find(self, path: str) -> StoredObject | None:
        file = self._file(path)
        try:
            return _stored(path, file.stat()) if file.is_file() else None
        except OSError as error:
            raise _refused("read", file, error) from error

    def read(self, path: str) -> bytes:
        file = self._file(path)
        try:
            return file.read_bytes()
        except OSError as error:
            raise _refused("read", file, error) from error

    def stream(self, found: StoredObject) -> BinaryIO:
        file = self._file(found.path)
        try:
            return file.open("rb")
        except OSError as error:
            raise _refused("read", file, error) from error

    def put(self, path: str, data: bytes) -> None:
        file = self._file(path)
        unfinished = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")
        try:
            made = _make_folders(file.parent)
            with unfinished.open("xb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            unfinished.replace(file)
            for folder in (file.parent, *made):
                _sync(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise _refused("write", file, error) from error

    def put_new(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Many at a time: what takes the time is to bring each to the disk, and a disk does many of that together."""
        waiting = iter(objects)
        with ThreadPoolExecutor(_SYNCS_AT_ONCE, "log-store-sync") as pool:
            while some := tuple(islice(waiting, _FILES_AT_ONCE)):
                # Backwards, so that of two for one path the first stays.
                files = {str(self._file(path)): data for path, data in reversed(some)}
                try:
                    changed = self._folders_of(files)
                    shares = [tuple(islice(files.items(), n, None, _SYNCS_AT_ONCE)) for n in range(_SYNCS_AT_ONCE)]
                    for _ in pool.map(_put_some, shares):
                        pass
                    for _ in pool.map(_sync, changed):
                        pass
                except OSError as error:
                    raise _refused("write", self._root, error) from error

    def _folders_of(self, files: Iterable[str]) -> Sequence[Path]:
        """Make the folders that files go into; all whose content changes.

        Also those of files that lie there already: who put one may have died before it was sure to stay.
        """
        changed: dict[Path, None] = {}
        for folder in map(Path, dict.fromkeys(file.rpartition("/")[0] for file in files)):
            changed |= dict.fromkeys((*_make_folders(folder), folder))
        return tuple(changed)

    def location(self, path: str) -> str:
        return str(self._root / path)

    def path_of(self, location: str) -> str:
        return Path(location).relative_to(self._root).as_posix()

    def _file(self, path: str) -> Path:
        """The file of a path; never one outside the root. Raises: InvalidInput."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            raise InvalidInput(f"{path!r} is no path within a log store.")
        return self._root.joinpath(*parts)


def folder_of(url: str) -> Path:
    """The path that a folder name or `file://` URL means. Raises: ConfigurationError for a URL of another machine."""
    if not url.startswith("file://"):
        return Path(url).expanduser()
    # Not urlsplit: the `?` of a pattern is no query.
    host, _, path = url.removeprefix("file://").partition("/")
    if host not in ("", "localhost"):
        raise ConfigurationError(f"{url} names the host {host!r}; a file:// URL has three slashes: file:///folder.")
    return Path(f"/{unquote(path)}")


def _names(folder: Path) -> list[str]:
    """What is in a folder and not hidden, sorted; a folder's name ends in a slash, which sorts as an object store does.

    Only names are kept: a folder of format v1 can hold millions.
    """
    try:
        with os.scandir(folder) as found:
            names = [entry.name + "/" * entry.is_dir() for entry in found if entry.name[0] != "."]
    except OSError as error:
        raise _refused("list", folder, error) from error
    names.sort()
    return names


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _stored(path: str, stat: os.stat_result) -> StoredObject:
    etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
    return StoredObject(path, stat.st_size, etag, datetime.fromtimestamp(stat.st_mtime, UTC))


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and its missing parents; the folders whose content changed by it."""
    missing: list[Path] = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return [path.parent for path in missing]


def _put_some(files: Sequence[tuple[str, bytes]]) -> None:
    """Write files whole or not at all, where nothing is yet. Plain calls: a Path for each of thousands is slow."""
    for file, data in files:
        if os.path.exists(file):  # noqa: PTH110
            continue
        folder, _, name = file.rpartition("/")
        unfinished = f"{folder}/.{name}.{secrets.token_hex(8)}.tmp"
        try:
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(handle, view) :]
                os.fsync(handle)
            finally:
                os.close(handle)
            os.rename(unfinished, file)  # noqa: PTH104
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)  # noqa: PTH108
            raise


def _sync(path: Path) -> None:
    """Bring a file or the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(what: str, path: Path, error: OSError) -> SourceError:
    return SourceError(f"Cannot {what} {path}: {error.strerror or error}.")

"""A log store in a local folder."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from warehouse.errors import ConfigurationError, InvalidInput, SourceError
from warehouse.logstore.durable import finish, sync, write_unfinished
from warehouse.logstore.store import LogStore, StoredObject

_FILES_AT_ONCE = 2000


class FolderStore(LogStore):
    """Files of a folder, hidden ones left out (an unfinished `put` is hidden)."""

    remote = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self._base = f"{root}/".replace("//", "/")
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
            folders = (file.parent, *made)
            sync(folders, folders)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise _refused("write", file, error) from error

    def put_new(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Many at a time: what takes the time is to bring each to the disk, and all of them together take it once."""
        waiting = iter(objects)
        while some := tuple(islice(waiting, _FILES_AT_ONCE)):
            # Backwards, so that of two for one path the first stays.
            files = {self._file_name(path): data for path, data in reversed(some)}
            try:
                changed = self._folders_of(files)
                written = write_unfinished(files)
                sync(written, changed)
                finish(written)
                sync(changed, changed)
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
        return Path(self._file_name(path))

    def _file_name(self, path: str) -> str:
        """`_file` without a Path, which is slow for each of thousands. Raises: InvalidInput."""
        parts = path.split("/")
        if not parts[0] or ".." in parts or "\0" in path or all(part in ("", ".") for part in parts):
            raise InvalidInput(f"{path!r} is no path within a log store.")
        return f"{self._base}{path}"


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


def _refused(what: str, path: Path, error: OSError) -> SourceError:
    return SourceError(f"Cannot {what} {path}: {error.strerror or error}.")

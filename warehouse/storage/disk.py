"""What makes a file survive a power cut, and a lock that its holder's death releases."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def sync_file(path: Path) -> None:
    """Returns once the file's content is on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Returns once the folder's list of files is on disk."""
    sync_file(path)


def try_lock(path: Path) -> int | None:
    """A file descriptor that holds the lock of `path`, or None where another holds it. Closing it lets go."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


@contextmanager
def lease(path: Path) -> Generator[bool]:
    """True while this process alone holds `path`; False where another does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = try_lock(path)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)

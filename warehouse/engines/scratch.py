"""A folder for what a process needs only while it runs: what spills from memory, copies of a bucket's files.

Whoever makes one removes those of processes that were killed, which may have left gigabytes.
"""

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from warehouse.storage.disk import try_lock

_PREFIX = "gateledger-duckdb-"
_LOCK = "lock"


class Scratch:
    """A temporary folder of this process, until it is closed or let go of."""

    def __init__(self) -> None:
        _remove_abandoned(Path(tempfile.gettempdir()))
        self.path, lock = _made()
        self.close = weakref.finalize(self, _remove, self.path, lock)


def _made() -> tuple[Path, int]:
    """A new folder, and the lock that says that its maker lives."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = try_lock(path / _LOCK)
        if lock is not None:
            return path, lock
        # Another process found the lock in the instant before it was taken, and removes the folder.


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    for lock in folder.glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            handle = try_lock(lock)
        except OSError:
            continue  # another user's, or just removed
        if handle is not None:
            _remove(lock.parent, handle)

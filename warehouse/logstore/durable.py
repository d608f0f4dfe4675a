"""Many small files brought to the disk together, each whole or not at all.

A disk takes as long for one file as for thousands that are synced in one call; done file by file, that is most of what
a log object costs, and threads that wait for it keep others from running.
"""

import contextlib
import ctypes
import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import cast

_FEW = 32
"""So many are synced one by one: the whole file system may hold more that waits to be written."""
_SYNCFS = cast("Callable[[int], int] | None", getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None))


def write_unfinished(files: Mapping[str, bytes]) -> dict[str, str]:
    """Hidden files with the content of those that are not there yet → the names they get once they are on disk.

    The name of a hidden file tells its content: who tries again after a crash writes over it and leaves none behind.
    Raises: OSError.
    """
    written: dict[str, str] = {}
    for file, data in files.items():
        if os.path.exists(file):  # noqa: PTH110 - a Path for each of thousands is slow
            continue
        folder, _, name = file.rpartition("/")
        unfinished = f"{folder}/.{name}.{hashlib.blake2b(data, digest_size=8).hexdigest()}.tmp"
        try:
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(handle, view) :]
            finally:
                os.close(handle)
        except OSError:
            _forget((*written, unfinished))
            raise
        written[unfinished] = file
    return written


def finish(written: Mapping[str, str]) -> None:
    """Give unfinished files, which are on disk, their names. Raises: OSError."""
    for unfinished, file in written.items():
        try:
            os.rename(unfinished, file)  # noqa: PTH104
        except FileNotFoundError:
            # Another process put the same content there meanwhile.
            if not os.path.exists(file):  # noqa: PTH110
                raise


def sync(paths: Collection[str | Path], folders: Collection[Path]) -> None:
    """Returns once files, or the names in folders, are on disk; `folders` are where they lie. Raises: OSError."""
    if len(paths) > _FEW and _SYNCFS is not None:
        # One folder of each file system: a folder of a log store may be a mount of its own.
        for folder in {folder.stat().st_dev: folder for folder in folders}.values():
            _with_handle(folder, _sync_file_system)
    else:
        for path in paths:
            _with_handle(path, os.fsync)


def _sync_file_system(handle: int) -> None:
    if _SYNCFS is not None and _SYNCFS(handle) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _with_handle(path: str | Path, do: Callable[[int], None]) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        do(handle)
    finally:
        os.close(handle)


def _forget(paths: Collection[str]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108

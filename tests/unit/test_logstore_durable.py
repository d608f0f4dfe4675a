"""Many files are put whole or not at all, and what a crash left half done is finished by who tries again."""

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from warehouse.errors import SourceError
from warehouse.logstore import durable, folder
from warehouse.logstore.folder import FolderStore

MANY = [(f"30/org/{number % 7}/{number}.json", b"%d" % number) for number in range(100)]


def files(root: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden files too."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("count", [1, 32, 33, 100])
@pytest.mark.parametrize("together", [True, False])
def test_few_and_many_are_there(tmp_path: Path, count: int, together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a system call for a whole file system, and on systems that have none."""
    if not together:
        monkeypatch.setattr(durable, "_SYNCFS", None)
    FolderStore(tmp_path).put_new(MANY[:count])
    assert files(tmp_path) == dict(MANY[:count])


def test_every_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, int]] = []

    def told(name: str) -> None:
        original: Callable[..., object] = getattr(folder, name)

        def call(paths: object, *rest: object) -> object:
            result = original(paths, *rest)
            done.append((name, sum(not Path(path).name.startswith(".") for path in files(tmp_path))))
            return result

        monkeypatch.setattr(folder, name, call)

    for name in ("write_unfinished", "sync", "finish"):
        told(name)
    FolderStore(tmp_path).put_new(MANY)
    assert done == [("write_unfinished", 0), ("sync", 0), ("finish", 100), ("sync", 100)]


@pytest.mark.parametrize("kept", [0, 1, 50])
def test_who_tries_again_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """A process that died between the two, after some files had their names, and with one cut off in the middle."""
    store = FolderStore(tmp_path)

    def die(written: dict[str, str]) -> None:
        for unfinished, file in list(written.items())[:kept]:
            Path(unfinished).rename(file)
        Path(list(written)[-1]).write_bytes(b"")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folder, "finish", die)
        with pytest.raises(KeyboardInterrupt):
            store.put_new(MANY)
    assert len(list(store.list())) == kept
    store.put_new(MANY)
    assert files(tmp_path) == dict(MANY)


def test_two_that_put_the_same_are_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    wanted = {str(tmp_path / "a" / f"{number}.json"): b"%d" % number for number in range(40)}
    first, second = durable.write_unfinished(wanted), durable.write_unfinished(wanted)
    assert first == second
    durable.finish(first)
    durable.finish(second)
    assert files(tmp_path) == {f"a/{number}.json": b"%d" % number for number in range(40)}


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    monkeypatch.setattr(durable, "_SYNCFS", fail)
    with pytest.raises(SourceError, match="Input/output error"):
        FolderStore(tmp_path).put_new(MANY)
    assert list(FolderStore(tmp_path).list()) == []
    monkeypatch.undo()
    FolderStore(tmp_path).put_new(MANY)
    assert files(tmp_path) == dict(MANY)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, room = os.write, [60]

    def limited(handle: int, data: bytes) -> int:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", limited)
        with pytest.raises(SourceError, match="No space"):
            FolderStore(tmp_path).put_new(MANY)
    assert files(tmp_path) == {}

"""What a power loss can do to a log, and what is left of it after `recover`."""

import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from warehouse.storage.lake_delta import Added, DeltaLog
from warehouse.storage.lake_log import LAST_CHECKPOINT, LOG_FOLDER, checkpoint_name, entry_name, recover
from warehouse.storage.lake_names import new_file

NOW_MS = time.time_ns() // 1_000_000
SCHEMA = pa.schema([("organisation_id", pa.string()), ("created_at", pa.timestamp("us"))])


def add(log: DeltaLog, batch: str) -> str:
    file = new_file(date(2026, 3, 1), SCHEMA)
    log.commit([Added(file.path, "2026-03-01", 10, json.dumps({"numRecords": 1}), NOW_MS)], batch=batch)
    log.refresh()
    return file.path


@pytest.fixture
def table(tmp_path: Path) -> tuple[Path, list[str]]:
    """A log with 5 entries after the first and a checkpoint at version 3; its folder and its live files."""
    root = tmp_path / "table"
    log = DeltaLog(str(root), {})
    log.create(SCHEMA, ["organisation_id"], "A table.")
    files = [add(log, f"batch-{n}") for n in range(3)]
    log.checkpoint()
    files += [add(log, f"batch-{n}") for n in range(3, 5)]
    return root, files


def live(root: Path) -> list[str]:
    log = DeltaLog(str(root), {})
    assert log.open()
    return [file.path for file in log.live()]


def cut_at(fraction: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * fraction)]


def without_last_line(content: bytes) -> bytes:
    return b"\n".join(content.rstrip(b"\n").split(b"\n")[:-1])


TEARS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": cut_at(0.5),
    "almost whole": cut_at(0.98),
    "zeros": lambda content: bytes(len(content)),
    "zeros behind a half": lambda content: content[: len(content) // 2] + bytes(len(content) // 2),
    "cut at a line": without_last_line,
}


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_last_entry_is_taken_away(table: tuple[Path, list[str]], tear: str) -> None:
    root, files = table
    last = root / LOG_FOLDER / entry_name(5)
    last.write_bytes(TEARS[tear](last.read_bytes()))
    assert recover(root / LOG_FOLDER) == [f"removed torn {last.name} from the log of table"]
    assert sorted(live(root)) == sorted(files[:4])
    log = DeltaLog(str(root), {})
    log.open()
    assert (log.version, log.committed("batch-3"), log.committed("batch-4")) == (4, True, False)
    again = add(log, "batch-4")
    assert sorted(live(root)) == sorted([*files[:4], again])


@pytest.mark.parametrize("tear", ["empty", "half", "zeros"])
def test_a_torn_checkpoint_is_taken_away(table: tuple[Path, list[str]], tear: str) -> None:
    root, files = table
    checkpoint = root / LOG_FOLDER / checkpoint_name(3)
    checkpoint.write_bytes(TEARS[tear](checkpoint.read_bytes()))
    assert len(recover(root / LOG_FOLDER)) == 2
    assert not (root / LOG_FOLDER / LAST_CHECKPOINT).exists()
    assert sorted(live(root)) == sorted(files)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"version":9,"size":3}'], ids=["empty", "torn", "names a missing one"]
)
def test_a_wrong_pointer_to_the_checkpoint_is_taken_away(table: tuple[Path, list[str]], content: bytes) -> None:
    root, files = table
    (root / LOG_FOLDER / LAST_CHECKPOINT).write_bytes(content)
    recover(root / LOG_FOLDER)
    assert not (root / LOG_FOLDER / LAST_CHECKPOINT).exists()
    assert sorted(live(root)) == sorted(files)


def test_staging_files_go_and_a_whole_log_stays(table: tuple[Path, list[str]]) -> None:
    root, files = table
    staging = root / LOG_FOLDER / f"{entry_name(6)}#1"
    staging.write_bytes(b"half a commit")
    names = sorted(path.name for path in (root / LOG_FOLDER).iterdir() if path != staging)
    recover(root / LOG_FOLDER)
    assert sorted(path.name for path in (root / LOG_FOLDER).iterdir()) == names
    assert recover(root / LOG_FOLDER) == []
    assert sorted(live(root)) == sorted(files)


def test_the_torn_first_entry_leaves_no_table(tmp_path: Path) -> None:
    root = tmp_path / "table"
    log = DeltaLog(str(root), {})
    log.create(SCHEMA, ["organisation_id"], "A table.")
    first = root / LOG_FOLDER / entry_name(0)
    first.write_bytes(first.read_bytes()[:40])
    recover(root / LOG_FOLDER)
    again = DeltaLog(str(root), {})
    assert not again.open()
    again.create(SCHEMA, ["organisation_id"], "A table.")
    assert live(root) == []
    assert recover(tmp_path / "nowhere") == []

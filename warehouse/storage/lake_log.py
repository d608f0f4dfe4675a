"""A table's log on a local disk: taking away what a power loss tore, and making entries durable.

delta-rs syncs nothing: after a power loss the last entry may be half there or empty (which it takes for a commit of
nothing), and a torn checkpoint stops every open although all entries are there.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.storage.disk import sync_folder

LOG_FOLDER = "_delta_log"
LAST_CHECKPOINT = "_last_checkpoint"
ACTIONS = "gateledger.actions"
"""Key in an entry's info: how many lines the entry has beside it, so that a torn one can be told."""


def recover(folder: Path) -> list[str]:
    """What was taken away from the log in `folder` so that the table opens; call it under the table's lock."""
    if not folder.is_dir():
        return []
    names = sorted(entry.name for entry in os.scandir(folder))
    removed = [name for name in names if "#" in name]
    removed += _torn_checkpoints(folder, names)
    entries = [name for name in names if _entry_version(name) is not None]
    if entries and not _is_whole(folder / entries[-1]):
        removed.append(entries[-1])
    for name in removed:
        (folder / name).unlink(missing_ok=True)
    if removed:
        sync_folder(folder)
    return [f"removed torn {name} from the log of {folder.parent.name}" for name in removed]


def newest_entry(folder: Path) -> int:
    """The version of the newest entry; -1 when there is none."""
    versions = (_entry_version(entry.name) for entry in os.scandir(folder))
    return max((version for version in versions if version is not None), default=-1)


def entry_name(version: int) -> str:
    return f"{version:020}.json"


def checkpoint_name(version: int) -> str:
    return f"{version:020}.checkpoint.parquet"


def last_checkpoint(folder: Path) -> int:
    """The version that the log says its last checkpoint has; -1 when it says none."""
    try:
        said = cast(dict[str, Any], json.loads((folder / LAST_CHECKPOINT).read_bytes()))
        return int(said["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return -1


def _entry_version(name: str) -> int | None:
    stem, dot, ending = name.partition(".")
    return int(stem) if dot and ending == "json" and len(stem) == 20 and stem.isdecimal() else None


def _torn_checkpoints(folder: Path, names: Iterable[str]) -> list[str]:
    checkpoints = [name for name in names if name.endswith(".checkpoint.parquet")]
    said = last_checkpoint(folder)
    # Only the newest can be torn: each is synced before the next commit.
    torn = [name for name in checkpoints[-1:] if not _is_parquet(folder / name)]
    if (folder / LAST_CHECKPOINT).exists():
        named = checkpoint_name(said)
        if said < 0 or named in torn or not _is_parquet(folder / named):
            torn.append(LAST_CHECKPOINT)
    return torn


def _is_parquet(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _is_whole(path: Path) -> bool:
    content = path.read_bytes()
    try:
        actions = [cast(dict[str, Any], json.loads(line)) for line in content.split(b"\n") if line]
    except ValueError:
        return False
    if not actions:
        return False
    info = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    promised = info.get(ACTIONS)
    return promised is None or len(actions) == int(promised) + 1

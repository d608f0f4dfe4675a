"""Deletion of data files that no version names any more, after a grace longer than any query or write.

A file may be unreferenced because it is new (a writer commits it in a moment), because a compaction replaced it (a
query may still read it) or because its writer died. So it goes only when two sweeps a grace apart have seen it so.
"""

import json
from datetime import UTC, datetime, timedelta

from warehouse.storage.lake import LakeTable

GRACE = timedelta(hours=1)


def sweep(table: LakeTable, now: datetime, grace: timedelta = GRACE) -> list[str]:
    """Delete what has been unreferenced for the grace. Says how many files went."""
    note = f"{table.name}.unreferenced.json"
    with table.locked_live() as live:
        found = table.store.unreferenced(table.name, live)
        seen = _first_seen(table.store.read_note(note))
        first_seen = {path: min(seen.get(path, now), now) for path in found}
        due = [path for path, since in first_seen.items() if now - since >= grace]
        table.store.delete(table.name, due)
        kept = {path: since.isoformat() for path, since in first_seen.items() if path not in set(due)}
        if kept or seen:
            table.store.write_note(note, json.dumps(kept).encode())
    return [f"deleted {len(due)} unreferenced files of {table.name}"] if due else []


def _first_seen(note: bytes | None) -> dict[str, datetime]:
    try:
        stored = json.loads(note) if note else {}
        return {str(path): datetime.fromisoformat(since).astimezone(UTC) for path, since in stored.items()}
    except (ValueError, AttributeError, TypeError):
        return {}  # a torn note only makes files wait once more

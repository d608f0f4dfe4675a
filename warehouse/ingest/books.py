"""The books: an entry per batch, right also when the process that loaded it was killed.

A batch is stored by one commit and booked by another, so a kill can fall between the two. Three rules close the gap:
an intent is on disk before the batch is stored; the entry of a batch that stored rows has an id and an instant that
follow from the batch alone, so whoever writes it writes the same entry once; and the next load settles the intents of
dead ones by counting the batch's rows.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import polars as pl
from sqlglot import exp

from warehouse.catalog.functions import call, column, text
from warehouse.catalog.operations import BATCHES
from warehouse.catalog.registry import dataset
from warehouse.engines.base import Batch, Engine, Window
from warehouse.ingest.batching import to_arrow
from warehouse.storage.disk import sync_folder, try_lock

_SUFFIX = ".open.ndjson"


@dataclass(frozen=True, slots=True)
class Intent:
    """A batch about to be stored: all that its entry needs, but for what becomes of its rows."""

    batch_id: str
    load_id: str
    dataset: str
    organisation_id: str
    ingest_source: str
    accepted: int
    rejected: int
    day_min: str
    day_max: str
    at: str
    """When the load began; `ingested_at` of the rows."""

    @property
    def window(self) -> Window:
        """The instants of the batch's rows."""
        return Window(_utc(self.day_min), _utc(self.day_max) + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the books."""

    intent: Intent
    id: str
    at: datetime
    received: int
    stored: int
    duplicates: int
    rejected: int
    unpriced: int


def _utc(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def _hash(*parts: str) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def committed(intent: Intent, stored: int, rejected: int, unpriced: int, at: datetime) -> Entry:
    """The entry of the commit that stored a batch; the same from whoever makes it."""
    received = intent.accepted + intent.rejected
    name = _hash("commit", intent.dataset, intent.batch_id)
    return Entry(intent, name, at, received, stored, received - stored - rejected, rejected, unpriced)


def attempted(intent: Intent, number: int, rejected: int) -> Entry:
    """The entry of an attempt that stored nothing."""
    received = intent.accepted + intent.rejected
    name = _hash("attempt", intent.load_id, str(number))
    return Entry(intent, name, _utc(intent.at), received, 0, received - rejected, rejected, 0)


def refused(intent: Intent) -> Entry:
    """The entry of an attempt's rejects alone, where another load has booked the rows."""
    name = _hash("rejects", intent.load_id, intent.batch_id)
    return Entry(intent, name, _utc(intent.at), intent.rejected, 0, 0, intent.rejected, 0)


class Books:
    """Entries in the dataset `batches`, and the intents of this load in a journal beside the quarantine."""

    def __init__(self, engine: Engine, folder: Path, load_id: str) -> None:
        self._engine, self._folder, self._load_id = engine, folder, load_id
        self._pending: list[Entry] = []
        self._journal: IO[bytes] | None = None
        self._path = folder / f"{load_id}{_SUFFIX}"

    def intend(self, intent: Intent) -> None:
        """Returns once the intent is on disk."""
        if self._journal is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = try_lock(self._path)
            if handle is None:
                raise RuntimeError(f"two loads have the id {self._load_id}")
            self._journal = os.fdopen(handle, "ab", buffering=0)
            sync_folder(self._folder)
        self._journal.write(json.dumps(asdict(intent)).encode() + b"\n")
        os.fsync(self._journal.fileno())

    def book(self, entry: Entry) -> None:
        """Keep an entry for the next `write`."""
        self._pending.append(entry)

    def write(self, *, is_clean: bool = True) -> None:
        """Returns once all entries are in the warehouse; the intents go when every batch is known to be booked."""
        if self._pending:
            append_entries(self._engine, self._pending)
            self._book_rejects_of_lost_races()
            self._pending = []
        if self._journal is not None and is_clean:
            self._journal.truncate(0)

    def close(self) -> None:
        """Drop the journal when nothing is open in it."""
        if self._journal is not None:
            if not self._pending and self._path.stat().st_size == 0:
                self._path.unlink()
            self._journal.close()
            self._journal = None

    def _book_rejects_of_lost_races(self) -> None:
        """Another load may have stored and booked the same batch at the same time, without our rejects."""
        mine = [entry for entry in self._pending if entry.stored and entry.rejected]
        if not mine:
            return
        theirs = {
            row["id"]
            for row in find_entries(self._engine, [entry.id for entry in mine], mine[0].at)
            if row["load_id"] != self._load_id
        }
        lost = [refused(entry.intent) for entry in mine if entry.id in theirs]
        if lost:
            append_entries(self._engine, lost)


def append_entries(engine: Engine, entries: Sequence[Entry]) -> None:
    """Returns once the entries are durable; one that is there already stays as it is."""
    rows = [
        {
            "organisation_id": entry.intent.organisation_id,
            "created_at": entry.at.astimezone(UTC).replace(tzinfo=None),
            "id": entry.id,
            "batch_id": entry.intent.batch_id,
            "load_id": entry.intent.load_id,
            "dataset": entry.intent.dataset,
            "ingest_source": entry.intent.ingest_source,
            "received": entry.received,
            "stored": entry.stored,
            "duplicates": entry.duplicates,
            "rejected": entry.rejected,
            "unpriced": entry.unpriced,
            "day_min": datetime.fromisoformat(entry.intent.day_min),
            "day_max": datetime.fromisoformat(entry.intent.day_max),
        }
        for entry in entries
    ]
    names = _hash("entries", *(entry.id for entry in entries))
    engine.append(BATCHES, to_arrow(pl.DataFrame(rows), BATCHES), Batch(names))


def find_entries(engine: Engine, ids: Sequence[str], at: datetime) -> list[dict[str, Any]]:
    """(id, load_id) of the entries with these ids that were made at `at`."""
    tree = (
        exp.select(column("id"), column("load_id"))
        .from_(BATCHES.name)
        .where(exp.In(this=column("id"), expressions=[text(one) for one in ids]))
    )
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return engine.query(tree, Window(day, day + timedelta(days=1))).to_pylist()


@dataclass(frozen=True, slots=True)
class Count:
    """What the warehouse holds of a batch."""

    stored: int
    unpriced: int
    at: datetime | None


def count_batch(engine: Engine, intent: Intent) -> Count:
    """The rows that a batch stored, counted."""
    of = dataset(intent.dataset)
    has_cost, has_time = of.has_column("cost"), of.has_column("ingested_at")
    missing = exp.Is(this=column("cost"), expression=exp.Null())
    tree = (
        exp.select(
            call("GL_COUNT").as_("stored"),
            (call("GL_COUNT_IF", missing) if has_cost else exp.Literal.number(0)).as_("unpriced"),
            call("GL_MAX", "ingested_at" if has_time else "created_at").as_("at"),
        )
        .from_(of.name)
        .where(exp.EQ(this=column("batch_id"), expression=text(intent.batch_id)))
    )
    row = engine.query(tree, intent.window).to_pylist()[0]
    return Count(int(row["stored"]), int(row["unpriced"]), row["at"] if has_time else _utc(intent.at))


def settle(engine: Engine, folder: Path) -> int:
    """Book what dead loads stored but did not book; says how many entries were written."""
    written = 0
    for path in sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else ():
        handle = try_lock(path)
        if handle is None:
            continue
        try:
            entries = [entry for intent in _intents(path) if (entry := recovered(engine, intent)) is not None]
            if entries:
                append_entries(engine, entries)
            written += len(entries)
            path.unlink(missing_ok=True)
        finally:
            os.close(handle)
    return written


def recovered(engine: Engine, intent: Intent) -> Entry | None:
    """The entry of a batch by what the warehouse holds of it; None where it holds nothing."""
    count = count_batch(engine, intent)
    if not count.stored or count.at is None:
        return None
    return committed(intent, count.stored, intent.rejected, count.unpriced, count.at)


def _intents(path: Path) -> Iterator[Intent]:
    """The intents of a journal; a torn last line was never acted upon."""
    for line in path.read_bytes().split(b"\n"):
        try:
            yield Intent(**json.loads(line))
        except (ValueError, TypeError):
            continue

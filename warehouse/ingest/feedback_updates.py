"""Changes of stored feedbacks: from segments of their own spool into the warehouse, each made once.

An update sets columns of a row in place, under the instant of the update as the row's revision. A row that bears that
revision, or a later one, is left alone, so that a repeat after a crash changes nothing. An update whose feedback is
still on its way stays in the spool until the feedback has come.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import orjson
import pyarrow as pa
from sqlglot import exp

from warehouse.catalog.feedbacks import FEEDBACKS
from warehouse.catalog.functions import column
from warehouse.engines.base import EXPECTED, Batch, Engine, Window, scan
from warehouse.ingest.fields import METADATA_KEY, METADATA_VALUE, PROMOTED, metadata_lists
from warehouse.ingest.load import LoadOptions, LoadReport, Progress
from warehouse.ingest.own_records import own_records
from warehouse.ingest.quarantine import Quarantine
from warehouse.ingest.records import BadRecord, Original, Reject
from warehouse.ingest.source import Source
from warehouse.query.conditions import is_one_of, within_windows
from warehouse.storage.tables import arrow_schema

KIND = "feedbacks"
"""What the spool of updates calls its records: they have the ids of feedbacks."""
LONGEST_WAIT = timedelta(hours=1)
"""An update waits so long for its feedback; then it goes to quarantine."""

_SCHEMA = arrow_schema(FEEDBACKS)
_MILLISECOND = timedelta(milliseconds=1)
_PROMOTED = tuple(name for name in PROMOTED if FEEDBACKS.has_column(name))
_SET = ("value", "weight", "weighted", METADATA_KEY, METADATA_VALUE, *_PROMOTED)
_CHANGES = pa.schema(
    [
        *(_SCHEMA.field(name) for name in ("id", "created_at", "last_updated_at", *_SET)),
        pa.field(EXPECTED, pa.timestamp("us")),
    ]
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FeedbackUpdate:
    """What an update sets of a feedback; None leaves what is there."""

    id: str
    created_at: datetime
    """Of the feedback: where it lies."""
    updated_at: datetime
    value: int
    weight: float | None = None
    metadata: Mapping[str, object] | None = None

    def as_record(self) -> bytes:
        """What the spool keeps of it. Raises: TypeError for text that is no Unicode."""
        return orjson.dumps(
            {
                "id": self.id,
                "created_at": self.created_at.isoformat(),
                "updated_at": self.updated_at.isoformat(),
                "value": self.value,
                "weight": self.weight,
                "metadata": self.metadata,
            }
        )


class FeedbackUpdater:
    """Applies segments of updates; what is no update goes to quarantine, and never stops the rest."""

    def __init__(self, engine: Engine, quarantine: Path) -> None:
        self._engine, self._folder = engine, quarantine

    def load(
        self,
        sources: Iterable[Source],
        options: LoadOptions,
        now: datetime,
        on_progress: Callable[[Progress], None] | None = None,  # noqa: ARG002 - segments are small
        on_committed: Callable[[Sequence[Source]], None] | None = None,
    ) -> LoadReport:
        """Make every change of the segments; `stored` counts the feedbacks that changed. Raises: WarehouseError."""
        began = time.perf_counter()
        segments = list(sources)
        read = [(segment, *own_records(segment, options.format, _update)) for segment in segments]
        updates = sorted((each for _, found, _ in read for each in found), key=lambda each: each.updated_at)
        present = self._present(updates)
        changed = self._change(updates, present)
        rejects: list[Reject] = []
        done: list[Source] = []
        for segment, found, bad in read:
            missing = [each for each in found if each.id not in present]
            late = [each for each in missing if now - each.updated_at >= LONGEST_WAIT]
            rejects += [*bad, *(_late(each, segment, options.format) for each in late)]
            if len(late) == len(missing):
                done.append(segment)
        where = self._quarantined(rejects, now)
        if on_committed is not None and done:
            on_committed(done)
        received = len(updates) + sum(len(bad) for _, _, bad in read)
        return LoadReport(
            received=received,
            stored=changed,
            duplicates=received - changed - len(rejects),
            rejected=len(rejects),
            unpriced=0,
            batches=bool(changed),
            seconds=time.perf_counter() - began,
            reasons={reject.reason: 1 for reject in rejects},
            quarantine=where,
        )

    def _present(self, updates: Sequence[FeedbackUpdate]) -> dict[str, Row]:
        """The stored rows of the feedbacks that are updated, by id."""
        if not updates:
            return {}
        times = [each.created_at for each in updates]
        # A row is stored to the millisecond.
        window = Window(min(times) - _MILLISECOND, max(times) + _MILLISECOND)
        wanted = dict.fromkeys(each.id for each in updates)
        tree = _selected(window).where(within_windows("created_at", [window]), is_one_of("id", wanted))
        return {row["id"]: row for row in self._engine.query(tree, window).to_pylist()}

    def _change(self, updates: Sequence[FeedbackUpdate], present: Mapping[str, Row]) -> int:
        changes: dict[str, Row] = {}
        for update in updates:
            stored = present.get(update.id)
            if stored is None:
                continue
            row = changes.get(update.id) or {**stored, EXPECTED: stored["last_updated_at"]}
            changes[update.id] = _applied(row, update)
        rows = [row for row in changes.values() if row["last_updated_at"] != row[EXPECTED]]
        if not rows:
            return 0
        table = pa.Table.from_pylist([_naive(row) for row in rows], schema=_CHANGES)
        return self._engine.rewrite(FEEDBACKS, table, Batch(_name_of(rows)))

    def _quarantined(self, rejects: Sequence[Reject], now: datetime) -> Path | None:
        quarantine = Quarantine(self._folder, f"feedback-updates-{now:%f}", now)
        try:
            quarantine.put(rejects)
            return quarantine.path
        finally:
            quarantine.close()


def _selected(window: Window) -> exp.Select:
    """The columns that an update reads."""
    names = ("id", "created_at", "last_updated_at", *_SET)
    columns = [exp.alias_(column(name), name, quoted=True) for name in names]
    return exp.select(*columns, copy=False).from_(scan(FEEDBACKS.name, window), copy=False)


def _applied(row: Row, update: FeedbackUpdate) -> Row:
    """The row with an update; the row itself where it bears the update, or a later one, already."""
    revision: datetime | None = row["last_updated_at"]
    if revision is not None and update.updated_at < revision:
        return row
    changed = {**row, "value": update.value}
    if update.weight is not None:
        changed["weight"] = update.weight
    if update.metadata is not None:
        keys, values = metadata_lists(update.metadata)
        known = dict(zip(reversed(keys), reversed(values), strict=True))
        changed |= {METADATA_KEY: keys, METADATA_VALUE: values}
        changed |= {name: known.get(name) if known.get(name, "").strip() else None for name in _PROMOTED}
    changed["weighted"] = changed["value"] * changed["weight"]
    if all(changed[name] == row[name] for name in _SET) and revision == update.updated_at:
        return row
    # Two updates of one millisecond: the later one still gets a revision of its own.
    is_taken = revision == update.updated_at
    changed["last_updated_at"] = update.updated_at + _MILLISECOND if is_taken else update.updated_at
    return changed


def _naive(row: Row) -> Row:
    times = ("created_at", "last_updated_at", EXPECTED)
    return {**row, **{name: row[name].astimezone(UTC).replace(tzinfo=None) if row[name] else None for name in times}}


def _name_of(rows: Sequence[Row]) -> str:
    """What names a batch of changes: the rows and the revisions they get."""
    named = sorted(f"{row['id']} {row['last_updated_at'].isoformat()}" for row in rows)
    return hashlib.blake2b("\n".join(("feedback updates", *named)).encode(), digest_size=16).hexdigest()


def _update(record: bytes) -> FeedbackUpdate:
    """Raises: BadRecord."""
    try:
        told = cast("Mapping[str, Any]", orjson.loads(record))
        created_at, updated_at = (datetime.fromisoformat(str(told[name])) for name in ("created_at", "updated_at"))
        weight = told["weight"]
        return FeedbackUpdate(
            id=str(told["id"]),
            created_at=created_at,
            updated_at=updated_at,
            value=int(told["value"]),
            weight=None if weight is None else float(weight),
            metadata=told["metadata"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadRecord("not an update of a feedback", str(error)) from None


def _late(update: FeedbackUpdate, segment: Source, form: str) -> Reject:
    original = Original(0, None, update.as_record())
    return Reject("the feedback never came", update.id, segment.name, original, form)

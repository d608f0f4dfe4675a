"""Audit records: from segments of their spool into the dataset `audit_logs`, and out of it when their time is over.

They are written by gateledger itself, whole and typed, so they need neither prices nor owners and take a short way:
one append per segment, named by the ids in it, so that a repeat after a crash stores nothing twice.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import orjson
import pyarrow as pa

from warehouse.catalog.audit_logs import AUDIT_LOGS
from warehouse.catalog.model import Kind
from warehouse.engines.base import Appended, Batch, Engine
from warehouse.ingest.load import LoadOptions, LoadReport, Progress
from warehouse.ingest.own_records import own_records
from warehouse.ingest.quarantine import Quarantine
from warehouse.ingest.records import BadRecord, Reject
from warehouse.ingest.source import Source
from warehouse.storage.tables import arrow_schema

_SCHEMA = arrow_schema(AUDIT_LOGS)
_NUMBERS = frozenset(column.name for column in AUDIT_LOGS.columns if column.kind is Kind.INTEGER)
_REQUIRED = ("id", "organisation_id")

Row = dict[str, object]


class AuditLoader:
    """Loads segments of the audit spool. What cannot be a row goes to quarantine, and never stops the rest."""

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
        """Store every record of the segments; see `Loader.load`. Raises: WarehouseError, OSError."""
        began = time.perf_counter()
        quarantine = Quarantine(self._folder, f"audit-{now:%f}", now)
        received = stored = batches = 0
        rejects: list[Reject] = []
        try:
            for source in sources:
                rows, bad = own_records(source, options.format, _row)
                quarantine.put(bad)
                stored += self._append(rows).stored
                rejects += bad
                received += len(rows) + len(bad)
                batches += bool(rows)
                if on_committed is not None:
                    on_committed([source])
        finally:
            quarantine.close()
        return LoadReport(
            received=received,
            stored=stored,
            duplicates=received - stored - len(rejects),
            rejected=len(rejects),
            unpriced=0,
            batches=batches,
            seconds=time.perf_counter() - began,
            reasons={reject.reason: 1 for reject in rejects},
            quarantine=quarantine.path,
        )

    def _append(self, rows: Sequence[Row]) -> Appended:
        if not rows:
            return Appended(0, 0)
        names = hashlib.blake2b("\n".join(str(row["id"]) for row in rows).encode(), digest_size=16).hexdigest()
        return self._engine.append(AUDIT_LOGS, pa.Table.from_pylist(rows, schema=_SCHEMA), Batch(names))


def forget_old(engine: Engine, now: datetime, retention_days: int | None) -> list[str]:
    """Delete the audit records of whole UTC days older than the retention; None keeps them for ever. Says what went."""
    if retention_days is None:
        return []
    before = (now.astimezone(UTC) - timedelta(days=retention_days)).date()
    gone = engine.forget(AUDIT_LOGS, before)
    return [f"deleted {gone} audit records from before {before}"] if gone else []


def _row(data: bytes) -> Row:
    """A row of the dataset from a record that `api` wrote. Raises: BadRecord."""
    try:
        told = orjson.loads(data)
        if not isinstance(told, dict):
            raise BadRecord("not an audit record", f"it is a {type(told).__name__}")
        record = cast("Mapping[str, object]", told)
        row: Row = {name: _value(name, record.get(name)) for name in _SCHEMA.names}
        at = datetime.fromisoformat(str(record["timestamp"])).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, KeyError) as error:
        raise BadRecord("not an audit record", str(error)) from None
    for name in _REQUIRED:
        if not row[name]:
            raise BadRecord("not an audit record", f"{name} is missing")
    row["timestamp"] = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return row


def _value(name: str, value: object) -> object:
    if value is None or name == "timestamp":
        return None
    if name in _NUMBERS:
        return value if isinstance(value, int) else None
    return value if isinstance(value, str) else str(value)

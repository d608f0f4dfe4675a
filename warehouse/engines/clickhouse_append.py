"""Storing rows exactly once, without transactions.

A batch's rows go to a temporary table of a session of their own; one statement then moves those whose id is not
stored into the table. That statement always runs under the same query id, and a server runs one query of a user and
id at a time: so between looking and storing no other loader can step in, be it on another machine or killed long
ago with its statement still running (a server does not stop a write when its caller goes). A statement that dies
half-way has stored whole partitions of the batch; the replay finds them and stores the rest.

What holds where: on one server that every loader enters as the same user, by the above. Behind a load balancer or on
several replicas a query id excludes nobody on the other servers, so write through one of them (a URL that names it,
a pool of one for loads); there an insert token still stops the same batch from landing twice. In chDB one process
owns the folder and a lock does it.

Source: ClickHouse's pages on the HTTP interface (`query_id`, lost connections) and on `replace_running_query`.
"""

import hashlib
import time
from threading import Lock
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from warehouse.catalog.model import Dataset
from warehouse.engines import clickhouse_statements as statements
from warehouse.engines.base import Appended, Batch
from warehouse.engines.clickhouse_address import AlreadyRunning
from warehouse.engines.clickhouse_arrow import first_rows, judge
from warehouse.engines.clickhouse_wire import Parameters, Wire, clean_up
from warehouse.errors import WarehouseBusy
from warehouse.storage import ddl
from warehouse.storage.tables import check_keys, conform

WAIT_S = 120.0
"""How long a loader waits for another one's statement."""
_SESSION_S = 600
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.2

_locks: dict[str, Lock] = {}
_guard = Lock()


def write_lock(place: str) -> Lock:
    """The one lock of this process for storing rows at an address; it spares the server refusals, and guards chDB."""
    with _guard:
        return _locks.setdefault(place, Lock())


def append(wire: Wire, dataset: Dataset, rows: pa.Table, batch: Batch) -> Appended:
    """What became of the rows; see `Engine.append`. Raises: InvalidInput, WarehouseBusy, WarehouseError."""
    rows = conform(dataset, rows)
    check_keys(dataset, rows)
    if not rows.num_rows:
        return Appended(0, 0)
    session = {"session_id": str(uuid4()), "session_timeout": _SESSION_S}
    leftover = exp.Drop(tables=[ddl.table(statements.INCOMING)], kind="TABLE", exists=True, temporary=True)
    wire.run(leftover, session)
    wire.run(ddl.create_incoming(dataset, statements.INCOMING), session)
    try:
        wire.upload(dataset, statements.INCOMING, first_rows(dataset, rows), session)
        return _store(wire, dataset, rows, batch, session)
    finally:
        clean_up(wire, [leftover], session)


def _store(wire: Wire, dataset: Dataset, rows: pa.Table, batch: Batch, session: Parameters) -> Appended:
    days = sorted(set(pc.cast(rows.column(dataset.time_column), pa.date32()).to_pylist()))
    known = wire.ask(statements.known_rows(dataset, days, wire.topology), parameters=session)
    verdict = judge(dataset, rows, known)
    if not verdict.new.num_rows:
        before = "batch_id" in known.column_names and batch.id in known.column("batch_id").to_pylist()
        return Appended(0, verdict.duplicates, verdict.conflicts, replayed=before)
    ids = "\n".join(sorted(verdict.new.column(str(dataset.id_column)).to_pylist()))
    token = hashlib.sha256(f"{batch.id}\n{ids}".encode()).hexdigest()
    name = f"gateledger-append-{wire.address.database}-{dataset.name}"
    written = _alone(
        wire, statements.store_incoming(dataset, days, wire.topology, token), {**session, "query_id": name}
    )
    if written is None or written >= verdict.new.num_rows:
        # chDB does not count (and nobody else can write there); a Distributed table counts a row twice.
        return Appended(verdict.new.num_rows, verdict.duplicates, verdict.conflicts)
    # Another loader stored some of the ids after we looked; what is known now says which were in conflict.
    known = wire.ask(statements.known_rows(dataset, days, wire.topology), parameters=session)
    conflicts = judge(dataset, rows, known).conflicts
    return Appended(written, rows.num_rows - written - len(conflicts), conflicts)


def _alone(wire: Wire, statement: exp.Expr, parameters: Parameters) -> int | None:
    """Runs a statement as soon as no other one of its query id runs; how many rows it wrote, if known."""
    deadline, pause_s = time.monotonic() + WAIT_S, _FIRST_PAUSE_S
    while True:
        try:
            return wire.run(statement, {**parameters, "wait_end_of_query": 1, "replace_running_query": 0})
        except AlreadyRunning:
            if time.monotonic() > deadline:
                raise WarehouseBusy(retry_after_s=10) from None
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

"""A ClickHouse server, or chDB in this process, through clickhouse-connect.

Exactly once without transactions. A batch's rows go to a temporary table of a session of their own; one statement
then moves those whose id is not stored into the table. That statement always runs under the same query id, and a
server runs one query of an id at a time: so between looking and storing no other loader can step in, be it on
another machine or killed long ago with its statement still running. A statement that dies half-way has stored
whole partitions of the batch; the replay finds them and stores the rest.

What holds where: on one server, by the above. Behind a load balancer or on several replicas a query id excludes
nobody on the other servers, so write through one of them (a URL that names it; a pool of one for loads); there the
insert token still stops the same batch from landing twice. In chDB one process owns the folder and a lock does it.
"""

import hashlib
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from queue import Empty, LifoQueue
from threading import Lock
from typing import Any
from uuid import uuid4

import clickhouse_connect
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.summary import QuerySummary
from sqlglot import exp

from warehouse.catalog.model import Dataset
from warehouse.engines import clickhouse_statements as statements
from warehouse.engines.base import Appended, Batch, Engine, Limits, Problem, Window
from warehouse.engines.clickhouse_address import Address, translate
from warehouse.engines.clickhouse_arrow import first_rows, from_stream, judge, to_rows, to_stream
from warehouse.engines.clickhouse_spelling import SPELLINGS
from warehouse.engines.turns import Turns
from warehouse.errors import ConfigurationError, WarehouseBusy, WarehouseError
from warehouse.storage import ddl
from warehouse.storage.ddl import ONE_SERVER, Topology

ALREADY_RUNNING = 216
"""Server code: a query of this id runs already."""
_OLDEST_SERVER = (24, 8)
_STAGING_GRACE = timedelta(hours=1)
_WRITE_WAIT_S = 120.0
_SESSION_S = 600
_SETTINGS: dict[str, Any] = {
    "prefer_column_name_to_alias": 1,
    "join_use_nulls": 1,
    "group_by_use_nulls": 1,
    "cast_keep_nullable": 1,
    "max_query_size": 64 * 1024 * 1024,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}
"""What makes ClickHouse's SQL mean what the lake's does."""

_write_locks: dict[str, Lock] = {}
_write_locks_guard = Lock()


class ClickHouseEngine(Engine):
    """Rows in MergeTree tables. It connects when it is first used, so it can be made while the server is down."""

    name = "clickhouse"
    dialect = ddl.DIALECT
    spellings = SPELLINGS

    def __init__(
        self, address: Address, *, topology: Topology, threads: int | None, concurrency: int, queue: int
    ) -> None:
        super().__init__()
        self.address = address
        self._topology = topology
        self._threads = threads
        self._idle: LifoQueue[Client] = LifoQueue()
        self._turns = Turns(concurrency, queue)
        self._closed = False
        with _write_locks_guard:
            self._writing = _write_locks.setdefault(str(address), Lock())

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        topology: Topology = ONE_SERVER,
        threads: int | None = None,
        concurrency: int = 4,
        queue: int = 32,
    ) -> "ClickHouseEngine":
        """The engine at a `clickhouse://`, `clickhouses://` or `chdb://` URL. Raises: ConfigurationError."""
        return cls(Address.parse(url), topology=topology, threads=threads, concurrency=concurrency, queue=queue)

    def create(self, datasets: Iterable[Dataset]) -> list[str]:
        """See `Engine.create`. A table that a gateway made is kept; it gets the columns it lacks."""
        done: list[str] = []
        with self._connection() as client:
            for dataset in datasets:
                done += self._create(client, dataset)
        return done

    def append(self, dataset: Dataset, rows: pa.Table, batch: Batch) -> Appended:
        """See `Engine.append`, and the head of this module for what makes it exactly once."""
        rows = to_rows(dataset, rows)
        if not rows.num_rows:
            return Appended(0, 0)
        session = {"session_id": str(uuid4()), "session_timeout": _SESSION_S}
        with self._writing, self._connection() as client:
            incoming = ddl.table(statements.INCOMING)
            self._run(client, exp.Drop(tables=[incoming], kind="TABLE", exists=True, temporary=True), session)
            self._run(client, ddl.create_incoming(dataset, statements.INCOMING), session)
            try:
                self._upload(client, dataset, statements.INCOMING, first_rows(dataset, rows), session)
                return self._store(client, dataset, rows, batch, session)
            finally:
                self._forget(
                    client, exp.Drop(tables=[incoming.copy()], kind="TABLE", exists=True, temporary=True), session
                )

    def replace_days(self, dataset: Dataset, days: Iterable[date], rows: pa.Table) -> None:
        """See `Engine.replace_days`: the rows are prepared in a staging table, then swapped in day by day."""
        rows = to_rows(dataset, rows)
        filled = set(rows.column(dataset.time_column).to_pylist())
        wanted = sorted(set(days))
        if not filled <= set(wanted):
            raise WarehouseError(
                f"Rows of {dataset.name} lie outside the days to replace: {sorted(filled - set(wanted))}"
            )
        database, topology = self.address.database, self._topology
        shape = topology if topology.sharded else ONE_SERVER
        staging = dataset.name + statements.STAGING + uuid4().hex
        with self._connection() as client:
            try:
                if filled:
                    for statement in ddl.create_table(dataset, database, shape, name=staging):
                        self._run(client, statement)
                    self._upload(client, dataset, staging, rows, {"distributed_foreground_insert": 1})
                    if shape.replicated:
                        self._run(client, ddl.sync_replicas(staging, database, shape))
                for day in wanted:
                    if day in filled:
                        self._run(client, ddl.replace_partition(dataset, day.isoformat(), staging, database, topology))
                    else:
                        self._run(client, ddl.drop_partition(dataset, day.isoformat(), database, topology))
            finally:
                for statement in ddl.drop_table(staging, database, shape) if filled else []:
                    self._forget(client, statement)

    def query(self, tree: exp.Query, window: Window = Window(), limits: Limits = Limits()) -> pa.Table:  # noqa: ARG002
        """See `Engine.query`. The window is not needed: parts know which instants they hold."""
        with self._turns.turn(limits.timeout_s), self._connection() as client:
            return self._ask(client, self.lower(tree), limits)

    def version(self, dataset: str) -> str:
        """See `Engine.version`: the state of the table's parts; rows where the table has none of its own (a view)."""
        with self._connection() as client:
            parts = self._ask(
                client, statements.parts_version(dataset, self.address.database, self._topology)
            ).to_pylist()[0]
            if parts["parts"]:
                return str(parts["hash"])
            return str(self._ask(client, statements.count_rows(dataset)).column("rows")[0].as_py())

    def day_fingerprints(self, dataset: Dataset, window: Window = Window()) -> dict[date, str]:
        """See `Engine.day_fingerprints`."""
        with self._connection() as client:
            days = self._ask(client, statements.day_fingerprints(dataset, window))
        return {row["day"]: f"{row['rows']}:{row['hash']}" for row in days.to_pylist()}

    def maintain(self, now: datetime) -> list[str]:
        """Drops staging tables that a killed rebuild left; ClickHouse compacts by itself."""
        before = (now.astimezone(UTC) - _STAGING_GRACE).strftime("%Y-%m-%d %H:%M:%S.000")
        with self._connection() as client:
            names = (
                self._ask(client, statements.forgotten_staging(self.address.database, before))
                .column("name")
                .to_pylist()
            )
            for name in names:
                self._run(
                    client,
                    exp.Drop(tables=[ddl.table(name, self.address.database)], kind="TABLE", exists=True, sync=True),
                )
        return [f"dropped the staging table {name} that an unfinished rebuild left" for name in names]

    def check(self) -> list[Problem]:
        """See `Engine.check`."""
        try:
            with self._connection() as client:
                found = str(client.server_version)
        except (WarehouseError, ConfigurationError) as error:
            return [Problem(str(error), "Check the warehouse URL (or CLICKHOUSE_*), the server and the user's rights.")]
        version = tuple(int(part) for part in found.split(".")[:2])
        if version < _OLDEST_SERVER:
            oldest = ".".join(map(str, _OLDEST_SERVER))
            return [Problem(f"ClickHouse at {self.address} is version {found}", f"Use version {oldest} or newer.")]
        return []

    def close(self) -> None:
        """Closes every idle connection; one that a query holds is closed when the query ends."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def _create(self, client: Client, dataset: Dataset) -> list[str]:
        database, topology = self.address.database, self._topology
        stored = ddl.stored_name(dataset.name, topology)
        present = set(self._ask(client, statements.table_columns(stored, database)).column("name").to_pylist())
        if not present:
            for statement in ddl.create_table(dataset, database, topology):
                self._run(client, statement)
            return [f"created the table {dataset.name}"]
        done: list[str] = []
        for column in dataset.columns:
            if column.name not in present:
                for statement in ddl.add_column(dataset, column, database, topology):
                    self._run(client, statement)
                done.append(f"added the column {column.name} to {dataset.name}")
        retention = ddl.set_retention(dataset, database, topology)
        if retention is not None:
            layout = str(self._ask(client, statements.table_definition(stored, database)).column(0)[0].as_py())
            if f"toIntervalDay({topology.retention_days})" not in layout:
                self._run(client, retention)
                done.append(f"{dataset.name} keeps its rows for {topology.retention_days} days")
        return done

    def _store(
        self, client: Client, dataset: Dataset, rows: pa.Table, batch: Batch, session: dict[str, Any]
    ) -> Appended:
        days = sorted(set(pc.cast(rows.column(dataset.time_column), pa.date32()).to_pylist()))
        known = self._ask(client, statements.known_rows(dataset, days, self._topology), session=session)
        verdict = judge(dataset, rows, known)
        if not verdict.new.num_rows:
            before = "batch_id" in known.column_names and batch.id in known.column("batch_id").to_pylist()
            return Appended(0, verdict.duplicates, verdict.conflicts, replayed=before)
        ids = "\n".join(sorted(verdict.new.column(str(dataset.id_column)).to_pylist()))
        token = hashlib.sha256(f"{batch.id}\n{ids}".encode()).hexdigest()
        written = self._move(client, statements.store_incoming(dataset, days, self._topology, token), dataset, session)
        if written is None or written >= verdict.new.num_rows:
            # chDB does not count (and nobody else can write there); a Distributed table counts a row twice.
            written = verdict.new.num_rows
            return Appended(written, verdict.duplicates, verdict.conflicts)
        # Another loader stored some of the ids after we looked; what is known now says which were in conflict.
        known = self._ask(client, statements.known_rows(dataset, days, self._topology), session=session)
        conflicts = judge(dataset, rows, known).conflicts
        return Appended(written, rows.num_rows - written - len(conflicts), conflicts)

    def _move(self, client: Client, statement: exp.Insert, dataset: Dataset, session: dict[str, Any]) -> int | None:
        """Stores a batch by this statement once no other one runs; says how many rows that were, if known."""
        alone = {"query_id": f"gateledger-append-{self.address.database}-{dataset.name}", "wait_end_of_query": 1}
        deadline, pause_s = time.monotonic() + _WRITE_WAIT_S, 0.005
        while True:
            try:
                summary = client.command(statement.sql(dialect=self.dialect), settings={**session, **alone})
            except DriverError as error:
                if error.code != ALREADY_RUNNING:
                    raise translate(error.code, str(error) if error.code else _reason(error), self.address) from error
            else:
                return _written(summary)
            if time.monotonic() > deadline:
                raise WarehouseBusy(retry_after_s=10)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.2)

    def _upload(self, client: Client, dataset: Dataset, name: str, rows: pa.Table, settings: dict[str, Any]) -> None:
        """Fills an empty table of our own, and makes sure that it holds each row once (a retried request would not)."""
        table = ddl.table(name).sql(dialect=self.dialect)
        columns = [column.name for column in dataset.columns]
        with self._translated():
            client.raw_insert(table, columns, to_stream(rows), settings=settings, fmt="ArrowStream")
        found = self._ask(client, statements.count_rows(name), session=settings).column("rows")[0].as_py()
        if found != rows.num_rows:
            raise WarehouseError(
                f"Of {rows.num_rows} rows for {dataset.name}, {found} arrived at {self.address}; try again."
            )

    def _ask(
        self, client: Client, tree: exp.Query, limits: Limits = Limits(), session: dict[str, Any] | None = None
    ) -> pa.Table:
        """Runs a lowered query within its limits."""
        settings: dict[str, float | str] = {
            "max_execution_time": limits.timeout_s,
            "max_memory_usage": limits.memory_mb * 1024 * 1024,
        }
        if limits.rows is not None:
            settings |= {"max_result_rows": limits.rows, "result_overflow_mode": "throw"}
        if self._threads is not None:
            settings["max_threads"] = self._threads
        bounded = tree.copy()
        bounded.set("settings", [ddl.assignment(name, value) for name, value in settings.items()])
        with self._translated():
            return from_stream(client.raw_query(bounded.sql(dialect=self.dialect), settings=session, fmt="ArrowStream"))

    def _run(self, client: Client, statement: exp.Expr, settings: dict[str, Any] | None = None) -> None:
        """Runs a statement that answers nothing."""
        with self._translated():
            client.command(statement.sql(dialect=self.dialect), settings=settings)

    def _forget(self, client: Client, statement: exp.Expr, settings: dict[str, Any] | None = None) -> None:
        """Cleans up after a step; what fails here must not hide why the step failed, and `maintain` comes again."""
        with suppress(WarehouseError):
            self._run(client, statement, settings)

    @contextmanager
    def _connection(self) -> Generator[Client]:
        """A connection that nobody else uses meanwhile."""
        try:
            client = self._idle.get_nowait()
        except Empty:
            client = self._open()
        usable = False
        try:
            yield client
            usable = True
        except WarehouseError:
            # chDB gives what a failed query had written already as the start of the next answer.
            usable = self.address.path is None
            raise
        finally:
            if usable and not self._closed:
                self._idle.put(client)
            else:
                client.close()

    def _open(self) -> Client:
        address = self.address
        if self._closed:
            raise WarehouseError(f"The connection to {address} is closed.")
        with self._translated():
            if address.path is not None:
                return _open_chdb(address.path)
            return clickhouse_connect.get_client(
                host=address.host,
                port=address.port,
                username=address.user,
                password=address.password,
                database=address.database,
                interface="https" if address.tls else "http",
                settings=_SETTINGS,
                autogenerate_session_id=False,
                send_receive_timeout=900,
                client_name="gateledger",
            )

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except ClickHouseError as error:
            code = getattr(error, "code", None)
            raise translate(code, str(error) if code else _reason(error), self.address) from error


def _open_chdb(path: str) -> Client:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        return clickhouse_connect.get_client(interface="chdb", path=path, settings=_SETTINGS)
    except ImportError as error:
        raise ConfigurationError(
            "A chdb:// warehouse needs an optional package: pip install 'gateledger[chdb]'"
        ) from error
    except OSError as error:
        raise WarehouseError(f"The chDB folder {path} cannot be used: {error.strerror}") from error
    except ClickHouseError as error:
        raise WarehouseError(
            f"chDB cannot open {path}, perhaps because it is in use: only one process can hold a folder, "
            f"and a process only one folder. {error}"
        ) from error


def _reason(error: BaseException) -> str:
    """What the innermost error says: the layers above repeat it with addresses of objects."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _written(summary: object) -> int | None:
    counts = summary.summary if isinstance(summary, QuerySummary) else {}
    return int(counts["written_rows"]) if "written_rows" in counts else None

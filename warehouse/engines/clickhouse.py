"""A ClickHouse server, or chDB in this process, through clickhouse-connect.

How rows are stored exactly once is told in `clickhouse_append`.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.summary import QuerySummary
from sqlglot import exp

from warehouse.catalog.model import Dataset
from warehouse.engines import clickhouse_append, clickhouse_rewrite, clickhouse_tables
from warehouse.engines import clickhouse_statements as statements
from warehouse.engines.base import Appended, Batch, Engine, Limits, Problem, Window
from warehouse.engines.clickhouse_address import Address, translate
from warehouse.engines.clickhouse_arrow import from_stream, to_stream
from warehouse.engines.clickhouse_spelling import SPELLINGS
from warehouse.engines.clickhouse_wire import Parameters
from warehouse.engines.turns import Turns
from warehouse.errors import ConfigurationError, InvalidInput, WarehouseError
from warehouse.storage import ddl
from warehouse.storage.ddl import ONE_SERVER, Topology

_OLDEST_SERVER = (24, 8)
_ANSWER_WAIT_S = 900
_NONE: Parameters = {}
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
_FENCE: dict[str, float | str] = {
    "readonly": 2,
    "allow_ddl": 0,
    "allow_introspection_functions": 0,
    "max_result_bytes": 256 * 1024 * 1024,
    "timeout_overflow_mode": "throw",
    "decimal_check_overflow": 1,
}
"""For a query that a caller wrote."""


class Connection:
    """A `Wire` over one client of clickhouse-connect."""

    def __init__(self, client: Client, address: Address, topology: Topology, threads: int | None) -> None:
        self.client, self.address, self.topology, self._threads = client, address, topology, threads

    def ask(self, tree: exp.Query, limits: Limits = Limits(), parameters: Parameters = _NONE) -> pa.Table:
        """See `Wire.ask`. The tree gets a SETTINGS clause."""
        settings: dict[str, float | str] = {
            "max_execution_time": limits.timeout_s,
            "max_memory_usage": limits.memory_mb * 1024 * 1024,
        }
        if limits.rows is not None:
            settings |= {"max_result_rows": limits.rows, "result_overflow_mode": "throw"}
        if self._threads is not None:
            settings["max_threads"] = self._threads
        if limits.fenced:
            settings |= _FENCE
        tree.set("settings", [ddl.assignment(name, value) for name, value in settings.items()])
        sql = tree.sql(dialect=ddl.DIALECT)
        with translated(self.address, fenced=limits.fenced):
            return from_stream(self.client.raw_query(sql, settings=dict(parameters), fmt="ArrowStream"))

    def run(self, statement: exp.Expr, parameters: Parameters = _NONE) -> int | None:
        """See `Wire.run`."""
        with translated(self.address):
            summary = self.client.command(statement.sql(dialect=ddl.DIALECT), settings=dict(parameters))
        counts = summary.summary if isinstance(summary, QuerySummary) else {}
        return int(counts["written_rows"]) if "written_rows" in counts else None

    def upload(self, dataset: Dataset, name: str, rows: pa.Table, parameters: Parameters = _NONE) -> None:
        """See `Wire.upload`. The count shows what a request that was sent again would have doubled."""
        table, columns = ddl.table(name).sql(dialect=ddl.DIALECT), [column.name for column in dataset.columns]
        with translated(self.address):
            self.client.raw_insert(table, columns, to_stream(rows), settings=dict(parameters), fmt="ArrowStream")
        found = self.ask(statements.count_rows(name), parameters=parameters).column("rows")[0].as_py()
        if found != rows.num_rows:
            told = f"Of {rows.num_rows} rows for {dataset.name}, {found} arrived at {self.address}; try again."
            raise WarehouseError(told)


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
        self._writing = clickhouse_append.write_lock(str(address))

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
        with self._connection() as wire:
            return [done for dataset in datasets for done in clickhouse_tables.create(wire, dataset)]

    def append(self, dataset: Dataset, rows: pa.Table, batch: Batch) -> Appended:
        """See `Engine.append` and, for what makes it exactly once, `clickhouse_append`."""
        with self._writing, self._connection() as wire:
            return clickhouse_append.append(wire, dataset, rows, batch)

    def rewrite(self, dataset: Dataset, changes: pa.Table, batch: Batch) -> int:  # noqa: ARG002
        """See `Engine.rewrite` and `clickhouse_rewrite`. The revision alone keeps a repeat from changing anything."""
        with self._connection() as wire:
            return clickhouse_rewrite.rewrite(wire, dataset, changes)

    @property
    def rewrites(self) -> bool:
        """See `Engine.rewrites`: a mutation cannot read changes that lie on one server of several."""
        return not self._topology.clustered

    def replace_days(self, dataset: Dataset, days: Iterable[date], rows: pa.Table) -> None:
        """See `Engine.replace_days`."""
        with self._connection() as wire:
            clickhouse_tables.replace_days(wire, dataset, days, rows)

    def forget(self, dataset: Dataset, before: date) -> int:
        """See `Engine.forget`."""
        with self._writing, self._connection() as wire:
            return clickhouse_tables.forget(wire, dataset, before)

    def query(self, tree: exp.Query, window: Window = Window(), limits: Limits = Limits()) -> pa.Table:  # noqa: ARG002
        """See `Engine.query`. The window is not needed: parts know which instants they hold."""
        with self.timed(), self._turns.turn(limits.timeout_s), self._connection() as wire:
            return wire.ask(self.lower(tree), limits)

    def version(self, dataset: str) -> str:
        """See `Engine.version`: the state of the table's parts; its rows where it has no parts of its own (a view)."""
        with self._connection() as wire:
            [parts] = wire.ask(statements.parts_version(dataset, self.address.database, wire.topology)).to_pylist()
            if parts["parts"]:
                return str(parts["hash"])
            return str(wire.ask(statements.count_rows(dataset)).column("rows")[0].as_py())

    def day_fingerprints(self, dataset: Dataset, window: Window = Window()) -> dict[date, str]:
        """See `Engine.day_fingerprints`."""
        with self._connection() as wire:
            days = wire.ask(statements.day_fingerprints(dataset, window)).to_pylist()
        return {row["day"]: f"{row['rows']}:{row['hash']}" for row in days}

    def maintain(self, now: datetime) -> list[str]:
        """Drops staging tables that a killed rebuild left; ClickHouse compacts by itself."""
        with self._connection() as wire:
            return clickhouse_tables.sweep(wire, now)

    def check(self) -> list[Problem]:
        """See `Engine.check`."""
        try:
            with self._connection() as wire:
                found = str(wire.client.server_version)
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

    @contextmanager
    def _connection(self) -> Generator[Connection]:
        """A connection that nobody else uses meanwhile."""
        try:
            client = self._idle.get_nowait()
        except Empty:
            client = self._open()
        usable = False
        try:
            yield Connection(client, self.address, self._topology, self._threads)
            usable = True
        except (WarehouseError, InvalidInput):
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
        with translated(address):
            if address.path is not None:
                return _open_chdb(address.path, address.database)
            return clickhouse_connect.get_client(
                host=address.host,
                port=address.port,
                username=address.user,
                password=address.password,
                database=address.database,
                interface="https" if address.tls else "http",
                settings=_SETTINGS,
                autogenerate_session_id=False,
                send_receive_timeout=_ANSWER_WAIT_S,
                client_name="gateledger",
            )


@contextmanager
def translated(address: Address, *, fenced: bool = False) -> Generator[None]:
    """Turns what the driver raises into our own errors."""
    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        raise translate(code, str(error) if code else _reason(error), address, fenced=fenced) from error


def _open_chdb(path: str, database: str) -> Client:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        return clickhouse_connect.get_client(interface="chdb", path=path, database=database, settings=_SETTINGS)
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

"""DuckDB over the embedded lake: an in-memory database per process that reads an explicit list of Parquet files."""

import re
import secrets
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from threading import Event, Lock
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from warehouse.catalog.model import Dataset
from warehouse.catalog.registry import DATASETS
from warehouse.engines import duckdb_days
from warehouse.engines.base import Appended, Batch, Engine, Limits, Problem, Window, windows_of
from warehouse.engines.duckdb_answer import fault, read_answer
from warehouse.engines.duckdb_fence import check_fenced
from warehouse.engines.duckdb_spelling import SPELLINGS
from warehouse.engines.scratch import Scratch
from warehouse.engines.turns import Turns, deadline
from warehouse.errors import InvalidInput, QueryTooLarge, WarehouseError
from warehouse.storage import lake_rewrite
from warehouse.storage.lake_names import fingerprint, parse, schema_id
from warehouse.storage.lake_tables import Lake, open_store
from warehouse.storage.tables import arrow_schema

warnings.filterwarnings("ignore", message="Arrow output on a DB-API result", category=UserWarning)
_VANISHED = re.compile(r"No files found that match|Cannot open file|No such file", re.IGNORECASE)
_RETRIES = 3
_CHUNK_ROWS = 100_000
_PAGE_ROWS = 1_000
_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class DuckDBEngine(Engine):
    """A warehouse in files. One per process; safe for threads; other processes may load and query beside it."""

    name = "duckdb"
    dialect = "duckdb"
    spellings = SPELLINGS

    def __init__(
        self,
        root: str,
        *,
        threads: int = 2,
        concurrency: int = 2,
        queue: int = 32,
        memory_mb: int = 4096,
        spill_mb: int | None = None,
        environment: Mapping[str, str] = _NO_ENVIRONMENT,
        cache: Path | None = None,
        cache_mb: int = 20_000,
        datasets: Mapping[str, Dataset] = DATASETS,
    ) -> None:
        """Open the lake at `root`: a folder, or `s3://bucket/prefix` with the `AWS_…` variables of `environment`.

        `cache` keeps copies of a bucket's files between runs, up to `cache_mb`.
        """
        super().__init__()
        self._datasets = datasets
        self._own = Scratch()
        self._scratch = self._own.path
        self.lake = Lake(
            open_store(root, environment, cache or self._scratch / "cache", cache_mb), datasets, self._probe
        )
        self._turns = Turns(concurrency, queue)
        self._memory_mb = memory_mb
        self._threads = threads
        self._spill_mb = 4 * memory_mb if spill_mb is None else spill_mb
        self._open = _Database(threads, memory_mb, self._spill_mb, self._scratch / "spill")
        self._fences: dict[int, _Database] = {}
        self._fencing = Lock()

    def create(self, datasets: Iterable[Dataset]) -> list[str]:
        return [done for dataset in datasets for done in self.lake.table(dataset.name).create()]

    def append(self, dataset: Dataset, rows: pa.Table, batch: Batch) -> Appended:
        return self.lake.table(dataset.name).append(rows, batch)

    def rewrite(self, dataset: Dataset, changes: pa.Table, batch: Batch) -> int:
        return lake_rewrite.rewrite(self.lake.table(dataset.name), changes, batch)

    def replace_days(self, dataset: Dataset, days: Iterable[date], rows: pa.Table) -> None:
        self.lake.table(dataset.name).replace_days(days, rows)

    def forget(self, dataset: Dataset, before: date) -> int:
        return self.lake.table(dataset.name).forget(before)

    def query(self, tree: exp.Query, window: Window = Window(), limits: Limits = Limits()) -> pa.Table:
        """Answer a neutral tree.

        The memory limit is the one of the engine, for all its queries together: DuckDB knows no other. Fenced queries
        have a database of their own, with a limit for all of them.
        """
        lowered = self.lower(tree)
        with self.timed(), self._turns.turn(limits.timeout_s):
            for attempt in range(_RETRIES + 1):
                sql, lists = self._bind(self.lower(tree) if attempt else lowered, window, fresh=attempt > 0)
                try:
                    return self._run(sql, lists, limits, page=_is_page(tree))
                except duckdb.IOException as error:
                    # A file of the list was compacted and swept since: the newest version has its rows elsewhere.
                    if attempt == _RETRIES or not _VANISHED.search(str(error)):
                        raise WarehouseError(f"the lake cannot be read: {error}") from error
        raise AssertionError("unreachable")

    def version(self, dataset: str) -> str:
        return self.lake.table(dataset).snapshot().content

    def day_fingerprints(self, dataset: Dataset, window: Window = Window()) -> dict[date, str]:
        return {
            day: fingerprint(files) for day, files in self.lake.table(dataset.name).snapshot().within((window,)).items()
        }

    def maintain(self, now: datetime) -> list[str]:
        return self.lake.maintain(now)

    def check(self) -> list[Problem]:
        return [Problem(what, remedy) for what, remedy in self.lake.check()]

    def close(self) -> None:
        for database in (self._open, *self._fences.values()):
            database.close()
        self._own.close()

    def _database(self, limits: Limits) -> "_Database":
        """Where a query runs. Raises: WarehouseError when the fence cannot be put up."""
        if not limits.fenced:
            return self._open
        memory_mb = min(limits.memory_mb, self._memory_mb)
        with self._fencing:
            database = self._fences.get(memory_mb)
            if database is None:
                spill = self._scratch / f"spill-fenced-{memory_mb}"
                database = _Database(self._threads, memory_mb, min(self._spill_mb, 2 * memory_mb), spill)
                database.fence([self.lake.readable_folder, str(self._scratch)])
                self._fences[memory_mb] = database
            return database

    def _probe(self, files: Sequence[str], ids: pa.Table, dataset: Dataset) -> pa.Table:
        """The stored rows with one of the ids: `id` and `known_at`. Five times as fast as Polars over 30 files."""
        mixed = len({parse(file).schema_id for file in files}) > 1
        batch, stored = (exp.column("id", table=table) for table in ("batch", "stored"))
        stored.set("this", exp.to_identifier(dataset.id_column, quoted=True))
        known_at = exp.column(exp.to_identifier(dataset.time_column, quoted=True), table="stored")
        tree = (
            exp.select(exp.alias_(stored, "id"), exp.alias_(known_at, "known_at"))
            .from_(_read_parquet(1, "stored", mixed=mixed))
            .join("batch", on=exp.EQ(this=stored.copy(), expression=batch), join_type="semi")
        )
        try:
            with self._open.cursor() as cursor:
                cursor.register("batch", ids)
                found = cursor.sql(tree.sql(dialect=self.dialect), params=[list(files)]).to_arrow_table()
                cursor.unregister("batch")
                return found
        except duckdb.IOException as error:
            if _VANISHED.search(str(error)):
                raise FileNotFoundError(str(error)) from error
            raise WarehouseError(f"the lake cannot be read: {error}") from error

    def _bind(self, tree: exp.Query, window: Window, *, fresh: bool) -> tuple[str, list[list[str]]]:
        """The SQL text of a lowered tree, which is changed: every dataset read from a list of files, its parameter."""
        shadowed = {cte.alias for cte in tree.find_all(exp.CTE)}
        lists: list[list[str]] = []
        for node in list(tree.find_all(exp.Table)):
            if node.name in self._datasets and node.name not in shadowed and not node.db:
                self._replace(node, windows_of(node, window), lists, fresh=fresh)
        return tree.sql(dialect=self.dialect), lists

    def _replace(self, node: exp.Table, windows: tuple[Window, ...], lists: list[list[str]], *, fresh: bool) -> None:
        """Put the files with the rows of the windows in the place of a dataset, and their names among the lists."""

        def read(of: list[str], alias: str, *, mixed: bool = False) -> exp.Table:
            if of not in lists:
                lists.append(of)
            return _read_parquet(lists.index(of) + 1, alias, mixed=mixed)

        files, mixed = self._files(node.name, windows, fresh=fresh)
        alias, predicate = node.alias_or_name, None
        if not mixed and node.meta.get("windows"):
            predicate = duckdb_days.time_predicate(node, self._datasets[node.name].time_column)
        whole, others = duckdb_days.whole_days(files, windows) if predicate is not None else ([], files)
        if predicate is None or not whole:
            node.replace(read(files, alias, mixed=mixed))
            return
        if others:
            node.replace(duckdb_days.apart(read(whole, "whole"), read(others, "others"), predicate.copy(), alias))
        else:
            node.replace(read(whole, alias))
        predicate.replace(exp.true())

    def _files(self, name: str, windows: tuple[Window, ...], *, fresh: bool) -> tuple[list[str], bool]:
        """Local paths of the files to read, and whether their columns may differ."""
        table, schema = self.lake.table(name), arrow_schema(self._datasets[name])
        current = schema_id(schema)
        for attempt in range(_RETRIES + 1):
            files = table.snapshot(fresh=fresh or attempt > 0).files(windows)
            try:
                paths = table.store.readable(name, [file.path for file in files])
            except FileNotFoundError:
                continue
            mixed = any(file.schema_id != current for file in files)
            return ([self._no_rows(current, schema), *paths], True) if mixed or not paths else (paths, False)
        raise WarehouseError(f"files of {name} vanish faster than they can be read")

    def _no_rows(self, identity: str, schema: pa.Schema) -> str:
        """A file with all columns and no row: a column that no other file has is else unknown to DuckDB."""
        path = self._scratch / f"{identity}.parquet"
        if not path.exists():  # also when something cleaned the temporary folder
            self._scratch.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(f".{secrets.token_hex(4)}")
            pq.write_table(schema.empty_table(), fresh)
            fresh.replace(path)
        return str(path)

    def _run(self, sql: str, lists: list[list[str]], limits: Limits, *, page: bool) -> pa.Table:
        over, database = Event(), self._database(limits)
        try:
            with (
                database.cursor() as cursor,
                deadline(limits.timeout_s, cursor.interrupt, over),
                _reader(cursor, sql, lists, page=page, fenced=limits.fenced) as reader,
            ):
                return read_answer(reader, limits.rows)
        except duckdb.InterruptException as error:
            if not over.is_set():
                raise WarehouseError("the query was interrupted") from error
            raise QueryTooLarge(f"the query took longer than {limits.timeout_s:g} s; narrow its window") from error
        except duckdb.OutOfMemoryException as error:
            raise QueryTooLarge(f"the query needs more than {database.memory_mb} MB; narrow its window") from error
        except duckdb.IOException:
            raise
        except (duckdb.Error, pa.ArrowInvalid) as error:
            if limits.fenced and not isinstance(error, duckdb.InternalError | duckdb.FatalException):
                raise InvalidInput(fault(str(error))) from None
            if isinstance(error, duckdb.FatalException):
                self._fences.pop(database.memory_mb, None)  # it answers nothing any more; the next query gets another
            raise WarehouseError(f"DuckDB cannot answer: {error}") from error


class _Database:
    """An in-memory database and the connections to it that nobody uses at the moment."""

    def __init__(self, threads: int, memory_mb: int, spill_mb: int, spill: Path) -> None:
        self.memory_mb = memory_mb
        self._idle: deque[duckdb.DuckDBPyConnection] = deque()
        self._database = duckdb.connect(
            config={
                "threads": threads,
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": str(spill),
                "max_temp_directory_size": f"{spill_mb}MB",
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        # Known only once the Parquet reader is there, so not part of the configuration above.
        self._database.execute("SET GLOBAL parquet_metadata_cache = true").fetchall()

    def fence(self, folders: Sequence[str]) -> None:
        """From now on only files of these folders can be reached, and no setting be changed."""
        listed = exp.Array(expressions=[exp.Literal.string(folder) for folder in folders])
        for name, value in (
            ("allowed_directories", listed),
            ("enable_external_access", exp.false()),
            ("lock_configuration", exp.true()),
        ):
            item = exp.SetItem(this=exp.EQ(this=exp.column(name), expression=value))
            self._database.execute(exp.Set(expressions=[item]).sql(dialect="duckdb")).fetchall()

    @contextmanager
    def cursor(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection that nobody else uses meanwhile. The first query of a new one costs 6 ms, so they are kept."""
        try:
            cursor = self._idle.pop()
        except IndexError:
            cursor = self._database.cursor()
        try:
            yield cursor
        except BaseException:
            cursor.close()
            raise
        self._idle.append(cursor)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
        self._database.close()


def _is_page(tree: exp.Query) -> bool:
    """True when the tree's own limit keeps the answer small."""
    limit = tree.args.get("limit")
    most = limit.expression if isinstance(limit, exp.Limit) else None
    return isinstance(most, exp.Literal) and not most.is_string and int(most.name) <= _PAGE_ROWS


def _reader(
    cursor: duckdb.DuckDBPyConnection, sql: str, lists: list[list[str]], *, page: bool, fenced: bool
) -> pa.RecordBatchReader:
    if fenced:
        [(told,)] = cursor.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()
        check_fenced(told)
    if not page:
        return cursor.sql(sql, params=lists).to_arrow_reader(_CHUNK_ROWS)
    # A relation is planned twice, first for its columns: a quarter of the time of a small tenant's question. This way
    # rows are copied once more, which matters only where there are many, and DuckDB warns of it.
    reader = cursor.execute(sql, lists).to_arrow_reader(_CHUNK_ROWS)
    if reader is None:
        raise WarehouseError("DuckDB gave no answer")
    return reader


def _read_parquet(parameter: int, alias: str, *, mixed: bool) -> exp.Table:
    arguments: list[exp.Expr] = [
        exp.Parameter(this=exp.Literal.number(parameter)),
        exp.EQ(this=exp.column("hive_partitioning"), expression=exp.false()),
    ]
    if mixed:
        arguments.append(exp.EQ(this=exp.column("union_by_name"), expression=exp.true()))
    return exp.Table(
        this=exp.Anonymous(this="READ_PARQUET", expressions=arguments),
        alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)),
    )

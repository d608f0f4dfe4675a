"""The Delta log of one table: what is live, and one commit at a time. The only module that knows deltalake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from warehouse.errors import WarehouseError
from warehouse.storage.lake_log import ACTIONS
from warehouse.storage.lake_names import PARTITION

_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class CommitConflict(Exception):
    """Another writer committed first; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Added:
    """A data file to add, with what the log keeps of it."""

    path: str
    day: str
    size_bytes: int
    statistics: str
    written_at_ms: int


@dataclass(frozen=True, slots=True)
class Live:
    """A data file that the log names now."""

    path: str
    day: str
    size_bytes: int
    row_count: int


class DeltaLog:
    """One handle on the log. It stands still until `refresh`; not for two threads at once."""

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        self._uri, self._options = uri, dict(options)
        self._table: DeltaTable | None = None

    def open(self) -> bool:
        """Read the newest state afresh; False when there is no table."""
        try:
            self._table = DeltaTable(self._uri, storage_options=self._options or None)
        except TableNotFoundError:
            self._table = None
        except (DeltaError, OSError, ValueError) as error:
            raise WarehouseError(f"the lake's table at {self._uri} cannot be opened: {error}") from error
        return self._table is not None

    def refresh(self) -> bool:
        """Catch up with the log; False when there is no table."""
        if self._table is None:
            return self.open()
        try:
            self._table.update_incremental()
        except Exception:  # noqa: BLE001 - deltalake raises plain Exceptions here; a fresh handle tells the truth
            return self.open()
        return True

    def create(self, schema: pa.Schema, statistics_columns: Sequence[str], comment: str) -> None:
        """Write the first entry of a new table, partitioned by day. Raises: CommitConflict when there is one now."""
        full = schema if PARTITION in schema.names else schema.append(pa.field(PARTITION, pa.date32()))
        try:
            self._table = DeltaTable.create(
                self._uri,
                schema=Schema.from_arrow(full),
                partition_by=[PARTITION],
                description=comment,
                storage_options=self._options or None,
                configuration={
                    "delta.checkpointInterval": "1000000000",
                    "delta.logRetentionDuration": "interval 1 days",
                    "delta.setTransactionRetentionDuration": "interval 30 days",
                    "delta.dataSkippingStatsColumns": ",".join(statistics_columns),
                },
                post_commithook_properties=_NO_HOOKS,
            )
        except DeltaError as error:
            if self.open():
                raise CommitConflict(str(error)) from error
            raise WarehouseError(f"the lake's table at {self._uri} cannot be made: {error}") from error

    def add_columns(self, fields: Sequence[pa.Field]) -> None:
        """Commit new columns; files that lack them read as NULL. Raises: CommitConflict."""
        try:
            self._handle.alter.add_columns(list(Schema.from_arrow(pa.schema(list(fields))).fields))
        except CommitFailedError as error:
            raise CommitConflict(str(error)) from error

    @property
    def version(self) -> int:
        return self._handle.version()

    def schema(self) -> pa.Schema:
        """The columns of the table, without a partition column that no row holds."""
        return pa.schema(self._handle.schema().to_arrow())

    def paths(self) -> list[str]:
        """The paths of all live files."""
        return self._handle.file_uris()

    def live(self) -> list[Live]:
        """All live files with their sizes."""
        actions = pa.table(self._handle.get_add_actions(flatten=True))
        columns = (
            actions.column(name).to_pylist() for name in ("path", f"partition.{PARTITION}", "size_bytes", "num_records")
        )
        return [Live(path, day.isoformat(), size, rows) for path, day, size, rows in zip(*columns, strict=True)]

    def committed(self, batch: str) -> bool:
        """Whether a commit carried this batch."""
        return self._handle.transaction_version(batch) is not None

    def commit(
        self, added: Sequence[Added], removed: Sequence[Live] = (), *, batch: str | None = None, new_rows: bool = True
    ) -> None:
        """Add and remove files in one entry on top of the version this handle stands on.

        `new_rows` is False when the same rows are only laid out anew.

        Raises: CommitConflict when another entry took that place.
        """
        at_ms = max((a.written_at_ms for a in added), default=0)
        actions: list[AddAction | RemoveAction] = [
            AddAction(a.path, a.size_bytes, {PARTITION: a.day}, a.written_at_ms, new_rows, a.statistics) for a in added
        ]
        actions += [RemoveAction(r.path, new_rows, at_ms, r.size_bytes, {PARTITION: r.day}) for r in removed]
        transactions = [] if batch is None else [Transaction(batch, 1, at_ms)]
        handle = self._handle
        try:
            handle.create_write_transaction(
                actions,
                "append",
                handle.schema(),
                [PARTITION],
                commit_properties=CommitProperties(
                    custom_metadata={ACTIONS: len(actions) + len(transactions)},
                    app_transactions=transactions,
                    max_commit_retries=0,
                ),
                post_commithook_properties=_NO_HOOKS,
            )
        except CommitFailedError as error:
            raise CommitConflict(str(error)) from error

    def checkpoint(self) -> None:
        """Write the whole state of this version into one file, so that opening reads no older entry."""
        self._handle.create_checkpoint()

    def forget_old_entries(self) -> None:
        """Delete log entries that are both older than the retention and covered by a checkpoint."""
        self._handle.cleanup_metadata()

    @property
    def _handle(self) -> DeltaTable:
        if self._table is None:
            raise WarehouseError(f"there is no table at {self._uri}")
        return self._table

"""Columns of stored rows set anew: files with such rows are replaced by files with the changed ones, in one commit.

The commit carries new tokens, so the fingerprints of the days change, and the batch as its application transaction.
Loads go on beside it, as they add files and never touch one; a compaction that was faster makes it start again.
"""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from warehouse.catalog.model import Dataset
from warehouse.engines.base import EXPECTED, Batch
from warehouse.errors import InvalidInput, WarehouseError
from warehouse.storage.lake import LakeTable
from warehouse.storage.lake_compaction import read_files
from warehouse.storage.lake_delta import Added, Live
from warehouse.storage.lake_names import new_file, parse
from warehouse.storage.lake_parquet import days_of
from warehouse.storage.lake_store import Written
from warehouse.storage.tables import arrow_schema

_ATTEMPTS = 50
_PLACE, _HELD = "place", "held"


def rewrite(table: LakeTable, changes: pa.Table, batch: Batch) -> int:
    """How many rows bear their new revision; see `Engine.rewrite`. Raises: InvalidInput, WarehouseError."""
    wanted = _Wanted(table.dataset, changes)
    for _ in range(_ATTEMPTS):
        try:
            changed = _prepare(table, wanted)
        except FileNotFoundError:  # compacted and swept since they were listed
            continue
        if not changed.old or table.swap(changed.old, changed.new, batch=batch.id):
            return changed.settled
    raise WarehouseError(f"other writers of {table.name} were faster {_ATTEMPTS} times; try again")


class _Changed:
    """Files to replace, what replaces them, and how many rows then bear their new revision."""

    def __init__(self) -> None:
        self.old: list[Live] = []
        self.new: list[tuple[Written, Added]] = []
        self.settled = 0


class _Wanted:
    """The changes, ready to be looked up by id."""

    def __init__(self, dataset: Dataset, changes: pa.Table) -> None:
        if dataset.revision_column is None or dataset.id_column is None:
            raise InvalidInput(f"rows of {dataset.name} are never rewritten")
        self.id, self.time, self.revision = dataset.id_column, dataset.time_column, dataset.revision_column
        self.days = {day.isoformat() for day in days_of(dataset, changes).unique().to_pylist()}
        self.changes = changes.combine_chunks()
        keys = pa.table(
            {
                self.id: changes[self.id],
                "at": changes[self.time],
                "next": changes[self.revision],
                EXPECTED: changes[EXPECTED],
            }
        )
        self._keys = pl.DataFrame(keys).with_row_index(_PLACE)
        if self._keys[self.id].is_duplicated().any():
            raise InvalidInput(f"a row of {dataset.name} is to be rewritten twice at once")
        self.columns = [name for name in changes.schema.names if name not in (self.id, self.time, EXPECTED)]

    def found_in(self, stored: pa.Table) -> pl.DataFrame:
        """Per stored row: the number of the change that applies to it (null for none), and whether it was made."""
        rows = pl.DataFrame(stored).join(self._keys, on=self.id, how="left", maintain_order="left")
        here = pl.col("at") == pl.col(self.time)
        applies = here & pl.col(self.revision).eq_missing(pl.col(EXPECTED))
        made = here & (pl.col(self.revision) == pl.col("next"))
        return rows.select(
            pl.when(applies & ~made.fill_null(value=False)).then(_PLACE).alias(_PLACE),
            made.fill_null(value=False).alias(_HELD),
        )


def _prepare(table: LakeTable, wanted: _Wanted) -> _Changed:
    changed = _Changed()
    try:
        for file in table.live():
            if file.day in wanted.days:
                _prepare_file(table, wanted, file, changed)
    except BaseException:
        table.store.delete(table.name, [written.file.path for written, _ in changed.new])
        raise
    return changed


def _prepare_file(table: LakeTable, wanted: _Wanted, file: Live, changed: _Changed) -> None:
    [path] = table.store.readable(table.name, [file.path])
    found = wanted.found_in(_keys_of(path, wanted))
    places = found[_PLACE]
    changed.settled += int(found[_HELD].sum()) + len(places) - places.null_count()
    if places.null_count() == len(places):
        return
    rows = _applied(wanted, read_files([path], arrow_schema(table.dataset)), places)
    written = table.store.write(table.dataset, new_file(parse(file.path).day, rows.schema), rows)
    changed.old.append(file)
    changed.new.append(table.described(written, rows))


def _keys_of(path: str, wanted: _Wanted) -> pa.Table:
    """Id, time and revision of the rows of a file; an older file has no revisions."""
    file = pq.ParquetFile(path)
    names = [name for name in (wanted.id, wanted.time, wanted.revision) if name in file.schema_arrow.names]
    rows = file.read(columns=names)
    if wanted.revision not in names:
        rows = rows.append_column(wanted.revision, pa.nulls(rows.num_rows, pa.timestamp("us")))
    return rows


def _applied(wanted: _Wanted, rows: pa.Table, places: pl.Series) -> pa.Table:
    """The rows with their changes, in the same order."""
    applies, at = places.is_not_null().to_arrow(), places.fill_null(0).to_arrow()
    return rows.select(rows.schema.names).cast(rows.schema) if not wanted.columns else _set(wanted, rows, applies, at)


def _set(wanted: _Wanted, rows: pa.Table, applies: pa.Array, at: pa.Array) -> pa.Table:
    columns: Sequence[str] = wanted.columns
    for name in columns:
        index = rows.schema.get_field_index(name)
        field = rows.schema.field(index)
        new = wanted.changes[name].cast(field.type).take(at)
        rows = rows.set_column(index, field, pc.call_function("if_else", [applies, new, rows[name]]))
    return rows

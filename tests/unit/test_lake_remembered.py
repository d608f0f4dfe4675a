"""Files that a process wrote are not read again for ids that are new; all others are."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from warehouse.catalog.model import Column, Dataset, Kind
from warehouse.engines.base import Appended, Batch
from warehouse.storage.lake import LakeTable
from warehouse.storage.lake_compaction import compact
from warehouse.storage.lake_dedupe import Remembered, probe
from warehouse.storage.lake_disk import DiskStore
from warehouse.storage.tables import arrow_schema

EVENTS = Dataset(
    name="events",
    description="Things that happened.",
    columns=(
        Column("organisation_id", Kind.TEXT, "Owner."),
        Column("created_at", Kind.INSTANT, "When."),
        Column("id", Kind.TEXT, "Which."),
    ),
    sort_by=("organisation_id", "created_at"),
)
NOON = datetime.fromisoformat("2026-03-01T12:00:00")


class Table:
    """A table of the lake in a folder, which counts the files it reads for ids."""

    def __init__(self, folder: Path) -> None:
        self.looked: list[int] = []
        self.table = LakeTable(DiskStore(folder), EVENTS, self._look_up)

    def _look_up(self, files: Sequence[str], ids: pa.Table, dataset: Dataset) -> pa.Table:
        self.looked.append(len(files))
        return probe(files, ids, dataset)

    def append(self, name: str, *ids: str, at: datetime = NOON) -> Appended:
        rows = [{"organisation_id": "o", "created_at": at, "id": one} for one in ids]
        return self.table.append(pa.Table.from_pylist(rows, schema=arrow_schema(EVENTS)), Batch(name))


def chunked(*ids: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(ids)])


def test_new_ids_read_no_file_that_was_written_here(tmp_path: Path) -> None:
    here = Table(tmp_path)
    assert [here.append(f"new {n}", f"a{n}", f"b{n}").stored for n in range(4)] == [2, 2, 2, 2]
    assert here.looked == []


def test_stored_ids_are_found_in_the_files_that_hold_them(tmp_path: Path) -> None:
    here = Table(tmp_path)
    for number in range(3):
        here.append(f"new {number}", f"a{number}", f"b{number}")
    again = here.append("again", "a1", "c")
    assert (again.stored, again.duplicates, again.conflicts, here.looked) == (1, 1, (), [1])
    moved = here.append("moved", "b2", "d", at=NOON + timedelta(seconds=1))
    assert (moved.stored, moved.duplicates, moved.conflicts) == (1, 0, ("b2",))


def test_files_of_other_writers_are_read(tmp_path: Path) -> None:
    here, there = Table(tmp_path), Table(tmp_path)
    here.append("one", "a", "b")
    assert there.append("two", "b", "c").duplicates == 1
    assert (there.looked, here.append("three", "c", "d").duplicates, here.looked) == ([1], 1, [1])


def test_a_compacted_file_is_read(tmp_path: Path) -> None:
    here = Table(tmp_path)
    for number in range(3):
        here.append(f"new {number}", f"a{number}")
    assert compact(here.table, datetime(2026, 3, 10, tzinfo=UTC))
    again = here.append("again", "a0", "a1", "a2", "a3")
    assert (again.stored, again.duplicates, here.looked) == (1, 3, [1])


def test_what_was_remembered_longest_is_forgotten_first() -> None:
    remembered = Remembered(most=4)
    for path, ids in {"one": ("a", "b"), "two": ("c", "d"), "three": ("e",)}.items():
        remembered.add(path, chunked(*ids))
    assert remembered.candidates(["one", "two", "three", "four"], pl.Series(["x"])) == ["one", "four"]
    assert remembered.candidates(["two", "three"], pl.Series(["x", "d"])) == ["two"]
    assert remembered.candidates([], pl.Series(["x"])) == []
    remembered.add("large", chunked(*"abcdefgh"))
    assert remembered.candidates(["two", "large"], pl.Series(["x"])) == ["two", "large"]


def test_texts_as_views_are_the_same_ids() -> None:
    remembered = Remembered()
    long = "an id that is too long to lie within a view"
    remembered.add(
        "views", pa.chunked_array([pa.array(["a", long], pa.string_view()), pa.array(["b"], pa.string_view())])
    )
    assert [remembered.candidates(["views"], pl.Series([one])) for one in (long, "b", "c")] == [
        ["views"],
        ["views"],
        [],
    ]

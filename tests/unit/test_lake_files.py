"""Names, files, statistics, duplicates and what to merge: the parts of the lake that need no lock."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse.catalog.generations import GENERATIONS
from warehouse.catalog.model import Column, Dataset, Kind
from warehouse.engines.base import Window
from warehouse.errors import InvalidInput, WarehouseError
from warehouse.storage.lake_compaction import FULL_FILE_ROWS, mergeable
from warehouse.storage.lake_dedupe import Incoming
from warehouse.storage.lake_delta import Live
from warehouse.storage.lake_names import fingerprint, new_file, parse, schema_id, token_sum
from warehouse.storage.lake_parquet import ROW_GROUP_ROWS, days_of, layout, picked, statistics, write_parquet
from warehouse.storage.lake_snapshot import Snapshot
from warehouse.storage.tables import conform, with_views

EVENTS = Dataset(
    name="events",
    description="Things that happened.",
    columns=(
        Column("organisation_id", Kind.TEXT, "Owner."),
        Column("created_at", Kind.INSTANT, "When."),
        Column("id", Kind.TEXT, "Which."),
        Column("tags.key", Kind.TEXT_LIST, "Keys."),
        Column("cost", Kind.MONEY, "How much."),
    ),
    sort_by=("organisation_id", "created_at"),
)
NOON = datetime.fromisoformat("2026-03-01T12:00:00")


def events(*rows: tuple[str, datetime]) -> pa.Table:
    values = {
        "organisation_id": ["b" if n % 2 else "a" for n in range(len(rows))],
        "created_at": [at for _, at in rows],
        "id": [name for name, _ in rows],
        "tags.key": [["x", "y"] for _ in rows],
        "cost": [Decimal("1.5") for _ in rows],
    }
    schema = pa.schema(
        [
            ("organisation_id", pa.string()),
            ("created_at", pa.timestamp("us")),
            ("id", pa.string()),
            ("tags.key", pa.list_(pa.string())),
            ("cost", pa.decimal128(18, 12)),
        ]
    )
    return pa.table(values, schema=schema)


def stored(tmp_path, rows: pa.Table, dataset: Dataset = EVENTS) -> str:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
    with path.open("xb") as sink:
        write_parquet(dataset, rows, sink)
    return str(path)


def test_a_name_tells_day_token_and_schema() -> None:
    file = new_file(date(2026, 3, 1), events().schema)
    assert parse(file.path) == file
    assert parse(f"/some/where/{file.path}") == file
    assert file.schema_id == schema_id(events().schema)
    assert new_file(date(2026, 3, 1), events().schema) != file
    with pytest.raises(WarehouseError, match="did not write"):
        parse("day=2026-03-01/part-0.parquet")


def test_a_fingerprint_outlives_a_merge() -> None:
    files = [new_file(date(2026, 3, 1), events().schema) for _ in range(5)]
    merged = new_file(date(2026, 3, 1), events().schema, token_sum(files[:3]))
    assert fingerprint([merged, *files[3:]]) == fingerprint(files)
    assert fingerprint(files[1:]) != fingerprint(files)


def test_a_snapshot_gives_the_files_of_the_days_a_window_touches() -> None:
    files = [new_file(date(2026, 3, day), events().schema) for day in (1, 2, 2, 3)]
    snapshot = Snapshot.of(7, None, [file.path for file in files])
    late = Window(datetime(2026, 3, 2, 23, 59, tzinfo=UTC), None)
    tokyo = Window(None, datetime(2026, 3, 2, 8, 59, tzinfo=UTC) - timedelta(hours=9))
    assert {file.day.day for file in snapshot.files((late,))} == {2, 3}
    assert {file.day.day for file in snapshot.files((tokyo,))} == {1}
    assert len(snapshot.files((tokyo, late))) == 4
    assert len(snapshot.files()) == 4
    assert set(snapshot.on([date(2026, 3, 2), date(2026, 4, 1)])) == {files[1].path, files[2].path}


def test_a_file_keeps_small_row_groups_and_exact_money(tmp_path) -> None:
    rows = events(*((f"id-{n}", NOON) for n in range(ROW_GROUP_ROWS + 5)))
    path = stored(tmp_path, rows)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [ROW_GROUP_ROWS, 5]
    column = metadata.row_group(0).column(metadata.schema.names.index("cost"))
    assert (column.physical_type, column.compression) == ("INT64", "LZ4")
    assert pq.ParquetFile(path).read().equals(rows)


def test_rows_are_split_by_utc_day_and_sorted() -> None:
    edge = datetime.fromisoformat("2026-03-01T23:59:59.999999")
    rows = events(("d", edge + timedelta(microseconds=1)), ("c", edge), ("b", NOON), ("a", NOON - timedelta(hours=1)))
    days = days_of(EVENTS, rows)

    def ids(parts: dict[date, pa.Array]) -> dict[str, list[str]]:
        return {day.isoformat(): rows.take(numbers)["id"].to_pylist() for day, numbers in parts.items()}

    assert ids(layout(EVENTS, rows, days)) == {"2026-03-01": ["b", "a", "c"], "2026-03-02": ["d"]}
    assert ids(layout(EVENTS, rows, days, pa.array([1, 3]))) == {"2026-03-01": ["a", "c"]}
    assert layout(EVENTS, rows, days, pa.array([], pa.int64())) == {}
    assert layout(EVENTS, rows.slice(0, 0), days.slice(0, 0)) == {}


def test_rows_that_are_sorted_stay_where_they_are() -> None:
    tomorrow = NOON + timedelta(days=1)
    rows = events(("a", NOON), ("b", NOON), ("c", tomorrow), ("d", tomorrow))
    parts = layout(EVENTS, rows, days_of(EVENTS, rows))
    assert [numbers.to_pylist() for numbers in parts.values()] == [[0, 1], [2, 3]]
    assert [picked(rows, numbers)["id"].to_pylist() for numbers in parts.values()] == [["a", "b"], ["c", "d"]]
    kept = layout(EVENTS, rows, days_of(EVENTS, rows), pa.array([0, 1, 3]))
    assert [picked(rows, numbers)["id"].to_pylist() for numbers in kept.values()] == [["a", "b"], ["d"]]
    assert picked(rows, pa.array([2, 0]))["id"].to_pylist() == ["c", "a"]


def test_texts_as_views_are_stored_and_picked_like_plain_ones(tmp_path) -> None:
    rows = events(("a", NOON), ("b", NOON), ("an id that is longer than a view", NOON))
    views = conform(EVENTS, rows.cast(with_views(rows.schema)), views=True)
    assert views.schema == with_views(rows.schema)
    assert conform(EVENTS, views).equals(rows)
    assert picked(views, pa.array([2, 0])).equals(rows.take([2, 0]))
    for name, given in (("plain", rows), ("views", views)):
        with (tmp_path / name).open("wb") as sink:
            write_parquet(EVENTS, given, sink)
    read = pq.ParquetFile(tmp_path / "views").read()
    assert read.equals(rows)
    assert read.schema.equals(rows.schema)
    assert pq.read_metadata(tmp_path / "views").row_group(0).to_dict() == (
        pq.read_metadata(tmp_path / "plain").row_group(0).to_dict()
    )


def test_bounds_are_rounded_outwards_to_the_millisecond() -> None:
    first, last = (datetime.fromisoformat(f"2026-03-01T{at}") for at in ("00:00:00.001001", "23:59:59.999001"))
    rows = events(("a", first), ("b", last))
    assert statistics(EVENTS, rows) == (
        '{"numRecords": 2, "minValues": {"organisation_id": "a", "created_at": "2026-03-01T00:00:00.001Z"}, '
        '"maxValues": {"organisation_id": "b", "created_at": "2026-03-02T00:00:00.000Z"}, '
        '"nullCount": {"organisation_id": 0, "created_at": 0}}'
    )


def test_rows_must_have_the_columns_the_types_an_id_and_an_instant() -> None:
    rows = events(("a", NOON))
    assert conform(EVENTS, rows.select(["id", "cost", "tags.key", "created_at", "organisation_id"])).equals(rows)
    with pytest.raises(InvalidInput, match=r"missing: cost; unknown: price"):
        conform(EVENTS, rows.rename_columns(["organisation_id", "created_at", "id", "tags.key", "price"]))
    with pytest.raises(InvalidInput, match="do not have its types"):
        conform(EVENTS, rows.set_column(4, "cost", pa.array(["much"])))
    nameless = rows.set_column(2, "id", pa.array([None], pa.string()))
    with pytest.raises(InvalidInput, match="1 rows of events have no id"):
        days_of(EVENTS, nameless)
    with pytest.raises(InvalidInput, match="1 rows of events have no created_at"):
        days_of(EVENTS, rows.set_column(1, "created_at", pa.array([None], pa.timestamp("us"))))


def test_every_catalog_column_can_be_written(tmp_path) -> None:
    from warehouse.storage.tables import arrow_schema

    schema = arrow_schema(GENERATIONS)
    row = {"organisation_id": "o", "id": "x", "created_at": NOON, "metadata.key": ["k"], "metadata.value": ["v"]}
    rows = pa.Table.from_pylist([row], schema=schema)
    assert pq.ParquetFile(stored(tmp_path, rows, GENERATIONS)).read().equals(rows)


def test_duplicates_and_conflicts_within_a_batch() -> None:
    later = NOON + timedelta(seconds=1)
    incoming = Incoming(EVENTS, events(("a", NOON), ("b", NOON), ("a", NOON), ("b", later), ("c", later)))
    verdict = incoming.verdict()
    assert (verdict.new.to_pylist(), verdict.duplicates, verdict.conflicts) == ([0, 1, 4], 1, ("b",))


def test_duplicates_and_conflicts_with_what_is_stored(tmp_path) -> None:
    later = NOON + timedelta(seconds=1)
    known = [stored(tmp_path, events(("a", NOON), ("b", NOON))), stored(tmp_path, events(("z", NOON)))]
    batch = events(("a", later), ("a", NOON), ("b", NOON), ("c", NOON), ("c", NOON), ("b", later))
    incoming = Incoming(EVENTS, batch)
    assert incoming.learn([]) is False
    assert incoming.learn([known[1]]) is False
    assert incoming.verdict().new.to_pylist() == [0, 2, 3]
    assert incoming.learn(known) is True
    verdict = incoming.verdict()
    assert (verdict.new.to_pylist(), verdict.duplicates, verdict.conflicts) == ([3], 3, ("a", "b"))
    assert len(verdict.new) + verdict.duplicates + len(verdict.conflicts) == batch.num_rows


def file(name: str, rows: int) -> Live:
    return Live(name, "2026-03-01", rows * 100, rows)


def test_small_files_are_merged_and_a_large_one_is_left_alone() -> None:
    small = [file("c", 90), file("a", 10), file("b", 80)]
    assert [f.path for f in mergeable(small)] == ["a", "b", "c"]
    assert [f.path for f in mergeable([*small, file("big", 2_000)])] == ["a", "b", "c"]
    assert [f.path for f in mergeable([*small, file("next", 1_400)])] == ["a", "b", "c", "next"]
    assert mergeable([file("late", 1), file("day", 100_000)]) == []
    assert mergeable([file("x", FULL_FILE_ROWS - 5), file("y", FULL_FILE_ROWS - 4)]) == []
    assert mergeable([]) == []


def test_a_late_row_does_not_keep_the_files_of_its_day_apart() -> None:
    day = [file("half", 50_000), file("late", 1), file("rest", 50_000)]
    assert [f.path for f in mergeable(day)] == ["half", "rest"]
    assert [f.path for f in mergeable([*day, file("later", 2)])] == ["late", "later"]
    assert [f.path for f in mergeable([*day, file("later", 2), file("more", 60_000)], least=3)] == [
        "half",
        "rest",
        "more",
    ]

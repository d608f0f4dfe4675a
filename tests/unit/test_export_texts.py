"""Columns written at once are, byte for byte, what is written value by value."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.exports.texts import json_lines, json_objects, plain
from warehouse.query.export import Format, records, write

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(('"', "\\", "\x00\x1f", "\n"))
INSTANTS = st.integers(0, 7_000_000_000_000).map(lambda ms: datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms))
MONEY = st.decimals(Decimal(-999_999), Decimal(999_999), places=12)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("created_at", pa.timestamp("ms", tz="UTC")),
        ("cost", pa.decimal128(18, 12)),
        ("req_units", pa.int64()),
        ("is_success", pa.bool_()),
        ('a "name"\\', pa.string()),
    ]
)
ROWS = st.lists(
    st.tuples(
        *(
            st.none() | values
            for values in (WORDS, INSTANTS, MONEY, st.integers(-(2**63), 2**63 - 1), st.booleans(), WORDS)
        )
    ),
    max_size=6,
)
LISTS = st.none() | st.lists(st.none() | WORDS, max_size=3)


def table(rows: list[tuple[object, ...]]) -> pa.Table:
    columns = [
        pa.array([row[place] for row in rows], pa.timestamp("us", tz="UTC") if place == 1 else field.type)
        for place, field in enumerate(SCHEMA)
    ]
    return pa.table(
        [column.cast(field.type, safe=False) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA
    )


@settings(deadline=None)
@given(ROWS)
def test_lines_are_those_of_single_rows(rows: list[tuple[object, ...]]) -> None:
    page = table(rows)
    expected = b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records(page))
    assert json_lines(page, ()) == expected


@settings(deadline=None)
@given(ROWS)
def test_fields_of_csv_are_those_of_single_values(rows: list[tuple[object, ...]]) -> None:
    page = table(rows)
    expected = io.BytesIO()
    write(page, Format.CSV, expected)
    found = io.StringIO(newline="")
    writer = csv.writer(found, lineterminator="\r\n")
    writer.writerow(page.column_names)
    writer.writerows(zip(*(plain(column).to_list() for column in page.columns), strict=True))
    assert found.getvalue().encode() == expected.getvalue()


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | st.lists(WORDS, max_size=3), LISTS), max_size=6), st.booleans())
def test_objects_are_those_of_dicts(rows: list[tuple[list[str] | None, list[str | None] | None]], is_cut: bool) -> None:
    lists = pa.list_(pa.string())
    keys, values = (pa.chunked_array([pa.array(column, lists)]) for column in zip(*rows, strict=True)) if rows else (
        pa.chunked_array([], lists), pa.chunked_array([], lists)
    )  # fmt: skip
    if is_cut and rows:
        keys, values, rows = keys.slice(1), values.slice(1), rows[1:]
    found = json_objects(keys, values).to_pylist()
    assert found == [orjson.dumps(dict(zip(names or (), texts or (), strict=False))).decode() for names, texts in rows]


def test_json_within_stays_as_it_is_and_other_types_are_refused() -> None:
    page = pa.table({"metadata": ['{"a":"b"}', None]})
    assert json_lines(page, {"metadata"}) == b'{"metadata":{"a":"b"}}\n{"metadata":null}\n'
    with pytest.raises(TypeError, match="double"):
        plain(pa.chunked_array([[0.5]]))

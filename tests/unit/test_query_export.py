"""Exports lose nothing: every digit of money, every instant, every text."""

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.errors import UnknownName
from warehouse.query.export import CONTENT_TYPES, Format, instant_text, money_text, records, write

ROWS = pa.table(
    {
        "model": pa.array(["gpt-4o", '"quoted", line\nbreak', ""]),
        "requests": pa.array([12, 0, None], pa.int64()),
        "cost": pa.array([Decimal("12345678901234567890.123456789012"), Decimal("0.4"), None], pa.decimal128(38, 12)),
        "success_rate": pa.array([99.1, None, 100.0]),
        "last_seen": pa.array([datetime(2026, 2, 26, 18, 2, 11, 987654, UTC), None, None], pa.timestamp("us", "UTC")),
        "tags": pa.array([["a", "b"], [], None]),
        "day": pa.array([date(2026, 2, 26), None, None]),
        "ok": pa.array([True, False, None]),
    }
)


def written(format_: Format, rows: pa.Table | pa.RecordBatchReader = ROWS) -> bytes:
    sink = io.BytesIO()
    assert write(rows, format_, sink) == ROWS.num_rows
    return sink.getvalue()


def test_json_keeps_every_digit() -> None:
    lines = json.loads(written(Format.JSON), parse_float=Decimal)
    assert lines[0]["cost"] == Decimal("12345678901234567890.123456789012")
    assert lines[1]["cost"] == Decimal("0.4")
    assert lines[2]["cost"] is None
    assert lines[0]["last_seen"] == "2026-02-26T18:02:11.987Z"
    assert [line["model"] for line in lines] == ROWS["model"].to_pylist()
    assert [line["requests"] for line in lines] == [12, 0, None]
    assert lines[0]["tags"] == ["a", "b"]
    assert lines[0]["day"] == "2026-02-26"


def test_records_are_what_orjson_writes_as_numbers() -> None:
    assert orjson.loads(orjson.dumps(records(ROWS.slice(1, 1))))[0]["cost"] == 0.4


def test_ndjson_has_a_line_per_row_and_streams() -> None:
    reader = pa.RecordBatchReader.from_batches(ROWS.schema, ROWS.to_batches(max_chunksize=1))
    assert written(Format.NDJSON, reader) == written(Format.NDJSON)
    assert [json.loads(line) for line in written(Format.NDJSON).splitlines()] == json.loads(written(Format.JSON))


def test_csv_can_be_read_back() -> None:
    lines = list(csv.DictReader(io.StringIO(written(Format.CSV).decode(), newline="")))
    assert lines[0]["cost"] == "12345678901234567890.123456789012"
    assert lines[1]["model"] == '"quoted", line\nbreak'
    assert lines[0]["last_seen"] == "2026-02-26T18:02:11.987Z"
    assert lines[0]["tags"] == '["a","b"]'
    assert [line["ok"] for line in lines] == ["true", "false", ""]
    assert lines[2]["cost"] == ""


def test_parquet_keeps_types_and_values() -> None:
    assert pq.read_table(io.BytesIO(written(Format.PARQUET))).equals(ROWS)


@pytest.mark.parametrize("format_", list(Format))
def test_no_rows_are_a_valid_document(format_: Format) -> None:
    sink = io.BytesIO()
    assert write(ROWS.slice(0, 0), format_, sink) == 0
    if format_ is Format.JSON:
        assert json.loads(sink.getvalue()) == []
    if format_ is Format.CSV:
        assert sink.getvalue().decode().strip() == ",".join(ROWS.column_names)
    assert format_ in CONTENT_TYPES


@given(st.decimals(-(10**25), 10**25, places=12))
def test_money_comes_back_from_its_text(amount: Decimal) -> None:
    text = money_text(amount)
    assert Decimal(text) == amount
    assert "e" not in text.lower()
    assert json.loads(text, parse_float=Decimal, parse_int=Decimal) == amount


def test_money_has_no_needless_digits() -> None:
    amounts = ["0.400000000000", "12.000000000000", "0E-12", "-0.000000000000", "100", "-1.50", "1E+3"]
    assert [money_text(Decimal(amount)) for amount in amounts] == ["0.4", "12", "0", "0", "100", "-1.5", "1000"]


def test_instants_are_written_in_utc() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert instant_text(datetime(2026, 2, 26, 23, 30, tzinfo=east)) == "2026-02-26T18:00:00.000Z"
    assert instant_text(datetime(2026, 2, 26, 18, tzinfo=UTC).replace(tzinfo=None)) == "2026-02-26T18:00:00.000Z"


def test_an_unknown_format_is_answered_with_the_known_ones() -> None:
    assert Format.named("CSV") is Format.CSV
    with pytest.raises(UnknownName, match="json, ndjson, csv, parquet"):
        Format.named("xlsx")

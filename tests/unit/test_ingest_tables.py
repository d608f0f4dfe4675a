"""Tables whose columns are named by hand: dialects, mapping, and what is wrong with a line."""

from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.factories.records import batch_of, lines, reasons, rows_of
from warehouse.errors import InvalidInput, SourceError, UnknownName

TRACE = (
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
    b"2023-11-16 18:17:03.9799600,4808,10\n"
    b"2023-11-16 18:17:04.0319600,3180,8\n"
)
TRACE_MAP = {"created_at": "TIMESTAMP", "req_units": "ContextTokens", "res_units": "GeneratedTokens"}
TRACE_SET = {"ai_org": "openai", "ai_model": "gpt-4o"}


def test_a_csv_by_mapping() -> None:
    batch = batch_of(TRACE, name="trace.csv", mapping=TRACE_MAP, constants=TRACE_SET)
    rows = rows_of(batch)
    assert [(row["req_units"], row["res_units"], row["total_units"]) for row in rows] == [
        (4808, 10, 4818),
        (3180, 8, 3188),
    ]
    assert rows[0]["created_at"] == datetime.fromisoformat("2023-11-16T18:17:03.979")
    assert rows[0]["cost"] == Decimal("4.828")
    assert len({row["id"] for row in rows}) == 2


DIALECTS = {
    "semicolon": TRACE.replace(b",", b";"),
    "tab": TRACE.replace(b",", b"\t"),
    "bar": TRACE.replace(b",", b"|"),
    "quoted": b'"TIMESTAMP","ContextTokens","GeneratedTokens"\r\n"2023-11-16 18:17:03.97","4808","10"\r\n'
    b'"2023-11-16 18:17:04.03","3180","8"',
    "byte order mark, blank lines": b"\xef\xbb\xbf" + TRACE.replace(b"\n", b"\r\n\r\n"),
    "ndjson": lines(
        {"TIMESTAMP": "2023-11-16T18:17:03.97Z", "ContextTokens": 4808, "GeneratedTokens": 10},
        {"TIMESTAMP": "2023-11-16T18:17:04.03Z", "ContextTokens": 3180, "GeneratedTokens": 8, "more": 1},
    ),
}


@pytest.mark.parametrize("content", DIALECTS.values(), ids=DIALECTS.keys())
def test_a_table_in_any_dialect(content) -> None:
    batch = batch_of(content, name="t", mapping=TRACE_MAP, constants=TRACE_SET)
    assert reasons(batch) == []
    assert [row["req_units"] for row in rows_of(batch)] == [4808, 3180]


def test_a_parquet_table_by_mapping(tmp_path) -> None:
    path = tmp_path / "t.parquet"
    at = [datetime.fromisoformat("2026-05-01T10:00:00.5"), datetime.fromisoformat("2026-05-01T11:00:00")]
    pq.write_table(pa.table({"at": at, "n": [1.0, None], "d": [Decimal("1.25"), None]}), path)
    batch = batch_of(path.read_bytes(), name="t", mapping={"created_at": "at", "req_units": "n", "cost": "d"})
    rows = rows_of(batch)
    assert [row["created_at"] for row in rows] == at
    assert (rows[0]["req_units"], rows[0]["reported_cost"]) == (1, Decimal("1.25"))


def test_quoted_fields_may_hold_lines_and_delimiters() -> None:
    content = b'at,who\n2026-05-01T10:00:00Z,"a,\n""b"""\n2026-05-01T10:00:01Z,c\n'
    rows = rows_of(batch_of(content, name="t.csv", mapping={"created_at": "at", "_user": "who"}))
    assert [row["_user"] for row in rows] == ['a,\n"b"', "c"]


def test_wrong_lines_of_a_table_are_refused_with_their_bytes() -> None:
    content = TRACE + b'2023-11-16 18:17:05,1\nx,1,2\n2023-11-16 18:17:05,-4,2\n\xff,1,1\n2023-11-16 18:17:05,"1"2,2\n'
    batch = batch_of(content, name="t.csv", mapping=TRACE_MAP, constants=TRACE_SET)
    assert reasons(batch) == [
        "wrong number of fields",
        "created_at is not a time",
        "req_units is negative",
        "not valid UTF-8",
        "not a valid line of a table",
    ]
    assert len(rows_of(batch)) == 2
    for reject in batch.rejects:
        assert content[reject.original.offset :].startswith(reject.original.data)


def test_unknown_names_of_a_mapping_are_listed_with_near_misses() -> None:
    with pytest.raises(UnknownName, match="Did you mean created_at"):
        batch_of(TRACE, name="t.csv", mapping={"creatd_at": "TIMESTAMP"})
    with pytest.raises(UnknownName, match="Did you mean TIMESTAMP"):
        batch_of(TRACE, name="t.csv", mapping={"created_at": "TIMESTAMPS"})
    with pytest.raises(InvalidInput, match="cost_unit is no column"):
        batch_of(TRACE, name="t.csv", mapping={"cost_unit": "TIMESTAMP"})
    with pytest.raises(InvalidInput, match="created_at"):
        batch_of(TRACE, name="t.csv", mapping={"req_units": "ContextTokens"})
    with pytest.raises(SourceError, match="more than once"):
        batch_of(b"a,a\n1,2\n", name="t.csv", mapping={"created_at": "a"})


def test_a_csv_with_our_names_needs_no_mapping() -> None:
    content = (
        b'created_at,ai_org,ai_model,req_units,metadata\n2026-05-01T10:00:00Z,openai,gpt-4o,5,"{""team"":""a""}"\n'
    )
    [row] = rows_of(batch_of(content, name="t.csv"))
    assert (row["ai_model"], row["req_units"], row["metadata.key"]) == ("gpt-4o", 5, ["team"])

"""Analytics rows in every spelling that gateways and SDKs have, and each way in which one can be wrong."""

import gzip
import io
import json
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.factories.records import batch_of, lines, metric, reasons, rows_of
from warehouse.errors import InvalidInput, SourceError, UnknownName


def one(record, **options):
    batch = batch_of(lines(record), **options)
    assert reasons(batch) == []
    [row] = rows_of(batch)
    return row


def test_a_row_is_typed_priced_and_owned() -> None:
    row = one(metric())
    assert row["created_at"] == datetime.fromisoformat("2026-05-01T10:00:00.123")
    assert (row["organisation_id"], row["organisation_name"], row["workspace_slug"]) == ("acme", "Acme", "search")
    assert (row["req_units"], row["res_units"], row["total_units"]) == (150, 200, 350)
    assert (row["uncached_input_tokens"], row["output_tokens"]) == (150, 200)
    assert row["cost"] == Decimal("0.55")
    assert (row["reported_cost"], row["cost_source"]) == (Decimal("0.0105"), "computed")
    assert (row["is_success"], row["cache_status"], row["retry_success_count"]) == (True, "MISS", 0)
    assert (row["metadata.key"], row["metadata.value"]) == (["department"], ["support"])
    assert row["ingest_source"] == "input.ndjson"


RECORDS = [metric(number, req_units=number) for number in range(5)]


def as_parquet(records):
    flat = [{k: v for k, v in record.items() if k != "metadata"} for record in records]
    table = pa.Table.from_pylist(flat)
    table = table.append_column("metadata.key", pa.array([["department"]] * len(flat)))
    table = table.append_column("metadata.value", pa.array([["support"]] * len(flat)))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


CONTAINERS = {
    "ndjson": lines(*RECORDS),
    "gzip": gzip.compress(lines(*RECORDS)),
    "gzip of two members": gzip.compress(lines(*RECORDS[:2])) + gzip.compress(lines(*RECORDS[2:])),
    "zstd": zstandard.compress(lines(*RECORDS)),
    "zstd of two frames": zstandard.compress(lines(*RECORDS[:2])) + zstandard.compress(lines(*RECORDS[2:])),
    "array": json.dumps(RECORDS).encode(),
    "pretty array": json.dumps(RECORDS, indent=2).encode(),
    "objects, pretty, one after another": b"\n".join(json.dumps(r, indent=2).encode() for r in RECORDS),
    "byte order mark, blank lines, CRLF": b"\xef\xbb\xbf\r\n" + lines(*RECORDS).replace(b"\n", b"\r\n\r\n"),
    "no newline at the end": lines(*RECORDS).rstrip(b"\n"),
    "parquet": as_parquet(RECORDS),
}


@pytest.mark.parametrize("content", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_a_container_is_told_by_its_content(content) -> None:
    batch = batch_of(content, name="anything.bin")
    assert reasons(batch) == []
    rows = rows_of(batch)
    assert [row["req_units"] for row in rows] == [0, 1, 2, 3, 4]
    assert {row["created_at"].microsecond for row in rows} == {123000}
    assert [row["metadata.value"] for row in rows] == [["support"]] * 5


def test_one_pretty_object() -> None:
    assert rows_of(batch_of(json.dumps(metric(), indent=4).encode()))[0]["req_units"] == 150


SPELLINGS = [
    ("req_units", "7", "req_units", 7),
    ("req_units", 7.0, "req_units", 7),
    ("req_units", " 7 ", "req_units", 7),
    ("response_time", 12.6, "response_time", 13),
    ("response_time", "0042", "response_time", 42),
    ("retry_success_count", -1, "retry_success_count", -1),
    ("is_success", "true", "is_success", True),
    ("is_success", False, "is_success", False),
    ("is_success", 0, "is_success", False),
    ("is_success", "0.0", "is_success", False),
    ("stream_mode", "True", "stream_mode", True),
    ("cache_status", "semantic hit", "cache_status", "SEMANTIC HIT"),
    ("cost", "1e-7", "reported_cost", Decimal("1E-7")),
    ("cost", 3887.3066999, "reported_cost", Decimal("3887.3066999")),
    ("created_at", "2026-05-01 10:00:00.1239999", "created_at", datetime.fromisoformat("2026-05-01T10:00:00.123")),
    ("created_at", "2026-05-01T10:00:00+05:30", "created_at", datetime.fromisoformat("2026-05-01T04:30:00")),
    ("created_at", 1777629600, "created_at", datetime.fromisoformat("2026-05-01T10:00:00")),
    ("created_at", 1777629600123, "created_at", datetime.fromisoformat("2026-05-01T10:00:00.123")),
    ("metadata", {"team": "a"}, "metadata.key", ["team"]),
    ("metadata", {"team": 'say "x"'}, "metadata.value", ['say "x"']),
    ("metadata", {"n": 1.0, "b": True, "o": {"x": 1}, "none": None}, "metadata.value", ["1", "true", '{"x":1}']),
    ("metadata", [["team", "a"], {"key": "n", "value": 2}], "metadata.value", ["a", "2"]),
    ("metadata", '{"team":"a"}', "metadata.key", ["team"]),
    ("metadata", {"key": ["a"], "value": [None]}, "metadata.value", [""]),
    ("ai_model", "½ 😀", "ai_model", "½ 😀"),
    ("prompt_id", 17, "prompt_id", "17"),
]


@pytest.mark.parametrize(("field", "value", "column", "expected"), SPELLINGS)
def test_a_spelling_is_understood_alone_and_among_clean_rows(field, value, column, expected) -> None:
    assert one(metric(**{field: value}))[column] == expected
    batch = batch_of(lines(metric(1), metric(2, **{field: value}), metric(3)))
    assert reasons(batch) == []
    found = {row["id"][-1]: row for row in rows_of(batch)}
    assert found["2"][column] == expected
    assert (found["1"]["req_units"], found["3"]["req_units"]) == (150, 150)


def test_metadata_as_flat_columns() -> None:
    row = one(metric(metadata=..., **{"metadata.key": ["team"], "metadata.value": ["a"]}))
    assert (row["metadata.key"], row["metadata.value"]) == (["team"], ["a"])


def test_promoted_metadata_is_in_its_column_and_in_the_lists() -> None:
    first = one(metric(metadata={"_user": "ann", "team": "a"}, _prompt="p"))
    assert (first["_user"], first["_prompt"], first.get("_organisation")) == ("ann", "p", None)
    assert dict(zip(first["metadata.key"], first["metadata.value"], strict=True)) == {
        "_user": "ann",
        "team": "a",
        "_prompt": "p",
    }


def test_promoted_columns_of_many_rows_do_not_mix() -> None:
    records = [
        metric(1, metadata={"_user": "ann"}),
        metric(2),
        metric(3, _user="bob"),
        metric(4, metadata={"_environment": "e"}),
    ]
    rows = {row["id"][-1]: row for row in rows_of(batch_of(lines(*records)))}
    assert [rows[n].get("_user") for n in "1234"] == ["ann", None, "bob", None]
    assert [rows[n].get("_environment") for n in "1234"] == [None, None, None, "e"]
    assert rows["3"]["metadata.key"] == ["department", "_user"]
    assert rows["2"]["metadata.key"] == ["department"]


def test_blank_text_is_null() -> None:
    row = one(metric(_user="", prompt_slug=" \t", config=None))
    assert not {"_user", "prompt_slug", "config"} & row.keys()


@pytest.mark.parametrize(("status", "success"), [(200, True), (246, True), (299, True), (446, False), (500, False)])
def test_success_follows_from_the_status_where_it_is_not_told(status, success) -> None:
    assert one(metric(is_success=..., response_status_code=status))["is_success"] is success


def test_units_that_are_missing_are_made() -> None:
    assert one(metric(total_units=...))["total_units"] == 350
    assert one(metric(total_units=0))["total_units"] == 350
    bare = one(metric(total_units=..., req_units=..., res_units=...))
    assert "total_units" not in bare
    assert bare["unpriced_reason"]


def test_a_split_that_a_row_carries_is_kept_and_adds_up() -> None:
    row = one(metric(req_units=150, cache_read_tokens=100, reasoning_tokens=50))
    assert (row["uncached_input_tokens"], row["cache_read_tokens"]) == (50, 100)
    assert (row["output_tokens"], row["reasoning_tokens"]) == (150, 50)
    over = one(metric(req_units=10, cache_read_tokens=100))
    assert (over["req_units"], over["uncached_input_tokens"]) == (100, 0)


def test_costs_in_dollars_are_told_by_a_constant() -> None:
    assert one(metric(cost=0.0105), constants={"cost_unit": "usd"})["reported_cost"] == Decimal("1.05")
    assert one(metric(response_time=1.5), constants={"time_unit": "s"})["response_time"] == 1500


def test_a_constant_holds_for_every_record() -> None:
    batch = batch_of(lines(metric(1), metric(2, metadata={"a": "b"})), constants={"ai_model": "gpt-4o-mini"})
    assert {row["ai_model"] for row in rows_of(batch)} == {"gpt-4o-mini"}


def test_constants_are_checked() -> None:
    with pytest.raises(UnknownName, match="Did you mean ai_model"):
        batch_of(lines(metric()), constants={"ai_modle": "x"})
    with pytest.raises(InvalidInput, match="allowed: cents, usd"):
        batch_of(lines(metric()), constants={"cost_unit": "eur"})
    with pytest.raises(InvalidInput, match="id"):
        batch_of(lines(metric()), constants={"id": "x"})


WRONG = [
    ({"created_at": ...}, "created_at is missing"),
    ({"created_at": "yesterday"}, "created_at is not a time"),
    ({"created_at": "1969-12-31T00:00:00Z"}, "created_at is out of range"),
    ({"created_at": {"$date": 1}}, "created_at is not a plain value"),
    ({"id": {"a": 1}}, "id is not text"),
    ({"id": 12345678901234567890}, "id is not text"),
    ({"id": True}, "id is not text"),
    ({"id": "x" * 256}, "id is longer than 255 bytes"),
    ({"req_units": -1}, "req_units is negative"),
    ({"req_units": 1.5}, "req_units is not a whole number"),
    ({"req_units": 1e13}, "req_units is absurdly large"),
    ({"req_units": "many"}, "req_units is not a number"),
    ({"req_units": [1]}, "req_units is not a plain value"),
    ({"cache_read_tokens": -5}, "cache_read_tokens is negative"),
    ({"is_success": "maybe"}, "is_success is not true or false"),
    ({"cost": -1}, "reported_cost is negative"),
    ({"cost": 1e9}, "reported_cost is absurdly large"),
    ({"cost": "x"}, "reported_cost is not an amount"),
    ({"cost_currency": "EUR"}, "cost_currency is not USD"),
    ({"organisation_id": "nobody"}, "unknown organisation"),
    ({"workspace_slug": "nowhere"}, "unknown workspace"),
    ({"ai_model": {"name": "x"}}, "ai_model is not a plain value"),
    ({"ai_model": "x" * 70_000}, "ai_model is longer than 65536 bytes"),
    ({"metadata": 5}, "metadata is not an object"),
    ({"metadata": {"key": ["a", "b"], "value": ["c"]}}, "metadata keys and values differ in number"),
    ({"response_status_code": 1000}, "response_status_code is absurdly large"),
]


@pytest.mark.parametrize(("changes", "reason"), WRONG, ids=[f"{next(iter(c))}: {r}" for c, r in WRONG])
def test_a_wrong_record_is_refused_with_its_reason_and_its_bytes(changes, reason) -> None:
    wrong = lines(metric(2, **changes)).rstrip(b"\n")
    content = lines(metric(1)) + wrong + b"\n" + lines(metric(3))
    batch = batch_of(content)
    assert reasons(batch) == [reason]
    [reject] = batch.rejects
    assert (reject.original.record, reject.original.data) == (2, wrong)
    assert content[reject.original.offset :].startswith(wrong)
    assert {row["id"][-1] for row in rows_of(batch)} == {"1", "3"}


NOT_RECORDS = [
    b"nonsense",
    b"[1]",
    b"5",
    b'"text"',
    b"null",
    b'{"cut":',
    b"\xff\xfe",
    b"{'a':1}",
    b'{"a":NaN}',
    b"[" * 3000,
]


@pytest.mark.parametrize("junk", NOT_RECORDS, ids=[repr(j[:12]) for j in NOT_RECORDS])
def test_what_is_no_record_does_not_harm_its_neighbours(junk) -> None:
    batch = batch_of(lines(metric(1)) + junk + b"\n" + lines(metric(3)))
    assert len(reasons(batch)) == 1
    assert batch.rejects[0].original.data == junk
    assert {row["id"][-1] for row in rows_of(batch)} == {"1", "3"}


def test_a_broken_element_does_not_take_its_array_along() -> None:
    content = b"[" + b",".join([lines(metric(1)).strip(), b'{"a": nope}', lines(metric(3)).strip()]) + b"]"
    batch = batch_of(content)
    assert reasons(batch) == ["not valid JSON"]
    assert {row["id"][-1] for row in rows_of(batch)} == {"1", "3"}


def test_half_a_character_becomes_the_replacement_mark() -> None:
    content = lines(metric(1)) + lines(metric(2, _user="cut")).replace(b"cut", b"cut\\ud83d")
    rows = {row["id"][-1]: row for row in rows_of(batch_of(content))}
    assert rows["2"]["_user"] == "cut\ufffd"


def test_records_without_an_id_get_the_same_one_every_time() -> None:
    same = lines(metric(id=...), metric(id=...))
    first, again = (rows_of(batch_of(same, name=name)) for name in ("a/x.ndjson", "b/x.ndjson.gz"))
    assert [row["id"] for row in first] == [row["id"] for row in again]
    assert first[0]["id"] != first[1]["id"]
    assert rows_of(batch_of(same, name="y.ndjson"))[0]["id"] != first[0]["id"]


def test_an_id_of_another_spelling_is_used() -> None:
    assert one(metric(id=..., _id="mongo-1"))["id"] == "mongo-1"


def test_the_batch_is_named_by_its_rows_and_not_by_its_rejects() -> None:
    clean, dirty = batch_of(lines(metric(1))), batch_of(lines(metric(1), metric(2, id=5)))
    assert clean.id == dirty.id
    assert clean.id != batch_of(lines(metric(1), metric(2))).id


@pytest.mark.parametrize("content", [b"", b"\n \r\n", gzip.compress(b"", mtime=0)])
def test_an_empty_source_holds_no_records(content) -> None:
    from tests.factories.records import bytes_source
    from warehouse.ingest.formats.base import ReadOptions
    from warehouse.ingest.reading import Job, read_all

    reads = list(read_all(Job([bytes_source("empty", content)], "auto", ReadOptions(), lambda _: None)))
    assert [(read.piece, read.is_whole) for read in reads] == [(None, True)]


@pytest.mark.parametrize(
    "content", [b"hello world\n", b"a,b,c\n1,2,3\n", b'{"x": 1}\n', b"\x00\x01\x02", b"PAR1 but not"]
)
def test_a_source_that_nothing_fits_says_what_it_saw(content) -> None:
    with pytest.raises(SourceError, match="input"):
        batch_of(content)


def test_a_damaged_stream_keeps_what_came_before_the_damage() -> None:
    packed = gzip.compress(lines(*(metric(n) for n in range(3000))))
    batch = batch_of(packed[: len(packed) // 2])
    assert reasons(batch)[0] == "unreadable"
    assert len(rows_of(batch)) > 100


def test_an_unknown_format_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="metrics"):
        batch_of(lines(metric()), form="metricz")


def test_what_was_used_beside_tokens_is_stored_in_any_spelling() -> None:
    given = [
        {"extra_units": {"web_search": 2, "audio_seconds": 8.470000267028809}},
        {"extra_units": [{"unit": "web_search", "quantity": "2.50"}, {"name": "maps", "quantity": 0}]},
        {"units.name": ["file_search"], "units.quantity": [1e-6]},
        {"units.name": [], "units.quantity": []},
        {},
    ]
    batch = batch_of(lines(*(metric(number, **fields) for number, fields in enumerate(given))))
    rows = sorted(batch.table.to_pylist(), key=lambda row: row["id"])
    assert [(row["units.name"], row["units.quantity"]) for row in rows] == [
        (["web_search", "audio_seconds"], ["2", "8.47"]),
        (["web_search"], ["2.5"]),
        (["file_search"], ["0.000001"]),
        ([], []),
        ([], []),
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"extra_units": {"web_search": -1}}, "units.quantity is negative"),
        ({"extra_units": {"web_search": "many"}}, "units.quantity is not a number"),
        ({"extra_units": {"web_search": 1e15}}, "units.quantity is absurdly large"),
        ({"extra_units": {"Web Search": 1}}, "units.name is not lower case words joined by _"),
        ({"extra_units": 5}, "units are not an object"),
        ({"units.name": ["a", "b"], "units.quantity": ["1"]}, None),
    ],
)
def test_units_that_make_no_sense_are_refused(fields, reason) -> None:
    batch = batch_of(lines(metric(0, **fields), metric(1)))
    assert batch.table.num_rows == 1
    assert reason is None or reasons(batch) == [reason]


def test_a_tier_has_one_name() -> None:
    modes = ["Priority", "default", "PROVISIONED_THROUGHPUT", "something"]
    batch = batch_of(lines(*(metric(number, execution_mode=mode) for number, mode in enumerate(modes))))
    rows = sorted(batch.table.to_pylist(), key=lambda row: row["id"])
    assert [row["execution_mode"] for row in rows] == ["priority", None, "provisioned", "something"]


def test_a_source_may_change_its_types_after_the_first_records() -> None:
    clean = [metric(number) for number in range(60)]
    later = metric(61, req_units="7", is_success="true", uncached_input_tokens=5, ttlt="12")
    worse = metric(62, req_units=1.5)
    batch = batch_of(lines(*clean, later, worse))
    assert reasons(batch) == ["req_units is not a whole number"]
    rows = {row["id"][-2:]: row for row in rows_of(batch)}
    assert len(rows) == 61
    assert (rows["61"]["req_units"], rows["61"]["ttlt"], rows["61"]["is_success"]) == (7, 12, True)
    assert (rows["00"]["req_units"], rows["59"]["res_units"]) == (150, 200)


@pytest.mark.parametrize("value", [1.5, -1.0, 1e13, 2.0**63])
def test_a_number_that_is_no_count_is_refused_among_numbers(value) -> None:
    batch = batch_of(lines(metric(1), metric(2, res_units=value), metric(3)))
    assert len(reasons(batch)) == 1
    assert batch.rejects[0].original.record == 2
    assert {row["res_units"] for row in rows_of(batch)} == {200}


def test_one_of_two_parallel_lists_is_refused_for_the_same_reason_alone_as_beside_others() -> None:
    alone = metric(1, **{"metadata.key": []})
    for others in ([], [metric(2)], [metric(2, **{"metadata.key": False})]):
        assert reasons(batch_of(lines(alone, *others), form="metrics"))[0] == (
            "metadata.key and metadata.value are not lists"
        )

"""Whatever comes in: buckets add up, nothing crashes, every record is accounted for."""

import json

import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.factories.records import ACME, NOW, PRICING, batch_of, lines, metric
from warehouse.catalog.generations import BUCKETS
from warehouse.errors import InvalidInput, SourceError
from warehouse.ingest.asked import Makes
from warehouse.ingest.batching import make_batch
from warehouse.ingest.credentials import without_credentials
from warehouse.ingest.formats.base import ReadOptions
from warehouse.ingest.framing import line_chunks, value_chunks
from warehouse.ingest.reading import Job, read_all
from warehouse.ingest.records import BadRecord
from warehouse.ingest.source import bytes_source
from warehouse.ingest.units import INPUT_BUCKETS, OUTPUT_BUCKETS
from warehouse.ingest.usage import usage_of

COUNT_NAMES = (
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens",
    "cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_tokens", "audio_tokens", "image_tokens",
    "promptTokenCount", "candidatesTokenCount", "totalTokenCount", "cachedContentTokenCount", "thoughtsTokenCount",
    "inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens",
    "prompt_cache_hit_tokens", "ephemeral_1h_input_tokens", "ephemeral_5m_input_tokens", "text_tokens",
)  # fmt: skip
DETAIL_NAMES = (
    "prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details",
    "input_token_details", "cached_tokens_details", "cache_creation",
)  # fmt: skip
COUNTS = st.dictionaries(st.sampled_from(COUNT_NAMES), st.integers(0, 10**6), max_size=8)
REPORTS = st.builds(
    lambda top, details: {**top, **details},
    COUNTS,
    st.dictionaries(st.sampled_from(DETAIL_NAMES), COUNTS, max_size=4),
)


@given(REPORTS, st.booleans())
def test_buckets_are_disjoint_whatever_a_provider_reports(report, is_image) -> None:
    usage = usage_of(report, Makes.IMAGES if is_image else Makes.TEXT)
    if usage is None:
        return
    assert min(usage.buckets.values()) >= 0
    assert sum(usage.buckets[name] for name in INPUT_BUCKETS) == usage.req_units
    assert sum(usage.buckets[name] for name in OUTPUT_BUCKETS) == usage.res_units
    assert usage.total_units >= usage.req_units + usage.res_units


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from((*COUNT_NAMES, *DETAIL_NAMES)), JSON, max_size=6))
def test_a_report_of_anything_is_usage_or_refused(report) -> None:
    reason = "usage"
    try:
        usage_of(report)
    except BadRecord as error:
        reason = error.reason
    assert reason.startswith("usage")


FIELDS = st.sampled_from(
    ("id", "created_at", "organisation_id", "workspace_slug", "req_units", "res_units", "total_units", "cost",
     "is_success", "metadata", "ai_model", "response_time", "cache_status", "metadata.key", "metadata.value",
     "_user", "cache_read_tokens", "reasoning_tokens", "cost_currency", "unknown", "_id")
)  # fmt: skip
RECORDS = st.lists(st.dictionaries(FIELDS, JSON, max_size=5), min_size=1, max_size=6)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(RECORDS)
def test_every_record_is_a_row_or_a_reject_alone_as_together(changes) -> None:
    records = [metric(number) | change for number, change in enumerate(changes)]
    together = batch_of(lines(*records), form="metrics")
    assert together.received == len(records)
    rejected = {reject.original.record: reject.reason for reject in together.rejects}
    assert len(rejected) == len(together.rejects)
    table = together.table.to_pylist()
    for row in table:
        assert sum(row[name] or 0 for name in INPUT_BUCKETS) == (row["req_units"] or 0)
        assert sum(row[name] or 0 for name in OUTPUT_BUCKETS) == (row["res_units"] or 0)
        assert all((row[column.name] or 0) >= 0 for column in BUCKETS)
        assert len(row["metadata.key"]) == len(row["metadata.value"])
    for number, record in enumerate(records, start=1):
        alone = batch_of(lines(record), form="metrics")
        assert [reject.reason for reject in alone.rejects] == ([rejected[number]] if number in rejected else [])


@FEW
@given(st.lists(st.binary(max_size=40) | JSON.map(lambda one: json.dumps(one).encode()), max_size=8), st.sampled_from(
    ("auto", "metrics", "log_objects", "hook", "feedbacks", "quarantine", "spool", "table")
))  # fmt: skip
def test_any_bytes_are_rows_rejects_or_a_clear_error(parts, form) -> None:
    content = b"\n".join([lines(metric(1)).strip(), *parts])
    options = ReadOptions({"created_at": "created_at"} if form == "table" else {})
    job = Job([bytes_source("any", content), bytes_source("more", lines(metric(2)))], form, options, lambda _: None)
    try:
        reads = list(read_all(job))
    except (SourceError, InvalidInput):
        return
    for dataset in {read.piece.dataset.name for read in reads if read.piece}:
        of = [read for read in reads if read.piece and read.piece.dataset.name == dataset]
        batch = make_batch(of, ACME, {}, PRICING, NOW)
        assert batch.received == sum(read.piece.height + len(read.piece.bad) for read in of if read.piece)
        assert isinstance(batch.table, pa.Table)
    held = sum(read.piece.height + len(read.piece.bad) for read in reads if read.piece)
    if form == "metrics":
        expected = sum(1 for line in content.split(b"\n") if line.strip(b" \t\r"))
        assert held >= expected + 1 or b"[" in content[:1]


@given(st.lists(st.binary(max_size=30), max_size=12), st.integers(1, 50), st.integers(1, 40))
@example([b"\x0b"], 1, 1)  # a blank to Python, not to JSON
def test_lines_are_cut_without_losing_one(parts, block, chunk) -> None:
    content = b"\n".join(parts)
    blocks = [content[at : at + block] for at in range(0, len(content), block)]
    found = [one for made in line_chunks("", "", blocks, chunk) for one in made.originals()]
    plain = content.removeprefix(b"\xef\xbb\xbf")
    assert [one.data.rstrip(b"\r") for one in found] == [
        line.rstrip(b"\r") for line in plain.split(b"\n") if line.strip(b" \t\r")
    ]
    assert [one.record for one in found] == list(range(1, len(found) + 1))
    for one in found:
        assert one.offset is not None
        assert content[one.offset :].startswith(one.data)


@given(st.lists(JSON, max_size=8), st.integers(1, 40), st.booleans(), st.sampled_from((None, 2)))
def test_values_of_an_array_are_cut_at_their_ends(values, block, is_array, indent) -> None:
    wanted = [value for value in values if isinstance(value, dict)]
    texts = [json.dumps(value, indent=indent) for value in wanted]
    content = ("[" + ",".join(texts) + "]" if is_array else "\n".join(texts)).encode()
    blocks = [content[at : at + block] for at in range(0, len(content), block)]
    found = [one for made in value_chunks("", "", blocks, 64) for one in made.originals()]
    assert [one.data.decode() for one in found] == texts
    for one in found:
        assert one.offset is not None
        assert content[one.offset :].startswith(one.data)


@given(st.binary(max_size=200))
def test_taking_credentials_out_never_fails(data) -> None:
    once = without_credentials(data)
    assert without_credentials(once) == once

"""The sample: the same for the same seed, exactly as many records as asked, and shaped like real traffic."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from warehouse.errors import InvalidInput
from warehouse.logstore.paths import parse_path
from warehouse.sample import SampleFormat, SampleSpec, generate, write_sample
from warehouse.sample.draws import Draws, zipf
from warehouse.sample.models import MODELS, UNKNOWN
from warehouse.sample.timetable import batches, shares, slots

UNTIL = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
ORGANISATION = "56916995-a761-4d90-bdf4-2c5550347777"
FIELDS_OF_A_GATEWAY = {
    *("id", "organisation_id", "user_id", "prompt_id", "prompt_version_id", "config_id", "created_at", "is_success"),
    *("ai_org", "ai_org_auth_hash", "ai_model", "req_units", "res_units", "total_units", "cost", "cost_currency"),
    *("request_url", "request_method", "response_status_code", "response_time", "is_proxy_call", "cache_status"),
    *("cache_type", "stream_mode", "retry_success_count", "_environment", "_user", "_organisation", "_prompt"),
    *("trace_id", "extra_key", "extra_value", "mode", "virtual_key", "source", "runtime", "runtime_version"),
    *("sdk_version", "config", "internal_trace_id", "config_version_id", "last_used_option_index", "prompt_slug"),
    *("metadata", "workspace_slug", "span_id", "parent_span_id", "span_name", "api_key_id", "license_id"),
    *("request_parsing_time", "ttlt", "upstream_response_time", "response_parsing_time", "cache_processing_time"),
    *("pre_processing_time", "gateway_processing_time", "gateway_version"),
}


def spec(rows: int = 4000, days: int = 7, seed: int = 1, **more: Any) -> SampleSpec:
    owner = {"organisation_id": ORGANISATION, "organisation_name": "Acme", "workspaces": ("core", "web")}
    return SampleSpec(**{"rows": rows, "days": days, "seed": seed, "until": UNTIL, **owner, **more})


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return list(generate(spec(rows=15_000)))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written_rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, data in files(folder).items():
        yield from ((name, json.loads(line)) for line in gzip.decompress(data).splitlines())


@pytest.mark.parametrize("kind", list(SampleFormat))
def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, kind: SampleFormat) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_sample(spec(rows=80, seed=seed, format=kind), tmp_path / name)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a") != files(tmp_path / "c")


def test_metrics_lie_where_a_gateway_puts_them(tmp_path: Path) -> None:
    report = write_sample(spec(), tmp_path)
    found = list(written_rows(tmp_path))
    assert report.rows == len(found) == 4000
    assert report.files == len(files(tmp_path)) > 300
    assert report.bytes == sum(map(len, files(tmp_path).values()))
    for name, row in found:
        hour = datetime.fromisoformat(row["created_at"]).strftime("%Y/%m/%d/%H")
        assert name == f"30/{ORGANISATION}/{row['workspace_slug']}/{hour}/metrics.ndjson.gz"


def test_records_carry_every_field_of_a_gateway(rows: list[dict[str, Any]]) -> None:
    assert FIELDS_OF_A_GATEWAY - rows[0].keys() == set()
    first = rows[0]
    assert first["metadata"]["key"] == ["team", "app", "_environment", "_user"]
    assert first["metadata"]["value"][2:] == [first["_environment"], first["_user"]]
    assert isinstance(first["req_units"], float)
    assert isinstance(first["retry_success_count"], str)


def test_ids_are_unique_uuids_and_times_lie_in_the_window(rows: list[dict[str, Any]]) -> None:
    assert len({row["id"] for row in rows}) == len(rows) == 15_000
    assert all(UUID(row["id"]).version == 4 for row in rows[:200])
    times = [datetime.fromisoformat(row["created_at"]) for row in rows]
    assert times == sorted(times)
    assert UNTIL - timedelta(days=7) <= times[0]
    assert times[-1] < UNTIL


def test_buckets_add_up_to_units(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        cached = row["cache_read_tokens"] + row["cache_write_tokens"] + row["cache_write_1h_tokens"]
        assert row["uncached_input_tokens"] + cached == row["req_units"]
        assert row["output_tokens"] + row["reasoning_tokens"] + row["image_output_tokens"] == row["res_units"]
        assert row["total_units"] == row["req_units"] + row["res_units"]
        assert min(row["uncached_input_tokens"], row["output_tokens"], cached) >= 0
    assert sum(row["cache_write_1h_tokens"] > 0 for row in rows) > 20
    assert sum(row["reasoning_tokens"] > 0 for row in rows) > 500


def test_outcomes_are_those_of_real_traffic(rows: list[dict[str, Any]]) -> None:
    statuses = Counter(int(row["response_status_code"]) for row in rows)
    errors = 1 - statuses[200] / len(rows)
    assert 0.02 <= errors <= 0.04
    assert {200, 429, 500, 400, 401} <= statuses.keys()
    assert all((row["is_success"] == 1.0) == (row["response_status_code"] == 200) for row in rows)
    assert all(row["total_units"] == 0 for row in rows if not row["is_success"])
    assert {row["retry_success_count"] for row in rows} == {"-1", "0", "1", "2", "3"}
    assert {row["mode"] for row in rows} == {"single", "fallback", "loadbalance"}
    assert any(row["mode"] == "fallback" and row["last_used_option_index"] == 1 for row in rows)
    assert {"HIT", "MISS", "SEMANTIC HIT", "DISABLED"} <= {row["cache_status"] for row in rows}


def test_models_are_skewed_and_one_percent_is_unknown(rows: list[dict[str, Any]]) -> None:
    models = Counter((row["ai_org"], row["ai_model"]) for row in rows)
    assert len(models) == len(MODELS) + 1
    assert 0.007 <= models[UNKNOWN.ai_org, UNKNOWN.name] / len(rows) <= 0.013
    assert sum(count for _, count in models.most_common(5)) > 0.5 * len(rows)


def test_days_and_hours_have_their_rhythm(rows: list[dict[str, Any]]) -> None:
    by_hour = Counter(row["created_at"][11:13] for row in rows)
    assert by_hour["14"] > 4 * by_hour["03"]
    by_day = Counter(row["created_at"][:10] for row in rows)
    assert by_day["2026-11-21"] < 0.6 * by_day["2026-11-19"], "a Saturday and a Thursday"


def test_latency_grows_with_output(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, infer_schema_length=None).filter(
        (pl.col("ai_model") == "gpt-4o") & pl.col("is_success").cast(pl.Boolean)
    )
    middle = pl.col("res_units").median()
    long, short = frame.filter(pl.col("res_units") > middle), frame.filter(pl.col("res_units") <= middle)
    assert long["upstream_response_time"].median() > 1.5 * short["upstream_response_time"].median()  # type: ignore[operator]


def test_traces_hold_spans(rows: list[dict[str, Any]]) -> None:
    spans = Counter(row["trace_id"] for row in rows)
    assert max(spans.values()) >= 4
    ids = {(row["trace_id"], row["span_id"]) for row in rows}
    children = [row for row in rows if row["parent_span_id"]]
    assert len(children) > 2500
    assert all((row["trace_id"], row["parent_span_id"]) in ids for row in children)


def test_what_is_given_is_used_and_the_rest_is_derived() -> None:
    keys = {"core": ("key-1", "key-2")}
    given = list(generate(spec(api_keys=keys)))
    assert {row["api_key_id"] for row in given if row["workspace_slug"] == "core"} == {"key-1", "key-2"}
    assert {row["organisation_id"] for row in given} == {ORGANISATION}
    derived = list(generate(spec(rows=50, organisation_id=None, organisation_name=None, workspaces=None)))
    assert all("organisation_id" not in row and "workspace_slug" not in row for row in derived)


def test_derived_names_are_in_the_paths(tmp_path: Path) -> None:
    write_sample(spec(rows=20, organisation_id=None, organisation_name=None, workspaces=None), tmp_path)
    (organisation,) = (tmp_path / "30").iterdir()
    assert UUID(organisation.name).version == 4
    assert [path.name for path in organisation.iterdir()] == ["default"]


def test_log_objects_say_their_tokens_in_each_providers_words(tmp_path: Path) -> None:
    write_sample(spec(rows=400, days=1, format=SampleFormat.LOG_OBJECTS), tmp_path)
    logs = {name: json.loads(data) for name, data in files(tmp_path).items()}
    metrics = {row["id"]: row for row in generate(spec(rows=400, days=1))}
    assert len(logs) == 400
    seen: set[str] = set()
    for name, log in logs.items():
        row, path = metrics[log["_id"]], parse_path(name)
        assert path is not None
        assert (path.log_id, path.workspace_slug, path.organisation_id) == (
            log["_id"],
            row["workspace_slug"],
            ORGANISATION,
        )
        assert log["response"]["status"] == row["response_status_code"]
        usage = log["response"]["body"].get("usage") or log["response"]["body"].get("usageMetadata")
        if not row["is_success"]:
            assert usage is None
            continue
        seen |= usage.keys()
        assert _input_tokens(usage) == row["req_units"]
    assert {"prompt_tokens", "cache_read_input_tokens", "promptTokenCount", "inputTokens"} <= seen


def _input_tokens(usage: dict[str, Any]) -> int:
    if "promptTokenCount" in usage:
        return usage["promptTokenCount"]
    if "inputTokens" in usage:
        return usage["inputTokens"] + usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"]
    if "cache_read_input_tokens" in usage:
        return usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    return usage["prompt_tokens"] if "prompt_tokens" in usage else usage["input_tokens"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rows": -1}, "rows is -1"),
        ({"days": 0}, "days is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"until": datetime(2026, 1, 1)}, "without a time zone"),  # noqa: DTZ001 - the naive instant is the case
        ({"days": 3660, "until": datetime(1975, 1, 1, tzinfo=UTC)}, "before 1971"),
        ({"workspaces": ()}, "workspaces is empty"),
        ({"workspaces": ("../x",)}, "workspace slug"),
        ({"organisation_id": "a/b"}, "organisation id"),
        ({"api_keys": {"other": ("k",)}}, "api_keys names other"),
    ],
)
def test_a_wrong_spec_says_what_is_allowed(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        spec(**wrong)


def test_no_rows_write_nothing(tmp_path: Path) -> None:
    assert write_sample(spec(rows=0), tmp_path / "new").files == 0


def test_draws_are_splitmix64() -> None:
    draws, mask = Draws(7), 2**64 - 1

    def reference(row: int) -> int:
        bits = (row * 0x9E3779B97F4A7C15 + draws.key("a")) & mask
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & mask
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
        return bits ^ (bits >> 31)

    frame = pl.DataFrame({"row": pl.Series([0, 1, 2, 2**63], dtype=pl.UInt64)})
    assert frame.select(draws.bits("a")).to_series().to_list() == [reference(row) for row in (0, 1, 2, 2**63)]


def test_choices_keep_to_their_weights() -> None:
    frame = pl.select(pl.int_range(100_000, dtype=pl.UInt64).alias("row"))
    counts = frame.select(Draws(3).choice("c", zipf(3)).alias("c")).group_by("c").len().sort("c")["len"].to_list()
    assert counts == pytest.approx([54545, 27272, 18181], rel=0.02)
    assert frame.select(Draws(3).choice("only", [1.0])).to_series().unique().to_list() == [0]


@pytest.mark.parametrize("total", [0, 1, 7, 1000, 999_999])
def test_shares_add_up(total: int) -> None:
    counts = shares(total, [0.1, 0.0, 3.3, 1e-9, 7.0])
    assert sum(counts) == total
    assert min(counts) >= 0


def test_slots_follow_each_other_without_a_gap() -> None:
    planned = list(slots(200_000, 2, UNTIL, Draws(1)))
    assert planned[0].start == UNTIL - timedelta(days=2)
    assert planned[-1].end == UNTIL
    for before, after in pairwise(planned):
        assert after.start >= before.end
        assert after.first_row == before.first_row + before.rows
    assert [slot for batch in batches(planned) for slot in batch] == [slot for slot in planned if slot.rows]

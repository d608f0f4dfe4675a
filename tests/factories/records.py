"""Records as gateways write them, and what the ingest rooms make of them, for tests."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.factories.prices import MemoryLevel, entry
from warehouse.ingest.batching import Priced, Pricing, make_batch
from warehouse.ingest.formats.base import ReadOptions
from warehouse.ingest.ownership import Ownership
from warehouse.ingest.reading import Job, read_all
from warehouse.ingest.source import Source, bytes_source
from warehouse.pricing.book import PriceBook
from warehouse.settings import CostPolicy

NOW = datetime(2026, 5, 2, 12, 0, tzinfo=UTC)
ACME = Ownership("acme", "Acme", "main", {"acme": frozenset({"main", "search"}), "other": frozenset({"main"})})


def small_book() -> PriceBook:
    """A book of two models: a cent per 1,000 input tokens, two per 1,000 output tokens."""
    rates = {"request_token": 0.001, "response_token": 0.002, "cache_read_input_token": 0.0005}
    models = {name: entry(**rates) for name in ("gpt-4o", "gpt-4o-mini")}
    return PriceBook([MemoryLevel({"openai": models})])


PRICING = Pricing(small_book(), CostPolicy.COMPUTED_ELSE_REPORTED)


def metric(number: int = 0, **changes: Any) -> dict[str, Any]:
    """An analytics row as a gateway writes it."""
    row: dict[str, Any] = {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "organisation_id": "acme",
        "created_at": f"2026-05-01T10:{number // 60 % 60:02d}:{number % 60:02d}.123Z",
        "is_success": 1.0,
        "ai_org": "openai",
        "ai_model": "gpt-4o",
        "req_units": 150.0,
        "res_units": 200.0,
        "total_units": 350.0,
        "cost": 0.0105,
        "cost_currency": "USD",
        "response_status_code": 200.0,
        "response_time": 1250.0,
        "is_proxy_call": 0.0,
        "cache_status": "miss",
        "stream_mode": 0.0,
        "retry_success_count": "0",
        "last_used_option_index": 0,
        "metadata": {"key": ["department"], "value": ["support"]},
        "workspace_slug": "search",
    }
    return {name: value for name, value in (row | changes).items() if value is not ...}


def log_object(**changes: Any) -> dict[str, Any]:
    """A log object as a gateway writes it to the log store."""
    record: dict[str, Any] = {
        "_id": "10000000-0000-4000-8000-000000000001",
        "request": {
            "url": "https://api.openai.com/v1/chat/completions",
            "method": "POST",
            "headers": {"x-portkey-trace-id": "trace-1"},
            "body": {"model": "gpt-4o", "messages": []},
        },
        "response": {
            "status": 200,
            "headers": {"x-portkey-cache-status": "MISS", "x-portkey-retry-attempt-count": "1"},
            "body": {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}},
            "responseTime": 517,
            "lastUsedOptionJsonPath": "$.config.targets[2]",
        },
        "organisation_id": "acme",
        "created_at": "2026-05-01T15:18:54.404Z",
    }
    return record | changes


def lines(*records: object) -> bytes:
    """NDJSON."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def batch_of(
    content: bytes | Source,
    *,
    name: str = "input.ndjson",
    form: str = "auto",
    mapping: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    owner: Ownership = ACME,
    pricing: Pricing = PRICING,
) -> Priced:
    """The batch of one source. Raises: what reading raises."""
    source = bytes_source(name, content) if isinstance(content, bytes) else content
    options = ReadOptions(mapping or {}, constants or {})
    reads = [read for read in read_all(Job([source], form, options, lambda _: None)) if read.piece is not None]
    return make_batch(reads, owner, options.constants, pricing, NOW)


def rows_of(batch: Priced) -> list[dict[str, Any]]:
    """The rows of a batch, without their empty columns."""
    return [{name: value for name, value in row.items() if value not in (None, [])} for row in batch.table.to_pylist()]


def reasons(batch: Priced) -> list[str]:
    """Why records of a batch were refused, in order of the records."""
    return [reject.reason for reject in sorted(batch.rejects, key=lambda one: one.original.record)]

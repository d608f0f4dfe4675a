"""What is worked out once is worked out beside the reading of the first batch, and no batch waits for it."""

import json

from tests.factories.prices import MemoryLevel, entry
from tests.factories.records import ACME, NOW, metric
from warehouse.ingest.batching import Pricing, make_batch, rehearse
from warehouse.ingest.formats.base import ReadOptions
from warehouse.ingest.reading import Job, Read, read_all
from warehouse.ingest.source import bytes_source
from warehouse.pricing.book import PriceBook
from warehouse.settings import CostPolicy


def _level() -> MemoryLevel:
    return MemoryLevel({name: {"gpt-4o": entry(request_token=0.001)} for name in ("openai", "groq", "google")})


def _first_read(count: int, **changes: object) -> Read:
    lines = b"".join(json.dumps(metric(number, **changes)).encode() + b"\n" for number in range(count))
    job = Job([bytes_source("a.ndjson", lines)], "metrics", ReadOptions(), lambda _: None)
    return next(read for read in read_all(job) if read.piece is not None)


def _pricing(level: MemoryLevel) -> Pricing:
    return Pricing(PriceBook([level]), CostPolicy.COMPUTED_ELSE_REPORTED)


def test_what_a_rehearsal_read_no_batch_reads_again() -> None:
    level = _level()
    pricing, read = _pricing(level), _first_read(1500)
    rehearse(read, ACME, {}, pricing, NOW)
    assert level.reads == ["openai"]
    batch = make_batch([read], ACME, {}, pricing, NOW)
    assert (level.reads, batch.table.num_rows, batch.rejects) == (["openai"], 1500, [])


def test_a_provider_that_no_file_has_needs_all_prices_and_a_rehearsal_reads_them() -> None:
    level = _level()
    pricing, read = _pricing(level), _first_read(1500, ai_org="unheard-of", cost=None)
    rehearse(read, ACME, {}, pricing, NOW)
    asked = list(level.reads)
    assert {"openai", "groq", "google"} <= set(asked)
    make_batch([read], ACME, {}, pricing, NOW)
    assert level.reads == asked


def test_only_many_rows_are_worth_a_rehearsal_and_only_one() -> None:
    pricing = _pricing(_level())
    assert not pricing.is_to_rehearse(_first_read(20))
    many = _first_read(1500)
    assert pricing.is_to_rehearse(many)
    assert not pricing.is_to_rehearse(many)

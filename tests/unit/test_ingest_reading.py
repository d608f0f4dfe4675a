"""Reading ahead: records keep their numbers whoever counts them, and a reader that nobody waits for stops."""

import gzip
import threading

import pytest

from warehouse.ingest import reading
from warehouse.ingest.formats.base import ReadOptions
from warehouse.ingest.framing import line_chunks
from warehouse.ingest.reading import Background, Job
from warehouse.ingest.source import bytes_source

_LINE = b'{"id":"%d","created_at":"2026-05-01T00:00:00Z","ai_org":"openai","ai_model":"gpt-4o","req_units":1}\n'


@pytest.mark.parametrize("is_asked_first", [True, False])
def test_records_keep_their_numbers_whoever_counts_them(is_asked_first: bool) -> None:
    lines = [b"\xef\xbb\xbf" + _LINE % 0, b"\n", *(_LINE % n for n in range(1, 40)), b"  \n", _LINE % 40]
    chunks = []
    for chunk in line_chunks("a.ndjson", "a.ndjson", lines, chunk_bytes=300):
        if is_asked_first:
            chunk.originals()
        chunks.append(chunk)
    assert len(chunks) > 5
    records = [original.record for chunk in chunks for original in chunk.originals()]
    assert records == list(range(1, 42))
    assert sum(chunk.count for chunk in chunks) == 41


def test_a_reader_that_is_far_ahead_waits_and_stops_when_nobody_wants_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WAITING_BYTES", 1)
    monkeypatch.setattr(reading, "SLAB_ROWS", 1)
    sources = [bytes_source(f"{n}.gz", gzip.compress(_LINE % n, 1)) for n in range(50)]
    opened: list[int] = []
    with Background(Job(iter(sources), "metrics", ReadOptions(), opened.append)) as background:
        first = next(background.slabs())
    assert [read.source.name for read in first if read.piece] == ["0.gz"]
    assert len(opened) < 50
    assert not any(thread.name == "ingest-reader" for thread in threading.enumerate())


def test_everything_comes_in_order_however_little_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WAITING_BYTES", 1)
    monkeypatch.setattr(reading, "SLAB_ROWS", 1)
    sources = [bytes_source(f"{n}", _LINE % n) for n in range(20)]
    with Background(Job(iter(sources), "auto", ReadOptions(), lambda _: None)) as background:
        reads = [read for slab in background.slabs() for read in slab]
    assert [read.source.name for read in reads if read.piece is None] == [str(n) for n in range(20)]
    assert [read.source.name for read in reads if read.piece] == [str(n) for n in range(20)]

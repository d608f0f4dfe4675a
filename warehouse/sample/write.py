"""A sample as files, laid out as a gateway lays out its log store."""

import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
from isal import igzip

from warehouse.errors import SourceError
from warehouse.logstore.paths import hour_prefix, v2_path
from warehouse.sample.generate import Chunk, chunks, log_objects
from warehouse.sample.spec import SampleFormat, SampleReport, SampleSpec
from warehouse.sample.world import World, world_of


def write_sample(spec: SampleSpec, to: Path, on_progress: Callable[[int], None] = lambda _: None) -> SampleReport:
    """Write the sample below a folder (made if missing): the same spec writes the same bytes.

    `metrics` makes one `metrics.ndjson.gz` per workspace and hour, `log-objects` one JSON file per request.
    `on_progress` hears how many records are written. Raises: SourceError when a file cannot be written.
    """
    started = time.monotonic()
    world = world_of(spec)
    files: dict[Path, int] = {}
    rows = 0
    try:
        to.mkdir(parents=True, exist_ok=True)
        for chunk in chunks(spec, world):
            is_metrics = spec.format is SampleFormat.METRICS
            for name, data in _metrics_files(chunk, world) if is_metrics else _log_files(chunk, spec, world):
                path = to / name
                _write(path, data, fresh=path not in files)
                files[path] = files.get(path, 0) + len(data)
            rows += chunk.requests.height
            on_progress(rows)
    except OSError as error:
        raise SourceError(f"Cannot write the sample to {to}: {error.strerror or error}.") from error
    since, seconds = spec.until - timedelta(days=spec.days), time.monotonic() - started
    return SampleReport(spec.rows, len(files), sum(files.values()), to, since, spec.until, seconds)


def _write(path: Path, data: bytes, *, fresh: bool) -> None:
    """A new file, or more of one that this sample has begun (an hour can come in pieces)."""
    if fresh:
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb" if fresh else "ab") as out:
        out.write(data)


def _metrics_files(chunk: Chunk, world: World) -> Iterator[tuple[str, bytes]]:
    tagged = chunk.metrics.with_columns(chunk.requests.select(pl.col("workspace", "hour_ms").name.prefix("of file/")))
    for rows in tagged.partition_by("of file/workspace", "of file/hour_ms"):
        workspace, hour = rows.select("of file/workspace", "of file/hour_ms").row(0)
        text = io.BytesIO()
        rows.drop("of file/workspace", "of file/hour_ms").write_ndjson(text)
        # No time in the header: the same sample is the same bytes.
        packed = igzip.compress(text.getbuffer(), compresslevel=1, mtime=0)
        yield f"{hour_prefix(world.organisation_id, workspace, _instant(hour))}/metrics.ndjson.gz", packed


def _log_files(chunk: Chunk, spec: SampleSpec, world: World) -> Iterator[tuple[str, bytes]]:
    places = chunk.requests.select("workspace", "at_ms").iter_rows()
    for log, (workspace, at_ms) in zip(log_objects(chunk, spec), places, strict=True):
        path = v2_path(world.organisation_id, workspace, _instant(at_ms), log["_id"])
        yield path, orjson.dumps(log, option=orjson.OPT_INDENT_2)


def _instant(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)

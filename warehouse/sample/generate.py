"""The records of a sample, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from warehouse.sample.draws import Draws
from warehouse.sample.requests import requests_of
from warehouse.sample.spec import SampleFormat, SampleSpec
from warehouse.sample.timetable import batches, slots
from warehouse.sample.wire_logs import log_object_of
from warehouse.sample.wire_metrics import app_column, metrics_of
from warehouse.sample.world import World, world_of


@dataclass(frozen=True, slots=True)
class Chunk:
    """A few thousand records: the requests they are made of, and their analytics rows in the same order."""

    requests: pl.DataFrame
    metrics: pl.DataFrame


def chunks(spec: SampleSpec, world: World) -> Iterator[Chunk]:
    """The sample in pieces, in order of time."""
    draws = Draws(spec.seed)
    for batch in batches(slots(spec.rows, spec.days, spec.until, draws)):
        requests = requests_of(batch, world, draws).with_columns(app_column(world, "workspace").alias("workspace"))
        yield Chunk(requests, metrics_of(requests, world, draws))


def generate(spec: SampleSpec) -> Iterator[dict[str, Any]]:
    """Each record as a dict of its wire form, in order of time."""
    world = world_of(spec)
    for chunk in chunks(spec, world):
        if spec.format is SampleFormat.METRICS:
            yield from chunk.metrics.iter_rows(named=True)
        else:
            yield from log_objects(chunk, spec)


def log_objects(chunk: Chunk, spec: SampleSpec) -> Iterator[dict[str, Any]]:
    """The log objects of a chunk, in order of time."""
    for request, metrics in zip(chunk.requests.iter_rows(named=True), chunk.metrics.iter_rows(named=True), strict=True):
        yield log_object_of({**metrics, **request}, spec.organisation_id)
